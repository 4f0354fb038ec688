"""The demo's model server: real inference over llama.cpp's own HTTP API."""

import json
import os
import signal
import subprocess
import sys
from http.client import HTTPConnection

import pytest

from covend.testing import eventually, free_port

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]


class Server:
    """One ``covend.demo.soulstone`` process and the requests that a test sends it."""

    def __init__(self, *options):
        self.port = free_port()
        command = [sys.executable, "-m", "covend.demo.soulstone", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--alias", "smol", "--threads", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def request(self, method, path, body=None):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def healthy(self):
        assert self.process.poll() is None, self.process.stdout.read()
        try:
            return self.request("GET", "/health")[0] == 200
        except ConnectionError:
            return False

    def __enter__(self):
        try:
            eventually(self.healthy, 60, "the real model is loaded")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)

    def stop(self, signum):
        self.process.send_signal(signum)
        status = self.process.wait(10)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="module")
def chat():
    with Server("--parallel", "2", "--ctx", "256") as server:
        yield server


def test_a_question_gets_an_answer_with_usage(chat):
    question = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    status, raw = chat.request("POST", "/v1/chat/completions", question)
    answer = json.loads(raw)
    assert status == 200
    assert answer["choices"][0]["message"]["content"].strip()
    assert 1 <= answer["usage"]["completion_tokens"] <= 8
    assert answer["model"] == "smol"


def test_a_stream_comes_in_events_and_ends_with_done(chat):
    question = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 6}
    status, raw = chat.request("POST", "/v1/chat/completions", {**question, "stream": True})
    events = raw.strip().split(b"\n\n")
    assert status == 200
    assert events[-1] == b"data: [DONE]"
    assert len(events) >= 4


def test_the_alias_is_the_model_it_lists(chat):
    _status, raw = chat.request("GET", "/v1/models")
    assert [model["id"] for model in json.loads(raw)["data"]] == ["smol"]


def test_what_is_no_request_is_a_400_with_a_reason(chat):
    status, raw = chat.request("POST", "/v1/chat/completions", {"messages": "hello"})
    assert status == 400
    assert "messages" in json.loads(raw)["error"]["message"]


def test_with_embeddings_texts_become_vectors_of_length_one_and_like_ones_lie_closer():
    texts = ["a cat sat on the mat", "a kitten sat on the rug", "quarterly revenue fell by 3 %"]
    with Server("--embeddings", "--ctx", "256") as server:
        status, raw = server.request("POST", "/v1/embeddings", {"input": texts})
    assert status == 200
    cat, kitten, money = (item["embedding"] for item in json.loads(raw)["data"])

    def closeness(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert closeness(cat, cat) == pytest.approx(1, abs=1e-3)
    assert closeness(cat, kitten) > closeness(cat, money)


def test_sigterm_ends_it_with_status_0():
    with Server("--ctx", "256") as server:
        # Healthy comes a moment before the main thread has said so itself.
        server.process.stdout.readline()
        assert server.stop(signal.SIGTERM) == 0


def run_with(*options):
    command = [sys.executable, "-m", "covend.demo.soulstone", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_file_that_is_no_model_is_a_clear_error(tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    result = run_with("--model", str(bad))
    assert result.returncode == 1
    assert f"{bad} is not a GGUF file: it begins with b'not '" in result.stderr


def test_a_model_cut_short_is_a_clear_error(tmp_path):
    bad = tmp_path / "cut.gguf"
    bad.write_bytes(b"GGUF" + os.urandom(64))
    result = run_with("--model", str(bad))
    assert result.returncode == 1
    assert f"llama.cpp cannot serve {bad}" in result.stderr


def test_a_missing_model_is_a_clear_error(tmp_path):
    result = run_with("--model", str(tmp_path / "none.gguf"))
    assert result.returncode == 1
    assert "cannot read the model" in result.stderr
    assert "No such file" in result.stderr


def test_a_port_in_use_is_a_clear_error(chat):
    result = run_with("--port", str(chat.port), "--ctx", "256")
    assert result.returncode == 1
    assert "a port in use?" in result.stderr
