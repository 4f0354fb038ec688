"""What came back from outside, as ``Raw``: an answer's bytes, or an error in place of them."""

from __future__ import annotations

import json
from typing import Any, cast

from covend.patterns.answers.understanding import Raw

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Of one answer, as it comes over the wire or out of a pipe."""


def failed(
    error: BaseException,
    transport: bool = True,
    indeterminate: bool = False,
    billable: bool = False,
) -> Raw:
    """Nothing came back, because of this; see ``Raw``. Of a group of errors, its first one."""
    error = first(error)
    text = f"{type(error).__name__}: {error}"
    return Raw(failure=text, transport=transport, indeterminate=indeterminate, billable=billable)


def first(error: BaseException) -> BaseException:
    """An error itself, or the first one of a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def answered(data: bytes | bytearray, status: int | None = None) -> Raw:
    """An answer: JSON as data, anything else as text, all of it UTF-8 (a BOM is put up with)."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        what = f"byte {wrong.start} is 0x{wrong.object[wrong.start]:02x}"
        return Raw(status=status, unusable=f"the answer is not UTF-8: {what}")
    return Raw(status=status, body=parsed(text))


def too_much(most: int, status: int | None = None) -> Raw:
    """An answer of more bytes than are read."""
    return Raw(status=status, unusable=f"the answer has more than {most} bytes")


def parsed(text: str) -> Any:
    """JSON as data, anything else as text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()
