"""Queries over HTTP: asked, waited for, listed, cancelled, followed (P7, P14)."""

import asyncio
import json
import threading

import httpx
import msgspec
import pytest
from tests.api.scripted_desk import ANSWER, Happen, Spoil
from tests.api.served import QUERY

from covend.api.app import build, operations
from covend.client.models import ProblemDetails
from covend.questions import MAX_BYTES, EndOf, RecordsOf, SubmitQuery
from covend.testing import eventually


def problem(response: httpx.Response) -> ProblemDetails:
    """An error must be a problem document whose status is the response's."""
    assert response.headers["content-type"] == "application/problem+json"
    found = msgspec.json.decode(response.content, type=ProblemDetails)
    assert found.status == response.status_code
    assert found.detail and found.title
    return found


def frames(text: str) -> list[dict[str, str]]:
    """Server-sent events by their fields, comments left out."""
    found = [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in text.split("\n\n")
    ]
    return [frame for frame in found if frame]


def test_a_query_is_admitted_and_says_where_it_is(api):
    """P7: 202 and a Location once it is durable."""
    response = api.submit()
    assert response.status_code == 202
    assert response.json() == {"id": "q-1", "state": "open"}
    assert response.headers["location"] == "/api/queries/q-1"
    shown = api.client.get(response.headers["location"]).json()
    assert shown["state"] == "open" and shown["know"] is None
    assert shown["query"]["question"] == "what is it?"


def test_a_query_that_is_waited_for_is_answered(api):
    """200 with the answer where it comes within `wait`."""
    response = api.submit("now", wait=5)
    assert response.status_code == 200
    answer = response.json()
    assert answer["id"] == "q-1" and answer["status"] == "fulfilled" and answer["answer"] == "42"
    assert answer["cost"]["settled"] == 0.01


def test_an_answer_that_comes_during_the_wait_ends_it(api):
    """The wait is for the end, whatever happens before it."""
    found: list[httpx.Response] = []
    asker = threading.Thread(target=lambda: found.append(api.submit(wait=20)))
    asker.start()
    api.heard(EndOf)
    api.tell(Happen("q-1", "call", {"slot": "primary/0"}))
    api.tell(Happen("q-1", "know", ANSWER))
    asker.join(10)
    assert found[0].status_code == 200 and found[0].json()["answer"] == "42"


def test_a_wait_that_is_over_says_where_the_answer_will_be(api):
    """202: the query goes on."""
    response = api.submit(wait=0.05)
    assert response.status_code == 202
    assert response.headers["location"] == "/api/queries/q-1"


def test_the_same_idempotency_key_is_the_same_query(api):
    """Issue 3 §4: a client may send again what it got no answer to; keys of others are not its."""

    def submit(**headers):
        return api.client.post("/api/queries", json=QUERY, headers=headers).json()["id"]

    first = submit(**{"Idempotency-Key": "mine"})
    assert submit(**{"Idempotency-Key": "mine"}) == first
    assert submit(**{"Idempotency-Key": "another"}) != first
    assert submit(**{"Idempotency-Key": "mine", "X-Covend-Key": "somebody"}) != first
    assert submit() != submit()


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_idempotency_key_that_is_none_is_refused(api, key):
    response = api.client.post("/api/queries", json=QUERY, headers={"Idempotency-Key": key})
    assert problem(response).code == "idempotency_key"
    assert response.status_code == 400


def test_what_the_core_refuses_comes_with_every_fault(api):
    """P7: every error named with its path."""
    found = problem(api.submit("no"))
    assert found.status == 422 and found.code == "invalid_query"
    assert found.errors[0].path == "$.responders[0].kind"
    assert found.errors[0].problem == "nobody is of this kind"


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[]", b"[" * 100_000, b'{"metadata": {"n": 1e999}}']
)
def test_a_body_that_is_no_object_is_refused(api, body):
    """400; nothing reaches the core."""
    response = api.client.post(
        "/api/queries", content=body, headers={"Content-Type": "application/json"}
    )
    assert problem(response).status == 400
    assert not any(isinstance(message, SubmitQuery) for message in api.actor.heard)


def test_a_query_that_says_one_thing_twice_is_refused(api):
    """RFC 8785: which of the two counts nobody can know; 400, with the member."""
    body = json.dumps(QUERY)[:-1] + ', "fold": {"kind": "first", "kind": "majority"}}'
    response = api.client.post(
        "/api/queries", content=body, headers={"Content-Type": "application/json"}
    )
    found = problem(response)
    assert (found.status, found.code) == (400, "malformed")
    assert found.errors[0].path == "$.fold.kind"
    assert not any(isinstance(message, SubmitQuery) for message in api.actor.heard)


