"""Queries from submission to their end, on real threads and a real store (P1–P19)."""

import pytest
from tests.actors.running import World, query


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def test_a_function_answers_a_query(world):
    """P1: the thread tells the whole story, in its order, each record after the one before."""
    world.scripted("one", "an answer")
    with world.core() as core:
        know = core.run(query("one"), key="k")
        thread = core.submit(query("one"), key="k")["id"]
        records = core.records(thread)
        assert (know["status"], know["answer"]) == ("fulfilled", "an answer")
        assert [entry["kind"] for entry in records] == ["intend", "call", "do", "know"]
        assert [entry["parents"] for entry in records[1:]] == [
            [entry["id"]] for entry in records[:-1]
        ]
        core.parked()
