"""Records of runs, as the executor would write them, in few words."""

from __future__ import annotations

import itertools
from typing import Any

from covend.phylactery.records import Record, record

_clock = itertools.count(1_000_000, 1000)


def made(thread: str, kind: str, clock: int | None = None, **body: Any) -> Record:
    """A record of a run; later than all made before it unless it is given a clock."""
    act = {"intend": "INTEND", "call": "CALL", "learn": "LEARN", "know": "KNOW"}.get(kind, "DO")
    at = next(_clock) if clock is None else clock
    return record(thread, kind, body, actor="test", act=act, clock=at)  # type: ignore[arg-type]


def intend(thread: str = "q", **body: Any) -> Record:
    return made(thread, "intend", **body)


def call(thread: str = "q", slot: str = "s", attempt: int = 0, **body: Any) -> Record:
    return made(thread, "call", slot=slot, attempt=attempt, **body)


def human(thread: str = "q", slot: str = "s", did: str = "did:ann", **body: Any) -> Record:
    return call(thread, slot, responder={"kind": "actor", "did": did}, **body)


def do(
    thread: str = "q", slot: str = "s", attempt: int = 0, status: str = "ok", **body: Any
) -> Record:
    return made(thread, "do", slot=slot, attempt=attempt, status=status, **body)


def job(
    name: str, run: str | None = "q", ended: bool = True, end_clock: int | None = None, **body: Any
) -> list[Record]:
    """A job of one step, as the broker writes it: what was asked, what came of it, its end."""

    def entry(act: Any, body: dict[str, Any], clock: int | None = None) -> Record:
        at = next(_clock) if clock is None else clock
        return record(f"job:{name}", "job", body, actor="broker", act=act, clock=at)

    out = [entry("INTEND", {"job": {"id": name, **body}, "run": run})]
    out += [entry("PUT", {"begun": True}), entry("DO", {"index": 0, "result": body})]
    return [*out, entry("KNOW", {"error": None}, end_clock)] if ended else out


def timer(name: str, due: int) -> dict[str, Any]:
    return {"name": name, "due": due}
