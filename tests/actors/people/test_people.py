"""People: tasks, their words, deadlines, reminders, delegates, and how they are told (P18)."""

from contextlib import contextmanager

import pytest
from tests.actors.running import World, query

from covend.actors.people.herald import Digest
from covend.questions import ActOnTask, ListTasks, ShowTask
from covend.testing import eventually

HOUR = 3600


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def asked(core, *names, **more):
    """A query of people, whose first task is there."""
    thread = core.submit(query(*names, **more))["id"]
    return thread, core.task(f"did:{names[0]}")


def refusal(answer):
    return answer["refused"]["status"], answer["refused"]["code"]


# ── words ────────────────────────────────────────────────────────────────────────────────────


def test_a_task_shows_what_is_asked_and_in_which_form(world):
    world.person("ann")
    shape = {"kind": "choice", "choices": ["yes", "no"]}
    with world.core() as core:
        thread, task = asked(core, "ann", answer_shape=shape, input={"inline": {"a": 1}})
        assert core.ask(ShowTask(task["id"])) == task
        assert (task["thread"], task["question"], task["input"]) == (
            thread,
            "What is it?",
            {"a": 1},
        )
        assert task["answer_shape"] == shape
        assert core.refuses(ShowTask("q-none~primary~0~1"))["status"] == 404
        assert core.refuses(ShowTask("nonsense"))["status"] == 404
        assert core.ask(ListTasks("did:bob"))["tasks"] == []


def test_a_submission_is_checked_against_the_shape_and_counts_once(world):
    """P18, P12: what has another shape is refused and may be put right; the same again is heard,
    another one afterwards is not."""
    world.person("ann")
    shape = {"kind": "choice", "choices": ["yes", "no"]}
    with world.core() as core:
        thread, task = asked(core, "ann", answer_shape=shape)
        assert refusal(core.act(task, "submit", value="maybe")) == (422, "answer_shape_mismatch")
        more = {"confidence": 0.8, "rationale": "I looked."}
        assert core.act(task, "submit", value="yes", **more)["state"] == "submitted"
        know = core.ended(thread)
        assert (know["answer"], know["confidence"]) == ("yes", 0.8)
        assert core.act(task, "submit", value="yes")["state"] == "submitted"
        assert refusal(core.act(task, "submit", value="no")) == (409, "submitted")
        (done,) = core.records(thread, "do")
        assert (done["body"]["rationale"], done["body"]["by"]) == ("I looked.", "did:ann")


def test_a_submission_after_declining_is_a_conflict(world):
    """P18: declining is for good."""
    world.person("ann")
    with world.core() as core:
        thread, task = asked(core, "ann")
        assert refusal(core.act(task, "decline", reason="tired")) == (422, "invalid_word")
        assert core.act(task, "decline", reason="overbooked")["state"] == "declined"
        know = core.ended(thread)
        assert know["partial"][0] | {"call": ""} == {
            "call": "", "responder": "ann", "status": "declined", "problem": "overbooked",
        }  # fmt: skip
        assert refusal(core.act(task, "submit", value="x")) == (409, "declined")
        assert core.act(task, "decline", reason="overbooked")["state"] == "declined"


def test_a_task_of_somebody_else_is_refused(world):
    world.person("ann")
    with world.core() as core:
        _, task = asked(core, "ann")
        for word in ({"act": "submit", "value": 1}, {"act": "decline"}, {"act": "accept"}):
            assert refusal(core.act(task, did="did:eve", **word)) == (403, "not_yours")
        wrong = ActOnTask(task["id"].replace("primary", "other"), "decline", "did:ann")
        assert core.refuses(wrong)["status"] == 404


def passed_on(core, thread):
    """Ann's time is over: bob is asked for her."""
    core.forward(101)
    eventually(lambda: core.records(thread, "learn"), what="bob is asked for ann")


def asked_for_a_minute(core, who):
    """A task for a minute, of a query that lasts ten hours."""
    tiers = [{"name": who, "responders": [{"id": who}], "timeout_secs": 60}]
    pattern = {"pattern": "escalate", "tiers": tiers}
    limit = {"max_latency_secs": 10 * HOUR}
    return asked(core, who, orchestration=pattern, side_effects=limit)


