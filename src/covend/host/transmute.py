"""Carries a plan out: the old fully gone, the memory measured free, then the new (W2, W3)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from covend.config import Box
from covend.host.driver import Driver, DriverError
from covend.host.oculus import Oculus, OculusError
from covend.host.plan import Plan, shortage

POLL_SECONDS = 0.003
"""Between two looks at memory that is not free yet."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went; ``error`` is None when the world is as wanted. Seconds per part."""

    error: str | None
    stop_seconds: float
    memory_seconds: float
    start_seconds: float


class Transmuter:
    """The hand of the reactor. One thread at a time; every call blocks until it is done."""

    def __init__(self, driver: Driver, oculus: Oculus) -> None:
        self._driver = driver
        self._oculus = oculus
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """From any thread, for good: start nothing any more; what is under way ends as failed."""
        self._given_up.set()

    def carry_out(self, plan: Plan, box: Box, seconds: float) -> Outcome:
        """Stop all that must go, wait for its memory, start what is missing.

        ``seconds`` is how long all of it may take; past it nothing more is started. A failure
        leaves the world as it then is: the arbiter looks, and decides.
        """
        begun = time.monotonic()
        deadline = begun + seconds
        stopped = freed = begun
        try:
            self.stop(plan.stop)
            stopped = freed = time.monotonic()
            if plan.start:
                self._await_memory(plan, box, deadline)
                freed = time.monotonic()
                for name in plan.start:
                    self._check_given_up()
                    self._driver.start(name)
        except (DriverError, OculusError, _NotStarted) as error:
            return Outcome(str(error), stopped - begun, freed - stopped, 0.0)
        except Exception as error:
            # A full disk, say: the arbiter must hear of it, whatever it is.
            _log.exception("an unforeseen failure while the host changed")
            text = f"{type(error).__name__}: {error}"
            return Outcome(text, stopped - begun, freed - stopped, 0.0)
        return Outcome(None, stopped - begun, freed - stopped, time.monotonic() - freed)

    def stop(self, names: Mapping[str, float]) -> None:
        """End these soulstones in parallel, each with its grace; returns once all are gone.

        Raises ``DriverError`` for the first that would not go, after all were tried.
        """
        if len(names) <= 1:
            for name, seconds in names.items():
                self._driver.stop(name, seconds)
            return
        with ThreadPoolExecutor(len(names), "covend-stop") as pool:
            ends = [pool.submit(self._driver.stop, name, grace) for name, grace in names.items()]
        for end in ends:
            end.result()

    def _await_memory(self, plan: Plan, box: Box, deadline: float) -> None:
        """Wait until what is to start fits into what the oculus measures (W1, W2)."""
        while True:
            world = self._driver.observe()
            owned = {name: unit.pid for name, unit in world.items() if unit.alive}
            short = shortage(plan.start, world, box, self._oculus.read(owned))
            if short is None:
                return
            if time.monotonic() >= deadline:
                raise _NotStarted(f"memory did not become free in time: {short}")
            self._given_up.wait(POLL_SECONDS)
            self._check_given_up()

    def _check_given_up(self) -> None:
        if self._given_up.is_set():
            raise _NotStarted("given up: the box is being stopped")


class _NotStarted(Exception):
    """Nothing more was started: the memory was not free in time, or nobody wants it any more."""
