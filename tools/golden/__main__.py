"""Write the golden corpus: ``python -m tools.golden``; what is there already is never changed (P5).

A thread that was written once must replay for ever, so a change of the selects that changes one is
a new reducer, with new threads beside the old ones.
"""

from __future__ import annotations

from pathlib import Path

from tools.golden.stories import STORIES

CORPUS = Path(__file__).parents[2] / "tests" / "patterns" / "golden"


def main() -> None:
    """Write every story that has no thread yet, and say what was left alone."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    kept = 0
    for name, tell in sorted(STORIES.items()):
        path = CORPUS / f"{name}.jsonl"
        if path.exists():
            kept += 1
            continue
        path.write_text("\n".join(tell().lines()) + "\n", encoding="utf-8")
        print(f"wrote {path.relative_to(CORPUS.parents[2])}")
    print(f"left alone: {kept} that were there already")


if __name__ == "__main__":
    main()
