"""Clients of the demo: the official ``openai`` library, one thread per request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import openai


@dataclass(slots=True)
class Request:
    """One request and how it ended: ``answered``, ``error`` (a proper one) or ``dropped``."""

    model: str
    klass: str
    began: float
    first: float | None = None
    ended: float | None = None
    chunks: int = 0
    outcome: str = ""
    detail: str = ""
    text: str = ""
    started: threading.Event = field(default_factory=threading.Event)

    @property
    def waited(self) -> float:
        return (self.first or self.ended or self.began) - self.began


class Clients:
    """Sends requests through the gate and keeps what became of each."""

    def __init__(self, base_url: str) -> None:
        self.client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=170)
        self.requests: list[Request] = []
        self.threads: list[threading.Thread] = []

    def stream(self, model: str, prompt: str, tokens: int, klass: str = "reflex") -> Request:
        """Begin one streamed chat; returns at once."""
        return self._begin(model, klass, lambda request: self._stream(request, prompt, tokens))

    def embed(self, model: str, texts: list[str]) -> Request:
        """Begin one call for embeddings; returns at once."""
        return self._begin(model, "ingest", lambda request: self._embed(request, texts))

    def _begin(self, model: str, klass: str, work: Callable[[Request], None]) -> Request:
        request = Request(model, klass, time.monotonic())
        self.requests.append(request)
        thread = threading.Thread(target=self._run, args=(request, work), daemon=True)
        self.threads.append(thread)
        thread.start()
        return request

    def _run(self, request: Request, work: Callable[[Request], None]) -> None:
        try:
            work(request)
        except openai.APIError as error:
            request.outcome, request.detail = "error", str(error)[:200]
        except Exception as error:
            request.outcome = "dropped"
            request.detail = f"{type(error).__name__}: {error}"[:200]
        request.ended = time.monotonic()
        request.started.set()

    def _stream(self, request: Request, prompt: str, tokens: int) -> None:
        stream = self.client.chat.completions.create(
            model=request.model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=tokens,
            temperature=0.0,
            stream=True,
            extra_headers={"X-Covend-Class": request.klass},
        )
        finish = None
        for chunk in stream:
            if request.first is None:
                request.first = time.monotonic()
                request.started.set()
            for choice in chunk.choices:
                request.text += choice.delta.content or ""
                request.chunks += bool(choice.delta.content)
                finish = choice.finish_reason or finish
        request.outcome = "answered" if finish else "dropped"
        request.detail = finish or "the stream ended without a finish_reason"

    def _embed(self, request: Request, texts: list[str]) -> None:
        answer = self.client.embeddings.create(
            model=request.model, input=texts, encoding_format="float"
        )
        request.first = time.monotonic()
        sizes = {len(item.embedding) for item in answer.data}
        request.outcome = "answered" if len(answer.data) == len(texts) else "dropped"
        request.detail = f"{len(answer.data)} vectors of {sizes}"

    def join(self, requests: list[Request], seconds: float = 150.0) -> None:
        """Wait until these have ended, however; who has not by then counts as dropped."""
        deadline = time.monotonic() + seconds
        while any(request.ended is None for request in requests):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for request in requests:
            if request.ended is None:
                request.outcome, request.detail = "dropped", f"no end within {seconds:.0f} s"
