"""How a query's records look to a person: a line each while it runs, a tree when it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from covend.patterns.state import call_id_of

Record = Mapping[str, Any]

GOOD = {"fulfilled", "ok"}
WAITING = {"open", "accepted", "degraded"}
WIDTH = 76
PURGED = "its working records were purged; its end is kept"


def line(record: Record) -> Text | None:
    """One line for one record as it comes; None for what says nothing to a reader."""
    says = LINES.get(record["kind"])
    if says is None or record.get("purged"):
        return None
    at = datetime.fromtimestamp(record["clock"] / 1e6).strftime("%H:%M:%S")
    return Text.assemble((f"{at} ", "dim"), says(record["body"]))


def tree(story: Mapping[str, Any], records: Sequence[Record]) -> RenderableType:
    """The whole thread: rounds, calls with time, cost and confidence, and why it went on."""
    opened = story["opened"]
    asked: Mapping[str, Any] = story["query"] or {}
    root = Tree(Text.assemble((story["id"], "bold"), "  ", short(asked.get("question", ""))))
    for text in damages(story):
        root.add(Text(text, "red"))
    if any(record.get("purged") for record in records):
        root.add(Text(PURGED, "dim"))
        records = [record for record in records if not record.get("purged")]
    answers = {
        call_id_of(record["body"]): record
        for record in records
        if record["kind"] == "do" and not promises(record)
    }
    accepted = {
        call_id_of(record["body"]): record["body"] for record in records if promises(record)
    }
    stands = {call["call"]: call for call in story.get("calls", ())}
    rounds: dict[str, Tree] = {}
    called = {call_id_of(record["body"]) for record in records if record["kind"] == "call"}
    for record in records:
        body = record["body"]
        match record["kind"]:
            case "do" if call_id_of(body) not in called:  # that record is damaged
                root.add(Text.assemble((since(record, opened), "dim"), told(body)))
            case "call":
                name = body["slot"].rpartition("/")[0]
                branch = rounds.get(name) or rounds.setdefault(name, root.add(Text(name, "bold")))
                call = call_id_of(body)
                text = Text.assemble((since(record, opened), "dim"), _who(body))
                if call in answers:
                    text.append(came(record, answers[call]))
                elif story.get("damaged"):
                    text.append("  no answer that is whole", "yellow")
                elif story.get("know"):
                    text.append("  no answer", "yellow")
                elif stands.get(call, {}).get("status") == "unclear":
                    text.append(f"  {unclear(story['id'], call)}", "red")
                else:
                    until = stands.get(call, body)["deadline"]
                    text.append(f"  {awaited(body, until, accepted.get(call))}", "yellow")
                branch.add(text)
            case "learn":
                root.add(Text.assemble((since(record, opened), "dim"), learned(body)))
            case "cancel":
                root.add(Text(f"{since(record, opened)}{cancelled(body)}"))
            case "trigger" | "unjoined" | "refused":
                root.add(Text(f"{since(record, opened)}then {body['trigger']}: {triggered(body)}"))
            case _:
                pass
    root.add(ending(story) if story.get("know") else Text(unended(story), "yellow"))
    return root


def damages(story: Mapping[str, Any]) -> list[str]:
    """Which records are damaged, and how, a line for each."""
    return [f"record {one['seq']} is damaged: {one['problem']}" for one in story.get("damaged", ())]


def unended(story: Mapping[str, Any]) -> str:
    """How a query stands that has no end to show."""
    if story.get("state") == "ended":
        return "ended, and its end is damaged"
    why = story.get("set_aside")
    return "still open" if why is None else f"set aside, so it does not go on: {why}"


def ending(story: Mapping[str, Any]) -> RenderableType:
    """How it ended: the status, what it cost, and the answer."""
    know = story["know"]
    parts: list[RenderableType] = [verdict(story)]
    if know.get("answer") is not None:
        parts.append(Text(shown(know["answer"])))
    if know.get("left_out"):
        parts.append(Text(missing(know["left_out"]), "yellow"))
    return Group(*parts)


def verdict(story: Mapping[str, Any]) -> Text:
    """How it ended, without the answer: the status, the reason, and what it cost."""
    know = story["know"]
    style = "green" if know["status"] in GOOD else "yellow" if know["status"] in WAITING else "red"
    head = Text.assemble((know["status"], style))
    if know.get("confidence") is not None:
        head.append(f"  confidence {know['confidence']:.2f}")
    why = [
        str(know[name]) for name in ("code", "reason") if know.get(name) not in (None, "cancelled")
    ]
    if know["status"] == "rejected":
        why.append(rejection(know["audit"]))
    if know.get("code") == "no_candidates":
        asked: Mapping[str, Any] = story["query"] or {}
        why.append(short(asked.get("responders", "")))
    if why:
        head.append("  " + ": ".join(why))
    return head.append(bill(story.get("spent") or know.get("cost") or {}), "dim")


def missing(left_out: Sequence[str]) -> str:
    """That some of it was too large to come."""
    return f"too large to be shown: {short(', '.join(left_out))}; `covend export` has all of it"


def bill(cost: Mapping[str, float]) -> str:
    """What it cost, late answers included, and what it may cost yet; empty for nothing (P13)."""
    settled, reserved = cost.get("settled"), cost.get("reserved")
    text = f"  ${settled or 0:.4f}" if settled or reserved else ""
    return f"{text} (perhaps ${reserved:.4f} more)" if reserved else text


def rejection(audit: Mapping[str, Any]) -> str:
    """Who rejected which answer, and why, if the verdict says so."""
    verdict: Mapping[str, Any] = audit.get("verdict") or {}
    reason = verdict.get("reason")
    text = f"by {audit.get('by')}: {short(audit.get('answer'))}"
    return f"{text} ({reason})" if reason else text


def table(queries: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Queries, one a line."""
    view = Table(whole("id"), "state", "pattern", "opened", "question", box=None, pad_edge=False)
    for query in queries:
        view.add_row(
            Text(query["id"]),
            Text(query.get("status") or query["state"]),
            Text(query.get("pattern") or ""),
            Text(datetime.fromtimestamp(query["opened"] / 1e6).strftime("%m-%d %H:%M:%S")),
            Text(short(query.get("question") or "")),
        )
    return view


