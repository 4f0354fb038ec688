"""A box's root process without the command line: ``python -m tools.chaos.serve FILE``."""

from __future__ import annotations

import sys

from covend.boot.process import Place
from covend.boot.root import run
from covend.config import load


def main(config: str) -> int:
    """Serves the box of a file until told to stop; the folders are those of the file."""
    box = load(config)
    return run(Place.of("root", config, box.run_dir, box.state_dir), config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
