"""One durable run in a process of its own, to be killed: ``python -m tools.bench.gaps_engine``.

Takes the folder of the store and the port of a provider. Asks one query under a fixed key, so a
second start goes on with the same run, and prints how it ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tools.bench.engine import engine

NUMBER = {"kind": "json", "schema": {"type": "integer"}}
QUERY: dict[str, Any] = {
    "question": "How much is 17 + 25?",
    "responders": [{"id": "one"}],
    "answer_shape": NUMBER,
    "side_effects": {"max_cost_usd": 1.0},
    "orchestration": {
        "pattern": "verify",
        "verifier": [{"id": "other"}],
        "tiebreaker": [{"id": "third"}],
    },
}


def provider(name: str, port: int) -> dict[str, Any]:
    """A responder at the provider, which charges a cent a call."""
    endpoint = f"http://127.0.0.1:{port}/v1"
    cost = {"per_call": 0.01}
    return {"name": name, "kind": "llm", "model": name, "endpoint": endpoint, "cost": cost}


def main(folder: str, port: str) -> None:
    """Ask, or go on with what was asked before; print the end as JSON."""
    responders = [provider(name, int(port)) for name in ("one", "other", "third")]
    with engine(Path(folder, "phylactery.db"), *responders) as running:
        end = running.ended(running.submit(QUERY, key="the same"))
    told = {"status": end["status"], "answer": end["answer"], "settled": end["cost"]["settled"]}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