def test_an_eta_extends_the_wait_at_most_twice(world):
    """P18: never past the query's own end; accepting is no answer."""
    world.person("ann")
    with world.core() as core:
        thread, task = asked_for_a_minute(core, "ann")
        first = core.act(task, "accept", eta_secs=HOUR)
        assert first["state"] == "accepted"
        assert first["due"] - task["due"] == pytest.approx((HOUR - 60) * 1e6, abs=30e6)
        assert core.task_row(thread)["due"] == first["due"]
        core.forward(61)
        core.parked()
        assert core.row(thread)["state"] == "open"
        assert core.act(task, "accept", eta_secs=99 * HOUR)["due"] == core.ends(thread)
        assert core.act(task, "accept", eta_secs=HOUR)["due"] == core.ends(thread)
        core.act(task, "submit", value="at last")
        assert core.ended(thread)["answer"] == "at last"


def test_the_same_word_under_the_same_key_changes_nothing(world):
    """P18: however late it is repeated, it never uses up another extension."""
    world.person("ann")
    with world.core() as core:
        thread, task = asked_for_a_minute(core, "ann")
        for count, eta_secs in enumerate((HOUR, 2 * HOUR), 1):
            word = ActOnTask(task["id"], "accept", "did:ann", eta_secs=eta_secs, key=f"k{count}")
            first = core.ask(word)
            core.forward(5)
            assert (first["state"], core.ask(word)["due"]) == ("accepted", first["due"])
            assert len(core.records(thread, "do")) == count
        first = ActOnTask(task["id"], "accept", "did:ann", eta_secs=HOUR, key="k1")
        assert core.ask(first)["state"] == "accepted"
        other = ActOnTask(task["id"], "accept", "did:ann", eta_secs=3 * HOUR, key="k3")
        assert refusal(core.ask(other)) == (409, "extended")


def test_a_repeated_word_is_known_after_a_restart(world):
    """P18, P2: the key is part of what was recorded."""
    world.person("ann")
    with world.core() as core:
        thread, task = asked_for_a_minute(core, "ann")
        word = ActOnTask(task["id"], "accept", "did:ann", eta_secs=HOUR, key="k")
        due = core.ask(word)["due"]
    with world.core() as core:
        core.forward(5)
        assert core.ask(word)["due"] == due
        assert len(core.records(thread, "do")) == 1


def test_a_promise_without_an_eta_is_recorded_once(world):
    """P18: the same word again changes nothing."""
    world.person("ann")
    with world.core() as core:
        thread, task = asked(core, "ann")
        for _ in range(3):
            assert core.act(task, "accept")["state"] == "accepted"
        assert len(core.records(thread, "do")) == 1


@pytest.mark.parametrize("eta_secs", [0, -1, 366 * 86_400 + 1, 1e300])
def test_an_eta_out_of_bounds_is_refused_with_what_would_be_right(world, eta_secs):
    """P18, X6."""
    world.person("ann")
    with world.core() as core:
        _, task = asked(core, "ann")
        refused = core.act(task, "accept", eta_secs=eta_secs)["refused"]
        problem = "must be more than 0 and at most 31622400 seconds"
        assert refused["errors"] == [{"path": "$.eta_secs", "problem": problem}]


def test_a_task_expires_with_its_deadline(world):
    """P10, P18, P20: by a tick that is not early; the word that comes later is refused."""
    world.person("ann")
    with world.core() as core:
        thread, task = asked(core, "ann")
        core.forward(6.99 * 86_400)
        core.parked()
        assert core.row(thread)["state"] == "open"
        core.forward(0.02 * 86_400)
        know = core.ended(thread)
        assert know["partial"][0]["status"] == "timeout"
        for tick in core.records(thread, "tick"):
            assert tick["clock"] >= tick["body"]["due"]
        assert refusal(core.act(task, "submit", value="x")) == (409, "expired")
        assert core.ask(ShowTask(task["id"]))["state"] == "expired"


def test_a_late_word_is_refused_although_no_tick_came_yet(world):
    world.person("ann")
    with world.core() as core:
        thread, task = asked(core, "ann")
        world.clock.forward(8 * 86_400)
        assert refusal(core.act(task, "submit", value="x")) == (409, "expired")
        core.forward(0)
        core.ended(thread)


# ── being told ───────────────────────────────────────────────────────────────────────────────


