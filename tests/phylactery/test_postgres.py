"""What is PostgreSQL's own: the one writer's lock, schemas, a server that goes away (D2, D3)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from runs import call, intend

from covend.phylactery import errors, postgres
from covend.phylactery.records import record
from covend.phylactery.store import open_store
from covend.phylactery.writer import GroupCommit
from covend.testing import eventually
from covend.testing.postgresql import PostgresServer, programs

if programs() is None:
    pytest.skip(
        "LEFT OUT: PostgreSQL is not installed, so the whole store suite ran on SQLite alone "
        "(make test-real installs it)",
        allow_module_level=True,
    )


@pytest.fixture(scope="session", params=["postgresql"])
def engine(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> str:
    return request.param


def test_there_is_one_writer_and_any_number_of_readers(place: Any) -> None:
    """D2: by an advisory lock, which ends with its connection."""
    store = place.open()
    with pytest.raises(errors.StoreError, match=r"another covend writes here.*search_path"):
        place.open()
    readers = [place.read(), place.read()]
    for each in (store, *readers):
        each.close()
    eventually(lambda: reopened(place), 10.0, "the lock is free")


def reopened(place: Any) -> bool:
    try:
        place.open().close()
    except errors.StoreError:
        return False
    return True


def test_several_boxes_share_a_database_by_schema(new_place: Callable[[], Any]) -> None:
    """D3."""
    stores = [new_place().open() for _ in range(2)]
    for number, store in enumerate(stores):
        store.append([intend(f"q{number}")])
    assert [[row["id"] for row in store.threads()] for store in stores] == [["q0"], ["q1"]]
    for store in stores:
        store.close()


def test_a_schema_that_is_missing_or_somebody_elses_is_refused(
    place: Any, postgres_server: PostgresServer
) -> None:
    """X6: nothing is created or changed there."""
    with pytest.raises(errors.StoreError, match="names no schema that exists"):
        open_store(postgres_server.dsn("nowhere"))
    place.tamper("CREATE TABLE record (mine INTEGER)")
    with pytest.raises(errors.StoreError, match="'record' that is not covend's"):
        place.open()
    place.tamper("SELECT mine FROM record")


def test_a_store_that_lost_a_table_is_damaged(place: Any) -> None:
    """D2."""
    place.open().close()
    place.tamper("DROP TABLE timer")
    with pytest.raises(errors.StoreCorrupt, match="it has no timer, timer_due"):
        place.open()


def test_a_server_that_was_restarted_while_nothing_was_under_way_is_noticed_by_nobody(
    place: Any, postgres_server: PostgresServer
) -> None:
    """D2: who reads and who appends after it is served, and there is one writer still."""
    store, reader = place.open(), place.read()
    store.append([intend()])
    for _ in range(2):
        end_connections(postgres_server)
        assert store.append([call(slot=f"s{len(store.open_calls())}")]) == 1
        end_connections(postgres_server)
        assert len(reader.open_calls()) == len(store.open_calls())
    with pytest.raises(errors.StoreError, match="another covend writes here"):
        place.open()
    assert store.verify() == []
    store.close()
    reader.close()


def test_an_export_goes_on_over_no_other_connection(
    place: Any, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: its lines are of one moment, or it is cut short, and said to be."""
    monkeypatch.setattr("covend.phylactery.store.PAGE", 1)
    store = place.open()
    store.append([intend(), call(), call(slot="other")])
    exported = store.export("q")
    next(exported)
    end_connections(postgres_server)
    with pytest.raises(errors.StoreError):
        list(exported)
    assert len(list(store.export("q"))) == 4
    store.close()


def end_connections(server: PostgresServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE pid != pg_backend_pid() AND backend_type = 'client backend'"
        )


