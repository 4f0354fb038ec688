"""What actors cost: a tell, an ask, ten thousand of them idle, and stopping them all (X1).

The reference is stock pykka, measured in turns with ours in the same process. Ours runs as it
always does: the trace ring on, two lanes, a bound on the mailbox. Costs per message are processor
time of the whole process, sender and receiver together, because the time on the clock depends on
whatever else the machine does.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from functools import partial

import pykka

from covend.runtime import Actor, MailboxSpec, ThreadSystem
from tools.bench.figures import Figure, at_most, median, observed

TITLE = "actors: tell, ask, memory and stop"

_TELLS = 40_000
_ASKS = 4_000
_ROUNDS = 7
_CROWD = 10_000


class _Stock(pykka.ThreadingActor):
    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done

    def on_receive(self, message: object) -> object:
        if message is None:
            self.done.set()
        return message


class _Ours(Actor):
    mailbox = MailboxSpec(bound=1_000_000, policy="block")

    def __init__(self, done: threading.Event) -> None:
        self.done = done

    def on_receive(self, message: object) -> object:
        if message is None:
            self.done.set()
        return message


def run() -> dict[str, Figure]:
    """Measures everything, in about half a minute."""
    with ThreadSystem("bench") as system:
        costs: dict[str, list[float]] = {}
        for _ in range(_ROUNDS):  # in turns, so that both see the same machine
            done = threading.Event()
            stock = _Stock.start(done)
            _note(costs, "stock", stock.tell, partial(stock.ask, 1, timeout=60), done)
            stock.stop(timeout=60)
            done = threading.Event()
            ours = system.spawn(_Ours, done)
            _note(costs, "ours", ours.tell, partial(ours.ask, 1, timeout=60), done)
            ours.stop()
            system.join(ours, 60)
    typical = {name: median(values) for name, values in costs.items()}
    tell, ask = typical["stock tell"], typical["stock ask"]
    return {
        "tell / pykka's tell": at_most(typical["ours tell"] / tell, 0.6, "×", f"{tell:.2f} µs"),
        "ask / pykka's ask": at_most(typical["ours ask"] / ask, 1.0, "×", f"{ask:.2f} µs"),
        "tell": observed(typical["ours tell"], "µs", tell),
        "ask": observed(typical["ours ask"], "µs", ask),
        "ask, on the clock": observed(typical["ours ask wall"], "µs", typical["stock ask wall"]),
        **_crowd(),
    }


def _note(
    costs: dict[str, list[float]],
    whose: str,
    tell: Callable[[object], None],
    ask: Callable[[], object],
    done: threading.Event,
) -> None:
    """Measures one round of tells, until the last is handled, and one of asks; in µs each."""
    gc.collect()
    begun = time.process_time()
    for number in range(_TELLS):
        tell(number)
    tell(None)
    done.wait(60)
    costs.setdefault(f"{whose} tell", []).append((time.process_time() - begun) / _TELLS * 1e6)
    begun, at = time.process_time(), time.perf_counter()
    for _ in range(_ASKS):
        ask()
    costs.setdefault(f"{whose} ask", []).append((time.process_time() - begun) / _ASKS * 1e6)
    costs.setdefault(f"{whose} ask wall", []).append((time.perf_counter() - at) / _ASKS * 1e6)


class _Idle(Actor):
    def on_receive(self, message: object) -> object:
        return message


def _crowd() -> dict[str, Figure]:
    system = ThreadSystem("crowd")
    begun = time.perf_counter()
    for _ in range(_CROWD):
        system.spawn(_Idle)
    spawned = time.perf_counter() - begun
    resident = _resident_mb()
    begun = time.perf_counter()
    ignored = system.shutdown(timeout=60)
    stopped = time.perf_counter() - begun
    assert not ignored
    return {
        f"{_CROWD:,} idle actors, whole process": at_most(resident, 300, "MB"),
        f"stopping {_CROWD:,}": at_most(stopped, 3, "s"),
        f"starting {_CROWD:,}": observed(spawned, "s"),
    }


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