def test_everything_wrong_with_a_query_is_said_at_once(api):
    """P7: unknown members, wrong types and wrong meanings, each under its path."""
    query = {
        "question": 1,
        "colour": "red",
        "responders": [{"kind": "fox"}],
        "fold": {"kinds": 1},
        "relevance": {"top_k": 1.5},
        "side_effects": {"max_cost_usd": -1},
    }
    found = problem(api.client.post("/api/queries", json=query))
    assert (found.status, found.code) == (422, "invalid_query")
    assert {fault.path for fault in found.errors} == {
        "$.question",
        "$.colour",
        "$.responders[0].kind",
        "$.fold.kinds",
        "$.relevance.top_k",
        "$.side_effects.max_cost_usd",
    }


def test_a_body_of_another_type_is_refused(api):
    """415: what a page of elsewhere can send without asking is not JSON."""
    response = api.client.post(
        "/api/queries", content=json.dumps(QUERY), headers={"Content-Type": "text/plain"}
    )
    assert problem(response).code == "unsupported_media_type"


def test_a_body_beyond_the_limit_is_refused(api):
    """413 (G8)."""
    body = {**QUERY, "question": "x" * (1 << 20)}
    assert problem(api.client.post("/api/queries", json=body)).status == 413


@pytest.mark.parametrize(("size", "status"), [(MAX_BYTES + 1, 413), (MAX_BYTES, 400)])
def test_the_api_takes_no_more_than_the_core_can_tell_of(size, status):
    """Whatever the box file allows (G8); what is short enough is read, and then refused."""

    async def posted():
        transport = httpx.ASGITransport(build(None, 64 * MAX_BYTES))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            kind = {"Content-Type": "application/json"}
            return await client.post("/api/queries", content=b"x" * size, headers=kind)

    told = problem(asyncio.run(posted()))
    assert told.status == status
    assert (f"at most {MAX_BYTES} bytes are right" in told.detail) == (status == 413)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/queries", "limit=0"),
        ("/api/queries", "limit=501"),
        ("/api/queries", "after=-1"),
        ("/api/queries", "after=x"),
        ("/api/queries", "state=gone"),
        ("/api/queries", "limit=1&limit=2"),
        ("/api/queries", "colour=red"),
        ("/api/queries/q-1/records", "wait=nan"),
        ("/api/queries/q-1/records", "wait=-1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(api, path, query):
    api.submit()
    response = api.client.get(f"{path}?{query}")
    assert response.status_code == 400
    assert query.split("=", maxsplit=1)[0] in response.text


def test_the_queries_come_in_pages(api):
    for _ in range(5):
        api.submit()
    first = api.client.get("/api/queries", params={"limit": 2}).json()
    assert [query["id"] for query in first["queries"]] == ["q-5", "q-4"]
    rest = api.client.get("/api/queries", params={"limit": 9, "after": first["next"]}).json()
    assert [query["id"] for query in rest["queries"]] == ["q-3", "q-2", "q-1"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "path", ["/api/queries/q-9", "/api/queries/q-9/records", "/api/queries/q-9/events"]
)
def test_an_unknown_query_is_not_found(api, path):
    assert problem(api.client.get(path)).code == "no_such_query"


@pytest.mark.parametrize("kind", ["intend", "know"])
def test_a_damaged_record_is_named_and_the_rest_is_shown(api, kind):
    """D1: no 503, as if it would be better later."""
    id = api.submit("now").json()["id"]
    seq = next(one["seq"] for one in api.client.get(f"/api/queries/{id}/records").json()["records"]
               if one["kind"] == kind)  # fmt: skip
    api.tell(Spoil(id, kind))
    damaged = [{"seq": seq, "problem": "its content is not what its id names"}]
    shown = api.client.get(f"/api/queries/{id}").json()
    assert (shown["state"], shown["damaged"], shown["set_aside"]) == ("ended", damaged, None)
    assert (shown["query"] is None) == (kind == "intend")
    assert (shown["know"] is None) == (kind == "know")
    page = api.client.get(f"/api/queries/{id}/records").json()
    assert page["damaged"] == damaged and page["ended"]
    assert [one["kind"] for one in page["records"]] == list({"intend", "know"} - {kind})
    stream = api.client.get(f"/api/queries/{id}/events").text
    assert [one["event"] for one in frames(stream)] == list({"intend", "know"} - {kind})


def test_who_waits_for_an_end_that_is_damaged_waits_no_longer(api):
    """D1: 202 with where the rest of it is shown; the core is asked once, not again and again."""
    head = {"Idempotency-Key": "k"}
    body = QUERY | {"question": "now"}
    id = api.client.post("/api/queries", json=body, headers=head).json()["id"]
    api.tell(Spoil(id, "know"))
    told = api.client.post("/api/queries", params={"wait": 2}, json=body, headers=head)
    assert (told.status_code, told.json()) == (202, {"id": id, "state": "ended"})
    assert len([one for one in api.actor.heard if isinstance(one, EndOf)]) == 1


def test_a_query_that_is_set_aside_says_why(api):
    """P2."""
    id = api.submit().json()["id"]
    assert api.client.get(f"/api/queries/{id}").json()["set_aside"] is None
    api.tell(Spoil(id, "intend"))
    shown = api.client.get(f"/api/queries/{id}").json()
    assert shown["state"] == "open" and "is damaged" in shown["set_aside"]


def test_a_path_or_method_that_does_not_exist_is_a_problem_document(api):
    assert problem(api.client.get("/api/nothing")).status == 404
    response = api.client.put("/api/queries", json=QUERY)
    assert problem(response).status == 405
    assert "POST" in response.headers["allow"]


def test_cancelling_says_what_the_query_ended_as(api):
    """P14: one that has its answer keeps it."""
    open_, done = api.submit().json()["id"], api.submit("now").json()["id"]
    cancelled = api.client.post(f"/api/queries/{open_}/cancel", json={"reason": "enough"}).json()
    assert cancelled["know"]["status"] == "cancelled" and cancelled["know"]["reason"] == "enough"
    assert api.client.delete(f"/api/queries/{done}").json()["know"]["status"] == "fulfilled"
    assert problem(api.client.post("/api/queries/q-9/cancel")).status == 404


def test_an_operator_settles_an_unclear_call(api):
    """P4; of any other call there is nothing to settle."""
    path = f"/api/queries/{api.submit().json()['id']}/settle"
    again = {"call": "primary/0#1", "how": "again"}
    assert api.client.post(path, json=again).json()["state"] == "open"
    assert problem(api.client.post(path, json=again | {"call": "other/0#1"})).status == 409
    assert problem(api.client.post(path, json=again | {"how": "perhaps"})).status == 400
    assert problem(api.client.post("/api/queries/q-9/settle", json=again)).status == 404


def test_events_are_the_records_to_the_end(api):
    """Every record is an event, its id the sequence number; the stream ends with the know."""
    id = api.submit("now").json()["id"]
    response = api.client.get(f"/api/queries/{id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    found = frames(response.text)
    assert [frame["event"] for frame in found] == ["intend", "know"]
    assert json.loads(found[1]["data"])["body"]["answer"] == "42"
    records = api.client.get(f"/api/queries/{id}/records").json()
    assert [int(frame["id"]) for frame in found] == [r["seq"] for r in records["records"]]
    assert records["ended"] is True


def test_a_stream_resumes_after_the_last_event(api):
    """Last-Event-ID: nothing twice, nothing missed; 204 once there is nothing more."""
    id = api.submit("now").json()["id"]
    path = f"/api/queries/{id}/events"
    first, last = frames(api.client.get(path).text)
    resumed = frames(api.client.get(path, headers={"Last-Event-ID": first["id"]}).text)
    assert resumed == [last]
    assert api.client.get(path, headers={"Last-Event-ID": last["id"]}).status_code == 204
    assert problem(api.client.get(path, headers={"Last-Event-ID": "x"})).status == 400


def test_the_last_event_s_number_wins_over_the_address(api):
    """Last-Event-ID: 0 as well: a page that was told nothing begins at the beginning."""
    path = f"/api/queries/{api.submit('now').json()['id']}/events"
    everything = frames(api.client.get(path).text)
    told = api.client.get(path, params={"after": 2}, headers={"Last-Event-ID": "0"})
    assert len(everything) == 2 and frames(told.text) == everything


NUL = "a\0b"
WORD = {"did": NUL, "value": "yes"}


@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("GET", "/api/queries/a%00b", None, "$.id"),
        ("GET", "/api/queries/a%00b/events", None, "$.id"),
        ("GET", "/api/queries?parent=%00", None, "$.parent"),
        ("GET", "/api/inbox?did=%00", None, "$.did"),
        ("GET", "/api/inbox/a%00~a~0~1", None, "$.id"),
        ("POST", "/api/inbox/t-1/submit", WORD, "$.did"),
        ("POST", "/api/queries", QUERY | {"input": {"record_id": NUL}}, "$.query.input.record_id"),
        ("POST", "/api/queries", QUERY | {"metadata": {NUL: 1}}, "$.query.metadata"),
        ("PUT", "/api/responders/z", {"id": "z", "kind": "actor", "did": NUL}, "$.responder.did"),
    ],
)
def test_what_postgresql_cannot_store_is_refused_at_once(api, method, path, body, at):
    """D3, X6: 400 with the place, on every store alike; nothing of it reaches the core."""
    found = problem(api.client.request(method, path, json=body))
    assert (found.status, found.code) == (400, "not_storable")
    assert found.errors[0].path == at
    assert api.actor.heard == []