@pytest.mark.parametrize("chains", [1, 2])
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_commit_whose_answer_was_lost_is_found_out_and_made_once(
    place: Any, postgres_server: PostgresServer, chains: int, carried_out: bool
) -> None:
    """D1, D2: whether the server carried it out or not; each asker hears that it is stored."""
    store = place.open()
    store.append([intend()])
    group, answers = GroupCommit(store), list[int | Exception]()
    for number in range(chains):
        group.add([[call(slot=f"s{number}")]], answers.append)
    lose_answer(store, postgres_server, carried_out)
    group.commit()
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert [row["slot"] for row in store.open_calls()] == [f"s{n}" for n in range(chains)]
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize("chains", [1, 2])
def test_while_the_server_is_away_a_lost_commit_is_in_doubt(
    place: Any,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    chains: int,
) -> None:
    """D2: nobody is told that what may be stored is not; the same records settle it later."""
    store = place.open()
    store.append([intend()])
    group, answers = GroupCommit(store), list[int | Exception]()
    calls = [call(slot=f"s{number}") for number in range(chains)]
    for one in calls:
        group.add([[one]], answers.append)
    lose_answer(store, postgres_server, carried_out=True)
    with monkeypatch.context() as away:
        away.setattr(store._db, "_connect", refused)
        group.commit()
    assert [type(answer) for answer in answers] == [errors.InDoubt] * chains
    assert store.append(calls) == 0
    store.close()


def lose_answer(store: Any, server: PostgresServer, carried_out: bool) -> None:
    """The connection breaks at the next commit, after the server carried it out or before."""
    db = store._db
    commit = db._commit

    def losing() -> None:
        del db._commit
        if carried_out:
            db._db.execute("COMMIT")
        end_connections(server)
        commit()

    db._commit = losing


def refused() -> None:
    raise errors.StoreError("connection refused")


def test_a_server_that_stands_still_is_left(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """D2: nothing waits without a deadline; when it goes on, so does the store."""
    monkeypatch.setattr(postgres, "ANSWER_SECONDS", 0.5)
    store = place.open()
    store.append([intend()])
    backend = store._db._db.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(errors.StoreError, match=r"the server has not answered for 0\.5 s"):
            store.append([call(slot="other")])
    finally:
        os.kill(backend, signal.SIGCONT)
    eventually(lambda: stored(store), 10.0, "the connection is back")
    assert [row["slot"] for row in store.open_calls()] == ["s"]
    store.close()


CALL = call()


def stored(store: Any) -> bool:
    try:
        store.append([CALL])
    except errors.StoreError:
        return False
    return True


def test_a_broken_connection_inside_a_batch_writes_nothing_of_it(
    place: Any, postgres_server: PostgresServer
) -> None:
    """D2: no statement of a transaction goes through another connection."""
    store = place.open()

    def breaking() -> Iterator[Any]:
        yield intend("first")
        with psycopg.connect(postgres_server.dsn(), autocommit=True) as db:
            db.execute("SELECT pg_terminate_backend(%s)", (store._db._db.info.backend_pid,))
        yield intend("second")

    class Batch:
        def __iter__(self) -> Iterator[Any]:
            return iter([*breaking()])

    with pytest.raises(errors.StoreError):
        store.append_all([[[intend("before")]], [Batch()], [[intend("after")]]])
    eventually(lambda: nothing_is_there(store), 10.0, "the connection is back")
    store.close()


def nothing_is_there(store: Any) -> bool:
    try:
        return store.query() == []
    except errors.StoreError:
        return False


def test_the_password_is_in_no_message() -> None:
    """X6: the address is named without it."""
    with pytest.raises(errors.StoreError) as caught:
        open_store("postgresql://ann:sesame@127.0.0.1:1/box?connect_timeout=2")
    assert "postgresql://127.0.0.1:1/box" in str(caught.value)
    assert "sesame" not in str(caught.value)
    with pytest.raises(errors.StoreError) as caught:
        open_store("postgresql://ann:sesame@[broken/box")
    assert "sesame" not in str(caught.value)


def test_without_psycopg_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """X6: it is an extra."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "covend.phylactery.postgres", raising=False)
    with pytest.raises(errors.StoreError, match=r"pip install '\.\[postgres\]'"):
        open_store("postgresql://localhost/box")


def test_text_that_postgresql_cannot_hold_is_refused(place: Any) -> None:
    """D2: U+0000 in a name; in a body it is escaped and harmless."""
    store = place.open()
    store.append([record("t", "k", {"text": "\0"}, actor="a")])
    with pytest.raises(errors.StoreError, match="NUL"):
        store.append([record("t\0", "k", {}, actor="a")])
    assert store.query()[0]["body"] == {"text": "\0"}
    store.close()
