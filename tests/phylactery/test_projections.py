"""Projections: what is open, due and asked follows from the records, always (D5, P3, P6, P20)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import call, do, human, intend, job, made, timer

from covend.phylactery.errors import Conflict
from covend.phylactery.records import BadRecord, Record
from covend.phylactery.schema import PROJECTIONS
from covend.phylactery.store import Store, open_store


def picked(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


# ── threads ──────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_open_from_its_intend_to_its_know(store: Store) -> None:
    """P1, P3."""
    parent = intend("p", query={"orchestration": {"pattern": "waterfall"}})
    child = intend("c", parent="p", query={"orchestration": "single_shot"})
    store.append([parent, child])
    know = made("c", "know", answer=1)
    store.append([know])
    assert picked(store.threads(), "seq", "id", "state", "parent", "pattern", "know") == [
        (1, "p", "open", None, "waterfall", None),
        (2, "c", "ended", "p", None, know.id),
    ]
    assert picked(store.threads(state="open"), "id") == [("p",)]
    assert picked(store.threads(parent="p"), "opened", "ended") == [(child.clock, know.clock)]
    assert picked(store.threads(after=1, limit=5), "id") == [("c",)]
    assert picked(store.threads(limit=1), "id") == [("p",)]
    found = store.thread("p")
    assert found is not None and found["id"] == "p"
    assert store.thread("nobody") is None
    assert store.verify() == []


def test_records_of_other_kinds_are_no_runs(store: Store) -> None:
    """D1: the box's own records go where they went."""
    store.append([made("t", "transition", slot=1), made("t", "alert")])
    assert store.threads() == []
    assert store.verify() == []


# ── what contradicts ─────────────────────────────────────────────────────────────────────────

FIRST = intend()
CALL = call()
DO = do()
KNOW = made("q", "know")
ENDED = [FIRST, CALL, DO, KNOW]
REFUSED: dict[str, tuple[list[Record], Record, str]] = {
    "two intends": ([FIRST], intend(x=2), FIRST.id),
    "two knows": ([FIRST, KNOW], made("q", "know", x=2), KNOW.id),
    "two calls of an attempt": ([FIRST, CALL], call(x=2), CALL.id),
    "two answers of an attempt": ([FIRST, CALL, DO], do(x=2), DO.id),
    "a decline after the submit": ([FIRST, CALL, DO], do(status="declined"), DO.id),
    "an accept after the submit": ([FIRST, CALL, DO], do(status="accepted"), DO.id),
    "a call after the end": (ENDED, call(slot="z"), KNOW.id),
    "a learn after the end": (ENDED, made("q", "learn"), KNOW.id),
    "a run without an intend": ([FIRST], call("other"), "no intend"),
    "an answer without its call": ([FIRST, CALL], do(attempt=1), "no call"),
    "an accept without its call": ([FIRST], do(status="accepted"), "no call"),
    "a know without an intend": ([FIRST], made("other", "know"), "no intend"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_record_that_contradicts_is_refused_and_names_both(store: Store, case: str) -> None:
    """P3, P12."""
    before, wrong, named = REFUSED[case]
    store.append(before)
    with pytest.raises(Conflict) as caught:
        store.append([made("other thread", "note"), wrong])
    assert wrong.id in str(caught.value)
    assert named in str(caught.value)
    assert store.query(thread="other thread") == []
    assert len(store.query()) == len(before)
    assert store.verify() == []


STORED: dict[str, tuple[list[Record], Record]] = {
    "the same call": ([FIRST, CALL], CALL),
    "the same know": (ENDED, KNOW),
    "another attempt": ([FIRST, CALL, DO], call(attempt=1)),
    "another slot": ([FIRST, CALL, DO], call(slot="z")),
    "a late answer": ([FIRST, CALL, DO], do(late=True)),
    "a late answer after the end": (ENDED, do(late=True)),
    "a first answer after the end": ([FIRST, CALL, KNOW], do()),
    "an answer to nothing after the end": (ENDED, do(slot="z")),
    "an answer kept as a conflict": ([FIRST, CALL, DO], do(conflict=True)),
    "a cancel after the end": (ENDED, made("q", "cancel")),
    "a tick after the end": (ENDED, made("q", "tick", name="x")),
    "a trigger after the end": (ENDED, made("q", "trigger")),
}


@pytest.mark.parametrize("case", STORED)
def test_what_does_not_contradict_is_stored(store: Store, case: str) -> None:
    """P12: late responses are kept, duplicates are no-ops."""
    before, fine = STORED[case]
    store.append(before)
    assert store.append([fine]) == (0 if fine in before else 1)
    assert store.verify() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (made("q", "call", attempt=0), "slot"),
        (made("q", "call", slot="s", attempt="0"), r"\$\.attempt"),
        (made("q", "do", slot="s"), "attempt"),
        (call(responder={"kind": 3}), r"\$\.responder\.kind"),
        (call(deadline="soon"), r"\$\.deadline"),
        (call(timers=[{"name": "x"}]), r"due.*\$\.timers\[0\]"),
        (made("q", "learn", cancel_timers="x"), r"\$\.cancel_timers"),
    ],
)
def test_a_body_without_what_the_projections_need_is_refused(
    store: Store, wrong: Record, said: str
) -> None:
    """X6: which record, which member, what would be right."""
    store.append([FIRST])
    with pytest.raises(BadRecord, match=said) as caught:
        store.append([wrong])
    assert wrong.id in str(caught.value)
    assert store.verify() == []