def told(world, who):
    return [(title, text) for channel, title, text in world.told if channel == f"test://{who}"]


def people(world, **more):
    world.person("ann", channels=["test://ann"], **more)
    world.person("bob", channels=["test://bob"])


def test_who_has_little_time_is_told_at_once_and_reminded_and_then_the_delegate(world):
    """P18: at 50 % and 80 % of the SLA, and after it who stands in, who may answer as well."""
    people(world, sla_seconds=600, delegates=["did:bob"])
    with world.core(inbox_url="http://box/inbox/") as core:
        thread, task = asked(core, "ann", side_effects={"max_latency_secs": HOUR})
        eventually(lambda: told(world, "ann"), what="ann is told")
        (title, text) = told(world, "ann")[0]
        assert title == "A question for you"
        assert "What is it?" in text
        assert f"http://box/inbox#{task['id']}" in text
        for seconds, count in ((301, 2), (180, 3)):
            core.forward(seconds)
            eventually(lambda n=count: len(told(world, "ann")) == n, 5, f"{count} messages")
        assert [title for title, _ in told(world, "ann")][1:] == [
            "A question still waits for you"
        ] * 2
        assert told(world, "bob") == []
        core.forward(120)
        eventually(lambda: told(world, "bob"), what="bob is told")
        assert told(world, "bob")[0][0] == "A question was passed on to you"
        theirs = core.task("did:bob")
        assert theirs["id"] == task["id"]
        core.act(theirs, "submit", value="bob's")
        assert core.ended(thread)["answer"] == "bob's"
    assert len(told(world, "ann")) == 3


def test_who_has_time_gets_one_digest_of_all(world):
    """P18: more than an hour; what was withdrawn meanwhile is not in it."""
    people(world)
    with world.core(digest_seconds=0.2) as core:
        threads = [core.submit(query("ann", question=f"{n}?"))["id"] for n in range(3)]
        core.cancel(threads[0])
        eventually(lambda: told(world, "ann"), what="the digest")
        ((title, text),) = told(world, "ann")
        assert title == "2 questions wait for you"
        assert "1?" in text and "2?" in text and "0?" not in text


def test_more_than_an_hour_is_time_for_the_digest_and_an_hour_is_not(world):
    """P18."""
    people(world)
    with world.core(digest_seconds=10 * HOUR) as core:
        for seconds in (HOUR + 100, HOUR):
            limits = {"side_effects": {"max_latency_secs": seconds}}
            core.submit(query("ann", question=f"In {seconds}?", **limits))
            core.parked()  # what its person is to hear has been passed on
        eventually(lambda: told(world, "ann"), what="ann is told of the second")
        assert [text.partition(" —")[0] for _, text in told(world, "ann")] == ["In 3600?"]


def test_a_reminder_at_once_takes_the_task_out_of_the_digest(world):
    """P18: both are one message, and who read it hears that no answer is needed any more."""
    people(world)
    with world.core(digest_seconds=10 * HOUR) as core:
        thread, _ = asked(core, "ann", side_effects={"max_latency_secs": 1.9 * HOUR})
        core.parked()
        core.system.address("herald").ask(None, timeout=5)  # it is in the digest by now
        core.forward(HOUR)
        eventually(lambda: told(world, "ann"), what="ann is reminded of what she never heard of")
        core.system.address("herald").tell(Digest("did:ann"))
        core.cancel(thread)
        eventually(lambda: len(told(world, "ann")) > 1, what="ann hears of the withdrawal")
    titles = [title for title, _ in told(world, "ann")]
    assert titles == ["A question for you", "A question needs no answer any more"]


def test_an_open_page_is_told_and_then_nobody_else(world):
    """P18: the live page first. The page's wait ends with the news."""
    people(world)
    with world.core() as core:
        page = core.desk.ask_later(ListTasks("did:ann", wait=10), 15.0)
        thread = core.submit(query("ann", side_effects={"max_latency_secs": 60}))["id"]
        (task,) = page.get()["tasks"]
        assert task["thread"] == thread
        core.act(task, "submit", value="x")
        core.ended(thread)
        core.parked()
    assert world.told == []


