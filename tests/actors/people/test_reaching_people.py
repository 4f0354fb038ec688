"""People reached through apprise on real channels, over crashes and failures (P18, P4, P14)."""

import threading

import pytest
from tests.actors.mailmen import mail_server, offender, webhook
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import again, lay_down

from covend.actors.people import channels, delivery_log, herald, outbox, sender
from covend.actors.runs import waiting
from covend.actors.runs.messages import OpenPages
from covend.phylactery.messages import Append, Latest, Query, Tasks
from covend.phylactery.records import record
from covend.questions import ListTasks, ShowTask
from covend.testing import eventually

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"  # what one of apprise's plugins imports
)

HOUR, WEEK = 3600, 7 * 86_400
SOON = {"side_effects": {"max_latency_secs": HOUR}}
BOB = "bob@example.org"


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "store.db", monkeypatch)
    world.through = in_this_process
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "FIRST_PAUSE_SECONDS", 0.05)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return world


@pytest.fixture
def hook():
    with webhook() as hook:
        yield hook


@pytest.fixture
def mail():
    with mail_server() as mail:
        yield mail


def in_this_process(messages):
    """Faster than a process for each; that is told apart in ``test_channels``."""
    return [sender.deliver(one.channel, one.title, one.text) for one in messages]


def until(condition, what):
    return eventually(condition, 10, what)


def marked(core):
    """Who was told of which tasks, as the store has it."""
    store = core.system.address("phylactery")
    found = store.ask(Query(kind="told"), timeout=5)
    upto = max((entry["body"]["seq"] for entry in found), default=0)
    rows = store.ask(Tasks(), timeout=5)
    told = (tuple(whom) for entry in found for whom in entry["body"]["tasks"])
    listed = {(task, did) for task, did in told if "@" not in task}
    passed = {(delivery_log.task_of(row), row["did"]) for row in rows if row["seq"] <= upto}
    return sorted(listed | passed)


# ── in time ──────────────────────────────────────────────────────────────────────────────────


def test_a_silent_person_is_reminded_twice_and_then_a_delegate_answers_the_same_task(
    world, hook, mail
):
    """P18: by webhook at 50 % and 80 % of the SLA; then the delegate by mail; one task for both."""
    world.person("ann", channels=[hook.address], sla_seconds=600, delegates=["did:bob"])
    world.person("bob", channels=[mail.address(BOB)])
    with world.core(inbox_url="http://box/inbox/") as core:
        thread = core.submit(query("ann", question="Is the roof sound?", **SOON))["id"]
        until(lambda: len(hook.took) == 1, "ann is told")
        task = core.task("did:ann")
        title, text = hook.took[0]
        assert title == "A question for you"
        assert "Is the roof sound? — until 20" in text and "UTC" in text
        assert text.endswith(f"http://box/inbox#{task['id']}")
        core.forward(299)
        core.parked()
        assert len(hook.took) == 1
        core.forward(2)
        until(lambda: len(hook.took) == 2, "the first reminder")
        core.forward(180)
        until(lambda: len(hook.took) == 3, "the second reminder")
        assert hook.titles[1:] == ["A question still waits for you"] * 2
        assert mail.mails == []
        core.forward(120)
        until(lambda: mail.to(BOB), "bob is told")
        ((subject, text),) = mail.to(BOB)
        assert subject == "A question was passed on to you"
        assert "Is the roof sound?" in text and task["id"] in text
        theirs = core.task("did:bob")
        assert theirs["id"] == task["id"]
        assert [core.ask(ShowTask(task["id"], did))["did"] for did in ("did:ann", "did:bob")] == [
            "did:ann",
            "did:bob",
        ]
        assert core.refuses(ShowTask(task["id"], "did:eve"))["status"] == 404
        core.act(theirs, "submit", value="It is.")
        assert core.ended(thread)["answer"] == "It is."
        assert len(core.records(thread, "call")) == 1
        rows = core.system.address("phylactery").ask(Tasks(thread=thread), timeout=5)
        assert {(row["did"], row["state"]) for row in rows} == {
            ("did:ann", "submitted"), ("did:bob", "submitted"),
        }  # fmt: skip
    assert (len(hook.took), len(mail.mails)) == (3, 1)


