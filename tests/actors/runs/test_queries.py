"""Queries from submission to their end, on real threads and a real store (P1–P19)."""

import threading

import msgspec
import pytest
from tests.actors.running import World, completion, query

from covend.actors.messages import NewConfig
from covend.config import SchemaEntry
from covend.functions import Declined
from covend.questions import (
    CancelQuery,
    EndOf,
    ListQueries,
    ListResponders,
    PutResponder,
    RecordsOf,
    RemoveResponder,
    ShowQuery,
    SubmitQuery,
)
from covend.testing import eventually

JSON = {"kind": "json"}


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def kinds(records):
    return [entry["kind"] for entry in records]


# ── the six patterns (rules §6) ──────────────────────────────────────────────────────────


def test_single_shot_tells_its_whole_story_each_record_after_the_one_before(world):
    """P1: intend, call, do, know; P6: then nothing of it is in memory."""
    world.scripted("one", "an answer")
    with world.core() as core:
        know = core.run(query("one"), key="k")
        records = core.records(core.submit(query("one"), key="k")["id"])
        assert (know["status"], know["answer"]) == ("fulfilled", "an answer")
        assert kinds(records) == ["intend", "call", "do", "know"]
        assert [entry["parents"] for entry in records[1:]] == [
            [entry["id"]] for entry in records[:-1]
        ]
        core.parked()


@pytest.mark.parametrize(("second", "calls"), [("a", 2), ("b", 3)])
def test_verify_asks_a_third_only_where_two_disagree(world, second, calls):
    """P16: two calls where they agree, three where not, and then the third's answer."""
    world.scripted("one", "a")
    world.scripted("two", second)
    world.scripted("three", "c")
    pattern = {
        "pattern": "verify",
        "verifier": [{"id": "two"}],
        "tiebreaker": [{"id": "three"}],
    }
    with world.core() as core:
        know = core.run(query("one", orchestration=pattern))
    assert know["answer"] == ("a" if second == "a" else "c")
    assert len(world.called) == calls


def test_a_waterfall_begins_with_a_regex_and_goes_on_to_a_model(world):
    """rules §6: cheapest first, one learn for each stage that gave nothing."""
    world.other(name="date", kind="pattern", function=r"regex:\d{4}-\d\d-\d\d")
    world.scripted("guess", "soon")
    stages = [
        {"name": "regex", "responders": [{"id": "date"}]},
        {"name": "guess", "responders": [{"id": "guess"}], "accept_expression": "size(answer) > 5"},
        {"name": "model", "responders": [{"id": "model:a"}]},
    ]
    whole = query("date", orchestration={"pattern": "waterfall", "stages": stages})
    with world.core() as core:
        dated = core.run({**whole, "question": "when?", "input": {"inline": "on 2026-11-21"}})
        assert (dated["answer"], world.called) == ("2026-11-21", [])
        thread = core.submit({**whole, "question": "when?"})["id"]
        assert core.ended(thread)["answer"] == "from a"
        assert kinds(core.records(thread)).count("learn") == 2


def test_retry_asks_again_while_the_answer_is_unsure(world):
    """P15: the confidence is what the responder says beside its answer."""
    sure = iter([0.2, 0.5, 0.9])
    world.scripted("one", lambda asked: {"v": 1, "_confidence": next(sure)})
    pattern = {"pattern": "retry_on_low_confidence", "expression": "confidence < 0.7"}
    with world.core() as core:
        know = core.run(query("one", orchestration=pattern, answer_shape=JSON))
    assert (know["status"], know["answer"], know["confidence"]) == ("fulfilled", {"v": 1}, 0.9)
    assert len(world.called) == 3


