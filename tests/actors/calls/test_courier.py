"""The courier: how each kind of responder is asked, how often, and until when (P4, P8, P12)."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.actors import running
from tests.actors.running import Broker, World, completion, query

from covend import functions
from covend.actors.calls import computing, replies
from covend.protocol import SubmitJob
from covend.questions import CancelQuery
from covend.runtime import ReplyError
from covend.testing import eventually


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


class Provider(ThreadingHTTPServer):
    """Answers what it is told to, and writes down what it is asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.answers = [], []
        self.hold = threading.Event()
        self.hold.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        answers = self.server.answers
        status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.hold.wait(10)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            pass  # who asked has gone: that is what is tested

    def log_message(self, *args):
        pass


@pytest.fixture
def provider():
    with serving() as server:
        yield server


@contextmanager
def serving():
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


# ── endpoints ────────────────────────────────────────────────────────────────────────────────


def test_a_model_elsewhere_is_asked_under_its_key_and_paid_by_its_own_count(
    world, provider, monkeypatch
):
    """P8, P13: an OpenAI-compatible endpoint; the call's key is the idempotency key."""
    monkeypatch.setenv("THEIR_KEY", "secret")
    price = {"per_1k_input": 1.0, "per_1k_output": 10.0}
    world.other(name="big", kind="llm", model="large", endpoint=f"{provider.url}/v1",
                api_key_env="THEIR_KEY", cost=price)  # fmt: skip
    provider.answers = [(200, completion("Paris"))]
    with world.core() as core:
        dial = {"temperature": 0.5, "extra": {"top_p": 0.1}}
        thread = core.submit(query("big", side_effects={"max_cost_usd": 100}, dial=dial))["id"]
        know = core.ended(thread)
        key = core.records(thread, "call")[0]["body"]["key"]
    assert know["answer"] == "Paris"
    assert know["cost"]["settled"] == pytest.approx(0.005 + 0.02)
    ((path, headers, body),) = provider.seen
    assert path == "/v1/chat/completions"
    assert (headers["Idempotency-Key"], headers["Authorization"]) == (key, "Bearer secret")
    assert (body["model"], body["messages"][-1]["content"]) == ("large", "What is it?")
    assert (body["temperature"], body["top_p"], body["stream"]) == (0.5, 0.1, False)


def test_a_json_answer_is_asked_for_by_its_schema(world, provider):
    world.other(name="big", kind="llm", model="large", endpoint=provider.url)
    provider.answers = [(200, completion('{"v": 1}'))]
    schema = {"type": "object", "properties": {"v": {"type": "integer"}}, "required": ["v"]}
    with world.core() as core:
        know = core.run(query("big", answer_shape={"kind": "json", "schema": schema}))
    assert know["answer"] == {"v": 1}
    asked = provider.seen[0][2]["response_format"]
    assert asked == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def test_a_service_is_posted_the_question_and_answers_with_json(world, provider):
    world.other(name="svc", kind="system", url=f"{provider.url}/ask")
    provider.answers = [(200, "an answer")]
    with world.core() as core:
        assert core.run({**query("svc"), "input": {"inline": [1]}})["answer"] == "an answer"
    ((path, _, body),) = provider.seen
    assert (path, body["question"], body["input"]) == ("/ask", "What is it?", [1])
    assert body.keys() == {"key", "question", "input", "role", "show", "shape"}


def test_a_service_that_is_away_is_called_again_under_new_attempts(world, provider):
    """P11's transport errors: three attempts, then the responder counts as unavailable."""
    world.other(name="svc", kind="system", url=f"{provider.url}/ask")
    provider.answers = [(500, "away"), (500, "away"), (200, "at last")]
    with world.core() as core:
        assert core.run(query("svc"))["answer"] == "at last"
        provider.answers = [(500, "away")]
        assert core.run(query("svc"))["code"] == "responder_unavailable"
    keys = [headers["Idempotency-Key"] for _, headers, _ in provider.seen]
    assert len(set(keys)) == 6
    assert [key[-2:] for key in keys] == ["#1", "#2", "#3"] * 2


@pytest.mark.parametrize("answer", [b"\xff\xfe", b"", b"null", b"[" * 5000])
def test_whatever_a_service_answers_is_understood_or_invalid(world, provider, answer):
    """P12: never a crash of the run."""
    world.other(name="svc", kind="system", url=provider.url)
    provider.answers = [(200, answer)]
    with world.core() as core:
        assert core.run(query("svc", answer_shape={"kind": "json"}))["status"] in (
            "fulfilled",
            "error",
        )


