"""``python -m covend.phylactery check FILE | salvage OLD NEW``: look after a store by hand."""

from __future__ import annotations

import sys

from covend.phylactery.errors import StoreError
from covend.phylactery.store import open_store, salvage

USAGE = "usage: python -m covend.phylactery check FILE | salvage DAMAGED_FILE NEW_FILE"


def main(arguments: list[str]) -> int:
    """Carry out one command; returns the exit status (0 well, 1 damaged, 2 wrong usage)."""
    try:
        match arguments:
            case ["check", path]:
                store = open_store(path, read_only=True)
                problems = store.verify()
                store.close()
                print("\n".join(problems) or f"{path}: all records and projections are intact")
                return 1 if problems else 0
            case ["salvage", old, new]:
                copied, problem = salvage(old, new)
                print(f"{copied} records copied to {new}" + (f"; {problem}" if problem else ""))
                return 0
            case _:
                print(USAGE, file=sys.stderr)
                return 2
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
