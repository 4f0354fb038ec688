"""When a model server is beyond waiting for: a pure verdict over what was seen of it (W26).

``Observations`` is folded from reports, each method giving the next one; ``judge`` reads it.
Times are monotonic seconds, sizes bytes.
"""

from __future__ import annotations

import msgspec

from covend.will.model import NEVER


class Limits(msgspec.Struct, frozen=True):
    """How much is too much (W26): failed checks in a row, and seconds over quota or silent.

    ``stall_seconds`` is for answers that flow. What is not streamed comes all at once, and a long
    prompt is read before the first byte: without an answer that flows, silence may be work, and
    ``answer_seconds`` counts.
    """

    health_failures: int = 3
    quota_seconds: float = 5.0
    stall_seconds: float = 60.0
    answer_seconds: float = 600.0


class Verdict(msgspec.Struct, frozen=True):
    """A hard reset is due: ``kind`` is death, health, quota or stall; ``evidence`` says why."""

    kind: str
    evidence: str


class Observations(msgspec.Struct, frozen=True):
    """Everything seen of one soulstone since it became ready."""

    death: str | None = None
    failures: int = 0
    last_failure: str = ""
    used: int = 0
    quota: int = 0
    over_since: float | None = None
    in_flight: int = 0
    busy_since: float = NEVER
    last_byte: float = NEVER
    streams: int = 0

    def died(self, reason: str) -> Observations:
        """Its process is gone."""
        return msgspec.structs.replace(self, death=reason)

    def checked(self, ok: bool, detail: str = "") -> Observations:
        """One health check ended; a good one forgives the failures before it."""
        if ok:
            return msgspec.structs.replace(self, failures=0, last_failure="")
        return msgspec.structs.replace(self, failures=self.failures + 1, last_failure=detail)

    def measured(self, used: int, quota: int, now: float) -> Observations:
        """Its memory was read; the quota's clock runs from the first reading over it."""
        over = used > quota
        since = (self.over_since if self.over_since is not None else now) if over else None
        return msgspec.structs.replace(self, used=used, quota=quota, over_since=since)

    def trafficked(
        self, in_flight: int, last_byte: float, now: float, streams: int = 0
    ) -> Observations:
        """What is in flight on it, how much of it flows, and when any byte last came from it."""
        began = self.in_flight == 0 and in_flight > 0
        return msgspec.structs.replace(
            self,
            in_flight=in_flight,
            busy_since=now if began else self.busy_since,
            last_byte=max(self.last_byte, last_byte),
            streams=streams,
        )


def judge(seen: Observations, now: float, limits: Limits | None = None) -> Verdict | None:
    """Whether a hard reset is due, and on what evidence; the surest sign first (W26).

    Silence counts from the last byte or from when work began, whichever is later: a server is not
    stalled because nobody asked it anything.
    """
    limits = limits or Limits()
    if seen.death is not None:
        return Verdict("death", seen.death)
    if seen.failures >= limits.health_failures:
        return Verdict("health", f"{seen.failures} health checks failed: {seen.last_failure}")
    if seen.over_since is not None and now - seen.over_since >= limits.quota_seconds:
        return Verdict(
            "quota",
            f"{seen.used / 2**20:.0f} MiB of {seen.quota / 2**20:.0f} MiB "
            f"for {now - seen.over_since:.1f} s",
        )
    if seen.in_flight:
        silent = now - max(seen.last_byte, seen.busy_since)
        if silent >= (limits.stall_seconds if seen.streams else limits.answer_seconds):
            return Verdict("stall", f"{seen.in_flight} in flight and no byte for {silent:.0f} s")
    return None
