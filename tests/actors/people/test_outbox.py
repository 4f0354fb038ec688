"""The outbox of one channel: what waits, what is under way, and the pauses between (P18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from covend.actors.people.outbox import FIRST_PAUSE_SECONDS, Outbox
from covend.actors.runs.messages import Notice

NEW = Notice("assigned", "q-1~primary~0~1", ("did:ann",), "May I?", 10**15, 0)
HAPPENINGS = ("assigned", "reminder", "delegated", "withdrawn")
STEPS = st.one_of(
    st.tuples(st.integers(0, 2), st.sampled_from(HAPPENINGS)),
    st.sampled_from(["take", "sent", "failed", "resume"]),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_to_a_channel_the_last_word_on_every_task_arrives(steps):
    """P18: one message at a time; nothing is lost but what was withdrawn before it was read of."""
    box, last, read, begun, reminded = Outbox(), {}, {}, set(), set()

    def arrived():
        for notice in box.sent():
            read[notice.task] = notice
            reminded.difference_update((notice.task, tick) for tick in notice.ticks)

    for clock, step in enumerate(steps):
        match step:
            case (number, happening):
                if happening == "assigned" and number in begun:
                    continue  # a task is assigned once
                begun.add(number)
                task, ticks = f"t{number}", (clock,) if happening == "reminder" else ()
                last[task] = replace(NEW, task=task, happening=happening, due=clock, ticks=ticks)
                reminded.update((task, tick) for tick in ticks)
                box.put(last[task])
            case "take":
                busy = bool(box.under_way) or box.pausing
                assert not (box.take() and busy)
            case "sent" if box.under_way:
                arrived()
            case "failed" if box.under_way:
                assert FIRST_PAUSE_SECONDS <= box.failed() <= 600
            case "resume" if box.pausing and not box.under_way:
                assert box.resume(lambda _: True) == ()
    arrived()
    box.resume(lambda _: True)
    box.take()
    arrived()
    assert box.empty
    for task, notice in last.items():
        withdrawn = notice.happening == "withdrawn"
        assert withdrawn or read[task].due == notice.due
        assert withdrawn or task not in {task for task, _ in reminded}


@pytest.mark.parametrize("first", ["assigned", "delegated"])
def test_who_is_reminded_of_what_they_never_heard_of_hears_of_it(first):
    """P18: one message for both; withdrawn before it was sent, it is none."""
    box = Outbox()
    box.put(replace(NEW, happening=first))
    box.put(replace(NEW, happening="reminder", ticks=(5,), due=7))
    assert list(box.waiting.values()) == [replace(NEW, happening=first, ticks=(5,), due=7)]
    box.put(replace(NEW, happening="withdrawn"))
    assert box.empty


def test_many_reminders_are_one_message():
    box = Outbox()
    for tick in (5, 8):
        box.put(replace(NEW, happening="reminder", ticks=(tick,)))
    assert [(n.happening, n.ticks) for n in box.take()] == [("reminder", (5, 8))]


def test_pauses_grow_and_end_with_a_success():
    box = Outbox()
    pauses = []
    for _ in range(9):
        box.put(NEW)
        box.take()
        pauses.append(box.failed())
        box.resume(lambda _: True)
    assert pauses[:3] == [5, 10, 20] and pauses[-1] == 600
    box.take()
    box.sent()
    box.put(NEW)
    box.take()
    assert box.failed() == 5


def test_what_nobody_waits_for_any_more_is_left_out_after_a_pause():
    box = Outbox()
    box.put(NEW)
    box.take()
    box.failed()
    assert box.resume(lambda _: False) == (NEW,)
    assert box.empty