def test_a_task_is_withdrawn_when_nobody_waits_for_it_any_more(world):
    """P14, P20: no task is open after the end, and its person hears of it."""
    people(world)
    world.scripted("quick", "first")
    with world.core() as core:
        limits = {"side_effects": {"max_latency_secs": 60}, "min_quorum": 1}
        thread = core.submit(query("ann", "quick", **limits))["id"]
        core.ended(thread)
        page = core.ask(ListTasks("did:ann"))["tasks"]
        assert [task["state"] for task in page] == ["withdrawn"]
        eventually(lambda: len(told(world, "ann")) == 2, what="told, and told otherwise")
        assert told(world, "ann")[1][0] == "A question needs no answer any more"


def test_a_delegate_hears_as_well_that_no_answer_is_needed_any_more(world):
    """P14, P18."""
    people(world, sla_seconds=600, delegates=["did:bob"])
    with world.core() as core:
        thread, _ = asked(core, "ann", side_effects={"max_latency_secs": HOUR})
        core.parked()
        core.forward(601)
        eventually(lambda: told(world, "bob"), what="bob is asked")
        core.cancel(thread)
        for who in ("ann", "bob"):
            eventually(
                lambda who=who: told(world, who)[-1][0] == "A question needs no answer any more",
                what=f"{who} hears of it",
            )


def test_who_was_not_told_for_certain_is_told_by_the_next_core(world):
    """P4, P18: a restart tells again at most what was on its way."""
    people(world)
    with world.core(digest_seconds=3600) as core:
        _, task = asked(core, "ann")
    assert world.told == []
    with world.core(digest_seconds=0.01) as core:
        eventually(lambda: told(world, "ann"), what="ann is told")
        assert task["id"] in told(world, "ann")[0][1]


def test_a_delegates_decline_leaves_the_task_to_who_was_asked_first(world):
    """P18: it would end it for everybody; so would hers, where he promised an answer."""
    world.person("ann", sla_seconds=100, delegates=["did:bob"])
    with world.core() as core:
        thread, task = asked(core, "ann", side_effects={"max_latency_secs": 1000.0})
        passed_on(core, thread)
        assert refusal(core.act(task, "decline", "did:bob")) == (409, "others_asked")
        assert core.act(task, "accept", "did:bob")["state"] == "accepted"
        for did, own in (("did:ann", None), ("did:bob", "did:ann")):
            (shown,) = core.ask(ListTasks(did))["tasks"]
            assert core.ask(ShowTask(task["id"], did)) == shown
            assert (shown["in_place_of"], shown["promised_by"]) == (own, ["did:bob"])
        told = core.act(task, "accept", "did:ann", eta_secs=2)
        assert (told["in_place_of"], told["promised_by"]) == (None, ["did:bob", "did:ann"])
        assert refusal(core.act(task, "decline", "did:ann")) == (409, "others_asked")
        assert core.act(task, "submit", "did:bob", value="yes")["state"] == "submitted"
        assert core.ended(thread)["answer"] == "yes"


def test_a_promise_whose_time_is_over_keeps_nobody_from_declining(world):
    """P18: bob promised an answer within a minute, and there is none."""
    world.person("ann", sla_seconds=100, delegates=["did:bob"])
    with world.core() as core:
        thread, task = asked(core, "ann", side_effects={"max_latency_secs": 1000.0})
        passed_on(core, thread)
        core.act(task, "accept", "did:bob", eta_secs=60)
        assert refusal(core.act(task, "decline", "did:ann")) == (409, "others_asked")
        core.forward(61)
        assert core.act(task, "decline", "did:ann")["state"] == "declined"
        assert core.ended(thread)["code"] == "responder_unavailable"


def test_a_promise_is_renewed_when_its_time_is_over(world):
    """P18: said again it stands again, and one of another is not one's own."""
    world.person("ann", sla_seconds=100, delegates=["did:bob"])
    with world.core() as core:
        thread, task = asked(core, "ann", side_effects={"max_latency_secs": 1000.0})
        passed_on(core, thread)
        core.act(task, "accept", "did:bob", eta_secs=60)
        core.forward(61)
        core.act(task, "accept", "did:bob")
        assert refusal(core.act(task, "decline", "did:ann")) == (409, "others_asked")
        core.act(task, "accept", "did:ann")
        promised = [each["body"]["by"] for each in core.records(thread, "do")]
        assert promised == ["did:bob", "did:bob", "did:ann"]


