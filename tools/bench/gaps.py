"""A run killed at every gap between two of its I/O calls: what it pays, and what it answers.

The engine is a real process on a real SQLite file; the provider is outside and honours idempotency
keys. At each gap it is killed with SIGKILL, started again undisturbed, and must end as if nothing
had been. Another round tears the write at the gap in half before the kill.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from covend.testing.crash import Call, Damage, Fault, Run, Target, crash, survey, traceable
from tools.bench.figures import Figure, Missing, exactly, observed
from tools.bench.provider import Provider

TITLE = "verify with a disagreement (3 paid calls), killed at every gap"

ANSWERS = {"one": 41, "other": 43, "third": 42}
SECONDS = 120.0
AT_ONCE = 2
TEAR_EACH = 8
SLOW_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that was disturbed at one gap came to."""

    gap: int
    struck: bool
    paid: int
    asked: int
    told: str


def run() -> dict[str, Figure]:
    """How many gaps there are, and how many of them cost something or changed the answer."""
    if traceable():
        raise Missing(traceable())
    calls, whole = undisturbed()
    gaps = [call.number for call in calls.calls]
    torn = [call.number for call in calls.calls if call.name in ("write", "pwrite64")][::TEAR_EACH]
    killed = every(gaps, partial(disturbed, "kill"))
    killed += every(ended_at(calls.calls), partial(disturbed, "kill_after"))
    halved = every(torn, partial(disturbed, "torn"))
    seen = [outcome for outcome in (*killed, *halved) if outcome.struck]
    for outcome in seen:
        if (outcome.told, outcome.paid) != (whole.told, whole.paid):
            print(f"not as undisturbed: {outcome}", file=sys.stderr)
    return {
        "gaps": observed(len(gaps), "calls"),
        "killed there": observed(sum(outcome.struck for outcome in killed), "runs"),
        "torn writes": observed(sum(outcome.struck for outcome in halved), "runs"),
        "paid calls, undisturbed": observed(whole.paid, "calls"),
        "paid more or less than undisturbed": exactly(
            sum(outcome.paid != whole.paid for outcome in seen), 0, "runs"
        ),
        "ended otherwise than undisturbed": exactly(
            sum(outcome.told != whole.told for outcome in seen), 0, "runs"
        ),
        "asked again under the same key": observed(
            sum(outcome.asked - whole.asked for outcome in seen), "calls"
        ),
    }


def ended_at(calls: Sequence[Call]) -> list[int]:
    """The calls after whose end is another gap than before the next call begins.

    The far end of a socket goes on meanwhile; another thread's call begins before this one ends;
    and after the last call there is no next.
    """
    return [
        call.number
        for call, following in pairwise([*calls, None])
        if call is not None
        and (call.what == "tcp" or following is None or following.thread != call.thread)
    ]


def undisturbed() -> tuple[Run, Outcome]:
    """The calls of a run that nothing happens to, and what it pays and says."""
    with tempfile.TemporaryDirectory(prefix="covend-bench-") as folder, Provider(ANSWERS) as paid:
        calls = survey(target(folder, paid.port), SECONDS)
        told = calls.output.splitlines(keepends=True)[-1]  # what comes before it is the log
        return calls, Outcome(0, False, paid.paid, paid.asked, told)


def disturbed(damage: Damage, gap: int) -> Outcome:
    """Damaged at one gap, then started again and left alone."""
    with tempfile.TemporaryDirectory(prefix="covend-bench-") as folder, Provider(ANSWERS) as paid:
        aim = target(folder, paid.port)
        struck = crash(aim, Fault(damage, gap, seconds=SLOW_SECONDS), SECONDS).struck
        again = subprocess.run(
            aim.argv, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        ended_badly = f"ended with {again.returncode}: {again.stderr}"
        told = ended_badly if again.returncode else again.stdout
        return Outcome(gap, struck, paid.paid, paid.asked, told)


def every(gaps: list[int], disturb: Callable[[int], Outcome]) -> list[Outcome]:
    """One run for each gap, a few at once; progress goes to standard error."""
    done: list[Outcome] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(disturb, gaps):
            done.append(outcome)
            print(f"\rgap {outcome.gap}, {len(done)} of {len(gaps)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return done


def target(folder: str, port: int) -> Target:
    """The engine on this folder, with this provider."""
    python = [sys.executable, "-X", "faulthandler"]
    return Target([*python, "-m", "tools.bench.gaps_engine", folder, str(port)], folders=[folder])
