"""What the trace rings of several processes say together: lines, trees, causes, Perfetto (X1, X2).

All functions take the records of all nodes in one list, as ``collect`` and ``load_dumps`` give
them: monotonic time is one clock for all processes of a boot, so sorting by it merges them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from covend.runtime import trace
from covend.runtime.errors import ActorError, ReplyError
from covend.runtime.trace import TraceRecord
from covend.runtime.trace_actor import TraceQuery
from covend.runtime.wire_client import Client

log = logging.getLogger("covend.runtime")


class Record(NamedTuple):
    """A trace record and the node that wrote it; ``wall_ns`` is the wall clock minus monotonic."""

    node: str
    wall_ns: int
    at: TraceRecord

    @property
    def actor(self) -> str:
        """The actor it happened to, as an address."""
        return self.at.actor if "@" in self.at.actor else f"{self.at.actor}@{self.node}"

    @property
    def other(self) -> str:
        """The other side, as an address; empty where there is none."""
        other = self.at.other
        return other if "@" in other or not other else f"{other}@{self.node}"

    @property
    def seconds(self) -> float:
        """When, in seconds since 1970."""
        return (self.at.time_ns + self.wall_ns) / 1e9


# ── where records come from ──────────────────────────────────────────────────────────────────


def nodes(run_dir: str | Path) -> list[str]:
    """The names of the nodes that have a socket in the box's run directory."""
    return sorted(path.stem for path in (Path(run_dir) / "wire").glob("*.sock"))


def collect(
    client: Client,
    run_dir: str | Path,
    query: TraceQuery | None = None,
    *,
    timeout: float = 5.0,
) -> list[Record]:
    """The records of every node that answers within ``timeout`` seconds, oldest first.

    A node that does not answer is left out, with a warning in the log.
    """
    wanted = query or TraceQuery()
    answers = _ask_all(client, dict.fromkeys(nodes(run_dir), wanted), timeout)
    return merged(record for answer in answers.values() for record in from_answer(answer))


def _ask_all(
    client: Client, queries: dict[str, TraceQuery], timeout: float
) -> dict[str, dict[str, Any]]:
    waiting = {
        node: client.ask_later(f"trace@{node}", query, timeout) for node, query in queries.items()
    }
    answers: dict[str, dict[str, Any]] = {}
    for node, answer in waiting.items():
        try:
            answers[node] = answer.get()
        except (ActorError, ReplyError) as error:
            log.warning("no trace of %s: %s", node, error)
    return answers


def from_answer(answer: dict[str, Any]) -> list[Record]:
    """The records in one node's answer to a ``TraceQuery``."""
    node, wall_ns = str(answer["node"]), int(answer["wall_ns"])
    return [Record(node, wall_ns, TraceRecord(*row)) for row in answer["records"]]


def load_dumps(paths: Iterable[Path]) -> list[Record]:
    """The records of crash dumps (``TraceRing.dump``). Raises ``ValueError`` for another file."""
    found: list[Record] = []
    for path in paths:
        head, records = trace.load(path)
        found += [Record(str(head["node"]), int(head["wall_ns"]), record) for record in records]
    return merged(found)


def merged(records: Iterable[Record]) -> list[Record]:
    """All records in the order in which they happened."""
    return sorted(records, key=lambda record: (record.at.time_ns, record.node, record.at.seq))


# ── lines ────────────────────────────────────────────────────────────────────────────────────


def line(record: Record) -> str:
    """One record as one line of text."""
    at = record.at
    clock = time.strftime("%H:%M:%S", time.localtime(record.seconds))
    arrow = {"send": "→", "receive": "←", "done": "←", "down": "✝"}.get(at.kind, "·")
    parts = [f"{clock}.{int(record.seconds % 1 * 1e6):06d}", f"{at.kind:<7}", record.actor]
    if record.other:
        parts += [arrow, record.other]
    if at.message:
        parts.append(at.message)
    if at.msg_id:
        parts.append(f"#{at.msg_id}")
    if at.detail:
        parts.append(f"({at.detail})")
    return " ".join(parts)


def tail(records: Iterable[Record], *, actor: str = "", kinds: Sequence[str] = ()) -> list[str]:
    """The records as lines; with ``actor`` (``name`` or ``name@node``) and ``kinds`` only those."""
    return [
        line(record)
        for record in records
        if (not kinds or record.at.kind in kinds)
        and (not actor or any(_is(actor, side) for side in (record.actor, record.other)))
    ]


