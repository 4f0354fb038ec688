"""What the terminal says of a query whose records are not all what was stored (D1, P2)."""

from io import StringIO

import pytest
from rich.console import Console
from tests.cli.test_questions import Desk, thread

from covend.cli.query_view import tree
from covend.questions import RecordsOf, ShowQuery

STORY = "verify_disagree_tiebreaker_wins"
WRONG = "its content is not what its id names"
ASIDE = {"state": "open", "know": None, "set_aside": "ValueError: bad"}


class DamagedDesk(Desk):
    """A desk of which one record, the first of a kind, is damaged."""

    def __init__(self, kind, more=None):
        super().__init__(thread(STORY), [])
        self.hit = next(one for one in self.records if one["kind"] == kind)
        self.more = more or {}

    def on_receive(self, message):
        told = super().on_receive(message)
        if isinstance(message, RecordsOf):
            told["records"] = [one for one in told["records"] if one["seq"] != self.hit["seq"]]
            told["ended"] = self.more.get("state") != "open"
            told["set_aside"] = self.more.get("set_aside") is not None
        if isinstance(message, ShowQuery):
            told |= {"damaged": [{"seq": self.hit["seq"], "problem": WRONG}], "set_aside": None}
            told |= {"query": None} if self.hit["kind"] == "intend" else {}
            told |= {"know": None} if self.hit["kind"] == "know" else {}
            told |= self.more
        return told


def drawn(desk):
    with (console := Console(width=200, file=StringIO())).capture() as said:
        records = desk.on_receive(RecordsOf("q-1"))["records"]
        console.print(tree(desk.on_receive(ShowQuery("q-1")), records))
    return said.get()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("intend", "fulfilled"),
        ("call", "primary/0#1 ok"),
        ("do", "no answer that is whole"),
        ("learn", "fulfilled"),
        ("know", "ended, and its end is damaged"),
    ],
)
def test_a_damaged_record_is_named_in_the_tree_and_the_rest_is_drawn(kind, says):
    desk = DamagedDesk(kind)
    said = drawn(desk)
    assert said.count(f"record {desk.hit['seq']} is damaged: {WRONG}") == 1
    assert says in said
    assert ("verifier/0#1 b" in said) and ("still open" not in said)


def test_a_run_that_is_set_aside_is_drawn_as_such():
    said = drawn(DamagedDesk("do", ASIDE))
    assert "set aside, so it does not go on: ValueError: bad" in said and "still open" not in said


def test_a_damaged_query_is_shown_by_the_command(box, covend):
    box.system.spawn(DamagedDesk, "know", name="desk")
    told = covend("query", "show", "q-1", "--run-dir", box.run_dir).stdout
    assert f"is damaged: {WRONG}" in told and "its end is damaged" in told


def test_who_follows_a_query_to_its_damaged_end_is_told(box, covend):
    box.system.spawn(DamagedDesk, "know", name="desk")
    run = covend("query", "watch", "q-1", "--run-dir", box.run_dir, status=1)
    assert run.stdout == "" and f"is damaged: {WRONG}" in run.stderr
    assert "ended, and its end is damaged" in run.stderr


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_who_follows_a_query_that_was_set_aside_waits_for_nothing(box, covend, form):
    """P2: it does not end by itself, and says why."""
    box.system.spawn(DamagedDesk, "do", ASIDE, name="desk")
    run = covend("query", "watch", "q-1", *form, "--run-dir", box.run_dir, status=1)
    said = run.stdout if form else run.stderr
    assert said.count(ASIDE["set_aside"]) == 1 and said.count(WRONG) == 1
