"""Carrying one call out: a request to an endpoint, a command, a function (P8).

Requests run in one loop in a thread of its own, commands are processes: any of them can be given up
at its deadline or before. A function runs in a daemon thread, which can only be left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol, cast

from covend import functions
from covend.actors.calls.pipes import TooMuch, talk
from covend.config import PlaceholderError, expand_command
from covend.patterns.answers.understanding import Raw
from covend.patterns.responders.responder import Responder
from covend.runtime import Workers, one_core
from covend.runtime.guard import guarded

MAX_ANSWER_BYTES = 8 * 1024 * 1024
STOP_SECONDS = 5.0
RETRY_AFTER = frozenset({429, 503})
"""HTTP statuses with which a server may say when to come again."""
MAX_RETRY_AFTER = 3600.0


class Loop:
    """One event loop in a thread of its own; ``run`` from any thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Raw], done: Callable[[Raw], None]) -> Future[Raw]:
        """Begin some work; ``done`` hears its end in the loop's thread, unless it was cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)

        def ended(settled: Future[Raw]) -> None:
            if not settled.cancelled():
                error = settled.exception()
                done(settled.result() if error is None else failed(error, transport=False))

        future.add_done_callback(ended)
        return future

    def close(self) -> None:
        """Give up all work and end the thread, within ``STOP_SECONDS``."""
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_give_up(), self._loop).result(STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


async def _give_up() -> None:
    me = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not me]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def failed(error: BaseException, transport: bool = True, indeterminate: bool = False) -> Raw:
    """Nothing came back, because of this; see ``Raw``."""
    text = f"{type(error).__name__}: {error}"
    return Raw(failure=text, transport=transport, indeterminate=indeterminate)


# ── what is asked ────────────────────────────────────────────────────────────────────────────


def completion(call: Mapping[str, Any], responder: Responder) -> dict[str, Any]:
    """The body of the chat completion that puts a call to a model."""
    ask = call["ask"]
    dial = ask["dial"]
    body: dict[str, Any] = {"model": responder.model, "messages": ask["messages"], "stream": False}
    for name in ("temperature", "max_tokens", "seed"):
        if dial.get(name) is not None:
            body[name] = dial[name]
    if dial.get("logprobs"):
        body["logprobs"] = True
    schema = ask["shape"].get("schema")
    if ask["shape"].get("kind") == "json":
        body["response_format"] = (
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
            if schema
            else {"type": "json_object"}
        )
    return {**body, **dial.get("extra", {})}


def request(call: Mapping[str, Any]) -> dict[str, Any]:
    """What a program is told: the question, and the key under which it is asked."""
    ask = {name: value for name, value in call["ask"].items() if name not in ("messages", "dial")}
    return {"key": call["key"], **ask}


# ── how ──────────────────────────────────────────────────────────────────────────────────────


async def post(
    url: str, body: Mapping[str, Any], key: str, headers: Mapping[str, str], seconds: float
) -> Raw:
    """POST JSON under an idempotency key; what came back, or how it failed, within the time.

    Once a connection stands the request may have arrived: what fails then is indeterminate (P4).
    """
    import httpx  # only here: the core starts sooner without it, and many a box never needs it

    sent = {"Idempotency-Key": key, **headers}
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=httpx.Timeout(seconds), follow_redirects=False) as client,
            client.stream("POST", url, json=body, headers=sent) as response,
        ):
            read = bytearray()
            async for part in response.aiter_bytes():
                read += part
                if len(read) > MAX_ANSWER_BYTES:
                    text = f"the answer has more than {MAX_ANSWER_BYTES} bytes"
                    return Raw(failure=text, transport=False)
            return Raw(
                status=response.status_code,
                body=decoded(bytes(read)),
                retry_after=leave_alone(
                    response.status_code, response.headers.get("Retry-After", ""), time.time()
                ),
            )
    except TimeoutError:
        text = f"no answer within {seconds:.1f} s"
        return Raw(failure=text, transport=False, indeterminate=True)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return failed(error, transport=False)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        return failed(error)
    except httpx.HTTPError as error:
        return failed(error, indeterminate=True)


def leave_alone(status: int, header: str, now: float) -> float | None:
    """For how many seconds a server that is busy or away asks to be left alone (RFC 9110, 10.2.3).

    ``header`` is its ``Retry-After``, a number of seconds or a date; at most ``MAX_RETRY_AFTER``.
    """
    if status not in RETRY_AFTER:
        return None
    header = header.strip()
    try:
        if header.isascii() and header.isdigit():
            seconds = float(header)
        else:
            date = parsedate_to_datetime(header)
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


class Program:
    """A command with JSON on its input; its output is the answer once it ends well.

    It leads a session of its own, which is killed when its time is over or it is given up, and
    does not outlive this process, however that ends (S16). A daemon thread waits for it; ``done``
    is called there, unless it was given up.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        body: Mapping[str, Any],
        seconds: float,
        done: Callable[[Raw], None],
    ) -> None:
        self._command = command
        self._input = json.dumps(body).encode()
        self._seconds = seconds
        self._done = done
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False
        threading.Thread(target=self._run, name=f"program-{command[0]}", daemon=True).start()

    def cancel(self) -> None:
        """Give it up: nothing is heard of it any more. Any thread."""
        with self._lock:
            self._given_up = True
            if self._process is not None:
                kill_session(self._process.pid)

    def _run(self) -> None:
        try:
            with self._lock:
                if self._given_up:
                    return
                one_core.let_go()
                self._process = subprocess.Popen(
                    guarded(self._command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            raw = self._answer(self._process)
        except OSError as error:
            raw = failed(error, transport=False)
        if not self._given_up:
            self._done(raw)

    def _answer(self, process: subprocess.Popen[bytes]) -> Raw:
        name = self._command[0]
        with process:
            try:
                said = talk(process, self._input, self._seconds, MAX_ANSWER_BYTES)
            except TimeoutError:
                text = f"{name} did not end within {self._seconds:.1f} s"
                return Raw(failure=text, transport=False)
            except TooMuch as over:
                return Raw(failure=f"the output has more than {over} bytes", transport=False)
            finally:
                kill_session(process.pid)  # it, or whatever it left running
        if process.returncode:
            text = said.complaint.decode(errors="replace").strip()[-500:]
            return Raw(failure=f"{name} ended with {process.returncode}: {text}", transport=False)
        return Raw(body=decoded(said.output))


def kill_session(leader: int) -> None:
    """Kill a process and all of its group."""
    with contextlib.suppress(ProcessLookupError):  # it may be gone already
        os.killpg(leader, signal.SIGKILL)


def decoded(data: bytes | bytearray) -> Any:
    """JSON as data, anything else as text."""
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()


def compute(name: str, call: Mapping[str, Any]) -> tuple[Raw, str | None]:
    """Call a function; its answer, or why it has none. Runs in a thread of its own."""
    asked = request(call)
    try:
        function, argument = functions.find(name)
        value = function(asked, argument)
    except functions.Declined as declined:
        return Raw(), str(declined)
    except Exception as error:  # somebody's function may raise anything
        return failed(error, transport=False), None
    if cast("dict[str, Any]", asked["shape"]).get("kind", "text") == "text" and value is not None:
        value = value if isinstance(value, str) else json.dumps(value)
    return Raw(body=value), None


# ── which of them it is ──────────────────────────────────────────────────────────────────────


class Work(Protocol):
    """Something under way outside, which can be given up."""

    def cancel(self) -> object:
        """Nothing is heard of it any more. Any thread."""
        ...


class Done(Protocol):
    """Hears what came of a call, or why a function has no answer; in any thread."""

    def __call__(self, raw: Raw, declined: str | None = None) -> None: ...


class Outside:
    """Everything that carries calls out, for one owner; commands are looked up from ``here``."""

    def __init__(self, here: Path) -> None:
        self._here = here
        self._loop = Loop("courier-loop")
        self._hands = Workers()

    def carry(
        self, call: Mapping[str, Any], responder: Responder, seconds: float, done: Done
    ) -> Work | None:
        """Begin a call to whoever is not of this box; None where it cannot be given up."""
        if responder.kind == "pattern":
            name = responder.function or ""
            self._hands.run(lambda: done(*compute(name, call)), f"function-{name[:20]}")
            return None
        if responder.command:
            try:
                command = expand_command(responder.command, self._here, os.environ)
            except PlaceholderError as error:
                done(Raw(failure=str(error), transport=False))
                return None
            return Program(command, request(call), seconds, done)
        key = str(call["key"])
        if responder.url is not None:
            return self._loop.run(post(responder.url, request(call), key, {}, seconds), done)
        url = f"{(responder.endpoint or '').rstrip('/')}/chat/completions"
        token = os.environ.get(responder.api_key_env or "", "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._loop.run(post(url, completion(call, responder), key, headers, seconds), done)

    def close(self) -> None:
        """Give up what the loop is at, and end all threads that are idle."""
        self._hands.close(STOP_SECONDS)
        self._loop.close()