def test_an_answer_beyond_all_measure_is_an_error(world, provider, monkeypatch):
    """Nothing grows without bound."""
    monkeypatch.setattr(replies, "MAX_ANSWER_BYTES", 1000)
    world.other(name="svc", kind="system", url=provider.url)
    provider.answers = [(200, "x" * 2000)]
    with world.core() as core:
        know = core.run(query("svc"))
    assert "more than 1000 bytes" in know["partial"][0]["problem"]


def test_a_withdrawn_request_is_given_up(world, provider):
    """P14: what can be stopped is stopped; nothing is heard of it."""
    world.other(name="svc", kind="system", url=provider.url)
    provider.answers = [(200, "late")]
    provider.hold.clear()
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        eventually(lambda: provider.seen, what="the request")
        core.ask(CancelQuery(thread))
        provider.hold.set()
        core.parked()
        assert core.records(thread, "do") == []


def test_a_request_is_given_up_at_its_deadline(world, provider):
    """Nothing waits without a deadline: the run's timer says how it ended."""
    world.other(name="svc", kind="system", url=provider.url)
    provider.answers = [(200, "late")]
    provider.hold.clear()
    with world.core() as core:
        know = core.run(query("svc", side_effects={"max_latency_secs": 0.3}))
    assert (know["code"], know["partial"][0]["status"]) == ("latency_timeout", "timeout")


# ── commands ─────────────────────────────────────────────────────────────────────────────────


def command(world, script, **more):
    world.other(name="cmd", kind="system", command=["sh", "-c", script], **more)


def test_a_command_reads_json_and_writes_json(world):
    script = 'read line; case "$line" in *"What is it"*) echo \'{"v": 1}\';; esac'
    command(world, script)
    with world.core() as core:
        know = core.run(query("cmd", answer_shape={"kind": "json"}))
    assert know["answer"] == {"v": 1}


@pytest.mark.parametrize(("script", "problem"), [
    ("echo why >&2; exit 3", "ended with 3: why"),
    ("kill -9 $$", "ended with -9"),
])  # fmt: skip
def test_a_command_that_fails_says_why(world, script, problem):
    command(world, script)
    with world.core() as core:
        assert problem in core.run(query("cmd"))["partial"][0]["problem"]


def test_a_program_that_is_not_there_is_an_error(world):
    world.other(name="cmd", kind="system", command=["/nonexistent/program"])
    with world.core() as core:
        assert "No such file" in core.run(query("cmd"))["partial"][0]["problem"]


def test_a_command_with_a_variable_that_is_not_set_says_which(world, monkeypatch):
    monkeypatch.delenv("THEIR_TOOL", raising=False)
    world.other(name="cmd", kind="system", command=["{env:THEIR_TOOL}"])
    with world.core() as core:
        assert "THEIR_TOOL" in core.run(query("cmd"))["partial"][0]["problem"]


def test_a_command_is_killed_with_all_it_began_at_its_deadline(world, tmp_path):
    """P10; what is left behind fails the test by itself."""
    command(world, "sleep 60 & sleep 60")
    with world.core() as core:
        know = core.run(query("cmd", side_effects={"max_latency_secs": 0.3}))
    assert know["code"] == "latency_timeout"


# ── functions ────────────────────────────────────────────────────────────────────────────────


def test_a_function_that_raises_is_an_error_and_one_that_has_no_answer_declines(world):
    world.scripted("broken", ZeroDivisionError("by zero"))
    world.other(name="date", kind="pattern", function="regex:nothing")
    world.other(name="gone", kind="pattern", function="not-installed")
    with world.core() as core:
        broken = core.run(query("broken"))["partial"][0]
        assert (broken["status"], broken["problem"]) == ("error", "ZeroDivisionError: by zero")
        assert core.run(query("date"))["partial"][0]["status"] == "declined"
        assert "no function is called" in core.run(query("gone"))["partial"][0]["problem"]


class Strange(dict):
    def __iter__(self):
        raise TypeError("not JSON serializable")

    keys = items = __iter__


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize(
    "value", [{1, 2}, b"bytes", object(), Strange(a=1)], ids=lambda one: type(one).__name__
)
def test_a_function_whose_answer_is_no_json_is_heard_of_at_once(world, value, kind):
    """Its thread would end without a word, and its call last until the deadline."""
    world.scripted("odd", value)
    with world.core() as core:
        (partial,) = core.run(query("odd", answer_shape={"kind": kind}))["partial"]
    assert partial["status"] == "error"
    assert "not JSON serializable" in partial["problem"]


