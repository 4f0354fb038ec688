"""What no record and no frame can hold ends its job with the reason, and nothing else (D1, S13)."""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.actors.stage import Ear, Store, StubWire, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs import ghoul
from covend.actors.jobs.broker import Broker
from covend.actors.jobs.ghoul import Ghoul, StepResult, call_gate
from covend.actors.messages import CapabilitiesOpen
from covend.protocol import (
    GhoulHello,
    Job,
    JobEnded,
    JobFinished,
    JobQuery,
    RunJob,
    Step,
    StepDone,
    SubmitJob,
)
from covend.runtime import ReplyError, SimSystem, frames
from covend.testing import eventually

EVERY = frozenset({"a", "small", "b"})


# ── what a model answers ─────────────────────────────────────────────────────────────────────


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *args):
        pass


@contextmanager
def answering(answer):
    """The address of a gate behind which every call is answered with these bytes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def result_of(answer):
    with answering(answer) as gate:
        return call_gate(gate, "/v1/x", {}, b"{}", epoch=1, index=2)


@pytest.mark.parametrize("created", [2**53, 1795290551657000000, 2**70, -(2**60)])
def test_a_number_that_records_hold_only_about_costs_no_answer(created):
    """D1: beyond ±(2⁵³-1) an integer is a float, as in ECMAScript."""
    result = result_of(json.dumps({"created": created, "said": "yes"}).encode())
    assert result.answer == {"created": float(created), "said": "yes"}
    assert type(result.answer["created"]) is float


UNKEEPABLE = {
    "an infinity": (b'{"logprob": -Infinity}', "not JSON|malformed"),
    "a number beyond floats": (b'{"x": ' + b"9" * 400 + b"}", "not a JSON number"),
    "half a surrogate pair": (b'{"x": "\\ud83d"}', "truncated|surrogate"),
    "no UTF-8": (b'{"x": "\xff"}', "utf-8"),
    "too deep for a record": (b'{"x":' * 101 + b"1" + b"}" * 101, "deeper than 100"),
    "too deep to be read": (b"[" * 100_000 + b"]" * 100_000, "too deep"),
    "a list": (b"[1]", "list, not an object"),
    "null": (b"null", "NoneType, not an object"),
    "no JSON": (b"<html>", "malformed"),
}


@pytest.mark.parametrize("case", UNKEEPABLE)
def test_an_answer_that_no_record_can_hold_is_the_steps_error(case):
    """P3's habit: who cannot make a result durable says so, once."""
    answer, why = UNKEEPABLE[case]
    result = result_of(answer)
    assert (result.epoch, result.index, result.answer, result.refused) == (1, 2, None, None)
    assert result.error.startswith("step 2: the answer cannot be kept: ")
    assert len(result.error) < 1000
    assert any(part in result.error for part in why.split("|")), result.error


@pytest.mark.parametrize(
    ("path", "key"), [("/v1/\n", "k"), ("/v1/é", "k"), ("/v1/x", "a\nb"), ("/v1/x", "日")]
)
def test_a_step_that_no_request_can_say_is_an_error(path, key):
    """It would be refused for ever, or end its thread."""
    with answering(b"{}") as gate:
        result = call_gate(gate, path, {"Idempotency-Key": key}, b"{}", epoch=1, index=0)
    assert result.error.startswith("step 0: it cannot be sent: ")


