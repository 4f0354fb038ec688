"""Clients with sockets of their own, who check every answer token by token.

A request may end in three proper ways: the whole answer, an error that says so, or, where the
front door itself was killed, a connection that visibly broke. Everything else is a violation: an
answer that stops short and looks whole, tokens lost, repeated or of somebody else, silence past
the deadline.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from covend.testing.text import missing_token, token_text

Kind = Literal["full", "error", "broken", "violation"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended; times are monotonic seconds."""

    number: int
    model: str
    stream: bool
    kind: Kind
    detail: str
    begun: float
    ended: float
    status: int = 0

    @property
    def seconds(self) -> float:
        """From the first byte sent to the last received."""
        return self.ended - self.begun


@dataclass(frozen=True, slots=True)
class Plan:
    """One request to make."""

    number: int
    model: str
    stream: bool
    tokens: int
    klass: str = "reflex"
    numbered: bool = True
    """Whether the answer is a fake soulstone's numbered tokens; a real model's words vary."""


class Broken(Exception):
    """The connection ended before the message on it did: a client sees that."""


async def ask(port: int, plan: Plan, deadline: float = 60.0) -> Outcome:
    """Makes one request and judges its end; never raises, never waits past ``deadline`` seconds."""
    begun = time.monotonic()
    status = 0
    kind: Kind
    try:
        async with asyncio.timeout(deadline):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head_and_body(plan))
                await writer.drain()
                status, headers = await read_head(reader)
                body = await read_body(reader, headers)
                kind, detail = judge(plan, status, headers, body)
            finally:
                writer.close()
    except TimeoutError:
        kind, detail = "violation", f"no end within {deadline:g} s (status {status})"
    except (Broken, OSError, asyncio.IncompleteReadError) as error:
        kind, detail = "broken", f"{type(error).__name__}: {error}"
    return Outcome(
        plan.number, plan.model, plan.stream, kind, detail, begun, time.monotonic(), status
    )


def head_and_body(plan: Plan) -> bytes:
    """The request as bytes."""
    message = {"role": "user", "content": f"request {plan.number}"}
    body = {
        "model": plan.model,
        "messages": [message],
        "max_tokens": plan.tokens,
        "stream": plan.stream,
        **({"stream_options": {"include_usage": True}} if plan.stream else {}),
    }
    raw = json.dumps(body).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: box\r\nContent-Type: application/json\r\n"
        f"X-Covend-Class: {plan.klass}\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n"
    ).encode() + raw


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of a response."""
    raw = await reader.readuntil(b"\r\n\r\n")
    lines = raw.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:] if line)
    }
    return int(lines[0].split()[1]), headers


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The whole body; raises Broken when the framing says that it is not whole."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts: list[bytes] = []
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            data = await reader.readexactly(size + 2)
            if size == 0:
                return b"".join(parts)
            parts.append(data[:-2])
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    # Neither: the end of the connection is the end of the body, and cannot be told from a break.
    return await reader.read()


def judge(plan: Plan, status: int, headers: dict[str, str], body: bytes) -> tuple[Kind, str]:
    """What a response that arrived whole, as HTTP, is worth as an answer."""
    if status != 200:
        return judge_error(status, body)
    if headers.get("content-type", "").startswith("text/event-stream"):
        return judge_stream(plan, body)
    try:
        answer = json.loads(body)
        choice, counted = answer["choices"][0], answer["usage"]["completion_tokens"]
        text, finish = choice["message"]["content"], choice["finish_reason"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return "violation", f"200 with a body that is no answer ({error!r}): {body[:200]!r}"
    if not plan.numbered:
        return judge_words(plan, finish, counted)
    missing = missing_token(text, plan.tokens)
    if missing is not None or counted != plan.tokens:
        return "violation", f"token {missing} of {plan.tokens} is wrong (usage says {counted})"
    return "full", ""


def judge_words(plan: Plan, finish: str | None, counted: int) -> tuple[Kind, str]:
    """What can be known of a real model's answer: that it says why it ended, and where."""
    if finish == "length" and counted == plan.tokens:
        return "full", ""
    if finish == "stop" and 0 < counted <= plan.tokens:
        return "full", ""
    return "violation", f"{counted} tokens of at most {plan.tokens}, finish_reason {finish!r}"


def judge_error(status: int, body: bytes) -> tuple[Kind, str]:
    """A refusal must be an error object with a message."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return "violation", f"{status} without an error object: {body[:200]!r}"
    if status < 429:
        return "violation", f"{status} for a request that was right: {message}"
    return "error", f"{status}: {message}"


def judge_stream(plan: Plan, body: bytes) -> tuple[Kind, str]:
    """A stream must bring every token in order and then say that it is done, or say an error."""
    text, ids, finished = "", set[str](), False
    error: str | None = None
    finish: str | None = None
    counted = 0
    events = body.split(b"\n\n")
    if events.pop().strip():
        return "violation", f"the stream ends within an event: {body[-200:]!r}"
    for raw in events:
        data = [line[5:].strip() for line in raw.split(b"\n") if line.startswith(b"data:")]
        if not data:
            continue  # a comment that keeps the connection alive
        if data == [b"[DONE]"]:
            finished = True
            continue
        try:
            event: dict[str, Any] = json.loads(b"\n".join(data))
        except ValueError:
            return "violation", f"an event that is no JSON: {raw[:200]!r}"
        if "error" in event:
            error = str(event["error"])
            continue
        ids.add(event["id"])
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            finish = choice.get("finish_reason") or finish
        usage: dict[str, Any] = event.get("usage") or {}
        counted = usage.get("completion_tokens", counted)
    if len(ids) > 1:
        return "violation", f"one stream, several answers: {sorted(ids)}"
    if error is not None:
        if plan.numbered and not token_text(plan.tokens).startswith(text):
            return "violation", f"tokens lost or repeated before the error: {text[-80:]!r}"
        return "error", f"200, then: {error}"
    if not plan.numbered and (verdict := judge_words(plan, finish, counted))[0] != "full":
        return verdict
    missing = missing_token(text, plan.tokens) if plan.numbered else None
    if missing is not None:
        return "violation", f"silently ends at token {missing} of {plan.tokens}"
    return ("full", "") if finished else ("violation", "all tokens, but no [DONE]")


@dataclass(frozen=True, slots=True)
class Load:
    """A mixed load of closed-loop clients, the same for the same seed."""

    models: Sequence[str]
    clients: int = 6
    tokens: tuple[int, int] = (3, 30)
    streams: float = 0.6
    pause: float = 0.1
    deadline: float = 60.0
    numbered: bool = True

    async def run(self, port: int, seconds: float, seed: int) -> list[Outcome]:
        """Asks for ``seconds``, then waits for what is under way; the outcomes in order of end."""
        end = time.monotonic() + seconds
        outcomes: list[Outcome] = []

        async def client(index: int) -> None:
            dice = random.Random(f"{seed}/{index}")
            number = index * 1_000_000
            while time.monotonic() < end:
                number += 1
                plan = Plan(
                    number,
                    dice.choice(self.models),
                    dice.random() < self.streams,
                    dice.randint(*self.tokens),
                    dice.choice(("reflex", "reflex", "ritual")),
                    self.numbered,
                )
                outcomes.append(await ask(port, plan, self.deadline))
                await asyncio.sleep(dice.random() * 2 * self.pause)

        async with asyncio.TaskGroup() as group:
            for index in range(self.clients):
                group.create_task(client(index))
        return outcomes
