"""What an answer says it took: the tokens in its ``usage`` (W10). Pure."""

from __future__ import annotations

import re

_USAGE = re.compile(rb'"(prompt|input|completion|output)_tokens"\s*:\s*(\d{1,9})')


def tokens_in(tail: bytes) -> tuple[int, int]:
    """Prompt and completion tokens as the end of an answer states them; 0 where it does not."""
    if b'"usage"' not in tail:
        return 0, 0
    prompt = completion = 0
    for name, count in _USAGE.findall(tail, tail.rfind(b'"usage"')):
        if name in (b"prompt", b"input"):
            prompt = int(count)
        else:
            completion = int(count)
    return prompt, completion
