"""A thread moved from one store to another arrives whole, or not at all (D5)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from runs import call, do, intend, job, made, timer

from covend.phylactery import portable
from covend.phylactery.errors import Conflict, StoreError
from covend.phylactery.records import BadRecord, Record, record
from covend.phylactery.rows import Entry
from covend.phylactery.store import Store


@pytest.fixture
def other(new_place: Callable[[], Any]) -> Iterator[Store]:
    opened = new_place().open()
    yield opened
    opened.close()


def family(store: Store) -> list[str]:
    """A run that waits on a child run, with a bystander between; returns the exported lines."""
    opened = intend("p", timers=[timer("sla", 70)], text="é\u2028 0.1", number=[1.5, 1e21, -0.0])
    asked = call("p", "nested")
    child = record(
        "c", "intend", {"parent": "p"}, actor="a", act="INTEND", clock=10**7, parents=[asked]
    )
    inner = record("c", "call", {"slot": "s", "attempt": 0}, actor="a", clock=None, parents=[child])
    store.append([opened, asked])
    store.append([intend("bystander"), child, inner])
    return list(store.export("p", children=True))


def plain(store: Store, thread: str) -> list[dict[str, Any]]:
    return [
        {**row, "seq": None, "parents": tuple(row["parents"])}
        for row in store.query(thread=thread, newest_first=False)
    ]


@pytest.mark.parametrize("where", ["kind", "body.slot"])
def test_a_line_that_says_one_thing_twice_is_refused(
    store: Store, other: Store, where: str
) -> None:
    """RFC 8785: its hash is that of one reading, and another reader has the other."""
    lines = family(store)
    name = where.rpartition(".")[2]
    place = f'"{name}":' if "." in where else '"clock":'
    twice = f'"{name}":"call",' if "." not in where else f'"{name}":"other",'
    lines[1] = lines[1].replace(place, twice + place, 1)
    with pytest.raises(
        BadRecord, match=rf"line 2: not an exported record: it has \$\.{where} more"
    ):
        other.import_(lines)
    assert other.threads() == []


def test_an_imported_run_stands_exactly_where_it_stood(store: Store, other: Store) -> None:
    """D5: records, open calls and timers, its child's too; nothing of anybody else's."""
    lines = family(store)
    assert other.import_(lines) == 4
    assert other.import_("\n".join([*lines, ""]).split("\n")) == 0
    for thread in ("p", "c"):
        assert plain(other, thread) == plain(store, thread)
    assert [row["id"] for row in other.threads()] == ["p", "c"]
    assert {(row["thread"], row["slot"]) for row in other.open_calls()} == {
        ("p", "nested"),
        ("c", "s"),
    }
    assert other.due(100) == [{"thread": "p", "name": "sla", "due": 70}]
    assert other.verify() == []
    assert list(other.export("p", children=True)) == lines


def test_a_run_that_went_on_is_brought_up_to_date(store: Store, other: Store) -> None:
    """D5: what is there already is passed over."""
    other.import_(family(store))
    store.append([do("p", "nested")])
    assert other.import_(list(store.export("p"))) == 1
    assert len(other.open_calls()) == 1


def closing(count: int) -> str:
    return json.dumps({"records": count})


def exported(*records: Record) -> list[str]:
    """As an export has them, whoever made them up."""
    rows = [Entry(0, one, purged=False).as_dict() for one in records]
    lines = [json.dumps({name: row[name] for name in row if name != "seq"}) for row in rows]
    return [*lines, closing(len(lines))]


def test_what_is_as_old_as_its_parent_is_refused(other: Store) -> None:
    """D1: a clock is later than every parent's; equal is not later."""
    above = intend("p")
    below = record(
        "p", "call", {"slot": "s", "attempt": 0}, actor="a", clock=above.clock, parents=[above.id]
    )
    with pytest.raises(BadRecord, match=r"line 2: the clock of record \w+ is not after its parent"):
        other.import_(exported(above, below))
    other.append([above, below])
    assert [found for found in other.verify() if "clock is not after its parent's" in found]


def changed(line: str, **changes: Any) -> str:
    return json.dumps({**json.loads(line), **changes})


