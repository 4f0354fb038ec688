"""Requests to the API process: passed on over its socket, streams included (decision 0004)."""

import asyncio
import hashlib

import pytest
from tests.gate.conftest import Stone

from covend.config import Key
from covend.gate.relay import Socket, is_api

SECRET = "cvd-secret"
KEY = Key(name="ada", sha256=hashlib.sha256(SECRET.encode()).hexdigest())
NARROW = Key(name="bob", sha256=hashlib.sha256(b"narrow").hexdigest(), capabilities=("chat",))
PERSONAL = Key(name="ann", sha256=hashlib.sha256(b"personal").hexdigest(), did="did:web:ada")


class Api(Stone):
    """A scripted API process."""

    async def listen(self, path):
        self.server = await asyncio.start_unix_server(self.serve, str(path))


@pytest.fixture
def relay(play, tmp_path):
    """Runs a scenario against a gate with an API process behind it."""

    def start(scenario, **more):
        async def run(rig):
            api = Api()
            await api.listen(tmp_path / "api.sock")
            rig.gate.api = Socket(str(tmp_path / "api.sock"))
            try:
                await scenario(rig, api)
            finally:
                await api.stop()

        play(run, **more)

    return start


@pytest.mark.parametrize(
    ("path", "belongs"),
    [
        (b"/api/queries", True),
        (b"/api/", True),
        (b"/inbox", True),
        (b"/inbox/inbox.js", True),
        (b"/openapi", True),
        (b"/openapi/openapi.json", True),
        (b"/api", True),
        (b"/apis/x", False),
        (b"/inboxes", False),
        (b"/v1/models", False),
    ],
)
def test_which_paths_are_the_api_s(path, belongs):
    assert is_api(path) is belongs


def test_a_request_and_its_answer_pass_through(relay):
    """Head and body as they are, the client's host included; ours is marked behind it (G5)."""

    async def scenario(rig, api):
        conn = await rig.ask({"a": 1}, path="/api/queries?wait=1", Idempotency_Key="k")
        call = await api.call()
        head = call.head.decode().split("\r\n")
        assert head[0] == "POST /api/queries?wait=1 HTTP/1.1"
        assert {"Host: test", "Idempotency-Key: k", "Content-Length: 8"} <= set(head)
        assert call.body == b'{"a": 1}'
        call.reply(b'{"id": 1}', "202 Accepted", "Location: /api/queries/1\r\n")
        answer = await conn.answer()
        assert (answer.status, answer.body) == (202, b'{"id": 1}')
        assert answer.headers["location"] == "/api/queries/1"
        assert answer.headers["x-covend-soulstone"] == "none" and answer.headers["x-covend-request"]
        conn.ask(path="/inbox", method="GET")
        (await api.call()).reply(b"<html>")
        assert (await conn.answer()).body == b"<html>"
        assert api.connections == 2

    relay(scenario)


def test_a_stream_comes_as_it_is_written(relay):
    """Server-sent events are passed on one by one; a slow source is no reason to cut (G2)."""

    async def scenario(rig, api):
        conn = await rig.ask(path="/api/queries/q/events", method="GET", Last_Event_ID="3")
        call = await api.call()
        assert b"Last-Event-ID: 3\r\n" in call.head
        call.begin()
        assert (await conn.head()).headers["content-type"] == "text/event-stream"
        for number in range(3):
            call.chunk(b"data: %d\n\n" % number)
            assert await conn.reader.readuntil(b"\n\n") == b"9\r\ndata: %d\n\n" % number
            assert await conn.reader.readexactly(2) == b"\r\n"

    relay(scenario, limits={"idle_seconds": 0.2, "body_seconds": 0.2, "header_seconds": 0.2})


def test_a_client_that_leaves_ends_its_stream(relay):
    """G2: nothing goes on for nobody."""

    async def scenario(rig, api):
        conn = await rig.ask(path="/api/inbox/events", method="GET")
        call = await api.call()
        call.begin()
        await conn.head()
        conn.close()
        await rig.until(lambda: not api.writers)

    relay(scenario)