@pytest.mark.parametrize("how", ["cancelled", "answered by another", "expired"])
def test_who_was_told_hears_that_no_answer_is_needed_any_more(world, hook, how):
    """P14, P18."""
    world.person("ann", channels=[hook.address])
    world.scripted("quick", "first")
    world.held.clear()
    with world.core() as core:
        names = ("ann", "quick") if how == "answered by another" else ("ann",)
        thread = core.submit(query(*names, min_quorum=1, **SOON))["id"]
        until(lambda: len(hook.took) == 1, "ann is told")
        world.held.set()
        if how == "cancelled":
            core.cancel(thread)
        elif how == "expired":
            core.forward(HOUR + 1)
        core.ended(thread)
        until(lambda: "A question needs no answer any more" in hook.titles, "ann is told")
        (task,) = core.ask(ListTasks("did:ann"))["tasks"]
        assert task["state"] == ("expired" if how == "expired" else "withdrawn")


def test_who_has_time_gets_one_mail_of_all_that_still_waits(world, mail):
    """P18: not of what was withdrawn, answered or accepted before it was sent."""
    world.person("bob", channels=[mail.address(BOB)])
    with world.core(digest_seconds=HOUR) as core:
        names = [f"Question {n}?" for n in range(6)]
        threads = [core.submit(query("bob", question=name))["id"] for name in names]
        tasks = until(
            lambda: len(found := core.ask(ListTasks("did:bob"))["tasks"]) == 6 and found, "tasks"
        )
        by_thread = {task["thread"]: task for task in tasks}
        core.cancel(threads[0])
        core.act(by_thread[threads[1]], "submit", value="yes")
        core.act(by_thread[threads[2]], "accept", eta_secs=2 * HOUR)
        core.system.address("herald").tell(herald.Digest("did:bob"))
        until(lambda: mail.mails, "the digest")
        ((subject, text),) = mail.to(BOB)
        assert subject == "3 questions wait for you"
        assert [name in text for name in names] == [False] * 3 + [True] * 3
        # Who promised an answer is told that it is not needed, others only were in a digest.
        core.cancel(threads[2])
        core.cancel(threads[3])
        until(lambda: len(mail.mails) == 2, "the withdrawal")
        assert "Question 2?" in mail.to(BOB)[1][1]


def test_a_person_of_a_short_sla_is_told_at_once_however_long_the_query_waits(world, hook):
    """P18: a digest would come after the delegate."""
    world.person("ann", channels=[hook.address], sla_seconds=600)
    with world.core(digest_seconds=HOUR) as core:
        core.submit(query("ann", side_effects={"max_latency_secs": WEEK}))
        until(lambda: hook.titles == ["A question for you"], "ann is told")


# ── the live page ────────────────────────────────────────────────────────────────────────────


def test_an_open_page_is_told_first_and_the_channels_when_it_closes(world, hook, monkeypatch):
    """P18: what was answered on the page meanwhile is not told of; a delegate without a page is."""
    monkeypatch.setattr(waiting, "LIVE_SECONDS", 0.5)
    world.person("ann", channels=[hook.address])
    with world.core() as core:
        page = core.desk.ask_later(ListTasks("did:ann", wait=10), 15.0)
        first = core.submit(query("ann", question="One?", **SOON))["id"]
        (task,) = page.get()["tasks"]
        page = core.desk.ask_later(ListTasks("did:ann", after=task["seq"], wait=10), 15.0)
        second = core.submit(query("ann", question="Two?", **SOON))["id"]
        assert [task["thread"] for task in page.get()["tasks"]] == [second]
        core.act(task, "submit", value="x")
        core.ended(first)
        assert hook.took == []
        until(lambda: hook.took, "the page is closed")
        ((_, text),) = hook.took
        assert "Two?" in text


