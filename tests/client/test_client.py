"""``covend.Client`` against the API itself."""

import subprocess
import sys
import threading

import msgspec
import pytest
from tests.api.scripted_desk import ANSWER, Happen, NewTask, Spoil
from tests.api.served import QUERY, TASK

from covend import AsyncClient, Client
from covend.client import (
    ApiError,
    Conflict,
    NotFound,
    QueryInvalid,
    StillRunning,
    Unavailable,
)
from covend.client.models import Event, Fault, ProblemDetails
from covend.client.requests import failure
from covend.patterns.query.spec import Query, Want
from covend.patterns.responders.responder import KnownResponder, Responder
from covend.questions import RecordsOf
from covend.testing import free_port

NOW = {**QUERY, "question": "now"}


def test_a_query_is_answered_with_progress(client):
    """Every record is a typed event for on_progress, in order, the end included."""
    seen: list[Event] = []
    answer = client.query(NOW, on_progress=seen.append)
    assert (answer.status, answer.answer, answer.confidence) == ("fulfilled", "42", 0.9)
    assert [event.kind for event in seen] == ["intend", "know"]
    assert [event.seq for event in seen] == sorted(event.seq for event in seen)
    assert answer.id == seen[0].thread


def test_a_query_may_be_given_as_its_type(client):
    query = Query(question="now", responders=(Want(kind="llm"),))
    assert client.query(query).answer == "42"
    id = client.queries(limit=1).queries[0].id
    assert client.get(id).query == {"question": "now", "responders": [{"kind": "llm"}]}


def test_a_query_that_does_not_end_in_time_is_still_running(client):
    """The exception says where to look; the query goes on."""
    with pytest.raises(StillRunning) as raised:
        client.query(QUERY, wait=0.2)
    assert client.get(raised.value.id).state == "open"


@pytest.mark.parametrize("kind", ["intend", "know"])
def test_a_query_whose_end_is_damaged_is_not_said_to_run_on(client, api, kind):
    """D1: nothing comes of waiting for it; what is whole is shown."""
    id = client.submit(NOW, key="k").id
    api.tell(Spoil(id, kind))
    if kind == "know":
        with pytest.raises(ApiError, match=r"has ended.*record \d+ is damaged: its con") as raised:
            client.query(NOW, key="k")
        assert raised.value.code == "damaged"
    else:
        assert client.query(NOW, key="k").answer == "42"
    (damaged,) = client.get(id).damaged
    assert damaged.problem == "its content is not what its id names"


def test_who_follows_a_query_that_is_set_aside_is_told_so_and_waits_no_longer(client, api):
    """P2: nothing comes of it any more, however long the wait."""
    id = client.submit(QUERY, key="k").id
    api.tell(Spoil(id, "intend"))
    with pytest.raises(
        ApiError, match=r"was set aside and does not go on: .* is damaged"
    ) as raised:
        client.query(QUERY, key="k")
    assert raised.value.code == "set_aside"


def test_a_stream_that_is_cut_is_taken_up_where_it_was(client, api):
    """Last-Event-ID: every event once, also over a core that restarts."""
    id = client.submit(QUERY).id
    events = client.events(id)
    assert next(events).kind == "intend"
    api.heard(RecordsOf, 2)
    api.cut()
    api.tell(Happen(id, "call", {"slot": "primary/0"}))
    assert next(events).kind == "call"
    state = api.core_dies()
    api.core_starts(state)
    api.tell(Happen(id, "know", ANSWER))
    assert [event.kind for event in events] == ["know"]


def test_events_can_begin_in_the_middle(client):
    id = client.submit(NOW).id
    first, last = client.events(id)
    assert list(client.events(id, after=first.seq)) == [last]
    assert list(client.events(id, after=last.seq)) == []


def test_a_query_that_does_not_hold_says_every_fault(client):
    """QueryInvalid: from the types and from admission alike (P7)."""
    with pytest.raises(QueryInvalid) as raised:
        client.query({**QUERY, "question": "no"})
    assert raised.value.status == 422 and raised.value.code == "invalid_query"
    assert raised.value.errors[0].path == "$.responders[0].kind"
    assert "nobody is of this kind" in str(raised.value)
    with pytest.raises(QueryInvalid) as raised:
        client.submit({"question": 1})
    assert raised.value.errors[0].path == "$.question"


def test_what_is_not_there_is_not_found(client):
    for look in (client.get, client.task, client.remove_responder, client.cancel):
        with pytest.raises(NotFound):
            look("x/y z")
    with pytest.raises(NotFound):
        next(client.events("q-9"))


def test_a_query_is_cancelled(client):
    """P14."""
    id = client.submit(QUERY).id
    assert client.cancel(id, "enough").know.reason == "enough"
    assert client.cancel(id).know.status == "cancelled"


def test_an_unclear_call_is_settled(client):
    """P4."""
    id = client.submit(QUERY).id
    assert client.settle(id, "primary/0#1", "again").state == "open"
    with pytest.raises(Conflict):
        client.settle(id, "other/0#1", "failed")