def test_a_refused_batch_harms_no_other_of_its_group(store: Store) -> None:
    """D2, P3: and what follows it sees nothing of it."""
    group = [[FIRST], [CALL, call(x=2)], [call(x=3)], [do()], [CALL]]
    outcomes = store.append_all([[batch] for batch in group])
    assert [outcome if isinstance(outcome, int) else type(outcome) for outcome in outcomes] == [
        1,
        Conflict,
        1,
        1,
        Conflict,
    ]
    assert picked(store.query(newest_first=False), "seq", "kind") == [
        (1, "intend"),
        (2, "call"),
        (3, "do"),
    ]
    assert store.commits == 1
    assert store.verify() == []


def test_a_refused_batch_takes_along_what_follows_from_it_and_leaves_what_came_before(
    store: Store,
) -> None:
    """P3: an input is durable although what follows from it is refused, never the other way."""
    refused = [[CALL], [call(x=2)], [do()]]
    assert [type(outcome) for outcome in store.append_all([[[FIRST]], refused])] == [int, Conflict]
    assert picked(store.query(newest_first=False), "kind") == [("intend",), ("call",)]
    assert store.append_all([[[CALL], [do()]]]) == [1]
    assert picked(store.query(newest_first=False), "seq", "kind")[2:] == [(3, "do")]
    assert store.commits == 2
    assert store.verify() == []


# ── open calls, timers, tasks ────────────────────────────────────────────────────────────────


def test_a_call_is_open_until_its_answer_or_the_end(store: Store) -> None:
    """P4, P20."""
    store.append([intend("a"), intend("b")])
    one = call("a", "x", responder={"kind": "llm"}, deadline=77, key="k1")
    store.append([one, call("a", "y"), call("b", "x")])
    assert picked(store.open_calls(thread="a", limit=1), "seq", "slot", "attempt", "call") == [
        (3, "x", 0, one.id)
    ]
    assert picked(store.open_calls(thread="a", limit=1), "responder", "due", "key") == [
        ("llm", 77, "k1")
    ]
    store.append([do("a", "x", status="accepted"), do("a", "y", status="error")])
    assert picked(store.open_calls(), "thread", "slot") == [("a", "x"), ("b", "x")]
    assert picked(store.open_calls(after=3), "thread", "slot") == [("b", "x")]
    store.append([do("a", "x"), made("b", "know")])
    assert store.open_calls() == []
    assert store.verify() == []


def test_timers_are_set_replaced_cancelled_fired_and_end_with_the_run(store: Store) -> None:
    """P3, P6: a parked run is a row with a due time."""
    assert store.next_due() is None
    store.append([intend("a", timers=[timer("x", 50), timer("y", 30)]), intend("b")])
    store.append([call("b", timers=[timer("x", 40)])])
    assert store.next_due() == 30 and store.next_due(after=30) == 40
    assert picked(store.due(45), "thread", "name", "due") == [("a", "y", 30), ("b", "x", 40)]
    assert picked(store.due(45, limit=1), "name") == [("y",)]
    store.append([made("a", "tick", name="y"), made("a", "learn", timers=[timer("x", 90)])])
    assert store.due(40) == [{"thread": "b", "name": "x", "due": 40}]
    moved = made("b", "learn", cancel_timers=["x", "none"], timers=[timer("x", 60)])
    store.append([moved])
    assert store.next_due() == 60
    store.append([made("b", "know"), made("a", "learn", cancel_timers=["x"])])
    assert store.due(10**9) == []
    assert store.verify() == []