def test_a_page_that_waits_for_news_is_open_however_long_it_waits(world, hook, monkeypatch):
    """P18: only between two waits does it count how long ago it asked."""
    monkeypatch.setattr(waiting, "LIVE_SECONDS", 0.05)
    unseen, looked = waiting.Waiting.unseen, []

    def noted(self, did):
        looked.append(did)
        unseen(self, did)

    monkeypatch.setattr(waiting.Waiting, "unseen", noted)
    world.person("ann", channels=[hook.address])
    with world.core() as core:
        page = core.desk.ask_later(ListTasks("did:ann", wait=10), 15.0)
        until(lambda: len(looked) > 2, "it waits for longer than a page counts as open")
        assert core.ask(OpenPages()) == ("did:ann",)
        core.submit(query("ann", **SOON))
        assert page.get()["tasks"]
        until(lambda: hook.took, "then nobody looks any more")


def test_who_looks_at_a_page_sees_that_no_answer_is_needed_and_is_not_written_to(world, hook):
    """P14, P18: also of what a channel told before the page was opened."""
    world.person("ann", channels=[hook.address])
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        until(lambda: hook.titles == ["A question for you"], "ann is told")
        page = core.desk.ask_later(ListTasks("did:ann", state="open", after=10**9, wait=10), 15.0)
        until(lambda: core.ask(OpenPages()) == ("did:ann",), "her page is open")
        core.cancel(thread)
        assert page.get()["tasks"] == []
        core.parked()
        core.system.address("herald").ask(None, timeout=5)
        assert core.system.find("herald").cell.actor.boxes == {}
    assert hook.titles == ["A question for you"]


def test_a_delegate_is_told_at_once_where_who_was_asked_first_had_little_time(world, hook):
    """P18: his own SLA says nothing; hers was over before the digest."""
    world.person("ann", sla_seconds=600, delegates=["did:bob"])
    world.person("bob", channels=[hook.address])
    with world.core(digest_seconds=HOUR) as core:
        core.submit(query("ann", side_effects={"max_latency_secs": WEEK}))
        core.task("did:ann")
        core.parked()
        core.forward(601)
        until(lambda: hook.titles == ["A question was passed on to you"], "bob is told")


def test_that_no_answer_is_needed_is_not_said_when_none_could_be_given_any_more(world):
    """P18: the channel was away meanwhile."""
    failing = threading.Event()

    def through(messages):
        return [False] * len(messages) if failing.is_set() else world.tell(messages)

    world.through = through
    world.person("ann", channels=["json://ann"])
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        until(lambda: len(world.told) == 1, "ann is told")
        failing.set()
        core.cancel(thread)
        until(core.alerts, "the channel fails")
        core.forward(HOUR + 1)
        failing.clear()
        until(lambda: core.system.find("herald").cell.actor.boxes == {}, "nothing waits")
    assert len(world.told) == 1


# ── over restarts ────────────────────────────────────────────────────────────────────────────


def test_a_core_killed_between_the_call_and_the_message_tells_after_its_restart(
    tmp_path, monkeypatch, world, hook
):
    """P4: the herald finds in the store whom nobody told; no run is woken for it."""
    world.person("ann", channels=[hook.address])
    unheard = World(tmp_path / "unheard.db", monkeypatch)
    unheard.entries = world.entries
    with unheard.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        core.task("did:ann")
        records = core.records(thread)
    assert [entry["kind"] for entry in records] == ["intend", "call"]
    lay_down(world.path, records)
    with world.core() as core:
        until(lambda: marked(core), "ann is told, and that is stored")
        assert core.executions() == []
        assert core.row(thread)["state"] == "open"
    with world.core() as core:
        assert core.task("did:ann")["thread"] == thread
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
    assert hook.titles == ["A question for you"]
    assert "What is it?" in hook.took[0][1]


