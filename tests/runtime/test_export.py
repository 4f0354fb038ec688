"""The rings of several processes tell one story (X1, X2)."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire_peer import SECONDS, Echo, Peer, Relay, Say

from covend.runtime import ThreadSystem
from covend.runtime.export import (
    Record,
    collect,
    follow,
    line,
    load_dumps,
    merged,
    messages,
    nodes,
    perfetto,
    tail,
    tree,
    why,
)
from covend.runtime.trace import TraceRecord, TraceRing
from covend.runtime.trace_actor import MAX_RECORDS, TraceActor, TraceQuery, matching
from covend.runtime.wire import Node


def story() -> list[Record]:
    """A client asks ``gate@a``, which asks ``arbiter@b`` and tells one who is not there."""
    big = 2**60  # as large as real ids are
    rows = [
        # node, ms, kind, actor, other, message, id, cause, detail
        ("a", 1.0, "send", "", "gate", "Ask", 1, 0, ""),
        ("a", 1.5, "receive", "gate", "", "Ask", 1, 0, ""),
        ("a", 2.0, "send", "gate@a", "arbiter@b", "Plan", 2, 1, ""),
        ("b", 3.0, "receive", "arbiter", "gate@a", "Plan", 2, 1, ""),
        ("b", 3.5, "send", "arbiter@b", "nobody@c", "Hint", 3, 2, ""),
        ("b", 3.6, "drop", "nobody@c", "arbiter@b", "Hint", 3, 2, "process c is not there"),
        ("b", 5.0, "done", "arbiter", "gate@a", "Plan", 2, 1, "ReplyError: no"),
        ("a", 6.0, "done", "gate", "", "Ask", 1, 0, ""),
        ("a", 7.0, "exit", "gate", "", "", 0, 0, "reason='normal'"),
        ("a", 8.0, "receive", "late", "x@b", "Lost", 9, 8, ""),
    ]
    return merged(
        Record(
            node,
            10**18,
            TraceRecord(
                n,
                int(ms * 1e6),
                kind,
                actor,
                other,
                name,
                big + id_ if id_ else 0,
                big + cause if cause else 0,
                big + 1 if id_ else 0,
                detail,
            ),
        )
        for n, (node, ms, kind, actor, other, name, id_, cause, detail) in enumerate(reversed(rows))
    )


BIG = 2**60


def test_records_of_several_nodes_are_merged_by_time() -> None:
    """X1: monotonic time is one clock for all processes of a boot."""
    times = [record.at.time_ns for record in story()]
    assert times == sorted(times)
    assert [record.node for record in story()][3:7] == ["b", "b", "b", "b"]


def test_a_tree_shows_who_caused_what_across_processes() -> None:
    """X2: by message id and by trace id."""
    expected = [
        f"Ask #{BIG + 1}  a → gate@a  +0.000 ms, waited 0.500 ms, took 4.500 ms",
        f"  Plan #{BIG + 2}  gate@a → arbiter@b  +1.000 ms, waited 1.000 ms, took 2.000 ms"
        "  [ReplyError: no]",
        f"    Hint #{BIG + 3}  arbiter@b → nobody@c  +2.500 ms  [dropped: process c is not there]",
    ]
    assert tree(story(), BIG + 1).splitlines() == expected
    below = tree(story(), BIG + 2).splitlines()
    assert [text.split()[0] for text in below] == ["Plan", "Hint"]
    with pytest.raises(LookupError, match="no record has the id 5"):
        tree(story(), 5)


def test_the_tree_of_a_trace_whose_beginning_is_forgotten_starts_where_memory_does() -> None:
    """X2: a ring is finite."""
    remembered = [r for r in story() if r.at.msg_id in (BIG + 2, BIG + 3)]
    assert [t.split()[0] for t in tree(remembered, BIG + 1).splitlines()] == ["Plan", "Hint"]


def test_why_walks_the_causes_back_to_the_first() -> None:
    """X2: of a message, and of the last message an actor got."""
    names = [text.split()[0] for text in why(story(), BIG + 3)]
    assert names == ["Hint", "Plan", "Ask"]
    assert why(story(), "arbiter@b") == why(story(), "arbiter") == why(story(), BIG + 2)
    assert "forgotten" in why(story(), BIG + 9)[-1]
    with pytest.raises(LookupError, match="ghost"):
        why(story(), "ghost")
    with pytest.raises(LookupError, match="id 4"):
        why(story(), 4)


def test_causes_that_form_a_circle_do_not_hang() -> None:
    """X6: a damaged dump is no reason to loop for ever."""
    circle = [
        Record("a", 0, TraceRecord(n, n, "send", "x", "y", "M", id_, cause, 1, ""))
        for n, (id_, cause) in enumerate([(1, 2), (2, 1)])
    ]
    assert len(why(circle, 1)) == 2
    assert len(tree(circle, 1).splitlines()) == 2


def test_tail_prints_one_line_each_and_filters() -> None:
    """X2."""
    lines = tail(story())
    assert len(lines) == 10
    assert f"send    gate@a → arbiter@b Plan #{BIG + 2}" in lines[2]
    assert len(tail(story(), kinds=["drop", "exit"])) == 2
    assert all("arbiter@b" in text for text in tail(story(), actor="arbiter"))
    assert tail(story(), actor="gate@b") == []
    assert "exit" in line(story()[8]) and "(reason='normal')" in line(story()[8])


def test_perfetto_gets_processes_threads_slices_and_arrows() -> None:
    """X2: Chrome trace event JSON."""
    trace = json.loads(perfetto(story()))
    events = trace["traceEvents"]
    named = {
        (event["name"], event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["ph"] == "M"
    }
    processes = {v: k[1] for k, v in named.items() if k[0] == "process_name"}
    threads = {v: k[1:] for k, v in named.items() if k[0] == "thread_name"}
    assert set(processes) == {"a", "b"}
    assert set(threads) == {"(no actor)", "gate", "arbiter", "nobody", "late"}

    slices = {e["name"]: e for e in events if e["ph"] == "X" and e["cat"] == "receive"}
    plan = slices["Plan"]
    assert (plan["pid"], plan["tid"]) == threads["arbiter"]
    assert (plan["ts"], plan["dur"]) == (3000.0, 2000.0)
    assert plan["args"]["id"] == str(BIG + 2)
    assert plan["args"]["outcome"] == "ReplyError: no"

    arrows = {(e["ph"], e["id"]): e for e in events if e["ph"] in "sf"}
    assert len(arrows) == 4
    for (phase, id_), arrow in arrows.items():
        assert ("f" if phase == "s" else "s", id_) in arrows
        # an arrow's end binds to a slice that is there at its time, on its thread
        assert any(
            e["ph"] == "X"
            and (e["pid"], e["tid"]) == (arrow["pid"], arrow["tid"])
            and e["ts"] <= arrow["ts"] <= e["ts"] + e["dur"]
            for e in events
        )
    assert {e["cat"] for e in events if e["ph"] == "i"} == {"drop", "exit"}


def test_a_query_is_filtered_and_capped() -> None:
    """X1: an answer fits on the wire whatever is asked."""
    records = [record.at for record in story()]
    assert len(matching(records, TraceQuery())) == 10
    assert {r.kind for r in matching(records, TraceQuery(kinds=("send",)))} == {"send"}
    assert len(matching(records, TraceQuery(actor="arbiter"))) == 2
    assert len(matching(records, TraceQuery(about=BIG + 3))) == 2
    newest = matching(records, TraceQuery(limit=2))
    assert newest == records[-2:]
    assert len(matching(records * 5000, TraceQuery(limit=10**9))) == MAX_RECORDS
    assert matching(records, TraceQuery(after=10)) == []


def test_crash_dumps_are_read_like_living_rings(tmp_path: Path) -> None:
    """X1: rings per process with a crash dump."""
    ring = TraceRing(node="core")
    ring.add("send", "a", "b", Say(1), 1, 0, 1)
    ring.add("receive", "b", "a", Say(1), 1, 0, 1)
    ring.dump(tmp_path / "core.trace")
    records = load_dumps([tmp_path / "core.trace"])
    assert messages(records)[1].receiver == "b@core"
    (tmp_path / "other").write_bytes(b"no dump")
    with pytest.raises(ValueError, match="other"):
        load_dumps([tmp_path / "other"])


# ── two real processes ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def here(tmp_path: Path) -> Iterator[ThreadSystem]:
    """A node ``here`` with a peer ``there``, in which one ask went from here to there."""
    peer = Peer("there", tmp_path)
    with ThreadSystem(node="here") as system:
        wire = Node(system, "here", tmp_path)
        system.spawn(TraceActor, name="trace")
        system.spawn(Echo, name="echo")
        system.address("echo").ask(Relay("echo@there", "hello"), SECONDS)
        yield system
    wire.close()
    peer.close()


def test_collecting_from_living_processes_gives_one_tree(
    here: ThreadSystem, tmp_path: Path
) -> None:
    """X1, X2: the cause crosses the process boundary; an absent node is left out."""
    (tmp_path / "wire" / "dead.sock").touch()
    with Node.client(tmp_path) as client:
        assert nodes(tmp_path) == ["dead", "here", "there"]
        records = collect(client, tmp_path, timeout=SECONDS)
    assert {record.node for record in records} == {"here", "there"}
    relay = next(m for m in messages(records).values() if m.name == "Relay")
    told = tree(records, relay.id).splitlines()
    assert told[0].startswith("Relay") and "here → echo@here" in told[0]
    assert told[1].startswith("  Say") and "echo@here → echo@there" in told[1]
    assert "waited" in told[1] and "took" in told[1]
    assert [text.split()[0] for text in why(records, "echo@there")] == ["Say", "Relay"]


def test_following_shows_what_happens_next_at_a_bounded_rate(
    here: ThreadSystem, tmp_path: Path
) -> None:
    """X2: rate limits always on."""
    done = threading.Event()

    def chatter() -> None:
        while not done.wait(0.001):
            here.address("echo").tell(Say("psst"))

    talker = threading.Thread(target=chatter)
    talker.start()
    with Node.client(tmp_path) as client:
        lines = follow(client, tmp_path, kinds=["receive"], per_second=100, interval=0.05)
        try:
            seen = list(itertools.islice(lines, 20))
        finally:
            done.set()
            talker.join()
            lines.close()
    more = [text for text in seen if "more (at most 100 lines a second" in text]
    assert len(more) >= 2, "five lines, then how many more there were"
    assert all("receive echo@here" in text for text in seen if text not in more)