def test_the_same_key_is_the_same_query(client):
    assert client.submit(QUERY, key="k").id == client.submit(QUERY, key="k").id
    assert client.submit(QUERY).id != client.submit(QUERY).id


def test_a_person_works_through_the_inbox(client, api):
    """P18: accept, decline, answer; a second last word is a conflict."""
    for id in ("t-1", "t-2"):
        api.tell(NewTask(**{**TASK, "id": id}))
    assert [task.id for task in client.inbox("did:ada").tasks] == ["t-1", "t-2"]
    assert client.inbox("did:bob").tasks == ()
    assert client.task("t-1").question == "Is it right?"
    assert client.accept("t-1", "did:ada", 60).state == "accepted"
    assert client.answer("t-1", "did:ada", "yes", confidence=0.9).state == "submitted"
    assert client.decline("t-2", "did:ada", "overbooked").state == "declined"
    with pytest.raises(Conflict):
        client.answer("t-2", "did:ada", "yes")


def test_responders_are_kept(client):
    ada = Responder(id="ada", kind="actor", did="did:ada")
    assert client.put_responder(ada) == ada
    assert client.responders() == (KnownResponder(id="ada", kind="actor", did="did:ada"),)
    client.remove_responder("ada")
    assert client.responders() == ()


def test_a_box_that_restarts_is_waited_for(client, api):
    """What may be heard twice is sent again within the client's patience."""
    state = api.core_dies()
    found: list[str] = []
    asker = threading.Thread(target=lambda: found.append(client.submit(QUERY).id))
    asker.start()
    api.core_starts(state)
    asker.join(10)
    assert found == ["q-1"] and len(api.actor.queries) == 1


def test_a_box_that_is_not_there_is_unavailable():
    """After the client's patience, not before."""
    with Client(f"http://127.0.0.1:{free_port()}", patience=0.3) as client:
        for call in (lambda: client.submit(QUERY), lambda: client.accept("t", "d", 1),
                     lambda: next(client.events("q-1"))):  # fmt: skip
            with pytest.raises(Unavailable) as raised:
                call()
            assert raised.value.status == 0


def test_the_key_comes_from_the_environment(monkeypatch):
    """And goes with every request, where it is not given."""
    monkeypatch.setenv("COVEND_API_KEY", "secret")
    with Client() as client:
        assert client._http.headers["authorization"] == "Bearer secret"
    with Client(key="mine") as client:
        assert client._http.headers["authorization"] == "Bearer mine"


def test_the_package_is_light_until_a_client_is_wanted():
    """`import covend` loads no HTTP client and no other part of covend."""
    code = (
        "import sys, covend; "
        "assert not {'httpx', 'msgspec', 'covend.client'} & set(sys.modules); "
        "covend.AsyncClient; covend.Client; assert 'httpx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


ERRORS = {
    400: QueryInvalid, 413: QueryInvalid, 415: QueryInvalid, 422: QueryInvalid,
    404: NotFound, 409: Conflict,
    429: Unavailable, 502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


@pytest.mark.parametrize("status", range(400, 600))
def test_each_status_raises_its_own_error(status):
    """Which bears the API's words; every status that has no class of its own is an ApiError."""
    said = ProblemDetails(
        status=status, detail="it is so", code="c", errors=(Fault(path="$.x", problem="wrong"),)
    )
    error = failure(status, "7", msgspec.json.encode(said))
    assert type(error) is ERRORS.get(status, ApiError) and isinstance(error, ApiError)
    assert (error.status, error.code, error.errors) == (status, "c", said.errors)
    assert str(error) == "it is so\n  $.x: wrong"
    assert getattr(error, "retry_after", None) == (7.0 if type(error) is Unavailable else None)


@pytest.mark.parametrize("status", [401, 429])
def test_the_gate_s_own_errors_are_read_as_well(status):
    """It stands before the API and says them as a model server would (G7)."""
    said = {"error": {"message": "no key", "type": "t", "code": "invalid_api_key"}}
    error = failure(status, None, msgspec.json.encode(said))
    assert type(error) is ERRORS.get(status, ApiError)
    assert (str(error), error.code, error.status) == ("no key", "invalid_api_key", status)
    other = failure(status, "soon", b"<html>")
    assert type(other) is type(error) and str(other) == f"the box answered {status}"
    assert getattr(other, "retry_after", None) is None


@pytest.mark.parametrize(
    "url", ["127.0.0.1:7878", "localhost:7878", "foo", "http://", "http://x:y", "ftp://x"]
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_address_of_a_box_is_refused_at_once(kind, url):
    with pytest.raises(ValueError, match="http://HOST:PORT is right"):
        kind(url)


def test_a_box_that_cannot_be_reached_is_named():
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, patience=0) as client, pytest.raises(Unavailable, match=url):
        client.queries()