def test_escalate_goes_up_to_a_person_and_waits_in_the_store_alone(world):
    """P6: while a person is waited for there is no actor of the run."""
    world.scripted("bot", {"v": 1, "_confidence": 0.1})
    world.person("ann")
    tiers = [
        {"name": "bot", "responders": [{"id": "bot"}], "expression": "confidence < 0.7"},
        {"name": "ann", "responders": [{"id": "ann"}]},
    ]
    pattern = {"pattern": "escalate", "tiers": tiers}
    with world.core() as core:
        thread = core.submit(query("bot", orchestration=pattern, answer_shape=JSON))["id"]
        task = core.task("did:ann")
        core.parked()
        assert core.act(task, "submit", value={"v": 2})["state"] == "submitted"
        know = core.ended(thread)
    assert (know["status"], know["answer"]) == ("fulfilled", {"v": 2})


@pytest.mark.parametrize("approved", [True, False])
def test_an_ensemble_is_audited(world, approved):
    """rules §6: the auditor sees the fold, and his word decides."""
    seen = []
    for name, answer in (("one", "a"), ("two", "a"), ("three", "b")):
        world.scripted(name, answer)
    world.scripted("audit", lambda asked: seen.append(asked["show"]) or {"approved": approved})
    pattern = {"pattern": "ensemble_with_audit", "auditor": [{"id": "audit"}]}
    asked = query("one", "two", "three", orchestration=pattern, fold={"kind": "majority"})
    with world.core() as core:
        know = core.run(asked)
    assert know["status"] == ("fulfilled" if approved else "rejected")
    assert "a" in str(seen[0])


# ── admission (P7) ───────────────────────────────────────────────────────────────────────────


def test_a_query_that_does_not_hold_is_refused_with_every_error(world):
    """P7, P19."""
    with world.core() as core:
        refusal = core.refuses(SubmitQuery({"question": 1, "responders": [], "colour": "red"}))
        assert (refusal["status"], refusal["code"]) == (422, "invalid_query")
        paths = {error["path"] for error in refusal["errors"]}
        assert {"$.question", "$.colour"} <= paths
        assert refusal["message"] == "the query is not valid"  # each fault is said once
        assert core.ask(ListQueries())["queries"] == []


def test_a_person_cancels_what_he_asked_himself_and_nothing_else(world):
    """G7, P14, P2: who asked is recorded, changes nothing of the run, and holds after a crash."""
    world.person("ann")
    with world.core() as core:
        own = core.ask(SubmitQuery(query("ann"), by="did:bob"))["id"]
        other = core.ask(SubmitQuery(query("ann")))["id"]
        for thread, did in ((own, "did:eve"), (other, "did:bob")):
            refusal = core.refuses(CancelQuery(thread, by=did))
            assert (refusal["status"], refusal["code"]) == (403, "not_your_query")
    with world.core() as core:
        assert core.records(own, "intend")[0]["body"]["by"] == "did:bob"
        assert "by" not in core.records(other, "intend")[0]["body"]
        assert core.refuses(CancelQuery(own, by="did:eve"))["status"] == 403
        assert core.ask(CancelQuery(own, by="did:bob"))["know"]["status"] == "cancelled"
        assert core.ask(CancelQuery(other))["know"]["status"] == "cancelled"


def test_a_person_cancels_what_his_query_began(world):
    """G7, P14."""
    world.person("ann")
    world.scripted("one", "first")
    asked = query("one", triggers=[{"name": "next", "query": query("ann")}])
    with world.core() as core:
        parent = core.ask(SubmitQuery(asked, by="did:bob"))["id"]
        child = core.task("did:ann")["thread"]
        assert child != parent
        assert core.refuses(CancelQuery(child, by="did:eve"))["code"] == "not_your_query"
        assert core.ask(CancelQuery(child, by="did:bob"))["know"]["status"] == "cancelled"


def test_a_named_schema_is_that_of_the_box_file_when_the_query_came(world):
    """P5, P7: pinned at admission, for the queries it triggers too; unknown names are refused."""
    world.scripted("one", {"total": 1})
    named = {"kind": "json", "schema_ref": "invoice"}
    asked = query("one", answer_shape=named)
    asked["triggers"] = [{"name": "next", "query": query("one", answer_shape=named)}]
    whole = SchemaEntry(name="invoice", json='{"required": ["total"]}')
    with world.core() as core:
        told = core.refuses(SubmitQuery(asked))["errors"]
        assert [error["path"] for error in told] == [
            "$.answer_shape.schema_ref",
            "$.triggers[0].query.answer_shape.schema_ref",
        ]
        box = msgspec.structs.replace(world.box(), schema=(whole,))
        core.system.address("desk").tell(NewConfig(box))
        know = core.run(asked)
        assert (know["status"], know["answer"]) == ("fulfilled", {"total": 1})
        eventually(lambda: len(core.ask(ListQueries("ended"))["queries"]) == 2, 10, "both ended")


