"""Who can be asked: registered over the API, and configured in the file (P8)."""

import msgspec
import pytest
from tests.actors.running import World, query

from covend.actors.messages import NewConfig
from covend.actors.responders.trust import ABSENT_SECONDS, MAX_FAILURES, Outcome
from covend.actors.runs.messages import Learned
from covend.questions import ListResponders, PutResponder, RemoveResponder
from covend.testing import eventually

ANN = {"id": "ann", "kind": "actor", "did": "did:ann"}


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def shown(core, name):
    return next((r for r in core.ask(ListResponders())["responders"] if r["id"] == name), None)


@pytest.mark.parametrize(("name", "key"), [("one", "available"), ("model:a", "chat")])
def test_a_responder_of_the_file_is_not_retired_but_in_the_file(world, name, key):
    """P8, X6: the refusal names the file; it is asked as before, and after a restart."""
    world.scripted("one", "an answer")
    for _ in range(2):
        with world.core() as core:
            refusal = core.refuses(RemoveResponder(name))
            assert (refusal["status"], refusal["code"]) == (409, "configured")
            assert f"'{name}' is " in refusal["message"]
            assert f"configured in {world.box().source}" in refusal["message"]
            assert f"set `{key} = false` for it there" in refusal["message"]
            assert core.run(query("one"))["answer"] == "an answer"


def test_what_was_registered_over_the_file_goes_and_the_files_is_in_force_again(world):
    world.person("ann", channels=["test://ann"])
    with world.core() as core:
        core.ask(PutResponder({**ANN, "did": "did:other"}))
        assert shown(core, "ann")["did"] == "did:other"
        assert "refused" not in core.ask(RemoveResponder("ann"))
        assert shown(core, "ann")["did"] == "did:ann"
        refusal = core.refuses(RemoveResponder("ann"))
        assert (refusal["status"], refusal["code"]) == (409, "configured")
        told = f"'ann' is configured in {world.box().source}: take it out there, or set "
        assert refusal["message"].startswith(told)
    with world.core() as core:
        assert shown(core, "ann")["channels"] == ["test://ann"]


def test_a_retired_one_is_back_when_the_file_says_so(world):
    """P8: a file that names it after it was retired over the API."""
    with world.core() as core:
        core.ask(PutResponder(ANN))
        core.ask(RemoveResponder("ann"))
        assert shown(core, "ann")["status"] == "retired"
        world.person("ann")
        core.system.address("registry").tell(NewConfig(world.box()))
        assert "status" not in shown(core, "ann")


def test_nobody_is_registered_as_retired_over_the_file(world):
    world.person("ann")
    with world.core() as core:
        refusal = core.refuses(PutResponder({**ANN, "status": "retired"}))
        assert refusal["status"] == 409
        assert "status" not in shown(core, "ann")


def test_a_model_that_nobody_here_serves_is_refused_with_what_is_served(world):
    """P8, X6; elsewhere it may be."""
    model = {"id": "m", "kind": "llm", "model": "nobody"}
    with world.core() as core:
        refusal = core.refuses(PutResponder(model))
        assert (refusal["status"], refusal["code"]) == (422, "invalid_responder")
        served = ", ".join(sorted(world.box().serving()))
        (fault,) = refusal["errors"]
        assert f"no soulstone of this box serves 'nobody', it serves {served}" in fault["problem"]
        assert refusal["message"] == "this responder cannot be registered"
        assert shown(core, "m") is None
        there = core.ask(PutResponder({**model, "endpoint": "http://127.0.0.1:1/v1"}))
        assert there["responder"]["model"] == "nobody"
        assert "refused" not in core.ask(PutResponder({**model, "model": "a"}))
        other = msgspec.structs.replace(world.box(), soulstone=(), role=())
        core.system.address("registry").tell(NewConfig(other))
        (fault,) = core.refuses(PutResponder({**model, "model": "a"}))["errors"]
        assert "it serves nothing" in fault["problem"]


def test_a_model_that_answers_no_chat_requests_is_not_asked(world):
    """P8: not registered then; who was before is not available until the file says otherwise."""
    model = {"id": "m", "kind": "llm", "model": "a"}
    with world.core() as core:
        core.ask(PutResponder(model))
        box = world.box()
        stones = [msgspec.structs.replace(each, chat=each.name != "a") for each in box.soulstone]
        silent = msgspec.structs.replace(box, soulstone=tuple(stones), role=())
        core.system.address("registry").tell(NewConfig(silent))
        assert shown(core, "m")["available"] is False
        (fault,) = core.refuses(PutResponder({**model, "id": "n"}))["errors"]
        assert fault["problem"].startswith("'a' answers no chat requests (chat = false): name one")
        core.system.address("registry").tell(NewConfig(box))
        assert shown(core, "m").get("available", True)