def test_what_a_function_does_with_its_answer_later_changes_nothing():
    """P12: it may keep what it gave out, and give it out again."""
    kept = {"v": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(functions.BUILT_IN, "kept", lambda asked, argument: kept)
        raw, _ = computing.compute("kept", {"key": "k", "ask": {"shape": {"kind": "json"}}})
    kept["v"] = 2
    assert raw.body == {"v": 1}


def test_only_so_many_calls_are_out_at_once_and_all_get_their_turn(world):
    """Nothing grows without bound."""
    world.scripted("one", "an answer")
    world.held.clear()
    with world.core(max_calls=4) as core:
        threads = [core.submit(query("one"))["id"] for _ in range(5)]
        eventually(lambda: len(world.called) == 2, what="two are out")
        for thread in threads:
            eventually(lambda t=thread: core.records(t, "call"), what="all are called")
        assert len(world.called) == 2
        world.held.set()
        for thread in threads:
            assert core.ended(thread)["answer"] == "an answer"


def test_a_function_that_never_ends_holds_up_nobody_after_its_deadline(world):
    """P10: a thread can only be left alone."""
    world.scripted("stuck", "late")
    priced = {"per_call": 0.01}  # else the run would compute it itself
    world.other(name="quick", kind="pattern", function="regex:it", cost=priced)
    world.held.clear()
    with world.core(max_calls=1) as core:
        know = core.run(query("stuck", side_effects={"max_latency_secs": 0.2}))
        assert know["code"] == "latency_timeout"
        assert core.run(query("quick"))["answer"] == "it"
        world.held.set()


def test_a_program_that_never_stops_talking_is_ended(world, monkeypatch):
    """Nothing grows without bound, and its deadline is not waited for."""
    monkeypatch.setattr(replies, "MAX_ANSWER_BYTES", 1000)
    world.other(name="cli", kind="system", command=["yes"])
    with world.core() as core:
        know = core.run(query("cli"))
    assert "more than 1000 bytes" in know["partial"][0]["problem"]


def test_a_program_may_answer_before_it_has_read_all_and_complain_at_length(world):
    """What it does not read is no fault, nor what it says beside its answer."""
    script = "yes complaint | head -c 1000000 >&2; echo done"
    world.other(name="cli", kind="system", command=["sh", "-c", script])
    with world.core() as core:
        know = core.run(query("cli", question="x" * 500_000))
    assert know["answer"] == "done"


# ── models of this box ───────────────────────────────────────────────────────────────────────


class Full(Broker):
    """A broker whose store has no room for the first job that it is given."""

    def on_receive(self, message):
        if isinstance(message, SubmitJob) and not self.world.refused:
            self.world.refused.append(message)
            raise ReplyError(self.world.why)
        return super().on_receive(message)


@pytest.mark.parametrize(
    ("why", "status"),
    [
        ("not stored: no room left", "fulfilled"),
        ("not read: the disk does not answer", "fulfilled"),
        ("no soulstone serves 'a'", "error"),
    ],
)
def test_a_job_for_which_there_was_no_room_is_submitted_again(world, monkeypatch, why, status):
    """P12: that was on the way; what the broker itself refuses it refuses for good."""
    monkeypatch.setattr(running, "Broker", Full)
    world.refused, world.why = [], why
    with world.core() as core:
        assert core.run(query("model:a"))["status"] == status
    assert len(world.submitted) == (1 if status == "fulfilled" else 0)


class Mortal(Broker):
    """A broker that dies of the first job that it is given."""

    def on_receive(self, message):
        if isinstance(message, SubmitJob):
            self.world.submitted.append(message)
            raise RuntimeError("it dies here")
        return super().on_receive(message)


def test_a_job_whose_broker_died_may_be_done_and_is_asked_for_under_its_name(world, monkeypatch):
    """P4: at once, and not only when its deadline has passed."""
    monkeypatch.setattr(running, "Broker", Mortal)
    with world.core() as core:
        thread = core.submit(query("model:a"))["id"]
        assert core.ended(thread)["code"] == "responder_unavailable"
        bodies = [entry["body"] for entry in core.records(thread, "do")]
        keys = {entry["body"]["key"] for entry in core.records(thread, "call")}
    assert [(one["transport"], one["indeterminate"]) for one in bodies] == [(True, True)] * 3
    assert keys == {f"{thread}/primary/0#1"}


def test_a_job_names_the_run_that_it_works_for(world):
    """D4: with which its prompt and its answer are purged."""
    with world.core() as core:
        thread = core.submit(query("model:a"))["id"]
        core.ended(thread)
    assert [job.run for job in world.submitted] == [thread]