def test_a_task_whose_notice_was_lost_in_a_living_core_is_found(tmp_path, monkeypatch, world, hook):
    """P4: and on an open page first."""
    monkeypatch.setattr(herald, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "LIVE_SECONDS", 0.5)
    world.person("ann", channels=[hook.address])
    other = World(tmp_path / "other.db", monkeypatch)
    other.entries = world.entries
    with other.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        core.task("did:ann")
        records = core.records(thread)
    with world.core() as core:
        core.ask(ListTasks("did:ann", wait=0.01))
        core.system.address("phylactery").ask(
            Append([again(entry) for entry in records]), timeout=5
        )
        until(lambda: hook.took, "ann is told")
        assert core.ask(OpenPages()) == ()


def test_a_crash_after_the_message_tells_at_most_once_more(world, hook, monkeypatch):
    """P4, P18: between the message and the record of it; never again once that is stored."""
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", HOUR)
    world.person("ann", channels=[hook.address])
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        until(lambda: len(hook.took) == 1, "ann is told")
        assert marked(core) == []
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", 0.02)
    with world.core() as core:
        until(lambda: marked(core), "ann is told again, and that is stored")
    with world.core() as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
        core.act(core.task("did:ann"), "submit", value="x")
        core.ended(thread)
    assert len(hook.took) == 2


def test_who_was_told_behind_a_waiting_digest_is_not_told_again(world, hook, mail):
    """P18: the account is of each task and person; the digest's time goes on from the asking."""
    world.person("ann", channels=[hook.address])
    world.person("bob", channels=[mail.address(BOB)])
    with world.core(digest_seconds=HOUR) as core:
        core.submit(query("bob"))
        core.task("did:bob")
        core.submit(query("ann", **SOON))
        until(lambda: [did for _, did in marked(core)] == ["did:ann"], "that ann is told is stored")
    assert mail.mails == []
    world.clock.forward(HOUR - 100)
    with world.core(digest_seconds=HOUR) as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
    assert (hook.titles.count("A question for you"), mail.mails) == (1, [])
    world.clock.forward(101)
    with world.core(digest_seconds=HOUR) as core:
        until(lambda: len(marked(core)) == 2, "bob's digest is stored")
    assert (hook.titles.count("A question for you"), len(mail.mails)) == (1, 1)


def reminders(core):
    """The reminders that are durable."""
    found = core.system.address("phylactery").ask(Query(kind="tick"), timeout=5)
    return [entry for entry in found if entry["body"]["name"].startswith("remind:")]


def test_a_reminder_that_no_channel_took_is_sent_by_the_next_core(world, hook, mail):
    """P18: once a channel took it, by no core any more; no run is woken, no task made."""
    world.person("ann", channels=[hook.address], sla_seconds=600)
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        until(lambda: marked(core), "ann is told, and that is stored")
        hook.failing = 10**9
        core.forward(301)
        until(lambda: reminders(core) and hook.refused, "the reminder is due, and not taken")
    for _ in range(2):
        with world.core() as core:
            until(lambda: len(reminders(core)) == 1 and hook.refused > 1, "it is tried again")
            hook.refused = 0
    hook.failing = 0
    with world.core() as core:
        until(lambda: ticked(core), "that ann is reminded is stored")
        assert core.executions() == []
        assert len(core.records(thread, "call")) == 1
    with world.core() as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
        core.forward(180)
        until(lambda: len(hook.took) == 3, "the second reminder")
    assert hook.titles == ["A question for you", *["A question still waits for you"] * 2]
    assert len(core_tasks(world, thread)) == 1


def ticked(core):
    """Up to where reminders are known to be told."""
    found = core.system.address("phylactery").ask(Latest("told", delivery_log.THREAD), timeout=5)
    ticks = reminders(core)
    return bool(found and ticks) and found["body"]["ticks"] >= ticks[0]["seq"]


def core_tasks(world, thread):
    with world.core() as core:
        return core.system.address("phylactery").ask(Tasks(thread=thread), timeout=5)


