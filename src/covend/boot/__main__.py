"""Entry of every process below the root: ``python -m covend.boot NODE --config F --run-dir D``.

Each role is imported only where it runs, so that no process carries another's libraries.
"""

from __future__ import annotations

import argparse
import sys

from covend.boot.process import Place


def main(argv: list[str] | None = None) -> int:
    """Run one node until it is told to stop or its parent is gone; returns the exit status."""
    parser = argparse.ArgumentParser(prog="covend.boot")
    parser.add_argument("node")
    parser.add_argument("--config", required=True)
    parser.add_argument("--run-dir", required=True)
    parser.add_argument("--state-dir", required=True)
    given = parser.parse_args(argv)
    place = Place.of(given.node, given.config, given.run_dir, given.state_dir)
    match given.node.partition("-")[0]:
        case "api":
            from covend.boot.api import run
        case "core":
            from covend.boot.core import run
        case "gate":
            from covend.boot.gate import run
        case "ghoul":
            from covend.boot.ghoul import run
        case "reactor":
            from covend.boot.reactor import run
        case _:
            parser.error(f"no such node: {given.node!r}; api, core, reactor, gate-N or ghoul-N")
    return run(place)


if __name__ == "__main__":
    sys.exit(main())
