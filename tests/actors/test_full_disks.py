"""A store that refuses for a while: a run waits for it and goes on as if nothing had been."""

import pytest
from tests.actors.running import World, query

from covend.actors import courier
from covend.phylactery.errors import StoreFull
from covend.phylactery.store import Store, open_store

STEPS = 6
"""The transactions of a run of two stages: the query, a call, an answer, what follows, twice."""


def run_kinds(batches):
    return {"intend", "call", "do", "learn", "know"} & {r.kind for b in batches for r in b}


@pytest.fixture
def full_at(monkeypatch):
    """Makes the disk full for one transaction of the run, by its number."""

    def at(number):
        seen = []

        def refusing(whole):
            def store(self, records):
                if run_kinds(records if whole else [records]):
                    seen.append(1)
                    if len(seen) == number:
                        raise StoreFull("no room left")
                return originals[whole](self, records)

            return store

        originals = {True: Store.append_all, False: Store.append}
        monkeypatch.setattr(Store, "append", refusing(False))
        monkeypatch.setattr(Store, "append_all", refusing(True))
        return seen

    return at


@pytest.mark.parametrize("number", range(2, STEPS + 1))
def test_a_run_whose_record_was_refused_is_read_back_and_goes_on(
    tmp_path, monkeypatch, full_at, number
):
    """P4, D5: nothing hangs on a record that is not there, and nobody is asked twice."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 0.05)
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "short")
    world.scripted("two", "long enough")
    stages = [
        {"name": "a", "responders": [{"id": "one"}], "accept_expression": "size(answer) > 9"},
        {"name": "b", "responders": [{"id": "two"}]},
    ]
    with world.core() as core:
        seen = full_at(number)
        asked = query("one", orchestration={"pattern": "waterfall", "stages": stages})
        thread = core.submit(asked)["id"]
        assert core.ended(thread)["answer"] == "long enough"
        assert len(seen) > number
    assert len(world.called) == len(set(world.called)) == 2
    store = open_store(world.path)
    try:
        assert store.verify() == []
    finally:
        store.close()
