"""A fake soulstone does what a model server does, what it is told, and says what it saw."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection, IncompleteRead

import pytest

from covend.testing import FakeSoulstone, eventually, fake_command, missing_token

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}


def stream(stone, tokens, **more):
    """The events of one stream and whether it ended whole."""
    connection = HTTPConnection("127.0.0.1", stone.port, timeout=10)
    try:
        body = json.dumps({**HELLO, "max_tokens": tokens, "stream": True, **more})
        connection.request("POST", "/v1/chat/completions", body)
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        try:
            raw, whole = response.read(), True
        except IncompleteRead as cut:
            raw, whole = cut.partial, False
        except ConnectionResetError:
            raw, whole = b"", False
    finally:
        connection.close()
    return [event.removeprefix(b"data: ") for event in raw.split(b"\n\n")[:-1]], whole


def text_of(events):
    chunks = [json.loads(event) for event in events if event != b"[DONE]"]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


@pytest.fixture(scope="module")
def stone():
    with FakeSoulstone("chat", slots=2) as running:
        yield running


def test_an_answer_is_numbered_tokens_with_honest_usage(stone):
    status, answer = stone.post("/v1/chat/completions", {**HELLO, "max_tokens": 5})
    assert status == 200
    choice = answer["choices"][0]
    assert missing_token(choice["message"]["content"], 5) is None
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 5


def test_a_stream_brings_one_token_per_event_then_usage_then_done(stone):
    events, whole = stream(stone, 4, stream_options={"include_usage": True})
    assert whole
    assert events[-1] == b"[DONE]"
    assert text_of(events) == "token 0 token 1 token 2 token 3 "
    assert json.loads(events[-2])["usage"]["completion_tokens"] == 4
    assert len({json.loads(event)["id"] for event in events[:-1]}) == 1


def test_a_completion_has_its_text_in_the_choice(stone):
    status, answer = stone.post("/v1/completions", {"prompt": "once", "max_tokens": 2})
    assert (status, answer["choices"][0]["text"]) == (200, "token 0 token 1 ")


def test_documents_are_ranked_by_shared_words(stone):
    body = {"query": "red fox", "documents": ["a cat", "the red fox", "red"]}
    _status, answer = stone.post("/v1/rerank", body)
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]


def test_the_model_is_listed_and_another_one_is_refused(stone):
    assert stone.get("/v1/models")[1]["data"][0]["id"] == "chat"
    status, answer = stone.post("/v1/chat/completions", {**HELLO, "model": "other"})
    assert (status, answer["error"]["message"]) == (404, "the model here is 'chat', not 'other'")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/chat/completions", {}, "'messages' must be a list with at least one message"),
        ("/v1/completions", {}, "'prompt' is missing"),
        ("/v1/completions", {"prompt": "", "max_tokens": 0}, "'max_tokens' must be a whole"),
        ("/v1/rerank", {"query": "x"}, "'query' must be a text and 'documents' a list"),
        ("/fault", {"fault": "hang:often"}, "the value of 'hang' must be a number, not 'often'"),
        ("/fault", {"fault": "cut:-1"}, "the value of 'cut' must be from 0 on, not -1"),
        ("/fault", {"fault": "vanish"}, "no such fault: 'vanish'; there are never-ready, "),
        ("/fault", {"fault": "never-ready:1"}, "the fault 'never-ready' takes no value"),
    ],
)
def test_a_bad_request_is_a_400_that_says_what_would_be_right(stone, path, body, message):
    status, answer = stone.post(path, body)
    assert status == 400
    assert answer["error"]["message"].startswith(message)


def test_embeddings_are_the_same_for_the_same_text_and_only_where_asked_for(stone):
    assert stone.post("/v1/embeddings", {"input": "x"})[0] == 501
    with FakeSoulstone("embed", embedding=True) as embedder:
        first = embedder.post("/v1/embeddings", {"input": ["a", "b"]})[1]["data"]
        second = embedder.post("/v1/embeddings", {"input": "b"})[1]["data"]
        assert embedder.post("/v1/chat/completions", HELLO)[0] == 501
    assert first[1]["embedding"] == second[0]["embedding"] != first[0]["embedding"]


def test_a_chunked_request_body_is_read_whole_and_the_connection_kept(stone):
    connection = HTTPConnection("127.0.0.1", stone.port, timeout=10)
    try:
        for _time in range(2):
            parts = iter([b'{"prompt": "x",', b' "max_tokens": 1}'])
            connection.request("POST", "/v1/completions", parts, encode_chunked=True, headers={
                "Transfer-Encoding": "chunked"
            })  # fmt: skip
            answer = json.loads(connection.getresponse().read())
            assert answer["choices"][0]["text"] == "token 0 "
    finally:
        connection.close()


def test_it_loads_for_the_time_it_was_told_and_holds_the_memory_it_was_told():
    with FakeSoulstone("big", load_seconds=0.3, memory_mib=40) as stone:
        stats = stone.stats()
        assert stats["ready_at"] - stats["started_at"] >= 0.3
        assert stats["memory_bytes"] == 40 * 1024 * 1024
        with open(f"/proc/{stone.pid}/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert resident > 40 * 1024 * 1024


def test_until_it_is_ready_every_route_answers_503():
    with FakeSoulstone("slow", faults=["never-ready"]) as stone:
        assert stone.get("/health")[0] == 503
        assert stone.post("/v1/chat/completions", HELLO)[0] == 503
        assert stone.stats()["ready_at"] is None
        stone.set_fault(None)
        stone.wait_ready()


def test_more_requests_than_slots_wait_in_order_and_are_counted():
    with FakeSoulstone("titan", slots=1, tokens_per_second=50) as stone:
        threads = [threading.Thread(target=stream, args=(stone, 5)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        stats = stone.stats()
    assert (stats["requests"], stats["finished"], stats["max_concurrent"]) == (3, 3, 1)
    assert stats["over_admitted"] == 2


def test_a_client_that_leaves_frees_its_slot_and_counts_as_unclean():
    with FakeSoulstone("titan", slots=1, tokens_per_second=10) as stone:
        body = json.dumps({**HELLO, "max_tokens": 10_000, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", stone.port), timeout=10) as client:
            client.sendall(head.encode() + body)
            assert client.recv(100)
            assert stone.stats()["in_flight"] == 1
        eventually(lambda: stone.stats()["in_flight"] == 0, what="the slot is free")
        assert stone.stats()["unclean"] == 1


def test_it_dies_in_the_middle_of_a_stream_when_told():
    with FakeSoulstone("mortal", faults=["die-mid-stream:2"]) as stone:
        events, whole = stream(stone, 6)
        assert not whole
        assert text_of(events) in ("", "token 0 ", "token 0 token 1 ")
        assert stone.process.wait(5) == -signal.SIGKILL


def test_it_cuts_a_stream_and_lives_on_when_told():
    with FakeSoulstone("cutter", faults=["cut:2"]) as stone:
        events, whole = stream(stone, 6)
        assert (text_of(events), whole) == ("token 0 token 1 ", False)
        stone.set_fault(None)
        assert stream(stone, 2)[1]
        assert stone.stats()["unclean"] == 1


def test_a_hanging_stream_goes_on_when_the_fault_ends():
    with FakeSoulstone("stuck", faults=["hang:2"]) as stone:
        result = []
        thread = threading.Thread(target=lambda: result.append(stream(stone, 4)))
        thread.start()
        eventually(lambda: stone.stats()["tokens"] == 2, what="two tokens written")
        assert stone.get("/health")[0] == 200
        stone.set_fault(None)
        thread.join(10)
    assert text_of(result[0][0]) == "token 0 token 1 token 2 token 3 "


def test_it_leaks_when_told():
    with FakeSoulstone("leaky", faults=["leak:50"]) as stone:
        eventually(lambda: stone.stats()["memory_bytes"] > 5 * 1024 * 1024, what="5 MiB leaked")


def test_it_dies_some_time_after_it_is_told():
    with FakeSoulstone("doomed") as stone:
        stone.set_fault("die-after:0.05")
        assert stone.process.wait(5) == -signal.SIGKILL


def test_health_fails_when_told():
    with FakeSoulstone("ill") as stone:
        stone.set_fault("unhealthy")
        assert stone.get("/health")[0] == 500


def test_sigterm_ends_it_at_once_with_status_0():
    stone = FakeSoulstone("chat").start()
    assert stone.stop() == 0


def test_sigterm_ends_it_later_or_never_when_told():
    late = FakeSoulstone("late", faults=["slow-stop:0.1"])
    with late:
        late.process.terminate()
        assert late.get("/stats")[0] == 200
        assert late.process.wait(5) == 0
    with FakeSoulstone("deaf", faults=["ignore-term"]) as deaf:
        assert deaf.stop(0.1) == -signal.SIGKILL


def test_the_journal_outlives_it(tmp_path):
    path = tmp_path / "journal"
    with FakeSoulstone("chat", journal=path) as stone:
        pid = stone.pid
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "ready", "stopping"]
    assert {line["pid"] for line in lines} == {pid}
    assert lines[-1]["in_flight"] == 0


def test_a_port_in_use_is_a_clear_error(stone):
    command = fake_command(port=stone.port)
    second = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert second.returncode == 1
    assert b"cannot listen on 127.0.0.1:" in second.stderr


@pytest.mark.parametrize("wrong", [["--slots", "0"], ["--fault", "vanish"]])
def test_a_wrong_option_is_a_usage_error(wrong):
    command = [sys.executable, "-m", "covend.testing.fake_soulstone", *wrong]
    result = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert result.returncode == 2


def test_its_start_imports_nothing_heavy():
    script = (
        "import sys, covend.testing.fake_soulstone; "
        "heavy = {'asyncio', 'msgspec', 'zmq', 'pykka', 'uvloop', 'pytest', 'psutil', 'rich'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=20, check=False).returncode == 0