def test_who_was_asked_first_may_decline_for_good_where_nobody_promised_anything(world):
    """P18."""
    world.person("ann", sla_seconds=100, delegates=["did:bob"])
    with world.core() as core:
        thread, task = asked(core, "ann", side_effects={"max_latency_secs": 1000.0})
        passed_on(core, thread)
        assert core.act(task, "decline", "did:ann")["state"] == "declined"
        assert core.ended(thread)["code"] == "responder_unavailable"


def test_a_shorter_eta_is_no_extension(world):
    """P18: it is heard, though nothing is left to be extended."""
    world.person("ann")
    with world.core() as core:
        _, task = asked_for_a_minute(core, "ann")
        for eta_secs in (HOUR, 2 * HOUR):
            due = core.act(task, "accept", eta_secs=eta_secs)["due"]
        assert core.act(task, "accept", eta_secs=60)["due"] == due
        assert refusal(core.act(task, "accept", eta_secs=3 * HOUR)) == (409, "extended")


@contextmanager
def verified_by_the_delegate(world):
    """A core, a query of ann that bob verifies, who stands in for her, and the task of each."""
    world.person("ann", sla_seconds=100, delegates=["did:bob"])
    world.person("bob")
    pattern = {"pattern": "verify", "verifier": [{"id": "bob"}], "tiebreaker": []}
    with world.core() as core:
        body = query("ann", orchestration=pattern, side_effects={"max_latency_secs": 1000.0})
        thread = core.submit(body)["id"]
        core.parked()
        yield core, thread, core.task("did:bob"), core.task("did:ann")


def test_nobody_answers_what_is_to_check_his_own_answer(world):
    """rules §6: bob verifies, and is asked in ann's place as well."""
    with verified_by_the_delegate(world) as (core, thread, mine, anns):
        core.act(mine, "submit", value="yes")
        passed_on(core, thread)
        word = ActOnTask(anns["id"], "submit", "did:bob", value="yes")
        assert refusal(core.ask(word)) == (403, "one_part_each")
        assert refusal(core.ask(ActOnTask(anns["id"], "accept", "did:bob"))) == (
            403,
            "one_part_each",
        )
        core.act(anns, "submit", value="yes")
        assert core.ended(thread)["status"] == "fulfilled"


def test_who_must_not_answer_any_more_may_still_decline(world):
    """P18: bob answered for ann, and was asked to verify that."""
    with verified_by_the_delegate(world) as (core, thread, mine, anns):
        passed_on(core, thread)
        core.act(anns, "submit", "did:bob", value="yes")
        assert refusal(core.act(mine, "submit", value="yes")) == (403, "one_part_each")
        assert core.act(mine, "decline", reason="conflict_of_interest")["state"] == "declined"
        assert core.ended(thread)["status"] == "unresolved"


@pytest.mark.parametrize("judge", ["bob", "cy"])
def test_who_judges_two_answers_may_have_given_one_and_may_give_the_third(world, judge):
    """rules §6, P16: a judge says whether they agree, and what he says is no answer."""
    for name in ("ann", "bob", "cy"):
        world.person(name)
    pattern = {
        "pattern": "verify",
        "verifier": [{"id": "bob"}],
        "tiebreaker": [{"id": "cy"}],
        "judge": {"responders": [{"id": judge}]},
    }
    with world.core() as core:
        thread = core.submit(query("ann", orchestration=pattern))["id"]
        for name in ("ann", "bob"):
            core.act(core.task(f"did:{name}"), "submit", value=name)
        verdict = core.task(f"did:{judge}")
        assert verdict["role"] == "judge"
        core.act(verdict, "submit", value={"agree": False})
        third = core.task("did:cy")
        assert third["role"] == "tiebreak"
        core.act(third, "submit", value="cy")
        assert core.ended(thread)["answer"] == "cy"


def test_a_promise_of_one_who_must_not_answer_any_more_keeps_nobody_from_declining(world):
    """P18: bob promised to answer for ann, and then verified."""
    with verified_by_the_delegate(world) as (core, thread, mine, anns):
        passed_on(core, thread)
        assert core.act(anns, "accept", "did:bob")["state"] == "accepted"
        core.act(mine, "submit", value="yes")
        assert core.act(anns, "decline", "did:ann")["state"] == "declined"