HOURS = {"days": [9], "start": 30.0, "end": -5.0, "utc_offset": 1e300}
ANYTHING = {"kind": "pattern", "function": "arithmetic"}
WRONG = [
    ({"cost": {"per_call": -100.0}}, "$.cost.per_call", "must be at least 0, not -100"),
    ({"cost": {"per_1k_output": 1e300}}, "$.cost.per_1k_output", "must be at most 1000000"),
    ({"sla_secs": -5.0}, "$.sla_secs", "must be at least 0"),
    ({"sla_secs": 1e300}, "$.sla_secs", "must be at most 31622400"),
    ({"typical_delay_secs": 1e308}, "$.typical_delay_secs", "must be at most 31622400"),
    ({"hours": HOURS}, "$.hours.days[0]", "must be at most 6, not 9"),
    ({"hours": HOURS}, "$.hours.start", "must be at most 24"),
    ({"hours": HOURS}, "$.hours.end", "must be at least 0"),
    ({"hours": HOURS}, "$.hours.utc_offset", "must be at most 14"),
    ({"trust": 2}, "$.trust", "must be at most 1, not 2"),
    ({"did": " "}, "$.did", "must be 1 to 200 ASCII characters without spaces"),
    ({"did": "did:\n"}, "$.did", "must be 1 to 200 ASCII characters without spaces"),
    ({"did": "did:\0"}, "$.did", "must be a string without NUL characters"),
    ({"did": None}, "$.did", "an actor needs its 'did'"),
    ({"delegates": ["did:bob", ""]}, "$.delegates[1]", "must be 1 to 200 ASCII characters"),
    ({"id": "a\nb"}, "$.id", "must be 1 to 200 characters without spaces"),
    ({"id": "model:thinker"}, "$.id", "that begin with model: are those of the box's own models"),
    ({"alias_of": "model:m"}, "$.alias_of", "only the box says it, of its own models"),
    ({"kind": "seer"}, "$.kind", "Invalid enum value 'seer'"),
    ({"schema": {"type": 5}}, "$.schema", "is no valid JSON Schema: 5 is not valid"),
    ({"schema": {"const": 2**60}}, "$.schema.const", "1152921504606846976 is beyond"),
    ({"seen": 2**53}, "$.seen", "9007199254740992 is beyond"),
    ({"seen": -1}, "$.seen", "must be a clock"),
    ({**ANYTHING, "function": "regex:a{1001}"}, "$.function", "run: invalid repetition"),
    ({**ANYTHING, "function": "regex:" + "(" * 5000}, "$.function", "RE2 can run: missing )"),
    ({**ANYTHING, "function": "lookup:" + "[" * 100_000}, "$.function", "is not JSON: "),
    ({**ANYTHING, "function": "nosuch"}, "$.function", "no function is called 'nosuch'"),
    ({**ANYTHING, "function": None}, "$.function", "a pattern needs its 'function'"),
    ({"kind": "llm"}, "$.model", "an llm needs its 'model'"),
    ({"kind": "llm", "model": "nobody"}, "$.model", "no soulstone of this box serves 'nobody'"),
    ({"kind": "llm", "model": "m", "endpoint": "ftp://m"}, "$.endpoint", "must begin with http"),
    ({"kind": "system"}, "$.url", "a system needs either a 'command' or a 'url'"),
    ({"api_key_env": "NO_SUCH_KEY"}, "$.api_key_env", "no variable NO_SUCH_KEY is set"),
    ({"domains": ["\ud800"]}, "$.domains[0]", "not Unicode text"),
]


def test_a_responder_keeps_the_bounds_of_the_box_file_and_what_records_can_hold(world):
    """P8, P13, X6: each is refused with what is wrong and where, and by the same registry."""
    with world.core() as core:
        registry = next(info for info in core.system.actors() if info.name == "registry")
        for members, path, problem in WRONG:
            refusal = core.refuses(PutResponder({**ANN, **members}))
            assert (refusal["status"], refusal["code"]) == (422, "invalid_responder")
            told = [one["problem"] for one in refusal["errors"] if one["path"] == path]
            assert any(problem in one for one in told), (path, problem, refusal["errors"])
        assert shown(core, "ann") is None
        assert registry in core.system.actors()


def test_who_failed_a_while_ago_can_be_switched_off(world):
    """P8: it is shown as available again, so who says that it is not means it."""
    with world.core() as core:
        core.ask(PutResponder(ANN))
        now = world.clock()
        for number, verdict in enumerate(["good", *["unreachable"] * MAX_FAILURES]):
            news = Learned(f"q-{number}", (Outcome("ann", verdict, now + number),))
            core.system.address("registry").tell(news)
        assert shown(core, "ann")["available"] is False
        core.forward(2 * ABSENT_SECONDS)
        ann = shown(core, "ann")
        assert ann["seen"] and ann.get("available", True)
        core.ask(PutResponder({**ann, "available": False}))
        assert shown(core, "ann")["available"] is False


