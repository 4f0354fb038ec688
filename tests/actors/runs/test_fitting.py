"""What of an answer fits into a message: pages by bytes, and what is left out of the rest (P18)."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.running import World, query

from covend.actors.runs import fitting
from covend.actors.runs.fitting import PAGE_BYTES, TooLarge, fitted, packed, page
from covend.phylactery.messages import Tasks
from covend.questions import EndOf, ListQueries, ListTasks, RecordsOf, ShowQuery, ShowTask
from covend.runtime.frames import MAX_BODY, pack_value
from covend.testing import eventually

MIB = 1024 * 1024


def rows(*sizes):
    return [{"seq": 10 + n, "text": "x" * size} for n, size in enumerate(sizes)]


def nothing(_):
    """What may be left out of a row here."""
    return []


def seqs(found):
    entries, after = found
    return [entry["seq"] for entry in entries], after


def test_a_page_ends_before_what_would_be_too_much():
    """And says after which row the next one begins."""
    part = PAGE_BYTES // 2 - 100
    assert seqs(page(rows(part, part, part), dict, nothing, 10)) == ([10, 11], 11)
    assert seqs(page(rows(part, part), dict, nothing, 10)) == ([10, 11], None)


def test_a_page_has_one_entry_at_least_and_no_more_than_were_asked_for():
    assert seqs(page(rows(PAGE_BYTES + 1, 1), dict, nothing, 10)) == ([10], 10)
    assert seqs(page(rows(1, PAGE_BYTES, 1), dict, nothing, 10)) == ([10], 10)
    assert seqs(page(rows(1, 1, 1), dict, nothing, 2)) == ([10, 11], 11)
    assert seqs(page(rows(), dict, nothing, 2)) == ([], None)


def test_a_row_of_which_nothing_is_shown_is_passed():
    hidden = {10, 12}
    shown = page(rows(1, 1, 1), lambda row: None if row["seq"] in hidden else dict(row), nothing, 3)
    assert seqs(shown) == ([11], 12)


def test_no_more_rows_are_read_than_a_page_takes():
    """Each of them may have megabytes."""
    taken = []

    def each():
        for row in rows(*[PAGE_BYTES] * 5):
            taken.append(row["seq"])
            yield row

    page(each(), dict, nothing, 5)
    assert taken == [10, 11]


def test_what_was_asked_for_is_left_out_last():
    """Before it the largest of what others said, and no more than is needed."""
    partial = [{"call": "a", "value": "y" * 300}, {"call": "b", "value": "z" * 500}]
    know = {"status": "fulfilled", "answer": "x" * 1000, "partial": partial, "audit": None}
    before = copy.deepcopy(know)
    shown = fitted(know, fitting.of_end, 1500)
    assert shown["left_out"] == ["$.partial[1].value"]
    assert shown["partial"] == [partial[0], {"call": "b", "value": None}]
    assert shown["answer"] == know["answer"] and know == before
    assert fitted(know, fitting.of_end, 1100)["answer"] is not None
    assert fitted(know, fitting.of_end, 500)["left_out"][-1] == "$.answer"
    promised = {**know, "obligations": [{"id": "x" * 2000}]}
    assert fitted(promised, fitting.of_end, 1950)["left_out"] == ["$.obligations"]
    with pytest.raises(TooLarge, match=r"even without \$.partial"):
        fitted(know, fitting.of_end, 20)


TEXTS = st.text("xyz", max_size=400)
ENDS = st.builds(
    lambda answer, said, audit: {"answer": answer, "partial": said, "audit": audit},
    TEXTS,
    st.lists(st.fixed_dictionaries({"call": st.just("c"), "value": TEXTS}), max_size=4),
    TEXTS,
)


@given(ENDS, st.integers(200, 1500))
def test_what_is_fitted_fits_and_differs_by_what_it_says(know, most):
    shown = fitted(know, fitting.of_end, most)
    left_out = shown.pop("left_out", [])
    assert packed(shown) <= most
    for name in ("answer", "audit"):
        assert shown[name] == (None if f"$.{name}" in left_out else know[name])
    for place, part in enumerate(know["partial"]):
        gone = f"$.partial[{place}].value" in left_out
        assert shown["partial"][place] == {**part, "value": None if gone else part["value"]}
    assert left_out == [] or packed(know) > most


# ── in a core ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def sent(core, question):
    """The answer, which must be fit to be sent to another process."""
    answer = core.ask(question)
    _, body = pack_value(answer)
    assert "refused" not in answer and len(body) <= MAX_BODY
    return answer


def every(core, member, question):
    """All entries, page by page."""
    found, after, pages = [], 0, 0
    while after is not None:
        told = sent(core, question(after))
        found += told[member]
        after, pages = told["next"], pages + 1
    return found, pages


def test_a_run_of_large_answers_is_shown_followed_and_ended(world):
    """P19: its records are more than a page, and each of them comes once, as it is stored."""
    for name in ("a", "b", "c"):
        world.scripted(name, name * 1_900_000)
    world.scripted("audit", {"approved": True})
    pattern = {"pattern": "ensemble_with_audit", "auditor": [{"id": "audit"}]}
    asked = query("a", "b", "c", orchestration=pattern, fold={"kind": "majority"})
    with world.core() as core:
        thread = core.submit(asked)["id"]
        know = core.ended(thread)
        stored = core.records(thread)
        assert know == stored[-1]["body"] == sent(core, EndOf(thread))["know"]
        assert "left_out" not in sent(core, ShowQuery(thread))
        records, pages = every(core, "records", lambda after: RecordsOf(thread, after))
        assert records == stored and pages > 2


def test_what_an_end_cannot_hold_is_said_in_it(world, monkeypatch):
    """P19: the answer stays, in whichever way the end is asked for."""
    monkeypatch.setattr("covend.actors.runs.reading.END_BYTES", 3000)
    for name, text in (("a", "x"), ("b", "y"), ("c", "x")):
        world.scripted(name, text * 1000)
    pattern = {"pattern": "verify", "verifier": [{"id": "b"}], "tiebreaker": [{"id": "c"}]}
    with world.core() as core:
        thread = core.submit(query("a", orchestration=pattern))["id"]
        know = core.ended(thread)
        assert know["answer"] == "x" * 1000 and know["left_out"]
        assert know == core.ask(EndOf(thread))["know"] == core.cancel(thread)["know"]


def test_an_inbox_of_large_tasks_comes_in_pages_that_can_be_sent(world):
    """P18: each of its tasks once, oldest first, and the same for the list of runs."""
    world.person("ann")
    with world.core() as core:
        for number in range(9):
            core.submit(query("ann", question=f"q{number}", input={"inline": "x" * MIB}))
        store = core.system.address("phylactery")
        eventually(lambda: len(store.ask(Tasks(), timeout=5)) == 9, 20, "nine tasks")
        tasks, pages = every(core, "tasks", lambda after: ListTasks("did:ann", after=after))
        assert sorted(task["question"] for task in tasks) == [f"q{n}" for n in range(9)]
        assert pages >= 3 and all(len(task["input"]) == MIB for task in tasks)
        runs, _ = every(core, "queries", lambda after: ListQueries(after=after))
        assert len(runs) == 9


@pytest.fixture
def narrow(monkeypatch):
    """Messages of 3000 bytes."""
    monkeypatch.setattr("covend.actors.runs.fitting.ENTRY_BYTES", 3000)
    return "x" * 3000


def test_a_task_that_fits_into_no_message_says_what_is_left_out_of_it(world, narrow):
    """It can be answered all the same."""
    world.person("ann")
    with world.core() as core:
        core.submit(query("ann", input={"inline": narrow}))
        task = core.task("did:ann")
        for shown in (task, core.ask(ShowTask(task["id"]))):
            assert (shown["input"], shown["left_out"]) == (None, ["$.input"])


def test_a_record_that_fits_into_no_message_says_what_is_left_out_of_it(world, narrow):
    """And those that fit come whole."""
    world.scripted("one", "yes")
    with world.core() as core:
        thread = core.submit(query("one", input={"inline": narrow}))["id"]
        core.ended(thread)
        stored = core.records(thread)
        records = core.ask(RecordsOf(thread))["records"]
        assert ["left_out" in entry for entry in records] == [True, True, False, False]
        assert records[1]["left_out"] == ["$.body.ask"] and records[2:] == stored[2:]
        assert core.ask(ShowQuery(thread))["left_out"] == ["$.query.input"]


def test_a_question_that_fits_into_no_message_is_refused_with_a_reason(world, narrow):
    """Its end is told, and it is in the list."""
    world.scripted("one", "yes")
    with world.core() as core:
        thread = core.submit(query("one", question=narrow))["id"]
        know = eventually(lambda: core.ask(EndOf(thread))["know"], 10, "its end")
        assert know["answer"] == "yes"
        refused = core.ask(ShowQuery(thread))["refused"]
        assert refused["code"] == "too_large" and "covend export" in refused["message"]
        (line,) = core.ask(ListQueries())["queries"]
        assert (line["id"], line["question"], line["left_out"]) == (thread, None, ["$.question"])
