"""`covend check`, `export`, `import`, `replay` and `salvage` on real stores (D5)."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys

import apsw
import psutil
import pytest
import typer
from tools.golden.stories import STORIES

from covend.cli import records, replaying
from covend.cli.replaying import SHARE
from covend.phylactery import sqlite
from covend.phylactery.errors import StoreCorrupt
from covend.phylactery.portable import LINE_BYTES
from covend.phylactery.records import record
from covend.phylactery.schema import RUN_ACTS
from covend.phylactery.store import Store, open_store
from covend.testing import eventually


def told_by(name, other=False, thread="q-play"):
    """A story as records of a store; ``other`` changes what was derived."""
    last, found = None, []
    for entry in STORIES[name]().records:
        answer = {"answer": "something else"} if other and entry.kind == "know" else {}
        last = record(
            thread,
            entry.kind,
            entry.body | answer,
            actor="execution",
            act=RUN_ACTS[entry.kind],
            clock=max(entry.clock, last.clock + 1 if last else 0),
            parents=[last] if last else [],
        )
        found.append(last)
    return found


@pytest.fixture
def store(tmp_path):
    """A store with one ended run; its path."""
    path = tmp_path / "a.db"
    box = open_store(path)
    box.append(told_by("single_shot_quorum_closes_early"))
    box.close()
    return path


def test_a_sound_store_is_said_to_be_sound(store, covend):
    told = covend("check", "--store", store).stdout
    assert told == f"{store}: all records and projections are intact\n"


def test_a_forged_record_is_found_and_named(store, covend):
    db = apsw.Connection(str(store))
    db.execute("UPDATE record SET body = replace(body, 'yes', 'no!') WHERE kind = 'know'")
    db.close()
    told = covend("check", "--store", store, "--json", status=1).stdout
    assert "record" in json.loads(told)["problems"][0]


def test_a_thread_moves_to_another_box_and_stands_there_where_it_stood(store, covend, tmp_path):
    covend("export", "q-play", "--store", store, "-o", "thread.jsonl")
    other = tmp_path / "b.db"
    *lines, closing = (tmp_path / "thread.jsonl").read_text().splitlines()
    assert json.loads(closing) == {"records": len(lines)}
    told = covend("import", "thread.jsonl", "--store", other).stdout
    assert told == f"{len(lines)} records are new in {other}\n"
    assert "0 records are new" in covend("import", "thread.jsonl", "--store", other).stdout
    here = covend("replay", "--store", store, "--json").stdout
    assert covend("replay", "--store", other, "--json").stdout == here
    assert json.loads(here)[0]["stands"] == "fulfilled"


def test_a_thread_is_taken_up_by_a_box_that_has_never_run(store, covend, tmp_path):
    """D5: its state folder is made as `covend serve` makes it."""
    covend("export", "q-play", "--store", store, "-o", "thread.jsonl")
    (tmp_path / "new.toml").write_text(
        f'run_dir = "/nowhere/run"\nstate_dir = "{tmp_path}/new-state"\n'
        '[[device]]\nname = "host"\nkind = "host"\ncapacity = "1GiB"\n'
        '[[soulstone]]\nname = "a"\nendpoint = "http://127.0.0.1:1"\nauthority = "shared"\n'
    )
    assert "are new" in covend("import", "thread.jsonl", "-c", tmp_path / "new.toml").stdout
    assert (tmp_path / "new-state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("named", ["option", "environment"])
def test_a_running_box_s_store_is_not_written_wherever_the_box_runs(
    store, covend, tmp_path, box, monkeypatch, named
):
    """D5: its run folder need not be the one of its file."""
    covend("export", "q-play", "--store", store, "-o", "thread.jsonl")
    (tmp_path / "here.toml").write_text(
        f'run_dir = "{tmp_path}/elsewhere"\nstate_dir = "{tmp_path}/state"\n'
        '[[device]]\nname = "host"\nkind = "host"\ncapacity = "1GiB"\n'
        '[[soulstone]]\nname = "a"\nendpoint = "http://127.0.0.1:1"\nauthority = "shared"\n'
    )
    words = ["import", "thread.jsonl", "-c", tmp_path / "here.toml"]
    if named == "option":
        words += ["--run-dir", box.run_dir]
    else:
        monkeypatch.setenv("COVEND_RUN_DIR", str(box.run_dir))
    assert "the box is running" in covend(*words, status=1).stderr
    assert not (tmp_path / "state").exists()


def test_who_takes_part_in_a_join_is_no_part_of_the_run_it_begins(store, covend):
    """D5: the desk's own records in a run's thread are passed over by a replay."""
    box = open_store(store)
    part = {"trigger": "t", "parent": "q-other"}
    box.append(
        [record(name, "joined", part, actor="desk", act="PUT") for name in ("q-play", "q-n")]
    )
    box.close()
    found = json.loads(covend("replay", "--store", store, "--json").stdout)
    assert [line["stands"] for line in found] == ["fulfilled"]
    assert "has not begun: joined" in covend("replay", "q-n", "--store", store).stdout


def test_a_tampered_line_is_refused_and_nothing_is_taken_up(store, covend, tmp_path):
    text = covend("export", "q-play", "--store", store).stdout
    (tmp_path / "thread.jsonl").write_text(text.replace('"yes"', '"no"'))
    other = tmp_path / "b.db"
    assert "line" in covend("import", "thread.jsonl", "--store", other, status=1).stderr
    assert not list(tmp_path.glob("b.db*"))
    covend("import", "-", "--store", other, input=text)
    stands = covend("replay", "--store", other).stdout
    assert "line" in covend("import", "thread.jsonl", "--store", other, status=1).stderr
    assert covend("replay", "--store", other).stdout == stands


def test_a_command_in_the_file_needs_a_word_of_trust(covend, tmp_path):
    """D5: whoever made the file up gave it its right id."""
    evil = {"id": "evil", "kind": "system", "command": ["/bin/sh", "-c", "id"]}
    box = open_store(tmp_path / "theirs.db")
    box.append([record("q-evil", "intend", {"responders": [evil]}, actor="a", act="INTEND")])
    box.close()
    covend("export", "q-evil", "--store", "theirs.db", "-o", "evil.jsonl")
    told = covend("import", "evil.jsonl", "--store", "b.db", status=1).stderr
    assert "evil' (command)" in told and "`covend import --trust`" in told
    assert not list(tmp_path.glob("b.db*"))
    told = covend("import", "--trust", "evil.jsonl", "--store", "b.db").stdout
    assert told == "1 records are new in b.db\n"


def test_a_run_of_a_newer_covend_is_told_beside_the_others(store, covend):
    """P5: and so is one whose records cannot be read at all."""
    box = open_store(store)
    newer = told_by("single_shot_nobody_to_ask", thread="q-newer")[0]
    for name, change in (("q-newer", {"reducer": 999}), ("q-odd", {"ends": "soon"})):
        body = newer.body | change
        box.append([record(name, "intend", body, actor="execution", act="INTEND")])
    box.close()
    told = covend("replay", "--store", store, status=1).stdout.splitlines()
    assert told[0].endswith("records agree; ended fulfilled")
    assert told[1].startswith("q-newer: 1 records, wrong: run q-newer is pinned to reducer 999")
    assert told[2].startswith("q-odd: 1 records, wrong: ")
    assert told[3] == "3 queries: 1 agree, 2 wrong"


def test_whatever_a_replay_stumbles_on_is_told_of_that_query(store, covend, monkeypatch):
    """P2: as an execution sets such a run aside."""

    def stumbling(name, entries):
        raise TypeError("no such thing")

    monkeypatch.setattr(replaying, "replay", stumbling)
    told = covend("replay", "--store", store, status=1).stdout
    assert "records, wrong: TypeError: no such thing" in told


def test_a_replay_says_what_agrees_and_sums_it_up(store, covend):
    box = open_store(store)
    box.append(told_by("single_shot_nobody_to_ask", thread="q-nobody"))
    box.append(
        [record("q-n", "joined", {"trigger": "t", "parent": "q-m"}, actor="desk", act="PUT")]
    )
    box.close()
    lines = covend("replay", "--store", store).stdout.splitlines()
    assert lines[0].endswith("records agree; ended fulfilled")
    assert lines[1].endswith("records agree; ended error")
    assert lines[-1] == "2 queries: 2 agree"
    told = covend("replay", "q-n", "--store", store).stdout
    assert told.endswith("1 query: 0 agree, 1 with nothing to compare\n")


def test_a_box_that_never_ran_has_no_records_yet(covend, tmp_path):
    for words in (("check",), ("replay",), ("export", "q-1")):
        told = covend(*words, "--store", tmp_path / "no.db", status=1).stderr
        assert f"no records yet at {tmp_path / 'no.db'}" in told


def test_an_empty_file_is_no_export(covend, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    told = covend("import", "empty.jsonl", "--store", "b.db", status=1).stderr
    assert "empty.jsonl is empty" in told
    assert not (tmp_path / "b.db").exists()


def test_what_cannot_be_read_as_an_export_is_said_and_leaves_no_store(store, covend, tmp_path):
    told = covend("export", "q-play", "--store", store).stdout.encode()
    (tmp_path / "latin.jsonl").write_bytes(told + b'{"id":"\xe4"}\n')
    said = covend("import", "latin.jsonl", "--store", "b.db", status=1).stderr
    assert f"line {len(told.splitlines()) + 1}: no UTF-8: " in said
    for name in ("none.jsonl", "."):
        said = covend("import", name, "--store", "b.db", status=2).stderr
        assert said.startswith(f"covend: {name} cannot be read: ")
    assert not list(tmp_path.glob("b.db*"))


@pytest.mark.parametrize("endless", ["cat /dev/zero", "yes", "cat thread.jsonl; cat /dev/zero"])
def test_a_file_that_never_ends_takes_neither_all_memory_nor_for_ever(
    store, covend, tmp_path, endless
):
    """X6: the refusal names the line, and what is too much of it."""
    covend("export", "q-play", "--store", store, "-o", "thread.jsonl")
    line = f'ulimit -v 4000000; ({endless}) | "$0" -m covend.cli import - --store b.db'
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable],
        check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    first = 1 + (tmp_path / "thread.jsonl").read_text().count("\n") * ("thread" in endless)
    what = "not an exported" if endless == "yes" else f"it has more than {LINE_BYTES} bytes"
    assert done.stderr.startswith(f"covend: line {first}: {what}")
    assert not list(tmp_path.glob("b.db*"))


def test_from_what_is_no_store_nothing_is_salvaged(covend, tmp_path):
    (tmp_path / "notes.txt").write_text("no store at all\n" * 100)
    apsw.Connection(str(tmp_path / "other.db")).execute("CREATE TABLE t (x)")
    for name in ("notes.txt", "other.db"):
        told = covend("salvage", name, "new.db", status=1).stderr
        assert told.startswith(f"covend: {name}")
        assert not list(tmp_path.glob("new.db*"))


def test_who_exports_a_run_that_goes_on_is_warned(store, covend, tmp_path):
    """D5: two boxes that carry it on would both ask, and pay."""
    box = open_store(store)
    box.append(told_by("single_shot_quorum_closes_early", thread="q-open")[:-1])
    box.close()
    told = covend("export", "q-open", "--store", store)
    assert "q-open: not ended, so it goes on here too" in told.stderr
    assert "cancel it here once the other box has it" in told.stderr
    assert all(json.loads(line) for line in told.stdout.splitlines())
    assert covend("export", "q-play", "--store", store).stderr == ""


def test_an_existing_file_is_not_written_over(store, covend, tmp_path):
    (tmp_path / "mine").write_text("mine")
    told = covend("export", "q-play", "--store", store, "-o", "mine", status=2).stderr
    assert "mine cannot be written" in told
    assert (tmp_path / "mine").read_text() == "mine"


def test_an_export_that_was_cut_short_leaves_no_file(store, covend, tmp_path, monkeypatch):
    """D2: it can be said again once there is room; half of it would be in the way."""

    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, *_args, **_options):
        path.touch(exist_ok=False)
        return Full()

    with monkeypatch.context() as disk:
        disk.setattr(records.Path, "open", opened)
        told = covend("export", "q-play", "--store", store, "-o", "out.jsonl", status=2).stderr
    assert "out.jsonl cannot be written: No space left on device" in told
    covend("export", "q-play", "--store", store, "-o", "out.jsonl")


def run(*words, **options):
    """The program itself, for what is said to it in bytes."""
    command = [sys.executable, "-m", "covend.cli", *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60, **options)


def test_runs_move_between_terminals_of_any_encoding(tmp_path):
    """D5: an export is UTF-8, wherever it is printed and read."""
    box = open_store(tmp_path / "a.db")
    box.append([record("q-n", "refused", {"code": "ünï …"}, actor="test")])
    box.close()
    for encoding in ("ascii", "latin-1"):
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        told = run("export", "q-n", "--store", tmp_path / "a.db", env=environment)
        assert json.loads(told.stdout.splitlines()[0])["body"] == {"code": "ünï …"}
        into = tmp_path / f"{encoding}.db"
        done = run("import", "-", "--store", into, env=environment, input=told.stdout)
        assert done.stdout == f"1 records are new in {into}\n".encode()
        said = run("export", "q-…", "--store", into, env=environment)
        assert b"has no thread 'q-" in said.stderr and b"Traceback" not in said.stderr


def test_a_full_disk_is_said_in_words(store):
    """X6: as where the answer goes to a file."""
    for words in (["export", "q-play"], ["check"], ["check", "--json"]):
        command = [sys.executable, "-m", "covend.cli", *words, "--store", str(store)]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
            )
        assert done.returncode == 1
        assert done.stderr.startswith("covend: ") and "No space left on device" in done.stderr


def test_closed_streams_end_no_command(store, tmp_path):
    """As where a service manager gives none; no store is opened in the place of one."""
    for closed, words in (("1", "export q-play"), ("2", "check"), ("0", "import -")):
        where = tmp_path / "none.db" if closed == "0" else store
        line = f'exec "$0" -m covend.cli {words} --store "$1" {closed}>&-'
        command = ["/bin/sh", "-c", line, sys.executable, str(where)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) == (closed != "0")
        assert done.stderr == (
            "" if closed != "0" else "covend: - is empty: there is no record to take up\n"
        )


def test_what_came_to_nothing_takes_no_store_of_others_away(store, covend, tmp_path, monkeypatch):
    """D2: an import that fails removes the store that it made itself, and no other."""
    (tmp_path / "bad.jsonl").write_text("{}\n")
    covend("import", "bad.jsonl", "--store", "new.db", status=1)
    assert not list(tmp_path.glob("new.db*"))
    lock = sqlite.writers_lock

    def taken_late(where):
        shutil.copy(store, where)  # by a box that began at the same time
        return lock(where)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(sqlite, "writers_lock", taken_late)
        covend("import", "bad.jsonl", "--store", "new.db", status=1)
    assert "intact" in covend("check", "--store", "new.db").stdout


def test_a_folder_is_no_store(covend, tmp_path):
    told = covend("check", "--store", tmp_path, status=1).stderr
    assert f"{tmp_path} is a folder: give the path of a file" in told


def test_runs_that_say_they_are_each_others_children_are_written_once(covend, tmp_path):
    """D5: nobody but the writer of a file makes such; it is read to its end all the same."""
    box = open_store(tmp_path / "a.db")
    for name, parent in (("q-a", "q-b"), ("q-b", "q-a"), ("q-c", "q-b"), ("q-d", "q-d")):
        box.append([record(name, "intend", {"parent": parent}, actor="test", act="INTEND")])
    box.close()
    told = covend("export", "q-a", "--store", "a.db")
    assert json.loads(told.stdout.splitlines()[-1]) == {"records": 3}
    assert told.stderr.startswith("q-a, q-b, q-c: not ended")
    assert "q-d: not ended" in covend("export", "q-d", "--store", "a.db").stderr


def test_a_record_that_does_not_follow_from_its_inputs_is_told(covend, tmp_path):
    """P2: both versions."""
    box = open_store(tmp_path / "a.db")
    box.append(told_by("single_shot_quorum_closes_early", other=True))
    box.close()
    told = covend("replay", "q-play", "--store", "a.db", status=1).stdout
    assert "records, wrong: " in told and told.endswith("1 query: 0 agree, 1 wrong\n")
    assert "is not what its inputs lead to" in told
    assert "something else" in told


@pytest.mark.parametrize("damaged", [False, True])
def test_several_processes_tell_what_one_tells(covend, tmp_path, damaged):
    """P2: every query in its order, the one that differs and the store that is damaged too."""
    box = open_store(tmp_path / "a.db")
    for number in range(SHARE + 3):
        name = f"q-play{number}"
        story = told_by("single_shot_nobody_to_ask", other=number == SHARE + 1, thread=name)
        box.append(story)
    box.close()
    if damaged:
        db = apsw.Connection(str(tmp_path / "a.db"))
        db.execute(
            "UPDATE record SET clock = clock + 1 WHERE seq IN (2, (SELECT max(seq) FROM record))"
        )
        db.close()
    one = covend("replay", "--store", "a.db", "--json", "--jobs", 1, status=1)
    # A program of its own: those who fork for it stay until it ends.
    words = [sys.executable, "-m", "covend.cli", "replay", "--store", "a.db", "--json", "-j", "2"]
    two = subprocess.run(
        words, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert two.returncode == 1
    assert (two.stdout, two.stderr) == (one.stdout, one.stderr)
    found = json.loads(one.stdout)
    assert [line["id"] for line in found] == [f"q-play{n}" for n in range(SHARE + 3)]
    hit = [0, SHARE + 2] if damaged else []
    assert [n for n, line in enumerate(found) if line["damaged"]] == hit
    assert [n for n, line in enumerate(found) if line["differs"]] == sorted([*hit, SHARE + 1])


def test_a_damaged_record_is_told_of_its_query_and_the_others_are_replayed(store, covend):
    """P2: each of them by its place, and what is wrong with it; the sums count the query once."""
    box = open_store(store)
    stories = [("q-hit", False), ("q-else", True), ("q-late", False)]
    for name, other in stories:
        box.append(told_by("single_shot_nobody_to_ask", thread=name, other=other))
    of = {name: [row["seq"] for row in box.query(thread=name)][::-1] for name, _ in stories}
    box.close()
    first, last = of["q-hit"][0], of["q-hit"][-1]
    db = apsw.Connection(str(store))
    db.execute("UPDATE record SET clock = clock + 1 WHERE seq = ?", (first,))
    db.execute("UPDATE record SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = ?", (last,))
    db.close()
    told = covend("replay", "--store", store, status=1).stdout.splitlines()
    assert told[0].endswith("records agree; ended fulfilled")
    assert told[1].startswith(
        f"q-hit: {len(of['q-hit'])} records, damaged: record {first}: its content is not what its "
        f"id names; record {last}: its text is not UTF-8: "
    )
    assert told[2].startswith("q-else: ") and "records, wrong: " in told[2]
    assert told[3].endswith("records agree; ended error")
    assert told[4] == "4 queries: 2 agree, 1 damaged, 1 wrong"
    alone = json.loads(covend("replay", "q-hit", "--store", store, "--json", status=1).stdout)
    assert [one["seq"] for one in alone[0]["damaged"]] == [first, last]


def test_a_query_of_which_nothing_can_be_read_is_told_beside_the_others(store, covend, monkeypatch):
    """P2: a page of the file may be gone."""
    box = open_store(store)
    box.append(told_by("single_shot_nobody_to_ask", thread="q-gone"))
    box.close()

    def away(read):
        def reading(box, *args, **named):
            if "q-gone" in (*args, named.get("thread")):
                raise StoreCorrupt(box.where, "database disk image is malformed")
            return read(box, *args, **named)

        return reading

    for name in ("entries", "query"):
        monkeypatch.setattr(Store, name, away(getattr(Store, name)))
    told = covend("replay", "--store", store, status=1).stdout.splitlines()
    assert told[0].endswith("records agree; ended fulfilled")
    assert told[1:] == [
        "q-gone: 0 records, wrong: database disk image is malformed", "2 queries: 1 agree, 1 wrong"
    ]  # fmt: skip


def many(path):
    """A store of so many queries that two processes have long to do."""
    box = open_store(path)
    story = [
        [record(name, entry.kind, entry.body, actor="test", act=RUN_ACTS[entry.kind], clock=clock)
         for clock, entry in enumerate(STORIES["single_shot_quorum_closes_early"]().records)]
        for name in (f"q-{number}" for number in range(12 * SHARE))
    ]  # fmt: skip
    box.append_all([[entries] for entries in story])
    box.close()


def test_who_shares_the_work_ends_with_the_command_and_is_missed_by_it(tmp_path):
    """X6: whatever ends either; a process left behind would wait for work for ever."""
    many(tmp_path / "a.db")
    words = [sys.executable, "-m", "covend.cli", "replay", "--store", "a.db", "-j", "2"]
    for victim in ("command", "share"):
        with subprocess.Popen(
            words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as command:
            below = psutil.Process(command.pid)
            eventually(lambda below=below: len(sharing(below)) == 2, 30.0, "they work")
            shares = sharing(below)
            if victim == "command":
                command.kill()
            else:
                shares[0].kill()
            _, stderr = command.communicate(timeout=60)
            assert victim == "command" or stderr.startswith("covend: a process that shared the")
        gone, alive = psutil.wait_procs(shares, 30.0)
        assert len(gone) == 2 and not alive


def sharing(command):
    """The processes of the pool: those below the one that forks for it."""
    children = command.children()
    return [below for child in children for below in child.children()]


def test_what_is_not_there_is_said(store, covend):
    assert "no such thread" in covend("replay", "q-none", "--store", store, status=1).stdout
    assert "q-none" in covend("export", "q-none", "--store", store, status=1).stderr
    assert "no.db" in covend("check", "--store", "no.db", status=1).stderr


def test_the_intact_records_of_a_store_are_salvaged(store, covend, tmp_path):
    told = covend("salvage", store, "new.db").stdout
    assert "records copied to new.db" in told
    assert "exists" in covend("salvage", store, "new.db", status=1).stderr


def test_a_store_of_an_earlier_version_is_salvaged(store, covend):
    """D5: it lacks tables that are made anew from its records."""
    db = apsw.Connection(str(store))
    db.execute("DROP TABLE job; PRAGMA user_version=2; UPDATE record SET clock = 1 WHERE seq = 2")
    db.close()
    told = covend("salvage", store, "new.db").stdout
    assert "records copied to new.db; record 2: its content is not what its id names" in told
    assert "intact" not in covend("check", "--store", "new.db", status=1).stdout


def test_text_with_any_line_break_in_it_moves_whole(covend, tmp_path):
    """D5: only a line feed ends a line of an export."""
    box = open_store(tmp_path / "a.db")
    box.append([record("q-n", "refused", {"code": "a\u2028b\u2029c\x85d\r\ne"}, actor="test")])
    box.close()
    covend("export", "q-n", "--store", tmp_path / "a.db", "-o", "thread.jsonl")
    told = covend("import", "thread.jsonl", "--store", tmp_path / "b.db").stdout
    assert told == f"1 records are new in {tmp_path / 'b.db'}\n"


def test_the_box_s_postgresql_address_is_filled_in_from_the_environment(monkeypatch, tmp_path):
    """D3: as the box itself does; what is missing is said."""
    file = tmp_path / "box.toml"
    monkeypatch.setattr(records, "config_path", lambda config: file)
    monkeypatch.setattr(records, "load_box", lambda path: Box)
    monkeypatch.setenv("STORE_PASSWORD", "sesame")
    assert records.where(None) == "postgresql://ann:sesame@localhost/box"
    monkeypatch.delenv("STORE_PASSWORD")
    with pytest.raises(typer.Exit):
        records.where(None)


class Box:
    class phylactery:
        dsn = "postgresql://ann:{env:STORE_PASSWORD}@localhost/box"
