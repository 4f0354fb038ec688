"""What the commands that ask the desk share: asking it, following a query, what may be sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from covend.cli.shared import Status, console, fail, say

if TYPE_CHECKING:
    from covend.cli.client import BoxClient
    from covend.questions import SubmitQuery


def asked(box: BoxClient, message: object, wait: float = 0.0) -> dict[str, Any]:
    """The desk's answer; a refusal ends the command with every error in it.

    ``wait`` is how many seconds the desk may wait itself before it answers. Raises ``BoxSilent``
    also for a refusal that holds for now alone.
    """
    from covend.cli.client import BoxSilent
    from covend.questions import ASK_SECONDS, AWAY, DESK, faults

    answer: dict[str, Any] = box.ask(DESK, message, wait + ASK_SECONDS)
    refused: dict[str, Any] | None = answer.get("refused")
    if refused:
        if refused["status"] == AWAY:
            raise BoxSilent(str(refused["message"]))
        errors = faults(refused)
        for error in errors:
            say(error, err=True)
        wrong = refused["status"] in (400, 422)
        count = f"{len(errors)} error{'s' * (len(errors) > 1)}"
        fail(count if errors else refused["message"], Status.WRONG if wrong else Status.FAILED)
    return answer


def insisted(box: BoxClient, message: object) -> dict[str, Any]:
    """The desk's answer to what it may hear twice; a core that is away is asked again."""
    from covend.cli.client import BoxSilent
    from covend.questions import RETRY_SECONDS, SUBMIT_SECONDS

    deadline = time.monotonic() + SUBMIT_SECONDS
    while True:
        try:
            return asked(box, message)
        except BoxSilent:
            if time.monotonic() >= deadline:
                raise
        time.sleep(RETRY_SECONDS)


def submitted(box: BoxClient, order: SubmitQuery) -> dict[str, Any]:
    """The query's ticket; who hears of none is told how to ask and not to pay twice (P7)."""
    from covend.cli.client import BoxNotRunning, BoxSilent
    from covend.questions import in_doubt

    key = f"--key {order.key!r}"
    try:
        return insisted(box, order)
    except (BoxSilent, BoxNotRunning) as error:
        raise type(error)(in_doubt(error, key)) from error
    except KeyboardInterrupt:
        fail(in_doubt("the box has not answered yet", key), Status.INTERRUPTED)


def known(box: BoxClient) -> list[dict[str, Any]]:
    """Who can be asked, as the box knows them."""
    from covend.questions import ListResponders

    found: list[dict[str, Any]] = insisted(box, ListResponders())["responders"]
    return found


def follow(box: BoxClient, id_: str, seconds: float, quiet: bool) -> None:
    """Print each record as it comes, to the query's end, or until the box sets it aside (P2).

    A restarting core is waited for. On standard error: standard output is the answer's. Whoever
    leaves before is told that the query goes on.
    """
    try:
        follow_on(box, id_, seconds, quiet)
    except KeyboardInterrupt:
        fail(f"it goes on: `covend query watch {id_}`", Status.INTERRUPTED)


def follow_on(box: BoxClient, id_: str, seconds: float, quiet: bool) -> None:
    from covend.cli.client import BoxSilent
    from covend.cli.query_view import PURGED, doubts, line
    from covend.questions import POLL_SECONDS, RETRY_SECONDS, RecordsOf, ShowQuery, is_over

    progress = console(stderr=True)
    after, deadline = 0, time.monotonic() + seconds
    purged = False
    doubted: set[str] = set()
    while (left := deadline - time.monotonic()) > 0:
        try:
            order = RecordsOf(id=id_, after=after, wait=min(POLL_SECONDS, left))
            told = asked(box, order, POLL_SECONDS)
            over = is_over(told)
            still = not told["records"] and not over and not quiet
            story = asked(box, ShowQuery(id=id_)) if still else {}
        except BoxSilent:
            time.sleep(min(RETRY_SECONDS, left))
            continue
        for entry in told["records"]:
            after = entry["seq"]
            if not quiet and entry.get("purged") and not purged:
                purged = True
                progress.print(PURGED)
            elif not quiet and (text := line(entry)):
                progress.print(text)
        for text in doubts(story):
            if text not in doubted:
                doubted.add(text)
                progress.print(text, style="red")
        if over:
            return
    fail(f"{id_} has not ended after {seconds:g} s; `covend query watch {id_}`", Status.NO_ANSWER)


def every_record(box: BoxClient, id_: str) -> list[dict[str, Any]]:
    """All records of a query so far."""
    from covend.questions import RecordsOf

    found: list[dict[str, Any]] = []
    while True:
        told = asked(box, RecordsOf(id=id_, after=found[-1]["seq"] if found else 0))
        if not told["records"]:
            return found
        found += told["records"]


def decoded(data: bytes, where: str) -> Any:
    """What this JSON says; ends the command saying what is wrong with it."""
    import msgspec

    from covend.duplicates import duplicate

    try:
        value = msgspec.json.decode(data)
        twice = duplicate(data)
    except UnicodeDecodeError as error:
        fail(f"{where}: no UTF-8: {error}", Status.WRONG)
    except RecursionError:
        fail(f"{where}: nested too deeply", Status.WRONG)
    except (msgspec.DecodeError, ValueError) as error:
        fail(f"{where}: no JSON: {error}", Status.WRONG)
    if twice:
        fail(f"{where}: {twice} is there more than once", Status.WRONG)
    return value


def bounded(value: object, what: str) -> None:
    """Ends the command where this is more than the box takes, or no text."""
    from covend.questions import unfit

    if problem := unfit(value, what):
        fail(problem, Status.WRONG)
