"""The account of whom tasks and reminders were told to, without an actor around it (P4, P18)."""

from covend.actors.people.delivery_log import Account, task_of
from covend.phylactery.messages import Query, Tasks

ROW = {"thread": "q-1", "slot": "primary/0", "attempt": 1, "seq": 5, "did": "did:ann"}
TASK = task_of(ROW)


class Here:
    """What an account needs of its actor."""

    def timer(self, key, seconds, message):
        pass

    def tell(self, target, message):
        pass


def account(records=(), rows=()):
    """The account of a store with these records and tasks."""

    def ask(question):
        if isinstance(question, Tasks):
            wanted = {"did": question.did, "state": question.state, "thread": question.thread}
            said = {name: value for name, value in wanted.items() if value is not None}
            return [
                row for row in rows if row["seq"] > question.after and said.items() <= row.items()
            ]
        assert isinstance(question, Query)
        found = [
            entry
            for entry in records
            if entry["kind"] == question.kind and entry["seq"] > question.after
        ]
        return sorted(found, key=lambda entry: entry["seq"], reverse=question.newest_first)[
            : question.limit
        ]

    return Account(Here(), ask)


def told(seq, upto, ticks, *tasks):
    body = {"seq": upto, "ticks": ticks, "tasks": [list(whom) for whom in tasks]}
    return {"kind": "told", "thread": "herald", "seq": seq, "id": f"{seq}", "body": body}


def tick(seq, call="primary/0#1", due=7):
    body = {"name": f"remind:{call}:50", "due": due}
    return {"kind": "tick", "thread": "q-1", "seq": seq, "id": f"{seq}", "body": body}


def test_what_was_told_above_either_mark_is_recalled():
    """P18: one task that nobody could be told of holds the mark of tasks, and not of reminders."""
    kept = account([told(10, 3, 3, ("a", "ann")), told(20, 3, 15, ("b", "bob"))])
    kept.recall()
    assert kept.told == {("a", "ann"), ("b", "bob")}
    assert (kept.marked, kept.ticks_marked) == (3, 15)


def test_who_was_asked_after_a_reminder_was_due_is_not_reminded_by_it():
    """P18: a delegate has just been told of the task itself."""
    rows = [ROW | {"state": "open"}, ROW | {"state": "open", "did": "did:bob", "seq": 30}]
    missed = account([tick(20)], rows).look_at_ticks(whole=True)[2]
    assert [(one.row["did"], one.happening) for one in missed] == [("did:ann", "reminder")]


def test_a_reminder_that_nobody_need_hear_any_more_holds_nothing_back():
    """P18: the next core need not read the ticks from there on again."""
    row = ROW | {"state": "open"}
    kept = account([tick(20)], [row])
    upto, _, missed = kept.look_at_ticks(whole=True)
    assert (upto, len(missed)) == (19, 1)
    kept.heard.add((f"{TASK}@7", "did:ann"))
    row["state"] = "submitted"
    assert kept.look_at_ticks(whole=True)[0] >= 20
    assert kept.reminders == {}
