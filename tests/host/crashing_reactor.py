"""A reactor process that kills itself at a named gap; run by the crash tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Stage, crash_box
from covend.host import process_driver, reactor
from covend.host.ledger import NonceLedger
from covend.runtime import ThreadSystem


def die(*_arguments: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **more: Any) -> Any:
        function(*arguments, **more)
        die()

    return wrapper


def arm(gap: str) -> None:
    driver = process_driver.ProcessDriver
    match gap:
        case "accepted":
            NonceLedger.accept = after(NonceLedger.accept)  # type: ignore[method-assign]
        case "stopped":
            driver.stop = after(driver.stop)  # type: ignore[method-assign]
        case "announced":
            process_driver.write_record = after(process_driver.write_record)
        case "spawned":
            driver._record = die  # type: ignore[method-assign]
        case "started":
            driver.start = after(driver.start)  # type: ignore[method-assign]
        case "before the end is noted":
            NonceLedger.end = die  # type: ignore[method-assign]
        case "after the end is noted":
            NonceLedger.end = after(NonceLedger.end)  # type: ignore[method-assign]
        case _:
            raise SystemExit(f"no gap {gap!r}")


def main() -> None:
    stage = Stage(Path(sys.argv[1]))
    arm(sys.argv[2])
    system = ThreadSystem(node="reactor")
    system.spawn(
        reactor.Reactor, crash_box(stage), stage.folders, lambda _hint: None, name="reactor"
    )
    signal.pause()


if __name__ == "__main__":
    main()
