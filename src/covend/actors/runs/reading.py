"""Answering from the store what is asked about runs and tasks (P18). No state of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import covend
from covend.actors.people import inbox
from covend.actors.runs import fitting, views
from covend.actors.runs.fitting import END_BYTES, TooLarge, fitted
from covend.actors.runs.quarantine import set_aside_by_us
from covend.actors.runs.story import Story
from covend.patterns.state import call_id_of
from covend.patterns.step import Entry
from covend.phylactery.messages import Find, Query, Tasks, Thread, Threads
from covend.questions import (
    EndOf,
    ListQueries,
    ListTasks,
    RecordsOf,
    ShowQuery,
    ShowTask,
    refusal,
)
from covend.runtime import ActorError, ReplyError

log = logging.getLogger(__name__)

PAGE_LIMIT = 200
RECORDS_LIMIT = 500
RECORDS_AT_ONCE = 20
"""Read of the store together: a page may be full after the first of them."""

Question: TypeAlias = ShowQuery | EndOf | ListQueries | RecordsOf | ListTasks | ShowTask


class Reader:
    """Reads through ``ask``, which asks the store; ``is_aside`` says of which runs nothing comes.

    In the thread of whoever owns it.
    """

    def __init__(self, ask: Callable[[object], Any], is_aside: Callable[[str], bool]) -> None:
        self.ask = ask
        self.is_aside = is_aside

    def answer(self, question: Question) -> dict[str, Any]:
        """What there is now; a refusal where there is no such thing, or the store cannot say."""
        try:
            match question:
                case ShowQuery(id=thread):
                    return self.show(thread)
                case EndOf(id=thread):
                    return self.end(thread)
                case ListQueries():
                    return self.listing(question)
                case RecordsOf():
                    return self.records(question)
                case ListTasks():
                    return self.tasks(question)
                case ShowTask(id=name, did=did):
                    return self.task(name, did)
        except ReplyError as error:
            return refusal(503, "not_read", str(error))
        except TooLarge as error:
            return refusal(500, "too_large", f"this fits into no message: {error}")
        except ActorError:
            raise  # the store is away: whoever asked asks again
        except Exception as error:  # whatever records of another build of covend lead to
            log.exception("%s cannot be answered", question, exc_info=error)
            why = f"{type(error).__name__}: {error}"
            text = f"covend {covend.__version__} cannot read the records of this: {why[:200]}"
            return refusal(500, "unreadable", text)

    def show(self, thread: str) -> dict[str, Any]:
        """One run in full, folded from its records; from those that are whole, if some are not."""
        row = self.ask(Thread(thread))
        if row is None:
            return unknown(thread)
        every = self.ask(Query(thread=thread, newest_first=False, damaged=True))
        records = [entry for entry in every if "damaged" not in entry]
        damaged = views.damages(every)
        entries = Story(thread).read(records)
        purged = any(entry.get("purged") for entry in records)
        intend = first_of("intend", entries)
        know = first_of("know", entries)
        readable = intend is not None and not purged
        k = views.folded(thread, entries, gaps=bool(damaged)) if readable else None
        end = None if know is None else end_of(know)
        view = views.run(row, intend, k, end, damaged, why_aside(records))
        return fitted(view, fitting.of_run)

    def end(self, thread: str) -> dict[str, Any]:
        row = self.ask(Thread(thread))
        if row is None:
            return unknown(thread)
        if row["state"] == "ended":
            return ended(thread, self.whole("know", thread))
        return {"id": thread, "state": "open", "know": None}

    def listing(self, question: ListQueries) -> dict[str, Any]:
        limit = bounded(question.limit)
        rows = self.ask(
            Threads(question.state, question.parent, question.after, limit, newest_first=True)
        )
        lines, after = fitting.page(rows, self.line, fitting.of_line, limit)
        return {"queries": lines, "next": after}

    def line(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One run in a list, without what was damaged of it: that must not hide the others."""
        know = self.whole("know", row["id"]) if row["know"] is not None else None
        return views.line(row, self.whole("intend", row["id"]), know)

    def records(self, question: RecordsOf) -> dict[str, Any]:
        row = self.ask(Thread(question.id))
        if row is None:
            return unknown(question.id)
        seen: list[Mapping[str, Any]] = []

        def whole() -> Iterator[Mapping[str, Any]]:
            for entry in self.each_record(question.id, question.after):
                seen.append(entry)
                if "damaged" not in entry:
                    yield entry

        found, after = fitting.page(whole(), dict, fitting.of_record, RECORDS_LIMIT)
        damaged = [one for one in views.damages(seen) if after is None or one["seq"] <= after]
        return {
            "records": found,
            "damaged": damaged,
            "ended": row["state"] == "ended",
            "set_aside": self.is_aside(question.id),
            "next": after,
        }

    def each_record(self, thread: str, after: int) -> Iterator[Mapping[str, Any]]:
        """The records of a run, damaged ones too, a few of them read at a time."""
        full = True
        while full:
            rows = self.ask(
                Query(
                    thread=thread,
                    after=after,
                    limit=RECORDS_AT_ONCE,
                    newest_first=False,
                    damaged=True,
                )
            )
            yield from rows
            full = len(rows) == RECORDS_AT_ONCE
            after = rows[-1]["seq"] if full else after

    def tasks(self, question: ListTasks) -> dict[str, Any]:
        limit = bounded(question.limit)
        rows = self.ask(Tasks(question.did, question.state, question.after, limit))
        found, after = fitting.page(rows, self.as_task, fitting.of_task, limit)
        return {"tasks": found, "next": after}

    def as_task(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The task of this row; None where its call was purged or damaged, or asks nothing."""
        body = self.call_body(row["thread"], row["slot"], row["attempt"])
        if body is None or "ask" not in body:
            return None
        return self.task_of(row, body)

    def task_of(self, row: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """The task of a row; who promised is looked up only where somebody did (P18)."""
        promised_by = self.promised_by(row) if row["state"] == "accepted" else ()
        return views.task(row, body, promised_by)

    def promised_by(self, row: Mapping[str, Any]) -> list[str]:
        """Who promised an answer to a task, in order: its row says only that somebody did."""
        wanted = call_id_of(row)
        return [
            body["by"]
            for body in self.bodies("do", row["thread"])
            if body.get("status") == "accepted" and call_id_of(body) == wanted
        ]

    def task(self, name: str, did: str | None) -> dict[str, Any]:
        place = inbox.parse_task(name)
        if place is not None:
            for row in self.ask(Tasks(thread=place[0], did=did)):
                body = self.call_body(row["thread"], row["slot"], row["attempt"])
                if body is not None and call_id_of(row) == place[1]:
                    return fitted(self.task_of(row, body), fitting.of_task)
        whose = "" if did is None else f" of {did}"
        return refusal(404, "not_found", f"there is no task {name!r}{whose}")

    def call_body(self, thread: str, slot: str, attempt: int) -> dict[str, Any] | None:
        """The body of a call; None where it was purged (D4) or damaged."""
        for body in self.bodies("call", thread):
            if (body.get("slot"), body.get("attempt")) == (slot, attempt):
                return body
        return None

    def bodies(self, kind: str, thread: str) -> list[dict[str, Any]]:
        """The bodies of these records of a run, oldest first, but for damaged ones."""
        query = Query(kind=kind, thread=thread, newest_first=False, damaged=True)
        return [entry["body"] for entry in self.ask(query) if "damaged" not in entry]

    def whole(self, kind: str, thread: str) -> dict[str, Any] | None:
        """The body of a run's first record of this kind; None where that is damaged."""
        found = self.bodies(kind, thread)
        return found[0] if found else None

    def find(self, name: str) -> dict[str, Any] | None:
        """The record of this id."""
        return self.ask(Find(name))


def ended(thread: str, know: dict[str, Any] | None) -> dict[str, Any]:
    """The answer to whoever waits for the end of a run."""
    return {"id": thread, "state": "ended", "know": None if know is None else end_of(know)}


def end_of(know: dict[str, Any]) -> dict[str, Any]:
    """The end of a run, as much of it as is shown anywhere."""
    return fitted(know, fitting.of_end, END_BYTES)


def first_of(kind: str, entries: Iterable[Entry]) -> dict[str, Any] | None:
    """The body of a run's first record of this kind."""
    return next((entry.body for entry in entries if entry.kind == kind), None)


def why_aside(records: Iterable[dict[str, Any]]) -> str | None:
    """Why a run was set aside by this version of covend, if it was (P2)."""
    found = [entry["body"] for entry in records if set_aside_by_us(entry)]
    return found[-1].get("reason", "") if found else None


def unknown(thread: str) -> dict[str, Any]:
    return refusal(404, "not_found", f"there is no query {thread!r}")


def bounded(limit: int) -> int:
    return max(1, min(limit, PAGE_LIMIT))


def is_news(question: RecordsOf | EndOf | ListTasks, answer: dict[str, Any]) -> bool:
    """Whether an answer is what its asker would wait for."""
    match question:
        case RecordsOf():
            some = any(map(answer.get, ("records", "ended", "set_aside")))
            return some or "refused" in answer
        case EndOf():
            return answer.get("state") != "open"
        case ListTasks():
            return bool(answer.get("tasks")) or "refused" in answer