ANSWERS = [
    ([], "open"),
    (["accepted"], "accepted"),
    (["accepted", "accepted"], "accepted"),
    (["ok"], "submitted"),
    (["accepted", "ok"], "submitted"),
    (["accepted", "declined"], "declined"),
    (["timeout"], "expired"),
    (["withdrawn"], "withdrawn"),
    (["error"], "withdrawn"),
    (["know"], "withdrawn"),
    (["know, late"], "expired"),
    (["accepted", "know, late"], "expired"),
    (["accepted", "cancel"], "withdrawn"),
    (["ok", "know"], "submitted"),
    (["timeout", "late"], "expired"),
]


@pytest.mark.parametrize(("answers", "state"), ANSWERS)
def test_a_human_task_goes_where_its_answers_take_it(
    store: Store, answers: list[str], state: str
) -> None:
    """P18, P14, P20: no human task is open after the end."""
    due = 99 if "know, late" in answers else 9 * 10**15
    asked = human(did="did:ann", deadline=due)
    store.append([intend(), asked, human(slot="other", did="did:bob")])
    for number, answer in enumerate(answers):
        if answer in ("know", "know, late", "cancel"):
            store.append([made("q", answer.partition(",")[0])])
        elif answer == "late":
            store.append([do(late=True, n=number)])
        else:
            store.append([do(status=answer, n=number)])
    mine = store.tasks(did="did:ann")
    assert picked(mine, "thread", "slot", "attempt", "state") == [("q", "s", 0, state)]
    assert picked(mine, "seq", "due", "opened") == [(2, due, asked.clock)]
    assert len(store.tasks()) == 2
    assert picked(store.tasks(did="did:ann", state=state), "slot") == [("s",)]
    assert picked(store.tasks(after=2, limit=1), "did") == [("did:bob",)]
    assert store.verify() == []


def test_nobody_is_asked_beside_who_has_answered(store: Store) -> None:
    """P18, P20: a delegate gets a task while the call is open, and none after."""
    store.append([intend(), human(did="did:ann"), do()])
    store.append([made("q", "learn", delegate={"s#0": "did:eve", "z#0": "did:eve"})])
    assert picked(store.tasks(), "did", "state") == [("did:ann", "submitted")]


def test_a_call_of_a_model_is_no_task(store: Store) -> None:
    """P18."""
    store.append([intend(), call(responder={"kind": "llm", "did": "did:x"})])
    assert store.tasks() == []


# ── checking and rebuilding ──────────────────────────────────────────────────────────────────

TAMPERED = {
    "thread": "UPDATE thread SET state = 'ended' WHERE id = 'q'",
    "attempt": "UPDATE attempt SET open = 0 WHERE open = 1",
    "task": "DELETE FROM task",
    "timer": "INSERT INTO timer VALUES ('q', 'forged', 1)",
    "job": "UPDATE job SET ended = 1",
}


@pytest.mark.parametrize("table", TAMPERED)
def test_a_projection_that_does_not_follow_is_found_and_rebuilt(place: Any, table: str) -> None:
    """D5: every projection is compared."""
    assert TAMPERED.keys() == PROJECTIONS.keys()
    store = place.open()
    store.append([intend("q", timers=[timer("t", 5)]), human("q"), *job("j", "q")])
    store.close()
    place.tamper(TAMPERED[table])
    store = place.open()
    problems = store.verify()
    assert problems
    assert all(problem.startswith(f"projection {table}: ") for problem in problems)
    store.rebuild()
    assert store.verify() == []
    assert store.next_due() == 5
    store.close()


# ── against a model ──────────────────────────────────────────────────────────────────────────