TAMPERED: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a changed body": (
        lambda lines: [lines[0], changed(lines[1], body={"slot": "x", "attempt": 0}), *lines[2:]],
        r"line 2: the content of record \w+ is not what its id names",
    ),
    "a changed clock": (
        lambda lines: [*lines[:3], changed(lines[3], clock=1)],
        r"line 4: the content",
    ),
    "no JSON": (lambda lines: [lines[0], "{", *lines[1:]], "line 2: not an exported record"),
    "a missing member": (lambda lines: ['{"id":"x"}'], "line 1: not an exported record"),
    "another member": (
        lambda lines: [changed(lines[0], extra=1)],
        r"line 1: not an exported record.*extra",
    ),
    "an unknown act": (lambda lines: [changed(lines[0], act="FORGET")], "line 1: .*FORGET"),
    "a line left out": (
        lambda lines: [lines[0], *lines[2:]],
        r"line 2: the parent \w+ of record \w+ is neither on a line before it nor in this store",
    ),
    "lines in another order": (
        lambda lines: [lines[0], lines[2], lines[1], lines[3]],
        "line 2: the parent",
    ),
    "a body emptied in a living run": (
        lambda lines: [lines[0], changed(lines[1], body={}, purged=True), *lines[2:]],
        "line 2: a purged record, but 'p' has not ended",
    ),
    "a purged body that is there": (
        lambda lines: [lines[0], changed(lines[1], purged=True), *lines[2:]],
        "line 2: a 'call' record with this body cannot have been purged",
    ),
    "a question emptied": (
        lambda lines: [changed(lines[0], body={}, purged=True), *lines[1:]],
        "line 1: a 'intend' record with this body cannot have been purged",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_changed_on_the_way_is_refused_by_its_line(
    store: Store, other: Store, case: str
) -> None:
    """D5: and nothing of it is stored."""
    change, said = TAMPERED[case]
    lines = family(store)
    with pytest.raises(BadRecord, match=said):
        other.import_(change(lines))
    assert other.query() == []


def test_a_run_that_went_on_differently_here_is_refused(store: Store, other: Store) -> None:
    """P3: one history a thread."""
    other.import_(family(store))
    store.append([do("p", "nested", answer=1)])
    other.append([do("p", "nested", answer=2)])
    with pytest.raises(Conflict, match="has the do"):
        other.import_(store.export("p"))
    assert other.verify() == []


def test_a_purged_run_travels_as_it_is(store: Store, other: Store) -> None:
    """D4, D5."""
    store.append([intend("q"), call("q"), do("q"), made("q", "know", answer=1)])
    store.purge(10**12)
    lines = list(store.export("q"))
    assert other.import_(lines) == 4
    assert [row.get("purged", False) for row in other.query(newest_first=False)] == [
        False,
        True,
        True,
        False,
    ]
    assert other.verify() == []
    assert list(other.export("q")) == lines


def test_a_purged_job_travels_as_it_is(store: Store, other: Store) -> None:
    """D4, D5: with its end, without which nothing of it can have been purged."""
    store.append([intend("q"), made("q", "know"), *job("j", "q")])
    store.purge(10**12)
    lines = list(store.export("job:j"))
    with pytest.raises(BadRecord, match="line 1: a purged record, but 'job:j' has not ended"):
        other.import_([*lines[:3], closing(3)])
    with pytest.raises(BadRecord, match="line 4: a 'job' record with this body cannot have been"):
        other.import_([*lines[:3], changed(lines[3], body={}, purged=True), lines[4]])
    assert other.import_(lines) == 4
    assert other.verify() == []
    assert list(other.export("job:j")) == lines


def test_a_thread_that_is_not_there_cannot_be_exported(store: Store) -> None:
    """X6."""
    with pytest.raises(StoreError, match="no thread 'nobody'"):
        list(store.export("nobody"))


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_an_export_that_was_cut_at_the_end_of_a_line_is_refused(
    store: Store, other: Store, kept: int
) -> None:
    """D5: the part that came would go on as if it were the whole."""
    lines = family(store)
    with pytest.raises(
        BadRecord, match=rf"line {kept}: the export was cut here.*{{\"records\":{kept}}}"
    ):
        other.import_([*lines[:kept], ""])
    with pytest.raises(BadRecord, match=rf"line {kept + 1}: 4 records were exported, {kept} are"):
        other.import_([*lines[:kept], lines[-1]])
    assert other.query() == []


def test_nothing_at_all_is_no_export(other: Store) -> None:
    """D5."""
    with pytest.raises(BadRecord, match="the export was cut here"):
        other.import_([""])


def test_exports_may_follow_each_other_in_a_file(store: Store, other: Store) -> None:
    """D5: each is whole by itself."""
    lines = family(store)
    assert other.import_([*lines, *store.export("bystander")]) == 5


def test_any_number_of_exports_may_have_an_empty_line_between_them(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: only so many of them one after the other come of no export."""
    monkeypatch.setattr(portable, "MOST_EMPTY", 2)
    lines = family(store)
    assert other.import_([*lines, "", *store.export("bystander"), "", *lines, "", ""]) == 5
    with pytest.raises(BadRecord, match=r"^line 8: more than 2 lines in a row are empty"):
        other.import_([*lines, "", "", "", *lines])


def test_a_mark_of_the_byte_order_before_the_first_line_is_passed_over(
    store: Store, other: Store
) -> None:
    """D5: some editors write it."""
    first, *rest = family(store)
    assert other.import_(["\ufeff" + first, *rest]) == 4


def test_a_line_is_stored_before_the_next_one_is_taken(store: Store, other: Store) -> None:
    """D5: one is held, however many there are; one that is bad undoes those before it."""
    lines = family(store)

    def taken() -> Iterator[str]:
        for line in lines[:-1]:
            yield line
            assert other.find(json.loads(line)["id"]) is not None
        yield "no record"

    with pytest.raises(BadRecord, match="line 5: not an exported record"):
        other.import_(taken())
    assert other.query() == [] and other.threads() == []


@pytest.mark.parametrize("rest", ["", " \t", '{"records":0}', "y"])
def test_a_file_without_an_end_is_refused(store: Store, other: Store, rest: str) -> None:
    """X6: nothing of it is stored, whatever came before."""
    with pytest.raises(BadRecord, match=r"^line \d+: "):
        other.import_(chain(family(store), repeat(rest)))
    assert other.query() == []


def test_a_line_without_an_end_is_read_no_further_than_one_may_be_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X6: the longest that is taken has as many bytes as are said."""
    text = "\n".join(family(store)).encode()
    monkeypatch.setattr(portable, "LINE_BYTES", longest := max(map(len, text.split(b"\n"))) + 1)
    assert "".join(portable.lines(io.BytesIO(text))) == text.decode()
    file = io.BytesIO(text + b"\n" + b"x" * 10 * longest)
    with pytest.raises(BadRecord, match=f"line 6: it has more than {longest} bytes"):
        list(portable.lines(file))
    assert file.tell() == len(text) + 1 + longest + 1


FOREIGN = {
    "who can be asked": ("responders", "responder"),
    "what another actor says": ("told", "told"),
    "a part of the box's own life": ("residency", "transition"),
    "a job under a run's name": ("q-1", "job"),
    "a run under a job's name": ("job:1", "intend"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_run_is_refused_by_its_name(other: Store, what: str) -> None:
    """D5: an id is no proof of who wrote a record, and the box goes by these."""
    thread, kind = FOREIGN[what]
    forged = record(thread, kind, {"responder": {"id": "x"}}, actor="registry", clock=1)
    with pytest.raises(BadRecord, match=f"line 1: a '{kind}' record in thread '{thread}': only"):
        other.import_(exported(forged), trust=True)
    assert other.query() == []


def test_what_others_wrote_into_a_run_s_thread_comes_with_it(store: Store, other: Store) -> None:
    """D5."""
    beside = [made("q", kind) for kind in ("joined", "unjoined", "quarantine")]
    store.append([intend("q"), *beside])
    assert other.import_(store.export("q")) == 4


def test_a_job_that_has_not_ended_is_not_taken_up(store: Store, other: Store) -> None:
    """D5: this box's workers would do what the file says, and whoever asked asks again here."""
    store.append([intend("q"), *job("j", "q", ended=False)])
    with pytest.raises(BadRecord, match="line 3: the last record of 'job:j', which has not ended"):
        other.import_(store.export("job:j"))
    begun, *_, end = job("k")
    with pytest.raises(BadRecord, match="line 2: the last record of 'job:k'"):
        other.import_(exported(end, begun))
    assert other.query() == []


POWERS = {
    "command": {"command": ["/bin/sh", "-c", "id"]},
    "api_key_env": {"endpoint": "https://example.org", "api_key_env": "HOME"},
    "channels": {"channels": ["json://example.org/{env:HOME}"]},
    "url": {"url": "https://example.org/{env:HOME}"},
}


def pinned(member: str, thread: str = "q-evil") -> Record:
    someone = {"id": "harmless", "kind": "llm"}
    return intend(thread, responders=[someone, {"id": "evil", "kind": "system"} | POWERS[member]])


@pytest.mark.parametrize("member", POWERS)
def test_an_open_run_brings_no_command_and_no_secret_along_unless_it_is_trusted(
    other: Store, member: str
) -> None:
    """D5: its content has its right id, whoever made it up; the refusal names all that is wrong."""
    lines = exported(intend("q-before"), pinned(member))
    with pytest.raises(BadRecord) as refused:
        other.import_(lines)
    said = str(refused.value)
    assert said.startswith("line 2: run 'q-evil' has not ended")
    assert f"'evil' ({member})" in said and "harmless" not in said and "--trust" in said
    assert other.query() == []
    assert other.import_(lines, trust=True) == 2


def test_an_ended_run_asks_nobody_any_more(store: Store, other: Store) -> None:
    """D5."""
    store.append([pinned("command", "q"), made("q", "know")])
    assert other.import_(store.export("q")) == 2


def test_a_run_that_is_here_already_brings_nothing_new(store: Store) -> None:
    """D5: what this box pinned itself comes back to it."""
    store.append([pinned("command", "q")])
    assert store.import_(list(store.export("q"))) == 0


@pytest.mark.parametrize(
    "responders", [None, 1, "evil", [1, ["command"]], {"id": {"command": "x"}}]
)
def test_a_run_that_cannot_be_read_asks_nobody(other: Store, responders: Any) -> None:
    """P2: it is set aside when it is read."""
    assert other.import_(exported(intend("q", responders=responders))) == 1