def test_a_key_is_one_query_and_another_query_under_it_is_refused(world):
    """P4, P7: a client that asks again does not ask twice; also after its end."""
    world.scripted("one", "an answer")
    world.held.clear()
    with world.core() as core:
        first = core.submit(query("one"), key="k")
        assert core.submit(query("one"), key="k") == first
        other = SubmitQuery(query("one", question="Another?"), "k")
        assert core.refuses(other)["code"] == "key_reused"
        world.held.set()
        core.ended(first["id"])
        core.parked()
        assert core.submit(query("one"), key="k") == {"id": first["id"], "state": "ended"}
        assert core.refuses(other)["status"] == 409
    assert len(world.called) == 1


@pytest.mark.parametrize("why", ["half a pair: \ud83d", "on and on " * 100_000])
def test_a_function_may_decline_in_whatever_words(world, why):
    """P2, P15: what it says is recorded as far as it can be, and its run ends."""
    world.scripted("one", Declined(why))
    with world.core() as core:
        know = core.run(query("one"))
        assert know["code"] == "responder_unavailable"
        problem = know["partial"][0]["problem"]
        assert problem[:9] == why[:9] and len(problem) <= 500


def test_more_queries_than_may_run_at_once_are_refused(world):
    """Nothing grows without bound; a parked run counts for nothing."""
    world.scripted("one", "an answer")
    world.person("ann")
    world.held.clear()
    with world.core(max_active=1) as core:
        core.submit(query("ann"))
        core.parked()
        thread = core.submit(query("one"))["id"]
        assert core.refuses(SubmitQuery(query("one")))["status"] == 429
        world.held.set()
        core.ended(thread)


def test_an_input_may_be_a_record_of_another_query(world):
    """P7: record_id; of an end it is the answer."""
    world.scripted("one", lambda asked: f"{asked['input']}!")
    with world.core() as core:
        first = core.submit({**query("one"), "input": {"inline": "a"}})["id"]
        core.ended(first)
        end = core.records(first, "know")[0]["id"]
        assert core.run({**query("one"), "input": {"record_id": end}})["answer"] == "a!!"
        missing = SubmitQuery({**query("one"), "input": {"record_id": "0" * 64}})
        assert core.refuses(missing)["errors"][0]["path"] == "$.input.record_id"


# ── what is shown ────────────────────────────────────────────────────────────────────────────


def test_a_query_is_shown_with_its_calls_and_what_was_spent(world):
    world.scripted("one", "an answer", cost={"per_call": 0.25})
    with world.core() as core:
        thread = core.submit(query("one", side_effects={"max_cost_usd": 1.0}))["id"]
        core.ended(thread)
        shown = core.ask(ShowQuery(thread))
        assert shown["spent"] == {"settled": 0.25, "reserved": 0, "overrun": 0}
        assert [(call["responder"], call["status"]) for call in shown["calls"]] == [("one", "ok")]
        assert shown["query"]["question"] == "What is it?"
        assert core.refuses(ShowQuery("q-none"))["status"] == 404


def test_queries_are_listed_newest_first(world):
    world.scripted("one", "an answer")
    with world.core() as core:
        threads = [core.submit(query("one", question=f"{n}?"))["id"] for n in range(3)]
        for thread in threads:
            core.ended(thread)
        page = core.ask(ListQueries(limit=2))
        assert [line["question"] for line in page["queries"]] == ["2?", "1?"]
        rest = core.ask(ListQueries(limit=2, after=page["next"]))
        assert [line["id"] for line in rest["queries"]] == threads[:1]
        assert core.ask(ListQueries(state="open"))["queries"] == []