slots = st.sampled_from(["x", "y"])
flags = st.fixed_dictionaries({}, optional={"late": st.just(True), "conflict": st.just(True)})
names = st.sampled_from(["t", "u"])
timing = st.fixed_dictionaries(
    {},
    optional={
        "timers": st.lists(st.builds(timer, names, st.integers(1, 9)), max_size=2),
        "cancel_timers": st.lists(names, max_size=1),
    },
)
steps = st.one_of(
    st.tuples(st.just("intend"), timing),
    st.tuples(st.just("learn"), timing),
    st.tuples(st.just("know"), st.just({})),
    st.tuples(st.just("cancel"), st.just({})),
    st.tuples(st.just("tick"), st.builds(lambda name: {"name": name}, names)),
    st.tuples(
        st.just("call"),
        st.builds(
            lambda slot, attempt, kind, more: {
                "slot": slot,
                "attempt": attempt,
                "responder": {"kind": kind, "did": "d"},
                **more,
            },
            slots,
            st.integers(0, 1),
            st.sampled_from(["llm", "actor"]),
            timing,
        ),
    ),
    st.tuples(
        st.just("do"),
        st.builds(
            lambda slot, attempt, status, more: {
                "slot": slot,
                "attempt": attempt,
                "status": status,
                **more,
            },
            slots,
            st.integers(0, 1),
            st.sampled_from(["ok", "accepted", "declined", "timeout", "error"]),
            flags,
        ),
    ),
)
batches = st.lists(steps, min_size=1, max_size=3)


class Model:
    """One run as plain Python, looking at all its records anew for every question."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def allows(self, kind: str, body: dict[str, Any]) -> bool:
        kinds = [kind for kind, _ in self.records]
        if kind == "intend":
            return "intend" not in kinds
        if "intend" not in kinds or ("know" in kinds and kind in ("call", "learn", "know")):
            return False
        if kind == "call":
            return (body["slot"], body["attempt"]) not in self.claimed("call")
        if kind == "do":
            if (body["slot"], body["attempt"]) not in self.claimed("call"):
                return "know" in kinds
            free = (body["slot"], body["attempt"]) not in self.claimed("do")
            return free or bool(body.get("late") or body.get("conflict"))
        return True

    def claimed(self, kind: str) -> list[tuple[str, int]]:
        return [
            (body["slot"], body["attempt"])
            for what, body in self.records
            if what == kind and body.get("status") != "accepted"
        ]

    def open_calls(self) -> set[tuple[str, int]]:
        ended = any(kind == "know" for kind, _ in self.records)
        return set() if ended else set(self.claimed("call")) - set(self.claimed("do"))

    def timers(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for kind, body in self.records:
            for name in [*body.get("cancel_timers", []), body.get("name", "")]:
                found.pop(name, None)
            found.update({each["name"]: each["due"] for each in body.get("timers", [])})
            if kind == "know":
                found.clear()
        return found


@settings(max_examples=150)
@given(st.lists(st.lists(batches, min_size=1, max_size=3), max_size=8))
def test_whatever_is_appended_the_projections_are_those_of_the_model(
    chains: list[list[list[tuple[str, dict[str, Any]]]]],
) -> None:
    """P3, P20: batches are taken or refused whole as the model says, a refused one with all that
    follow from it, and D5 holds after each chain."""
    store = open_store(":memory:")
    model = Model()
    number = 0
    for chain in chains:
        fine, new = True, 0
        records: list[list[Record]] = []
        for batch in chain:
            trial = Model()
            trial.records = list(model.records)
            records.append([])
            for kind, body in batch:
                number += 1
                fine = fine and trial.allows(kind, body)
                trial.records.append((kind, body))
                records[-1].append(made("q", kind, n=number, **body))
            if fine:
                model, new = trial, new + len(batch)
        outcome = store.append_all([records])[0]
        assert (outcome == new) if fine else isinstance(outcome, Conflict)
        assert set(picked(store.open_calls(), "slot", "attempt")) == model.open_calls()
        assert dict(picked(store.due(100), "name", "due")) == model.timers()
        ended = any(kind in ("know", "cancel") for kind, _ in model.records)
        waiting = [t for t in store.tasks() if t["state"] in ("open", "accepted")]
        assert {(t["slot"], t["attempt"]) for t in waiting} <= set(model.claimed("call"))
        assert not (ended and chain[-1][-1][0] in ("know", "cancel") and fine and waiting)
    assert store.verify() == []
    store.close()