def test_what_was_learned_and_sent_back_is_not_taken_for_a_change(world):
    """P8: trust, delay and an absence of a minute are not what the responder is configured with."""
    ann = {**ANN, "trust": 0.8, "typical_delay_secs": 60}
    with world.core() as core:
        core.ask(PutResponder(ann))
        registry = core.system.address("registry")
        now = world.clock()
        outcomes = [Outcome("ann", "bad", now, 5.0)]
        outcomes += [Outcome("ann", "unreachable", now)] * MAX_FAILURES
        registry.tell(Learned("q-1", tuple(outcomes)))
        learned = shown(core, "ann")
        assert learned["trust"] < 0.8
        assert (learned["available"], learned["typical_delay_secs"]) == (False, 5)
        changed = core.ask(PutResponder({**learned, "domains": ["law"]}))["responder"]
        assert changed == {**ann, "domains": ["law"]}
        meant = core.ask(PutResponder({**ann, "trust": 0.1, "available": False}))["responder"]
        assert (meant["trust"], meant["available"]) == (0.1, False)


def test_the_operator_hears_of_a_key_that_the_files_responder_lacks(world, monkeypatch):
    """P8, W27: at start, and where a new configuration names another."""
    monkeypatch.setenv("SET", "x")
    far = {"kind": "llm", "model": "m", "endpoint": "http://h"}
    world.other(name="far", **far, api_key_env="NO_KEY")
    world.person("ann", channels=["json://{env:NO_HOOK}@h"])
    world.other(name="near", **far, api_key_env="SET")
    with world.core() as core:
        core.ask(ListResponders())
        lacking = [alert.text for alert in until_alerts(core, 2)]
        assert lacking == [
            "responder far: no variable NO_KEY is set, for its api_key_env",
            "responder ann: no variable NO_HOOK is set, for its channels",
        ]
        world.entries = world.entries[:1]
        monkeypatch.setenv("NO_KEY", "x")
        world.other(name="other", **far, api_key_env="OTHER_KEY")
        core.system.address("registry").tell(NewConfig(world.box()))
        assert "OTHER_KEY" in until_alerts(core, 3)[-1].text


@pytest.mark.parametrize(("value", "why"), [
    (None, "no variable KEY is set"),
    ("", "the variable KEY is empty"),
    (" \n", "the variable KEY is empty"),
])  # fmt: skip
def test_a_key_that_is_not_there_is_shown_with_whom_it_is_missing(world, monkeypatch, value, why):
    """P8: by the name of its variable; nobody is told what is in one that has a value."""
    far = {"kind": "llm", "model": "m", "endpoint": "http://h", "api_key_env": "KEY"}
    world.other(name="far", **far)
    world.person("ann", channels=["json://{env:HOOK}@h", "xml://{env:HOOK}@h", "json://{env:SET}"])
    monkeypatch.setenv("SET", "secret")
    for name in ("KEY", "HOOK"):
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv("KEY", value)
    with world.core() as core:
        told = core.ask(ListResponders())["responders"]
        missing = {one["id"]: one["missing_env"] for one in told if "missing_env" in one}
        assert missing == {"far": ["KEY"], "ann": ["HOOK"]}
        alert = until_alerts(core, 2)[0].text
        assert alert == f"responder far: {why}, for its api_key_env"
        monkeypatch.setenv("KEY", "there")
        assert "missing_env" not in shown(core, "far")
        assert "there" not in str(told) and "secret" not in str(told)


def until_alerts(core, count):
    return eventually(lambda: len(core.alerts()) == count and core.alerts(), 10, "the alerts")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # by a plugin
@pytest.mark.parametrize(
    ("given", "path", "problem"),
    [
        ({"channels": ["json://h", "nosuchscheme://x"]}, "$.channels[1]", "apprise does not know"),
        ({"channels": ["json://secret@h:70000"]}, "$.channels[0]", "has a port that is none"),
        ({"channels": ["secret"]}, "$.channels[0]", "must be an apprise address"),
    ],
)
def test_a_channel_through_which_nobody_could_be_told_is_refused(world, given, path, problem):
    """P18: with nothing of the address, which is a secret."""
    with world.core() as core:
        (error,) = core.refuses(PutResponder({**ANN, **given}))["errors"]
        assert error["path"] == path
        assert problem in error["problem"] and "secret" not in error["problem"]
        assert shown(core, "ann") is None