def test_records_are_waited_for_and_followed_to_the_end(world):
    """A stream of events is a loop of asks."""
    world.scripted("one", "an answer")
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        eventually(lambda: world.called, what="the call")
        page = core.follow(thread)
        assert (kinds(page["records"]), page["ended"]) == (["intend", "call"], False)
        seen = page["records"][-1]["seq"]
        assert core.follow(thread, seen, wait=0.05)["records"] == []
        threading.Timer(0.05, world.held.set).start()
        found = []
        while "know" not in found:
            page = core.follow(thread, seen)
            found += kinds(page["records"])
            seen = page["records"][-1]["seq"]
        assert found == ["do", "know"]
        nothing = {
            "records": [],
            "damaged": [],
            "ended": True,
            "set_aside": False,
            "next": None,
        }
        assert core.follow(thread, seen) == nothing
        assert core.refuses(RecordsOf("q-none"))["status"] == 404


def test_the_end_is_waited_for_and_told_to_everybody_who_does(world):
    """Whoever wants the answer alone asks once, also before there is one."""
    world.scripted("one", "an answer")
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        going_on = {"id": thread, "state": "open", "know": None}
        assert core.ask(EndOf(thread)) == going_on
        assert core.ask(EndOf(thread, 0.01)) == going_on
        waiting = [core.desk.ask_later(EndOf(thread, 5.0), timeout=10.0) for _ in range(3)]
        world.held.set()
        ends = [answer.get() for answer in waiting]
        shown = core.ask(ShowQuery(thread))
        assert shown["know"]["answer"] == "an answer"
        later = core.ask(EndOf(thread))
        assert [*ends, later] == 4 * [{"id": thread, "state": "ended", "know": shown["know"]}]
        assert core.refuses(EndOf("q-none"))["status"] == 404


# ── responders (P8) ──────────────────────────────────────────────────────────────────────────


def test_responders_are_registered_kept_and_retired(world):
    """P8: by configuration and API; the box's own models are there by themselves."""
    world.scripted("one", "an answer")
    put = {"id": "two", "kind": "pattern", "function": "scripted:one", "domains": ["law"]}
    with world.core() as core:
        names = {one["id"] for one in core.ask(ListResponders())["responders"]}
        assert {"one", "model:a", "model:b"} <= names
        core.ask(PutResponder(put))
        assert core.run(query("two"))["answer"] == "an answer"
    with world.core() as core:
        assert core.run(query("two"))["answer"] == "an answer"
        core.ask(RemoveResponder("two"))
        assert core.run(query("two"))["code"] == "no_candidates"
        assert core.refuses(RemoveResponder("nobody"))["status"] == 404
        for wrong in ({"id": "x", "kind": "llm"}, {"id": "x"}, {**put, "function": "nothing:"}):
            assert core.refuses(PutResponder(wrong))["status"] == 422


def test_trust_is_learned_from_what_became_of_answers_and_outlives_the_core(world):
    """P8: who was outvoted is trusted less, who was right more, who declined as before."""
    world.scripted("right", "a")
    world.scripted("too", "a")
    world.scripted("wrong", "b")
    world.scripted("shy", Declined("not mine"))
    asked = query("right", "too", "wrong", fold={"kind": "majority"})
    with world.core() as core:
        for _ in range(3):
            core.run(asked)
        core.run(query("shy"))

        def trusts():
            found = core.ask(ListResponders())["responders"]
            return {one["id"]: one.get("trust", 0.5) for one in found}

        learned = eventually(lambda: t if (t := trusts())["wrong"] < 0.5 else None, 5, "trust")
        assert learned["wrong"] < 0.5 < learned["right"]
        assert learned["model:a"] == learned["shy"] == 0.5
    with world.core() as core:
        found = {one["id"]: one for one in core.ask(ListResponders())["responders"]}
        assert found["wrong"]["trust"] == pytest.approx(learned["wrong"], abs=1e-6)
        assert found["right"]["typical_delay_secs"] < 5


