"""A store that cannot be read for a while: what people are to be told is kept, and told (P18)."""

import pytest
from tests.actors.people.test_reaching_people import SOON, reminders
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down

from covend.actors.people import delivery_log, herald, outbox
from covend.actors.people.herald import Digest
from covend.actors.runs import waiting
from covend.actors.runs.messages import OpenPages, PageClosed
from covend.phylactery import actor as phylactery
from covend.phylactery.errors import StoreError
from covend.phylactery.messages import Query, Tasks
from covend.questions import ListTasks
from covend.runtime import ReplyError
from covend.testing import eventually

HOUR = 3600


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "store.db", monkeypatch)
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(herald, "UNREAD_SECONDS", 0.05)
    world.person("ann", channels=["json://ann"])
    return world


@pytest.fixture
def unread(monkeypatch):
    """Refuses the next reads that are of this sort, as many as it is told."""
    read = phylactery._read

    class unread:
        of = None
        left = refused = 0

        @classmethod
        def next(cls, of, count=1):
            cls.of, cls.left, cls.refused = of, count, 0

    def reading(store, question):
        if unread.left and unread.of(question):
            unread.left -= 1
            unread.refused += 1
            raise StoreError("the disk is away")
        return read(store, question)

    monkeypatch.setattr(phylactery, "_read", reading)
    return unread


def titles(world):
    return [title for _, title, _ in world.told]


def anns_state(question):
    """What the herald asks before it sends what it kept for her."""
    return isinstance(question, Tasks) and question.did == "did:ann" and question.limit is None


def test_a_digest_is_sent_once_it_can_be_seen_what_still_waits(world, unread):
    """P18: of what was withdrawn meanwhile it says nothing."""
    with world.core(digest_seconds=HOUR) as core:
        for number in range(2):
            core.submit(query("ann", question=f"{number}?"))
        core.cancel(core.submit(query("ann", question="2?"))["id"])
        core.parked()
        unread.next(anns_state, 2)
        core.system.address("herald").tell(Digest("did:ann"))
        eventually(lambda: world.told, what="the digest")
        assert unread.refused == 2
    assert titles(world) == ["2 questions wait for you"]


def test_what_a_page_was_told_of_is_sent_though_its_end_fell_into_a_bad_moment(
    world, unread, monkeypatch
):
    """P18."""
    monkeypatch.setattr(waiting, "LIVE_SECONDS", 0.2)
    with world.core() as core:
        page = core.desk.ask_later(ListTasks("did:ann", wait=10), 15.0)
        core.submit(query("ann", **SOON))
        assert page.get()["tasks"]
        unread.next(anns_state)
        eventually(lambda: world.told, what="the page is closed")
        assert unread.refused == 1
    assert titles(world) == ["A question for you"]


def test_a_channel_that_failed_is_tried_again_though_the_store_could_not_be_read_then(
    world, unread
):
    """P18: and what comes later does not wait behind it for ever."""
    taking = []

    def through(messages):
        if not taking:
            taking.append(True)
            unread.next(anns_state)
            return [False] * len(messages)
        return world.tell(messages)

    world.through = through
    with world.core() as core:
        core.submit(query("ann", **SOON))
        eventually(lambda: world.told, what="ann is told")
        assert unread.refused == 1


def test_a_message_whose_question_could_not_be_read_is_sent_when_it_can(tmp_path, world, unread):
    """P4, P18: of a task that the herald found in the store."""
    with world.core(digest_seconds=HOUR) as core:
        thread = core.submit(query("ann", **SOON))["id"]
        core.parked()
        records = core.records(thread)
    world.told.clear()
    world.path = tmp_path / "later.db"
    lay_down(world.path, records)
    unread.next(lambda asked: isinstance(asked, Query) and asked.kind == "call")
    with world.core() as core:
        eventually(lambda: world.told, what="ann is told")
        assert unread.refused == 1
        assert not core.alerts(), "her channel is not to blame"
    assert "What is it?" in world.told[0][2]


def test_who_is_registered_could_not_be_seen_and_nobody_is_left_out(world, monkeypatch):
    """P18: the registry waits for the store as well."""
    monkeypatch.setattr(herald, "LOOK_SECONDS", 0.1)
    ask_known, refused = herald.ask_known, []

    def known(ctx):
        if len(refused) < 2:
            refused.append(True)
            raise ReplyError("not known: the registry is slow")
        return ask_known(ctx)

    monkeypatch.setattr(herald, "ask_known", known)
    with world.core() as core:
        core.submit(query("ann", **SOON))
        eventually(lambda: world.told, what="ann is told")
    assert refused == [True, True]


def test_reminders_that_a_look_could_not_read_to_their_end_are_found_by_the_next(
    world, unread, monkeypatch
):
    """P18: the first was read, and the second was not."""
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", HOUR)
    with world.core() as core:
        for _ in range(2):
            core.submit(query("ann", side_effects={"max_latency_secs": HOUR}))
        eventually(lambda: told_of(world) == 2, what="ann is told")
        core.parked()
        address = core.system.address("herald")
        with monkeypatch.context() as lost:
            lost.setattr(herald.Herald, "notify", lambda self, notice: None)
            core.forward(HOUR / 2 + 1)
            eventually(lambda: len(reminders(core)) == 2, what="both ticks are stored")
            core.parked()
            address.ask(None, timeout=5)
        second = max(reminders(core), key=lambda tick: tick["seq"])["thread"]
        unread.next(lambda asked: isinstance(asked, Tasks) and asked.thread == second)
        address.tell(delivery_log.Look(whole=True))
        address.tell(delivery_log.Look(whole=True))
        eventually(lambda: told_of(world) == 4, what="ann is reminded of both")
        assert unread.refused == 1


def told_of(world):
    """So many questions were named in the messages."""
    return sum(text.count("What is it?") for _, _, text in world.told)


def test_a_page_that_a_desk_which_died_knew_of_holds_nothing_back(world, monkeypatch):
    """P18: whoever looks at none any more is told through the channels."""
    monkeypatch.setattr(herald, "LOOK_SECONDS", 0.1)
    with world.core() as core:
        page = core.desk.ask_later(ListTasks("did:ann", wait=10), 15.0)
        core.submit(query("ann", **SOON))
        assert page.get()["tasks"]
        assert core.ask(OpenPages()) == ("did:ann",)
        monkeypatch.setattr(waiting.Waiting, "unseen", dies)
        before = core.system.find("desk")
        core.desk.tell(PageClosed("nobody"))
        eventually(lambda: core.system.find("desk") not in (None, before), what="the next desk")
        eventually(lambda: world.told, what="ann is told")
    assert titles(world) == ["A question for you"]


def dies(self, did):
    raise RuntimeError("the desk dies of it")
