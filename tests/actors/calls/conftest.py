"""A provider that is asked, and counts what it is paid for."""

import pytest
from tests.actors import payee
from tests.actors.calls.bills import PRICE
from tests.actors.running import World


@pytest.fixture
def provider():
    with payee.serving() as server:
        yield server


@pytest.fixture
def world(tmp_path, monkeypatch, provider):
    """Where a quick and a slow one are paid for each call; most tests have a world of their own."""
    made = World(tmp_path / "store.db", monkeypatch)
    for name in ("quick", "slow"):
        made.other(name=name, kind="system", url=f"{provider.url}/{name}", cost={"per_call": PRICE})
    return made
