"""What the desk asks of the store: which runs to look at, the newest first, and one record."""

from runs import call, do, human, intend, made


def test_runs_of_which_something_may_be_missing_end_with_an_input(store):
    """P4: what follows from an input is written after it, so the last record tells."""
    store.append([intend("waits"), call("waits")])
    store.append([intend("new")])
    store.append([intend("answered"), call("answered"), do("answered")])
    store.append([intend("over"), call("over"), made("over", "know"), do("over", late=True)])
    assert store.unfinished(["intend", "do", "tick", "cancel"]) == ["new", "answered"]


def test_runs_are_listed_newest_first_page_by_page(store):
    store.append([intend(name) for name in "abcd"])
    page = store.threads(newest_first=True, limit=2)
    assert [row["id"] for row in page] == ["d", "c"]
    rest = store.threads(newest_first=True, after=page[-1]["seq"])
    assert [row["id"] for row in rest] == ["b", "a"]


def test_a_record_is_found_by_its_id(store):
    first = human("q")
    store.append([intend("q"), first])
    assert store.find(first.id)["kind"] == "call"
    assert store.find("0" * 64) is None
