"""When the timekeeper looks at the store again, and whom it tells what how often (P6, P20)."""

import pytest

from covend.actors.runs.messages import Look, Looked, Ticked
from covend.actors.runs.next_look import LookNow, NextLook
from covend.actors.runs.timekeeper import (
    FLOOD_SECONDS,
    LONGEST_SECONDS,
    PAGE,
    REPEAT_SECONDS,
    Timekeeper,
)
from covend.phylactery.messages import Due, NextDue

SECOND = 1_000_000


class Stage:
    """A timekeeper whose store is a list, whose clocks stand still, and whose words are kept."""

    def __init__(self, *due):
        self.timers = [{"thread": "q-1", "name": f"t{at}", "due": at} for at in due]
        self.seconds = 100.0
        self.told = []
        self.next = None
        self.delay = None
        self.keeper = Timekeeper(lambda: round(self.seconds * SECOND))
        self.keeper.ctx = self

    def now(self):
        return self.seconds

    def ask(self, target, question, timeout):
        match question:
            case Due(now=now, limit=limit):
                return [row for row in self.timers if row["due"] <= now][:limit]
            case NextDue(after=after):
                return min((row["due"] for row in self.timers if row["due"] > after), default=None)

    def tell(self, target, message):
        match message:
            case Ticked():
                self.told.append(message.due)
            case Looked(due=due):
                self.next = due

    def timer(self, name, seconds, message):
        self.delay = seconds

    def look(self, later=0.0):
        self.seconds += later
        self.keeper.on_receive(Look())
        return self.delay


def test_a_timer_that_stays_due_is_repeated_and_not_looked_at_in_between():
    """P2: that of a run that was set aside stays for good."""
    stage = Stage(90 * SECOND)
    assert stage.look() == REPEAT_SECONDS and len(stage.told) == 1
    assert stage.look(later=4) == REPEAT_SECONDS - 4 and len(stage.told) == 1
    assert stage.look(later=REPEAT_SECONDS - 4) == REPEAT_SECONDS and len(stage.told) == 2


def test_the_desk_hears_when_the_next_timer_is_due_whatever_stays_due():
    stage = Stage(90 * SECOND, 103 * SECOND)
    assert stage.look() == REPEAT_SECONDS and stage.next == 103 * SECOND
    stage.look(later=3)
    assert stage.told == [90 * SECOND, 103 * SECOND]


def test_the_store_is_looked_at_now_and_then_for_the_clock_may_be_set():
    stage = Stage()
    assert stage.look() == LONGEST_SECONDS and stage.next is None


class Desk:
    """What the desk's account of the next look does with timers and messages."""

    def __init__(self):
        self.told, self.delay = [], None
        self.next = NextLook(self, lambda: 100 * SECOND)

    def timer(self, name, seconds, message):
        assert message == LookNow()
        self.delay = seconds

    def tell(self, target, message):
        self.told.append((target, message))


def test_the_earliest_of_all_timers_is_waited_for():
    desk = Desk()
    desk.next.heard(102 * SECOND)
    assert desk.delay == 2.0
    desk.next.heard(105 * SECOND)
    assert desk.delay == 2.0
    desk.next.heard(101 * SECOND)
    assert desk.delay == 1.0 and desk.told == []


def test_after_a_look_whatever_is_heard_of_counts_again():
    """P20: a timer that was later than another is told of by the look at that one."""
    desk = Desk()
    desk.next.heard(102 * SECOND)
    desk.next.begin()
    assert desk.told == [("timekeeper", Look())]
    desk.next.heard(105 * SECOND)
    assert desk.delay == 5.0


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, 2 * PAGE + 7])
def test_of_a_flood_each_is_told_of_once_page_by_page(count):
    stage = Stage(*range(1, count + 1))
    looks = [stage.look()]
    while looks[-1] == FLOOD_SECONDS:
        looks.append(stage.look(later=FLOOD_SECONDS))
    assert len(stage.told) == len(set(stage.told)) == count
    assert len(looks) == count // PAGE + 1
