"""``python -m covend.demo.audit``: the demo's auditor, a program that checks an answer.

Reads what it is asked as JSON on standard input and approves a whole number from 1 to 8.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Print the verdict as JSON."""
    shown = json.load(sys.stdin)["show"]
    legs = shown if isinstance(shown, int) and not isinstance(shown, bool) else None
    approved = legs is not None and 1 <= legs <= 8
    reason = f"{shown!r} is {'' if approved else 'not '}a number of legs"
    print(json.dumps({"approved": approved, "reason": reason}))


if __name__ == "__main__":
    main()