def test_a_reminder_lost_on_its_way_in_a_living_core_is_found(tmp_path, monkeypatch, world, hook):
    """P18: its tick is durable, so it is due."""
    monkeypatch.setattr(herald, "LOOK_SECONDS", 0.1)
    world.person("ann", channels=[hook.address], sla_seconds=600)
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        until(lambda: marked(core), "ann is told, and that is stored")
        core.parked()
        last = core.records(thread)[-1]
        body = {"name": "remind:primary/0#1:50", "due": last["clock"] + 1}
        tick = again(last, kind="tick", act="GET", body=body, clock=last["clock"] + 1)
        core.system.address("phylactery").ask(Append([tick]), timeout=5)
        until(lambda: len(hook.took) == 2, "ann is reminded")
        until(lambda: ticked(core), "that is stored")
    assert hook.titles[1] == "A question still waits for you"


@pytest.mark.parametrize("accepted", [True, False])
def test_whoever_answered_is_not_reminded_by_the_next_core(world, hook, accepted, monkeypatch):
    """P18: who only promised to answer is."""
    world.person("ann", channels=[hook.address], sla_seconds=600)
    with world.core() as core:
        core.submit(query("ann", **SOON))
        until(lambda: marked(core), "ann is told, and that is stored")
        hook.failing = 10**9
        core.forward(301)
        until(lambda: hook.refused, "the reminder is not taken")
        task = core.task("did:ann")
        core.act(task, "accept" if accepted else "submit", **({} if accepted else {"value": "x"}))
    hook.failing = 0
    with world.core() as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
        until(lambda: len(hook.took) == 1 + accepted, "ann is reminded of what she promised")
    assert hook.titles[1:] == ["A question still waits for you"] * accepted


def test_an_account_of_before_reminders_were_kept_reminds_nobody_again(world, hook):
    """P18: the herald of an older build told of them as well as it could."""
    world.person("ann", channels=[hook.address], sla_seconds=600)
    with world.core() as core:
        core.submit(query("ann", **SOON))
        core.forward(301)
        until(lambda: len(hook.took) == 2 and ticked(core), "ann is reminded")
        store = core.system.address("phylactery")
        body = store.ask(Latest("told", delivery_log.THREAD), timeout=5)["body"]
        old = record(delivery_log.THREAD, "told", {"seq": body["seq"], "tasks": []}, actor="herald",
                     act="PUT")  # fmt: skip
        store.ask(Append([old]), timeout=5)
    with world.core() as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
    assert len(hook.took) == 2


def test_however_many_are_told_at_once_no_record_of_it_is_long(world, monkeypatch):
    """P18: the mark passes them by and by."""
    monkeypatch.setattr(delivery_log, "LISTED", 2)
    monkeypatch.setattr(delivery_log, "FEW", 3)
    world.person("ann")
    with world.core() as core:
        for number in range(7):
            core.submit(query("ann", question=f"{number}?", **SOON))
        store = core.system.address("phylactery")
        last = until(lambda: len(rows := store.ask(Tasks(), timeout=5)) == 7 and rows, "tasks")[-1]

        def passed():
            core.system.address("herald").ask(delivery_log.Look(whole=False), timeout=5)
            found = store.ask(Latest("told", delivery_log.THREAD), timeout=5)
            return found is not None and found["body"]["seq"] >= last["seq"] - 1

        until(passed, "the mark passes all")
        entries = store.ask(Query(kind="told"), timeout=5)
        assert max(len(entry["body"]["tasks"]) for entry in entries) <= 2


# ── channels that fail ───────────────────────────────────────────────────────────────────────


def test_a_channel_that_fails_is_tried_again_and_the_operator_hears_of_it_once(world, hook, mail):
    """P18, W27: the other channel is used once; what came meanwhile is sent along."""
    hook.failing = 3
    world.person("ann", channels=[hook.address, mail.address("ann@example.org")])
    with world.core() as core:
        core.submit(query("ann", question="One?", **SOON))
        until(lambda: hook.refused, "the webhook refuses")
        core.submit(query("ann", question="Two?", **SOON))
        until(lambda: sum(text.count("?") for _, text in hook.took) == 2, "ann is told of both")
        until(lambda: len(mail.mails) == 2, "two mails")
        (alert,) = core.alerts()
        assert alert.text.startswith("did:ann cannot be told of tasks through json:…")
        assert str(hook.address) not in alert.text


