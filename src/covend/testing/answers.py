"""The bodies a fake soulstone answers with, in the shapes of the OpenAI routes it speaks.

Plain functions of the request; the server decides when they are sent. Usage counts are honest:
a token of the prompt is a word, a token of the answer is one of ``covend.testing.text``.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple, cast

from covend.testing.text import token, token_text

DEFAULT_TOKENS = 16
_DIMENSIONS = 8


class BadRequest(Exception):
    """The request's body is not what the route takes; says what would be."""


class Ask(NamedTuple):
    """One request for generated text (no dataclass: importing those takes 10 ms)."""

    chat: bool
    stream: bool
    usage_in_stream: bool
    tokens: int
    prompt_tokens: int


def parse_ask(body: dict[str, Any], *, chat: bool) -> Ask:
    """Reads a chat or completion request; raises BadRequest for anything it cannot be."""
    if chat:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadRequest("'messages' must be a list with at least one message")
        prompt = json.dumps(messages)
    else:
        if "prompt" not in body:
            raise BadRequest("'prompt' is missing")
        prompt = json.dumps(body["prompt"])
    wanted = body.get("max_tokens", body.get("max_completion_tokens", DEFAULT_TOKENS))
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise BadRequest(f"'max_tokens' must be a whole number from 1, not {wanted!r}")
    options = body.get("stream_options")
    in_stream = isinstance(options, dict) and bool(
        cast(dict[str, Any], options).get("include_usage")
    )
    return Ask(chat, bool(body.get("stream")), in_stream, wanted, len(prompt.split()))


def usage(ask: Ask, completion_tokens: int) -> dict[str, int]:
    """The usage block of an answer."""
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": ask.prompt_tokens + completion_tokens,
    }


def whole(ask: Ask, id: str, model: str) -> dict[str, Any]:
    """An answer in one piece."""
    text = token_text(ask.tokens)
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
    if ask.chat:
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    return {
        "id": id,
        "object": "chat.completion" if ask.chat else "text_completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage(ask, ask.tokens),
    }


def event(payload: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def opening(ask: Ask, id: str, model: str) -> bytes:
    """What a chat stream starts with: the role, before any token. Nothing for a completion."""
    return _chunk(ask, id, model, {"role": "assistant", "content": ""}) if ask.chat else b""


def piece(ask: Ask, id: str, model: str, number: int) -> bytes:
    """The event that carries one token."""
    text = token(number)
    return _chunk(ask, id, model, {"content": text} if ask.chat else text)


def closing(ask: Ask, id: str, model: str) -> bytes:
    """What a stream ends with: the reason, the usage where asked for, and ``[DONE]``."""
    end = _chunk(ask, id, model, {} if ask.chat else "", reason="length")
    if ask.usage_in_stream:
        tail = _frame(ask, id, model)
        tail["usage"] = usage(ask, ask.tokens)
        end += event(tail)
    return end + b"data: [DONE]\n\n"


def _frame(ask: Ask, id: str, model: str) -> dict[str, Any]:
    kind = "chat.completion.chunk" if ask.chat else "text_completion"
    return {"id": id, "object": kind, "created": 0, "model": model, "choices": []}


def _chunk(
    ask: Ask, id: str, model: str, content: dict[str, str] | str, reason: str | None = None
) -> bytes:
    frame = _frame(ask, id, model)
    key = "delta" if ask.chat else "text"
    frame["choices"] = [{"index": 0, key: content, "finish_reason": reason}]
    return event(frame)


def embeddings(body: dict[str, Any], model: str) -> dict[str, Any]:
    """Vectors that depend on the text alone; raises BadRequest without an ``input``."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise BadRequest("'input' must be a text or a list of them")
    words = 0
    data: list[dict[str, Any]] = []
    for index, text in enumerate(cast(list[Any], texts)):
        words += len(str(text).split())
        data.append({"object": "embedding", "index": index, "embedding": _vector(str(text))})
    counts = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "model": model, "data": data, "usage": counts}


def rerank(body: dict[str, Any], model: str) -> dict[str, Any]:
    """Documents by how many words they share with the query, best first."""
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list):
        raise BadRequest("'query' must be a text and 'documents' a list of texts")
    wanted = set(query.lower().split())
    texts = [str(document) for document in cast(list[Any], documents)]
    scores = [len(wanted & set(text.lower().split())) / max(1, len(wanted)) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    words = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "model": model,
        "results": [{"index": index, "relevance_score": scores[index]} for index in order],
        "usage": {"prompt_tokens": words, "total_tokens": words},
    }


def _vector(text: str) -> list[float]:
    raw = [(zlib.crc32(f"{axis}:{text}".encode()) / 2**31) - 1 for axis in range(_DIMENSIONS)]
    length = sum(value * value for value in raw) ** 0.5
    return [value / length for value in raw]