def test_an_api_that_is_away_is_a_503_with_a_time(relay, tmp_path):
    """Clear, at once, and over when the process is back; the models are served all the while."""

    async def scenario(rig, api):
        await api.stop()
        (tmp_path / "api.sock").unlink()
        conn = await rig.ask({}, path="/api/queries")
        answer = await conn.answer()
        assert answer.status == 503 and answer.error["code"] == "api_away"
        assert int(answer.headers["retry-after"]) >= 1
        conn.ask(path="/health", method="GET")
        assert (await conn.answer()).status == 200
        await api.listen(tmp_path / "api.sock")
        conn.ask({}, path="/api/queries")
        (await api.call()).reply()
        assert (await conn.answer()).status == 200

    relay(scenario)


def test_an_api_that_dies_is_asked_once_only(relay):
    """What may have been carried out is not sent again; half an answer is cut (G4)."""

    async def scenario(rig, api):
        conn = await rig.ask({}, path="/api/queries")
        (await api.call()).die()
        answer = await conn.answer()
        assert answer.status == 503 and answer.error["code"] == "api_died"
        assert "Idempotency-Key" in answer.error["message"]
        assert api.calls.empty() and api.connections == 1
        conn.ask(path="/api/queries/q/events", method="GET")
        call = await api.call()
        call.begin()
        call.chunk(b"data: 1\n\n")
        await conn.head()
        await conn.reader.readuntil(b"1\n\n\r\n")
        call.die()
        assert await conn.ended()

    relay(scenario)


def test_a_key_is_asked_for_and_its_name_is_passed_on(relay):
    """G7: the gate checks; a client's own word on who it is goes nowhere, nor does its key."""

    async def scenario(rig, api):
        conn = await rig.ask({}, path="/api/queries")
        assert (await conn.answer()).status == 401
        bearer = {"Authorization": f"Bearer {SECRET}", "X_Covend_Key": "root"}
        conn.ask({}, path="/api/queries", **bearer)
        call = await api.call()
        assert call.head.lower().count(b"x-covend-key") == 1
        assert b"X-Covend-Key: ada\r\n" in call.head and SECRET.encode() not in call.head
        call.reply()
        assert (await conn.answer()).status == 200
        conn.ask({}, path="/api/queries", Authorization="Bearer narrow")
        answer = await conn.answer()
        assert answer.status == 403 and "'api'" in answer.error["message"]
        conn.ask(path="/inbox", method="GET", x_covend_key="root")
        call = await api.call()
        assert b"x-covend-key" not in call.head.lower()
        call.reply()
        assert (await conn.answer()).status == 200

    relay(scenario, limits={"require_key_on_loopback": True}, key=(KEY, NARROW))


def test_for_whom_a_key_speaks_is_passed_on_as_the_box_file_says(relay):
    """P18, G7: a client's own word on it goes nowhere, with a key or without one."""

    async def scenario(rig, api):
        for secret, did in ((SECRET, None), ("personal", b"did:web:ada")):
            bearer = {"Authorization": f"Bearer {secret}", "X_Covend_Did": "did:web:eve"}
            conn = await rig.ask({}, path="/api/queries", **bearer)
            call = await api.call()
            said = [b"X-Covend-Did: " + did] if did else []
            lines = call.head.split(b"\r\n")
            assert [line for line in lines if line.lower().startswith(b"x-covend-did")] == said
            call.reply()
            assert (await conn.answer()).status == 200

    relay(scenario, key=(KEY, PERSONAL))


def test_a_stop_waits_for_answers_and_not_for_streams(relay):
    """A stream has no end to wait for; its client comes again with Last-Event-ID."""

    async def scenario(rig, api):
        stream = await rig.ask(path="/api/inbox/events", method="GET")
        call = await api.call()
        call.begin()
        await stream.head()
        conn = await rig.ask({}, path="/api/queries")
        call = await api.call()
        stopping = asyncio.create_task(rig.gate.stop(grace=10))
        assert await stream.ended()
        call.reply()
        assert (await conn.answer()).status == 200
        await stopping

    relay(scenario)


def test_a_path_that_is_none_is_told_which_there_are(relay):
    """X6: whoever opens the address that ``serve`` prints finds the pages and the API."""

    async def scenario(rig, api):
        conn = await rig.ask(path="/", method="GET")
        answer = await conn.answer()
        assert answer.status == 404
        for path in (b"/inbox", b"/openapi", b"/api/", b"/v1/models", b"/health"):
            assert path in answer.body

    relay(scenario)