# ── late, twice, cancelled, too dear (P12–P14) ───────────────────────────────────────────────


def test_a_late_answer_is_kept_and_never_folded(world):
    """P12: the run has ended by its deadline when the function at last answers."""
    world.scripted("one", "too late")
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("one", side_effects={"max_latency_secs": 60}))["id"]
        eventually(lambda: world.called, what="the call")
        core.forward(61)
        know = core.ended(thread)
        assert (know["status"], know["code"]) == ("error", "latency_timeout")
        world.held.set()
        late = eventually(lambda: core.records(thread, "do"), what="the late answer")
        assert (late[0]["body"]["late"], late[0]["body"]["value"]) == (True, "too late")
        assert core.ended(thread) == know


def test_cancel_ends_a_run_once_and_finds_an_ended_one_as_it_is(world):
    """P14: whichever comes first."""
    world.scripted("one", "an answer")
    world.person("ann")
    with world.core() as core:
        over = core.submit(query("one"))["id"]
        know = core.ended(over)
        assert core.ask(CancelQuery(over))["know"] == know
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        told = core.ask(CancelQuery(thread, "changed my mind"))
        assert (told["know"]["status"], told["know"]["reason"]) == ("cancelled", "changed my mind")
        assert core.ask(CancelQuery(thread))["know"] == told["know"]
        refusal = core.act(task, "submit", value="late")["refused"]
        assert (refusal["status"], refusal["code"]) == (409, "withdrawn")
        assert kinds(core.records(thread)) == ["intend", "call", "cancel", "know"]
        assert core.refuses(CancelQuery("q-none"))["status"] == 404


def test_a_budget_is_never_exceeded_and_says_so(world):
    """P13: who may cost more than is left is not asked."""
    world.scripted("cheap", {"v": 1, "_confidence": 0.1}, cost={"per_call": 0.4})
    pattern = {"pattern": "retry_on_low_confidence", "max_attempts": 5}
    asked = query("cheap", orchestration=pattern, answer_shape=JSON)
    with world.core() as core:
        know = core.run({**asked, "side_effects": {"max_cost_usd": 1.0}})
        assert len(world.called) == 2
        assert know["status"] == "degraded"
        assert know["cost"]["settled"] == 0.8
        poor = core.run({**asked, "side_effects": {"max_cost_usd": 0.3}})
        assert poor["code"] == "cost_budget_exceeded"
    assert len(world.called) == 2


# ── models of this box ───────────────────────────────────────────────────────────────────────


def test_a_model_of_this_box_is_asked_by_a_job_named_by_its_key(world):
    """P8, P4: as the class the query names; the completion's text is the answer."""
    world.model = lambda job: completion("Paris")
    asked = {**query("model:a"), "klass": "reflex", "dial": {"temperature": 0, "logprobs": True}}
    with world.core() as core:
        assert core.run(asked)["answer"] == "Paris"
    (job,) = world.submitted
    assert (job.capability, job.klass, job.tell) == ("a", "reflex", "courier@core")
    body = job.steps[0].body
    assert (body["model"], body["temperature"], body["logprobs"]) == ("a", 0, True)
    assert body["messages"][-1]["content"] == "What is it?"


def test_a_job_that_fails_is_an_error_of_its_responder(world):
    """P19."""
    world.model = lambda job: "step 0: HTTP 400: no such thing"
    with world.core() as core:
        know = core.run(query("model:a"))
    assert (know["status"], know["code"]) == ("error", "responder_unavailable")
    assert "no such thing" in know["partial"][0]["problem"]


def test_a_changed_configuration_is_taken_over(world):
    """G10: who can be asked, and how much at once."""
    world.scripted("one", "an answer")
    with world.core() as core:
        world.scripted("two", "another")
        for owner in ("registry", "herald", "courier", "desk"):
            core.system.address(owner).tell(NewConfig(world.box(max_active=7, max_calls=3)))
        assert core.run(query("two"))["answer"] == "another"
        core.run(query("one"))