def test_what_is_asked_about_may_be_any_text(api):
    """P7: nobody looks for it, so it is stored as JSON writes it."""
    asked = QUERY | {"input": {"inline": {"text": NUL}}}
    assert api.client.post("/api/queries", json=asked).status_code == 202


def test_events_come_as_they_happen(api):
    id = api.submit().json()["id"]
    with api.client.stream("GET", f"/api/queries/{id}/events") as response:
        parts = response.iter_text()
        assert "event: intend" in next(parts)
        api.heard(RecordsOf, 2)
        api.tell(Happen(id, "call", {"slot": "primary/0"}))
        assert "event: call" in next(parts)
        api.tell(Happen(id, "know", ANSWER))
        assert "event: know" in "".join(parts)


def test_a_stream_goes_on_over_a_core_that_restarts(api):
    """Issue 3 §4: a restarted core is caught up with; the client sees a pause and no end."""
    id = api.submit().json()["id"]
    with api.client.stream("GET", f"/api/queries/{id}/events") as response:
        parts = response.iter_text()
        assert "event: intend" in next(parts)
        api.heard(RecordsOf, 2)
        state = api.core_dies()
        api.core_starts(state)
        api.tell(Happen(id, "know", ANSWER))
        text = "".join(parts)
        assert text.count("event: know") == 1 and "event: intend" not in text


