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


def test_what_a_learn_closes_extends_or_delegates_is_projected(store):
    """P14, P18: nobody is asked for what is over, an eta moves the deadline, delegates see it."""
    store.append([intend("q"), human("q", "t/0"), call("q", "m/0")])
    store.append([human("q", "u/0", "did:bob")])
    store.append([made("q", "learn", extended={"t/0#0": 90}, delegate={"t/0#0": "did:eve"})])
    found = [(task["did"], task["slot"], task["due"], task["state"]) for task in store.tasks()]
    assert found == [
        ("did:ann", "t/0", 90, "open"),
        ("did:bob", "u/0", None, "open"),
        ("did:eve", "t/0", 90, "open"),
    ]
    closed = {"t/0#0": "timeout", "m/0#0": "withdrawn", "u/0#0": "withdrawn"}
    store.append([made("q", "learn", closed=closed)])
    assert store.open_calls() == []
    states = {task["did"]: task["state"] for task in store.tasks(thread="q")}
    assert states == {"did:ann": "expired", "did:eve": "expired", "did:bob": "withdrawn"}
    assert store.verify() == []
