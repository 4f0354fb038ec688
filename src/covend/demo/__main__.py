"""``python -m covend.demo``: real models swapped under load on this machine, nothing dropped.

Exit status 0 only if everything that had to happen did.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from covend.client import Client
from covend.config import load
from covend.demo.box import DemoBox, DemoFailed
from covend.demo.clients import Clients, Request
from covend.demo.provider import Provider
from covend.demo.questions import Questions
from covend.demo.scenes import SCENES, Check, Stage
from covend.demo.screen import Screen, summary, verdicts

CONFIG = Path(__file__).parents[3] / "configs" / "demo.toml"

PROVIDER_PORT = 7886
"""Where ``paid-model`` of the demo's box is."""


def main(argv: list[str] | None = None) -> int:
    """Play every scene on a box of the demo's own, then show the table and the verdicts."""
    parser = argparse.ArgumentParser(prog="covend.demo", description=main.__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG)
    given = parser.parse_args(argv)
    console = Console()
    began = time.monotonic()
    checks: list[Check] = []
    box = DemoBox(given.config)
    listen = load(given.config).listen
    console.print(f"starting the box of {given.config.name} (logs in {box.folder})")
    gate = f"http://{listen}"
    clients = Clients(f"{gate}/v1")
    screen = Screen(console, box)
    try:
        with box, screen, Client(gate) as client, Provider(PROVIDER_PORT, gate) as provider:
            stage = Stage(box, clients, screen.say, checks)
            for scene in SCENES:
                scene(stage)
            Questions(stage, client, provider).play()
    except DemoFailed as error:
        checks.append(Check("the demo goes through", False, str(error)))
    dropped = [request for request in clients.requests if request.outcome == "dropped"]
    checks.append(
        Check("nothing is dropped", not dropped, f"{len(dropped)} dropped" + reasons(dropped))
    )
    console.print(verdicts(checks))
    console.print(summary(clients.requests, screen.events, time.monotonic() - began))
    return 0 if all(check.ok for check in checks) else 1


def reasons(dropped: list[Request]) -> str:
    return "".join(f"; {request.model}: {request.detail}" for request in dropped[:3])


if __name__ == "__main__":
    sys.exit(main())