def test_a_request_waits_for_a_core_that_restarts(api):
    """Within its own deadline a request is asked again; a submission is heard as one query."""
    state = api.core_dies()
    found: list[httpx.Response] = []
    asker = threading.Thread(target=lambda: found.append(api.submit()))
    asker.start()
    api.core_starts(state)
    asker.join(10)
    assert found[0].status_code == 202
    assert len(api.actor.queries) == 1


def test_nothing_goes_on_for_a_client_that_left(api, monkeypatch):
    """Neither a wait for an answer nor a stream outlives who asked for it."""
    monkeypatch.setattr("covend.api.events.WAIT_SECONDS", 0.05)
    failed: list[Exception] = []

    def ask(method, path):
        try:
            with httpx.Client(base_url=api.url, trust_env=False) as client:
                client.request(method, path, json=QUERY if method == "POST" else None, timeout=20)
        except httpx.TransportError as error:
            failed.append(error)

    id = api.submit().json()["id"]
    asked = [("POST", "/api/queries?wait=3000"), ("GET", f"/api/queries/{id}/events")]
    askers = [threading.Thread(target=ask, args=one) for one in asked]
    for asker in askers:
        asker.start()
    api.heard(EndOf)
    api.heard(RecordsOf, 2)
    assert api.server.server_state.tasks
    api.cut()
    for asker in askers:
        asker.join(10)
    assert len(failed) == 2
    eventually(lambda: not api.server.server_state.tasks, 10, "every handler has ended")


def test_a_core_that_stays_away_is_a_503_with_a_time(api, monkeypatch):
    monkeypatch.setattr("covend.api.desk.Desk.ask.__defaults__", (0.2,))
    api.core_dies()
    response = api.submit()
    assert problem(response).code == "core_away"
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1