def test_a_step_without_an_answer_in_all_its_time_is_an_error(monkeypatch):
    """Made again, it would take as long, for ever; nobody knows how much of it was made (P4)."""
    monkeypatch.setattr(ghoul, "STEP_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gate = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = call_gate(gate, "/v1/x", {}, b"{}", epoch=1, index=2)
    assert result == StepResult(1, 2, error="step 2: no answer within 0.1 s", begun=True)


class Wire(StubWire):
    """As the wire between processes: what is too large for a frame is not sent."""

    def tell(self, node, name, message, origin):
        frames.pack_value(message)
        super().tell(node, name, message, origin)

    def ask(self, node, name, message, origin, answer):
        frames.pack_value(message)
        answer.settle(True)


def test_an_answer_that_no_frame_can_hold_ends_its_job_and_is_reported_once(monkeypatch):
    """S13: it would be reported for ever, and its ghoul be lost."""
    monkeypatch.setattr(frames, "MAX_BODY", 1000)
    answer = json.dumps({"x": "y" * 2000}).encode()
    with answering(answer) as gate, SimSystem(node="ghouls") as system:
        wire = Wire()
        system.attach(wire)
        ghoul = system.spawn(Ghoul, gate, "g@ghouls", name="g")
        ghoul.tell(RunJob(1, Job("j", "a", "ritual", [Step("/v1/x", {})])))

        def ended():
            system.advance(0.05)
            return wire.to("core", JobEnded)

        (news,) = eventually(ended, 10, "the job's end is told")
        assert news.error.startswith("step 0: the answer cannot be kept: a StepDone of ")
        system.advance(3.0)
        assert wire.to("core", JobEnded) == [news] and ghoul.alive
        assert wire.to("core", GhoulHello)[-1].job is None


# ── what the broker is told ──────────────────────────────────────────────────────────────────


class Stage:
    """A broker whose ghouls are in another process."""

    def __init__(self, system):
        self.system, self.wire, self.records, self.told = system, Wire(), [], []
        system.attach(self.wire)
        system.spawn(Store, self.records, name="phylactery")
        system.spawn(Ear, [], name="console")
        system.spawn(Ear, [], name="dispatcher")
        system.spawn(Ear, self.told, name="waiter")
        self.broker = system.spawn(Broker, Catalog(small_box()), name="broker")
        self.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
        system.advance(3.0)

    def submit(self, name, body, **more):
        order = SubmitJob("a", [Step("/v1/x", body)], id=name, tell="waiter@core", **more)
        return self.broker.ask(order, timeout=5.0)

    def hello(self, job=None, epoch=0):
        self.broker.tell(GhoulHello("g", "g@ghouls", epoch, job))
        self.system.advance(0.05)

    def run(self):
        """The order that the ghoul got last."""
        return self.wire.to("ghouls", RunJob)[-1]


@pytest.fixture
def stage():
    with SimSystem(node="core") as system:
        yield Stage(system)


def test_a_result_that_no_record_can_hold_ends_its_job_and_not_the_broker(stage):
    """S12: whatever a ghoul of another build reports."""
    stage.submit("j", {})
    stage.hello()
    epoch = stage.run().epoch
    report = StepDone("g", epoch, "j", 0, {"created": 2**60})
    assert stage.broker.ask(report, timeout=5.0) is False
    stage.system.advance(0.1)
    (news,) = heard(stage.told, JobFinished)
    assert news.error.startswith("step 0: no record can hold the answer: $.result.created: ")
    assert stage.broker.alive and [entry["act"] for entry in stage.records] == ["INTEND", "KNOW"]
    stage.submit("next", {})
    stage.hello(epoch=epoch)
    assert stage.run().job.id == "next"


def test_a_job_that_no_record_can_hold_is_refused(stage):
    """X6: what, where, and what would be right."""
    with pytest.raises(ReplyError, match=r"no record can hold this job: .*seed: .*as a string"):
        stage.submit("j", {"seed": 2**60})
    with pytest.raises(ReplyError, match="no job 'j'"):
        stage.broker.ask(JobQuery("j"), timeout=5.0)
    assert stage.submit("j", {"seed": 1}) == "j"


@pytest.mark.parametrize("once", [False, True])
def test_a_job_that_no_frame_can_hold_has_failed_and_the_next_one_runs(stage, monkeypatch, once):
    """S13: also after a restart, it kills no broker."""
    monkeypatch.setattr(frames, "MAX_BODY", 10_000)
    stage.submit("large", {"input": "x" * 20_000}, once=once)
    stage.submit("small", {})
    stage.hello()
    stage.system.advance(1.5)
    (news,) = heard(stage.told, JobFinished)
    assert news.id == "large" and news.error.startswith("it reaches no ghoul: a RunJob of ")
    assert stage.broker.alive and stage.run().job.id == "small"
    of_large = [entry["act"] for entry in stage.records if entry["thread"] == "job:large"]
    assert of_large == (["INTEND", "PUT", "KNOW"] if once else ["INTEND", "KNOW"])


def test_a_job_of_which_no_room_is_to_say_that_it_is_begun_is_not_begun(stage, monkeypatch):
    """P4: nobody has it, so nobody has to be asked what became of it."""
    take, refused = Store.on_receive, []

    def full_once(self, message):
        if not refused and any(one.act == "PUT" for one in getattr(message, "records", ())):
            refused.append(message)
            raise ReplyError("not stored: no room")
        return take(self, message)

    monkeypatch.setattr(Store, "on_receive", full_once)
    stage.submit("j", {}, once=True)
    stage.hello()
    assert refused and stage.wire.to("ghouls", RunJob) == []
    stage.system.advance(1.0)
    stage.hello()
    assert [order.job.id for order in stage.wire.to("ghouls", RunJob)] == ["j"]
    assert heard(stage.told, JobFinished) == []