def came(call: Record, answer: Record) -> Text:
    """What came of a call, and after how long."""
    took = (answer["clock"] - call["clock"]) / 1e6
    return Text.assemble(f"  {took:.2f} s  ", _outcome(answer["body"]))


def awaited(call: Mapping[str, Any], due: int, accepted: Mapping[str, Any] | None) -> str:
    """Who is waited for, and until when, where a call is open still."""
    responder = call["responder"]
    if accepted is None:
        return f"waiting for {responder['id']}, due {when(due)}"
    by = "" if accepted["by"] == responder.get("did") else f" by {accepted['by']}"
    return f"accepted{by}, due {when(due)}"


def doubts(story: Mapping[str, Any]) -> list[str]:
    """What an operator must say before a query goes on, a line for each unclear call (P4)."""
    calls = story.get("calls", ())
    return [unclear(story["id"], one["call"]) for one in calls if one["status"] == "unclear"]


def unclear(id_: str, call: str) -> str:
    """That an operator must say what becomes of a call, and how (P4, ``on_indeterminate: ask``)."""
    return (
        "unclear: nobody knows whether it was carried out; say it with "
        f"`covend query settle {id_} '{call}' --again` or `--failed`"
    )


def promises(record: Record) -> bool:
    """Whether it says that somebody will answer, and is no answer yet."""
    return record["kind"] == "do" and record["body"]["status"] == "accepted"


def compared(body: Mapping[str, Any]) -> str:
    """Why a third is asked where two were to verify each other."""
    if body["verify"] == "missing":
        return "one of the two gave no answer that counts: a third is asked"
    return f"the two {body['verify']} (agreement {body['agreement']:.2g})"