def test_a_channel_that_never_ends_its_answer_is_one_that_fails(world, mail, monkeypatch):
    """P18, W27: in the processes that send; the other channel is used once."""
    monkeypatch.setattr(channels, "SECONDS", 1)
    monkeypatch.setattr(outbox, "FIRST_PAUSE_SECONDS", HOUR)
    world.through = channels.send
    with offender() as bad:
        world.person("ann", channels=[bad.address("dripping"), mail.address("ann@example.org")])
        with world.core() as core:
            core.submit(query("ann", **SOON))
            (alert,) = until(core.alerts, "an alert")
            assert alert.text.startswith("did:ann cannot be told of tasks through json:…")
            until(lambda: marked(core), "that ann is told is stored")
    assert len(mail.mails) == 1


def test_a_channel_that_failed_and_hangs_now_holds_up_no_other(world, monkeypatch):
    """P18: whatever is tried again has threads of its own."""
    monkeypatch.setattr(channels, "THREADS", 1)
    tried, go_on = [], threading.Event()

    def through(messages):
        tried.append(messages[0].channel)
        if tried.count("json://ann") == 2:
            go_on.wait(30)
        return [one.channel != "json://ann" for one in messages]

    world.through = through
    world.person("ann", channels=["json://ann"])
    world.person("bob", channels=["json://bob"])
    with world.core() as core:
        core.submit(query("ann", **SOON))
        until(lambda: tried.count("json://ann") == 2, "it is tried again, and hangs")
        core.submit(query("bob", **SOON))
        try:
            until(lambda: "json://bob" in tried, "bob is told")
        finally:
            go_on.set()


def test_a_channel_that_fails_is_given_up_when_the_task_waits_no_more(world, hook, monkeypatch):
    monkeypatch.setattr(outbox, "LONGEST_PAUSE_SECONDS", 0.05)
    hook.failing = 10**9
    world.person("ann", channels=[hook.address])
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        until(lambda: hook.refused > 2, "the webhook refuses again and again")
        core.act(core.task("did:ann"), "submit", value="found it")
        core.ended(thread)
        until(lambda: marked(core), "it is given up")


def test_a_channel_that_hangs_holds_up_nobody(world, hook):
    """P18: nothing of a run waits for the herald."""
    hook.open.clear()
    world.person("ann", channels=[hook.address])
    world.scripted("quick", "at once")
    with world.core() as core:
        core.submit(query("ann", **SOON))
        assert hook.asked.wait(10)
        assert core.run(query("quick"))["answer"] == "at once"
        assert core.task("did:ann")["state"] == "open"
        hook.open.set()
        until(lambda: hook.took, "ann is told")


def test_the_boxs_variables_are_put_into_the_files_channels_alone(world, monkeypatch):
    """P18: whoever may register a person must not read the environment of the core."""
    monkeypatch.setenv("SECRET_OF_THE_BOX", "hunter2")
    world.through = world.tell
    world.person("ann", channels=["json://{env:SECRET_OF_THE_BOX}@ann"])
    spied = "json://{env:SECRET_OF_THE_BOX}@bob"
    bob = {"id": "bob", "kind": "actor", "did": "did:bob", "channels": [spied]}
    entry = record("responders", "responder", {"responder": bob}, actor="registry", act="PUT")
    with world.core() as core:
        core.system.address("phylactery").ask(Append([entry]), timeout=5)
    with world.core() as core:
        core.submit(query("ann", "bob", **SOON))
        until(lambda: len(world.told) == 2, "both are told")
    assert {channel for channel, _, _ in world.told} == {"json://hunter2@ann", spied}


@pytest.mark.parametrize("address", ["nonsense", "json://{env:NO_SUCH_SECRET}@127.0.0.1/"])
def test_an_address_that_is_none_is_the_operators_to_hear_of(world, address):
    world.person("ann", channels=[address])
    with world.core() as core:
        core.submit(query("ann", **SOON))
        alert = until(lambda: [a for a in core.alerts() if "be told" in a.text], "an alert")[0]
        assert "did:ann cannot be told" in alert.text
        assert "SECRET" not in alert.text