def follow(
    client: Client,
    run_dir: str | Path,
    *,
    actor: str = "",
    kinds: Sequence[str] = (),
    per_second: int = 200,
    interval: float = 0.5,
    timeout: float = 5.0,
) -> Iterator[str]:
    """Lines of what happens from now on, for ever: at most ``per_second``, the rest is counted.

    The queries' own traffic is left out. The caller ends it by closing the generator.
    """
    room = max(1, int(per_second * interval))
    begin = {node: TraceQuery(limit=1) for node in nodes(run_dir)}
    seen = {node: answer["last"] for node, answer in _ask_all(client, begin, timeout).items()}
    while True:
        time.sleep(interval)  # rate limit: the rings keep what happens meanwhile
        queries = {
            node: TraceQuery(after=seen.get(node, -1), kinds=tuple(kinds))
            for node in nodes(run_dir)
        }
        found: list[Record] = []
        for node, answer in _ask_all(client, queries, timeout).items():
            restarted = answer["last"] < seen.get(node, -1)
            seen[node] = -1 if restarted else answer["last"]
            found += from_answer(answer)
        records = [record for record in merged(found) if record.at.message != "TraceQuery"]
        lines = tail(records, actor=actor, kinds=kinds)
        yield from lines[:room]
        if len(lines) > room:
            yield f"… {len(lines) - room} more (at most {per_second} lines a second are shown)"


# ── causes ───────────────────────────────────────────────────────────────────────────────────


class Message(NamedTuple):
    """One message's life, put together from what both sides recorded."""

    id: int
    cause: int
    trace: int
    name: str
    sender: str
    receiver: str
    sent_ns: int
    received_ns: int
    done_ns: int
    outcome: str


def messages(records: Iterable[Record]) -> dict[int, Message]:
    """Every message in the records, by id, in the order of their first record."""
    lives: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        if record.at.msg_id:
            lives[record.at.msg_id].append(record)
    return {id_: _life(id_, life) for id_, life in lives.items()}


def tree(records: Sequence[Record], id_: int) -> str:
    """The messages of a trace, or those that one message caused, as an indented tree.

    ``id_`` is a trace id or a message id. Raises ``LookupError`` if no record has it.
    """
    known = messages(records)
    children: dict[int, list[Message]] = defaultdict(list)
    for message in known.values():
        children[message.cause].append(message)
    if id_ in known:
        roots = [known[id_]]
    else:
        roots = [m for m in known.values() if m.trace == id_ and m.cause not in known]
    if not roots:
        raise LookupError(f"no record has the id {id_}: the rings may have forgotten it")
    start = min(_began(message) for message in roots)
    lines: list[str] = []
    pending = [(message, 0) for message in sorted(roots, key=_began, reverse=True)]
    shown: set[int] = set()
    while pending:
        message, depth = pending.pop()
        if message.id in shown:
            continue
        shown.add(message.id)
        lines.append("  " * depth + _sentence(message, start))
        below = sorted(children[message.id], key=_began, reverse=True)
        pending += [(child, depth + 1) for child in below]
    return "\n".join(lines)


def why(records: Sequence[Record], about: int | str) -> list[str]:
    """Why a message was sent, or an actor's last message came: the chain of causes, newest first.

    ``about`` is a message id, or an actor's name or address. Raises ``LookupError`` if no record
    speaks of it. The last line says so if the chain goes on beyond what the rings remember.
    """
    known = messages(records)
    if isinstance(about, str):
        to_it = [message for message in known.values() if _is(about, message.receiver)]
        if not to_it:
            raise LookupError(f"no record speaks of a message to {about!r}")
        message = max(to_it, key=_began)
    elif about in known:
        message = known[about]
    else:
        raise LookupError(f"no record has the message id {about}")
    chain = [message]
    while chain[-1].cause in known and chain[-1].cause not in {link.id for link in chain}:
        chain.append(known[chain[-1].cause])
    start = _began(chain[-1])
    lines = [_sentence(link, start) for link in chain]
    if chain[-1].cause and chain[-1].cause not in known:
        lines.append(f"… caused by #{chain[-1].cause}, which the rings have forgotten")
    return lines


# ── Perfetto ─────────────────────────────────────────────────────────────────────────────────


