"""The model's name in a request body: found, checked, and replaced byte for byte (G1).

Nothing else of a body is touched or re-serialised. Two ``model`` keys are refused: the gate and
the soulstone could each believe another one, and a key's allowed capabilities would not hold.
"""

from __future__ import annotations

import re

import msgspec

from covend.gate.errors import Refusal
from covend.resolving import resolved

MAX_TOKENS = 200_000
"""Strings and brackets looked at in one body, so that a hostile one cannot hold the loop."""

BACKSLASH = ord("\\")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_PLAIN = re.compile(rb'[^"\[\]{}]*+')
_SCALAR = re.compile(rb"[^,}\]\s]*+")
_MODEL = re.compile(rb'"model"[ \t\r\n]*+:[ \t\r\n]*+("(?:[^"\\]++|\\.)*+")', re.DOTALL)
_DISPOSITION = re.compile(rb'(?i)^content-disposition:[^\r\n]*?;\s*name="?model"?(?=[;\s]|$)', re.M)
_BOUNDARY = re.compile(rb'(?i)boundary="?([^";,\s]{1,70})"?')

Span = tuple[int, int]


class Head(msgspec.Struct):
    """What the gate reads of a JSON body; the rest is the soulstone's."""

    model: str
    stream: bool | None = False


_head = msgspec.json.Decoder(resolved(Head))


def read_json(body: bytes) -> tuple[str, bool, Span]:
    """The model's name, whether a stream is asked for, and where the name stands in ``body``.

    The span covers the quotes. Raises ``Refusal`` (400) for what is not JSON, has no model, or has
    two.
    """
    try:
        head = _head.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        where = "$.stream" if "$.stream" in text else "$.model"
        what = "true or false" if where == "$.stream" else 'the name of a model, as in "model": "…"'
        raise Refusal(
            400, "invalid_body", f"{where}: {text}; it must be {what}", where=where
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(
            400, "invalid_json", f"the body is not valid JSON: {error}", where="body"
        ) from None
    return head.model, bool(head.stream), _span(body)


def _span(body: bytes) -> Span:
    """Where the value of the top-level key stands; the decoder has shown that there is one."""
    at = body.find(b'"model"')
    alone = body.find(b'"model"', at + 1) < 0
    if alone and at >= 0 and (BACKSLASH not in body or b"\\u006" not in body):
        match = _MODEL.match(body, at)  # the one spelling of the key in the body is the key itself
        if match is not None:
            return match.span(1)
    return _scan(body)


def _scan(body: bytes) -> Span:
    """Walk the top level of a body that is known to be a valid JSON object."""
    found: Span | None = None
    at = body.index(b"{") + 1
    budget = MAX_TOKENS
    while True:
        at = _skip(body, at)
        if body[at : at + 1] == b"}":
            break
        key = _STRING.match(body, at)
        if key is None:
            break
        at = _skip(body, _skip(body, key.end()) + 1)
        end, used = _value_end(body, at, budget)
        budget -= used + 1
        if msgspec.json.decode(key[0], type=str) == "model":
            if found is not None:
                raise Refusal(
                    400, "duplicate_model", "the body names the model twice; once is right",
                    where="$.model",
                )  # fmt: skip
            found = at, end
        at = _skip(body, end)
        if body[at : at + 1] != b",":
            break
        at += 1
    if found is None:
        raise Refusal(400, "invalid_body", "$.model: no such key at the top level", where="$.model")
    return found


def _skip(body: bytes, at: int) -> int:
    match = _SPACE.match(body, at)
    return match.end() if match else at


def _value_end(body: bytes, at: int, budget: int) -> tuple[int, int]:
    """Where the value that begins at ``at`` ends, and how many tokens it took."""
    used = depth = 0
    while True:
        used += 1
        if used > budget:
            raise Refusal(
                400, "body_too_complex",
                f"the body has more than {MAX_TOKENS} strings and brackets and the word "
                '"model" more than once; put the model into a smaller body',
                where="body",
            )  # fmt: skip
        char = body[at : at + 1]
        if char == b'"':
            match = _STRING.match(body, at)
            at = match.end() if match else len(body)
        elif char in (b"[", b"{"):
            depth += 1
            at += 1
        elif char in (b"]", b"}"):
            depth -= 1
            at += 1
        else:
            match = _SCALAR.match(body, at)
            at = match.end() if match else len(body)
        if depth <= 0 or at >= len(body):
            return at, used
        match = _PLAIN.match(body, at)
        at = match.end() if match else at


def read_multipart(body: bytes, content_type: bytes) -> tuple[str, Span]:
    """The model's name in a form (audio, image edits) and where it stands.

    Raises ``Refusal`` (400) for a form without a boundary, without a model, or with two.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise Refusal(
            400, "invalid_form", "the form has no boundary in its Content-Type",
            where="Content-Type",
        )  # fmt: skip
    mark = b"--" + boundary[1]
    found: list[Span] = []
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    while at >= 0 and body.startswith(mark, at) and not body.startswith(b"--", at + len(mark)):
        head_end = body.find(b"\r\n\r\n", at)
        end = body.find(b"\r\n" + mark, max(head_end, at))
        if head_end < 0 or end < 0:
            raise Refusal(400, "invalid_form", "the form ends inside a part", where="body")
        if _DISPOSITION.search(body[at : min(head_end, at + 4096)]):
            found.append((head_end + 4, end))
        at = end + 2
    if len(found) != 1:
        raise Refusal(
            400, "invalid_form",
            f"the form has {len(found)} fields named model; one is right", where="model",
        )  # fmt: skip
    start, end = found[0]
    try:
        return body[start:end].decode(), (start, end)
    except UnicodeDecodeError:
        raise Refusal(400, "invalid_form", "the model's name is not UTF-8", where="model") from None


def spell(name: str) -> tuple[bytes, bytes]:
    """A model's name as it stands in a JSON body, and in a form."""
    return msgspec.json.encode(name), name.encode()


def splice(body: bytes, span: Span, name: bytes) -> bytes:
    """``body`` with another model's name, as ``spell`` gives it, and every other byte as it was.

    This is all that ever happens to a body (G1).
    """
    return body[: span[0]] + name + body[span[1] :]