def learned(body: Mapping[str, Any]) -> Text:
    """Why the pattern went on."""
    for member, told in REASONS.items():
        if member in body:
            return Text(told(body), "cyan")
    return Text("noted", "cyan")


def triggered(body: Mapping[str, Any]) -> str:
    """Which query was begun by this one, or why it was not; a part of a join may begin none yet."""
    join = body.get("join")
    if join is None or body.get("refused"):
        return str(body.get("refused") or body.get("child") or "")
    need = join.get("need", "all")
    count = {"all": join["of"], "any": 1}.get(need, need)
    return f"{body['child']}, once {count} of {join['of']} parts of the join {join['id']!r} came"


def cancelled(body: Mapping[str, Any]) -> str:
    """That somebody cancelled, and why, if that was said."""
    reason = body.get("reason")
    return "cancelled" if reason in (None, "cancelled") else f"cancelled: {reason}"


def whole(title: str) -> Column:
    """A column whose cells are never cut: somebody copies what is in them."""
    return Column(title, no_wrap=True, overflow="fold")


def when(clock: int) -> str:
    """A record's clock as the time of day here."""
    return datetime.fromtimestamp(clock / 1e6).strftime("%m-%d %H:%M")


def since(record: Record, opened: int) -> str:
    return f"+{(record['clock'] - opened) / 1e6:.2f} s "


def short(value: object) -> str:
    """The value on one line of bounded length."""
    text = " ".join(shown(value).split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _who(body: Mapping[str, Any]) -> Text:
    responder = body["responder"]
    return Text.assemble(f"{call_id_of(body)} ", (responder["id"], "bold"))


def told(body: Mapping[str, Any]) -> Text:
    """What came, and of which call."""
    return Text.assemble(f"{call_id_of(body)} ", _outcome(body))


def _outcome(body: Mapping[str, Any]) -> Text:
    status = str(body["status"])
    style = "green" if status in GOOD else "yellow" if status in WAITING else "red"
    text = Text().append("late " if body.get("late") else "", "yellow").append(status, style)
    if body.get("confidence") is not None:
        text.append(f" {body['confidence']:.2f}")
    if body.get("cost"):
        text.append(f" ${body['cost']:.4f}")
    said = body.get("value") if status == "ok" else body.get("problem")
    if said is not None or status == "ok":
        text.append(f"  {short(said)}")
    return text.append(f" ({short(body['rationale'])})") if body.get("rationale") else text


def _silent(body: Mapping[str, Any]) -> str:
    if "silent" in body:
        return f"no audit: {shown(body['silent'])}"
    return f"to be audited: {short(body['answer'])}"


def _people(members: Mapping[str, Any]) -> str:
    return ", ".join(f"{call} to {shown(to)}" for call, to in members.items())


REASONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "verify": compared,
    "stage": lambda body: f"stage {body['stage']} {body['outcome']}: {body['reason']}",
    "attempt": lambda body: f"attempt {body['attempt']} does not stand: {body['reason']}",
    "tier": lambda body: f"tier {body['tier']} does not stand: {body['reason']}",
    "audited": _silent,
    "delegate": lambda body: f"delegated {_people(body['delegate'])}",
    "postponed": lambda body: f"promised: nobody else is asked yet: {', '.join(body['postponed'])}",
    "extended": lambda body: f"given more time: {', '.join(body['extended'])}",
}
"""By the member that names the kind of ``learn``, what it says."""

LINES: dict[str, Callable[[Mapping[str, Any]], Text]] = {
    "call": lambda body: Text.assemble("asks ", _who(body)),
    "do": told,
    "learn": learned,
    "cancel": lambda body: Text(cancelled(body), "yellow"),
    "trigger": lambda body: Text(f"then {body['trigger']}: {triggered(body)}"),
    "unjoined": lambda body: Text(f"then {body['trigger']}: {triggered(body)}", "yellow"),
    "refused": lambda body: Text(f"then {body['trigger']}: {triggered(body)}", "yellow"),
}
"""By kind of record, its line."""