def perfetto(records: Sequence[Record]) -> bytes:
    """The records as Chrome trace event JSON, which ui.perfetto.dev opens.

    A process per node, a thread per actor; a slice from receive to done, an arrow from each send
    to its receive, an instant for everything else. Times are microseconds of the monotonic clock.
    """
    pids: dict[str, int] = {}
    tids: dict[tuple[str, str], int] = {}
    names: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    known = messages(records)
    sends = {r.at.msg_id for r in records if r.at.kind == "send"}
    receives = {r.at.msg_id for r in records if r.at.kind == "receive"}
    flows = {id_: str(number) for number, id_ in enumerate(sorted(sends & receives), 1)}

    def place(node: str, actor: str) -> dict[str, int]:
        if node not in pids:
            pids[node] = len(pids) + 1
            names.append(_name("process_name", pids[node], 0, node))
        if (node, actor) not in tids:
            tids[node, actor] = len(tids) + 1
            names.append(_name("thread_name", pids[node], tids[node, actor], actor))
        return {"pid": pids[node], "tid": tids[node, actor]}

    for record in records:
        at = record.at
        actor = record.actor.rpartition("@")[0] or "(no actor)"
        base = {"ts": at.time_ns / 1000, **place(record.node, actor)}
        if at.kind == "done":
            continue  # it is the end of its receive's slice
        if at.kind == "receive":
            life = known[at.msg_id]
            end = life.done_ns or at.time_ns
            events.append(
                {**base, "ph": "X", "dur": (end - at.time_ns) / 1000, **_labels(record, life)}
            )
        elif at.kind == "send":
            # An arrow needs a slice to start from, also where the sender is no actor.
            events.append({**base, "ph": "X", "dur": 0.1, **_labels(record, known[at.msg_id])})
        else:
            label = " ".join(filter(None, (at.kind, at.message, record.other)))
            detail = {"name": label, "cat": at.kind, "args": {"detail": at.detail}}
            events.append({**base, "ph": "i", "s": "t", **detail})
        if at.msg_id in flows and at.kind in ("send", "receive"):
            ends = {"ph": "s"} if at.kind == "send" else {"ph": "f", "bp": "e"}
            flow = {"id": flows[at.msg_id], "name": at.message, "cat": "message"}
            events.append({**base, **ends, **flow})
    body = {"traceEvents": names + events, "displayTimeUnit": "ms"}
    return msgspec.json.encode(body)


def _labels(record: Record, life: Message) -> dict[str, Any]:
    at = record.at
    # Ids are text: they are larger than a JavaScript number can be.
    ids = {"id": str(at.msg_id), "cause": str(at.cause_id), "trace": str(at.trace_id)}
    args = {**ids, "from": life.sender, "to": life.receiver, "outcome": life.outcome}
    name = f"send {at.message}" if at.kind == "send" else at.message
    return {"name": name, "cat": at.kind, "args": args}


def _name(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}


# ── in words ─────────────────────────────────────────────────────────────────────────────────


def _life(id_: int, life: Sequence[Record]) -> Message:
    first = life[0]
    at = {kind: next((r for r in life if r.at.kind == kind), None) for kind in _KINDS}
    sent, received, done, dropped = (at[kind] for kind in _KINDS)
    if sent is not None:
        sender, receiver = sent.actor, sent.other
    elif received is not None:
        sender, receiver = received.other, received.actor
    else:
        sender, receiver = first.other, first.actor
    outcome = ""
    if dropped is not None:
        outcome = f"dropped: {dropped.at.detail}"
    elif done is not None:
        outcome = done.at.detail
    elif received is not None:
        outcome = "not done yet"
    elif sent is not None:
        outcome = "not received"
    return Message(
        id_,
        first.at.cause_id,
        first.at.trace_id,
        next((r.at.message for r in life if r.at.message), ""),
        sender,
        receiver,
        sent.at.time_ns if sent else 0,
        received.at.time_ns if received else 0,
        done.at.time_ns if done else 0,
        outcome,
    )


_KINDS = ("send", "receive", "done", "drop")


def _began(message: Message) -> int:
    return message.sent_ns or message.received_ns or message.done_ns


def _sentence(message: Message, start_ns: int) -> str:
    sender = message.sender.removeprefix("@") or "?"
    text = f"{message.name} #{message.id}  {sender} → {message.receiver}"
    text += f"  +{(_began(message) - start_ns) / 1e6:.3f} ms"
    if message.received_ns and message.sent_ns:
        text += f", waited {(message.received_ns - message.sent_ns) / 1e6:.3f} ms"
    if message.done_ns and message.received_ns:
        text += f", took {(message.done_ns - message.received_ns) / 1e6:.3f} ms"
    return text + (f"  [{message.outcome}]" if message.outcome else "")


def _is(wanted: str, address: str) -> bool:
    return address == wanted or ("@" not in wanted and address.rpartition("@")[0] == wanted)
