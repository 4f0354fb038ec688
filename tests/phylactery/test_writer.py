"""Group commit: one transaction for many batches, each answered for itself (D2)."""

from __future__ import annotations

from pathlib import Path

from covend.phylactery.errors import StoreFull
from covend.phylactery.records import Record, record
from covend.phylactery.store import Store, open_store
from covend.phylactery.writer import GroupCommit


def one(n: int, pad: int = 0) -> Record:
    return record("t", "k", {"n": n, "pad": "x" * pad}, actor="a", clock=n + 1)


def test_many_batches_are_one_commit_and_answered_after_it(store: Store) -> None:
    """D2: acknowledged means durable."""
    group = GroupCommit(store)
    answers: list[tuple[int | Exception, int]] = []
    for n in range(50):
        full = group.add([[one(n), one(n + 1)]], lambda got: answers.append((got, store.commits)))
        assert not full
    assert answers == []
    group.commit()
    assert store.commits == 1
    assert answers == [(2, 1)] + [(1, 1)] * 49
    assert group.waiting == 0
    group.commit()
    assert store.commits == 1, "an empty group commits nothing"


def test_a_full_group_says_so(tmp_path: Path) -> None:
    """D2: a group is bounded."""
    store = open_store(tmp_path / "p.db")
    group = GroupCommit(store, max_batch=4)
    assert not group.add([[one(1), one(2)], [one(3)]], lambda got: None)
    assert group.add([[one(4)]], lambda got: None)
    store.close()


def test_one_batch_that_cannot_be_stored_harms_no_other(tmp_path: Path) -> None:
    """D2: disk full for one, a forged record for another, the rest is durable."""
    store = open_store(tmp_path / "p.db", max_pages=30)
    group = GroupCommit(store)
    answers: dict[str, int | Exception] = {}
    forged = Record(id="f" * 64, thread="t", actor="a", act="DO", kind="k", text="{}", clock=1)
    group.add([[one(1)]], lambda got: answers.update(first=got))
    group.add([[one(n, pad=3000) for n in range(10, 60)]], lambda got: answers.update(big=got))
    group.add([[forged]], lambda got: answers.update(forged=got))
    group.add([[one(2)]], lambda got: answers.update(last=got))
    group.commit()
    assert answers["first"] == 1
    assert isinstance(answers["big"], StoreFull)
    assert "named by its content" in str(answers["forged"])
    assert answers["last"] == 1
    assert [row["body"]["n"] for row in store.query(newest_first=False)] == [1, 2]
    store.close()


def test_what_does_not_fit_leaves_what_it_follows_from_and_takes_along_what_follows(
    tmp_path: Path,
) -> None:
    """D2, P3: an input is kept although there is no room for what follows from it."""
    store = open_store(tmp_path / "p.db", max_pages=30)
    group = GroupCommit(store)
    answers: list[int | Exception] = []
    big = [one(n, pad=3000) for n in range(10, 60)]
    group.add([[one(1)], big, [one(2)]], answers.append)
    group.commit()
    assert [type(got) for got in answers] == [StoreFull]
    assert [row["body"]["n"] for row in store.query()] == [1]
    store.close()