def test_a_failure_of_the_core_is_told_without_its_insides(api, monkeypatch):
    """500: the core's words, no trace of calls."""

    def fail(self, message):
        from covend.runtime import ReplyError

        raise ReplyError("the disk is full")

    monkeypatch.setattr("tests.api.scripted_desk.ScriptedDesk.page", fail)
    found = problem(api.client.get("/api/queries"))
    assert found.status == 500 and "the disk is full" in found.detail


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "foreign_host"),
        ({"Origin": "http://evil.example"}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
        ({"Origin": "http://127.0.0.1:1"}, "foreign_origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "foreign_origin"),
        ({"Sec-Fetch-Site": "same-site"}, "foreign_origin"),
    ],
)
def test_pages_of_elsewhere_cannot_use_a_box_without_keys(api, headers, code):
    """Without an API key only pages of the box itself may ask (forged requests, rebound names)."""
    assert problem(api.client.post("/api/queries", json=QUERY, headers=headers)).code == code
    keyed = {**headers, "X-Covend-Key": "ada"}
    assert api.client.post("/api/queries", json=QUERY, headers=keyed).status_code == 202


def test_an_image_on_a_page_of_elsewhere_keeps_nobody_live(api):
    """P18: it sends no Origin; the stream would silence a person's notifications."""
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    with api.client.stream("GET", "/api/inbox/events?did=did:ada", headers=image) as refused:
        assert refused.status_code == 403
        refused.read()
    assert problem(refused).code == "foreign_origin"
    assert api.actor.heard == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_box_s_own_page_may_ask(api, site):
    """As may whoever types the address."""
    own = {"Origin": api.url, "Sec-Fetch-Site": site}
    assert api.client.post("/api/queries", json=QUERY, headers=own).status_code == 202


BOB = {"X-Covend-Key": "bob", "X-Covend-Did": "did:bob"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/queries", "operators_only"),
        ("POST", "/api/queries/q-1/cancel", "not_your_query"),
        ("DELETE", "/api/queries/q-1", "not_your_query"),
    ],
)
def test_the_queries_of_others_are_the_operators(api, method, path, code):
    """G7: a person's key neither lists queries nor cancels one; who knows an id may read it."""
    id = api.submit().json()["id"]
    refused = problem(api.client.request(method, path, headers=BOB))
    assert (refused.status, refused.code) == (403, code)
    assert api.client.get(f"/api/queries/{id}", headers=BOB).json()["state"] == "open"
    operator = {"X-Covend-Key": "root"}
    assert api.client.request(method, path, headers=operator).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/cancel"), ("DELETE", "")])
def test_a_person_cancels_what_he_asked_himself(api, method, path):
    """G7, P14."""
    id = api.client.post("/api/queries", json=QUERY, headers=BOB).json()["id"]
    ended = api.client.request(method, f"/api/queries/{id}{path}", headers=BOB)
    assert (ended.status_code, ended.json()["state"]) == (200, "ended")


def test_what_is_for_operators_alone_is_said_in_the_document():
    """G7."""
    told = {f"{one.method} {one.path}" for one in operations() if "names a did: it is" in one.about}
    assert told == {
        "GET /api/queries",
        "POST /api/queries/{id}/settle",
        "PUT /api/responders/{id}",
        "DELETE /api/responders/{id}",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "right"),
    [
        ("GET", "/api/queries?state=foo", None, "open, ended"),
        (
            "GET",
            "/api/inbox?state=foo",
            None,
            "open, accepted, submitted, declined, expired, withdrawn",
        ),
        ("POST", "/api/queries/q-1/settle", {"call": "a#1", "how": "foo"}, "again, failed"),
        (
            "PUT",
            "/api/responders/z",
            {"id": "z", "kind": "foo"},
            "llm, pattern, system, actor",
        ),
    ],
)
def test_a_value_that_is_none_of_a_few_is_told_which_there_are(api, method, path, body, right):
    """X6: what would be right."""
    (fault,) = problem(api.client.request(method, path, json=body)).errors
    said, _, values = fault.problem.partition("; there are: ")
    assert said == "Invalid enum value 'foo'"
    assert set(values.split(", ")) == set(right.split(", "))


@pytest.mark.parametrize("wrong", ['{"reason": 5}', '{"reason": "a", "reason": "b"}'])
def test_a_fault_is_said_once(api, wrong):
    """X6: where and what is in the errors; the sentence is short."""
    answer = api.client.post(
        "/api/queries/q-1/cancel", content=wrong, headers={"Content-Type": "application/json"}
    )
    found = problem(answer)
    assert found.errors[0].path == "$.reason"
    assert "$.reason" not in found.detail and found.errors[0].problem not in found.detail
