"""What a reply amounts to: answer, confidence, cost, or what is wrong with it (P11, P13, P19)."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patterns.sample_runs import NOON, asked, llm, person, run

from covend.patterns import step
from covend.patterns.answers.answer_text import the_json
from covend.patterns.answers.asking import messages
from covend.patterns.answers.understanding import Raw, understood
from covend.patterns.query.admit import admit
from covend.patterns.query.shape import MAX_ANSWER_BYTES, MAX_NESTED
from covend.patterns.query.spec import Dial
from covend.patterns.responders.responder import Cost, Responder
from covend.patterns.state import K
from covend.patterns.step import Entry, start
from covend.phylactery.canonical import canonical, parse

JSON = {"kind": "json"}
TEXT = {"kind": "text"}
CHOICE = {"kind": "choice", "choices": ["Yes", "No", "NO idea"]}
TOOL = Responder(id="a", kind="system", command=("true",), cost=Cost(per_call=0.5))


def reply(text: Any, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}, **choice}]}


def understand(
    shape: dict[str, Any], raw: Raw, responder: Responder | None = None, reserved: float = 0.25
) -> dict[str, Any]:
    responder = responder or llm("a")
    k = run(responder, answer_shape=shape)
    call = {
        "slot": "primary/0",
        "attempt": 1,
        "responder": {"id": "a", "kind": responder.kind},
        "ask": messages(k, "answer", Dial()),
        "reserved": reserved,
    }
    body = understood(k.plan, call, raw)
    assert canonical(parse(canonical(body).decode())) == canonical(body)
    return body


def started(shape: dict[str, Any], responder: Responder) -> tuple[K, Any]:
    """A run that has just called its one responder."""
    body = admit(
        asked(answer_shape=shape, relevance={"threshold": 0}),
        [responder],
        thread="q-1",
        now=NOON,
        seed=7,
    )
    return start("q-1", body, NOON)


def said(shape: dict[str, Any], text: str) -> dict[str, Any]:
    return understand(shape, Raw(status=200, body=reply(text)))


def test_a_reply_becomes_the_body_of_a_do() -> None:
    """P1: slot, attempt, value, its hash, and how long it took."""
    body = understand(JSON, Raw(status=200, body=reply('{"n": 4.0}'), delay_secs=1.5))
    assert body == {
        "slot": "primary/0",
        "attempt": 1,
        "status": "ok",
        "value": {"n": 4},
        "hash": hashlib.sha256(b'{"n":4}').hexdigest(),
        "delay_secs": 1.5,
        "cost": 0.0,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n{"a": 1}\n ', {"a": 1}),
        ("[1, 2]", [1, 2]),
        ("3", 3),
        ("null", None),
        ('"x"', "x"),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1}```', {"a": 1}),
        ('Sure! Here it is: {"a": {"b": 1}} Anything else?', {"a": {"b": 1}}),
        ('Here:\n```json\n{"a": 1}\n```\nBye {friend}', {"a": 1}),
        ('It is {"a": 1}, I repeat: { "a" : 1.0 }', {"a": 1}),
        ("The list is [1, 2].", [1, 2]),
        ('As in [1], it is {"a": 1}', {"a": 1}),
        ('{"a": "has { and } in it"} ok', {"a": "has { and } in it"}),
        ('<think>maybe {"a": 2}?</think>{"a": 1}', {"a": 1}),
        ("{" * 50 + '{"a": 1}', {"a": 1}),
    ],
)
def test_the_json_in_a_text_is_found(text: str, value: Any) -> None:
    """Code fences, and prose around one value, are put up with."""
    body = said(JSON, text)
    assert (body["status"], body["value"]) == ("ok", value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1} or {"a": 2}', "2 different JSON values"),
        ('```json\n{"a": 1}\n```\n```json\n{"a": 2}\n```', "2 different JSON values"),
        ("[1] [2]", "2 different JSON values"),
        ("no idea", "no JSON in the answer: no idea"),
        ('{"a": 1', "no JSON"),
        ("", "no JSON"),
        ("NaN", "no JSON"),
        ('{"a": NaN}', "no JSON"),
        ("[" * 3000, "no JSON"),
        ('{"a": "\\ud800"}', "no JSON"),
    ],
)
def test_there_is_no_guessing_between_two_and_none(text: str, told: str) -> None:
    """P11: what cannot be read for certain is invalid, and says so."""
    body = said(JSON, text)
    assert body["status"] == "invalid"
    assert told in body["problem"]
    assert body["cost"] == 0.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes", "Yes"),
        (" yes\n", "Yes"),
        ('"No"', "No"),
        ("No.", "No"),
        ("`no`", "No"),
        ("no idea", "NO idea"),
        ("maybe", None),
        ("Yes and No", None),
        ("", None),
    ],
)
def test_a_choice_is_exact_or_differs_in_case_only(text: str, value: str | None) -> None:
    """P7: one of the choices, or invalid."""
    body = said(CHOICE, text)
    assert body.get("value") == value
    assert body["status"] == ("ok" if value else "invalid")


def test_a_choice_that_could_be_two_is_none() -> None:
    shape = {"kind": "choice", "choices": ["a", "A"]}
    assert said(shape, "A")["value"] == "A"
    twins = {"kind": "choice", "choices": ["ab", "AB"]}
    assert said(twins, "Ab")["status"] == "invalid"


def test_text_is_taken_as_it_is() -> None:
    """P7: but for white space around it, and for what a model thought first."""
    assert said(TEXT, "  So be it.\n")["value"] == "So be it."
    assert said(TEXT, "<think>hm</think>\nYes.")["value"] == "Yes."
    body = said(TEXT, "  ")
    assert (body["status"], body["problem"]) == ("invalid", "$: must not be empty")


def test_notes_in_an_answer_are_taken_out_of_it() -> None:
    """P18: ``_confidence`` and ``_rationale`` are beside the answer, not in it."""
    body = said(
        JSON,
        '{"a": 1, "_confidence": 0.75, "_rationale": "because", "_obligations":'
        ' [{"id": "o", "status": "pending"}]}',
    )
    assert body["value"] == {"a": 1}
    assert body["confidence"] == 0.75
    assert body["rationale"] == "because"
    assert body["obligations"] == [{"id": "o", "status": "pending"}]


@pytest.mark.parametrize("stated", ["2", "-0.1", '"high"', "null", "true"])
def test_a_confidence_that_is_none_is_not_taken(stated: str) -> None:
    """P17: a confidence is a number from 0 to 1."""
    body = said(JSON, f'{{"a": 1, "_confidence": {stated}}}')
    assert body["status"] == "ok"
    assert "confidence" not in body


def test_an_obligation_without_a_name_makes_the_answer_invalid() -> None:
    body = said(JSON, '{"a": 1, "_obligations": [{"status": "pending"}]}')
    assert body["status"] == "invalid"
    assert "has no id" in body["problem"]


def logprobs(*values: Any) -> dict[str, Any]:
    return {"content": [{"token": "x", "logprob": value} for value in values]}


@pytest.mark.parametrize(
    ("given", "confidence"),
    [
        (logprobs(0.0, 0.0), 1.0),
        (logprobs(math.log(0.5)), 0.5),
        (logprobs(math.log(0.25), 0.0), 0.5),
        (logprobs(-9999), 0.0),
        (logprobs(0.5), 1.0),
        (logprobs(), None),
        (logprobs("x"), None),
        (logprobs(-1e308, -1e308), None),
        (logprobs(-(10**400)), None),
        (logprobs(math.nan), None),
        ({"content": None}, None),
        (None, None),
        ([], None),
    ],
)
def test_confidence_is_the_geometric_mean_of_the_tokens(given: Any, confidence: Any) -> None:
    """exp of the mean log probability, where the server gives it."""
    body = understand(TEXT, Raw(status=200, body=reply("x", logprobs=given)))
    assert body.get("confidence") == confidence


def test_a_stated_confidence_goes_before_a_measured_one() -> None:
    text = '{"a": 1, "_confidence": 0.25}'
    body = understand(JSON, Raw(status=200, body=reply(text, logprobs=logprobs(0.0))))
    assert body["confidence"] == 0.25


@pytest.mark.parametrize(
    ("raw", "transport"),
    [
        (Raw(failure="connection refused"), True),
        (Raw(failure="connection reset", indeterminate=True), True),
        (Raw(failure="exit status 1", transport=False), False),
        (Raw(status=408, body="x"), True),
        (Raw(status=425, body="x"), True),
        (Raw(status=429, body={"error": "slow down"}), True),
        (Raw(status=500), True),
        (Raw(status=503, body="x" * 10_000), True),
        (Raw(status=400, body={"error": "bad"}), False),
        (Raw(status=401), False),
        (Raw(status=404), False),
        (Raw(status=301), False),
    ],
)
def test_a_failure_is_on_the_way_or_final(raw: Raw, transport: bool) -> None:
    """P4, P19: only what failed on the way is sent again; neither costs anything."""
    body = understand(TEXT, raw)
    assert (body["status"], body["transport"], body["cost"]) == ("error", transport, 0.0)
    assert body["problem"]
    assert len(body["problem"]) < 600
    assert "value" not in body


@pytest.mark.parametrize(
    ("raw", "unknown"),
    [
        (Raw(failure="connection refused"), False),
        (Raw(failure="connection reset", indeterminate=True), True),
        (Raw(status=502), True),
        (Raw(status=504, body="upstream timed out"), True),
        (Raw(status=503), False),
        (Raw(status=429), False),
        (Raw(status=400), False),
    ],
)
def test_whoever_answered_has_said_what_became_of_the_work(raw: Raw, unknown: bool) -> None:
    """P4: where nothing came, or a gateway spoke for another, it may have been done and billed."""
    assert understand(TEXT, raw).get("indeterminate", False) is unknown


@pytest.mark.parametrize(
    "body",
    [
        None,
        "not json",
        [],
        {},
        {"choices": []},
        {"choices": "x"},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": {"content": None, "tool_calls": []}}]},
        {"choices": [{"message": {"content": [{"type": "text"}]}}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]},
        {"error": {"message": "boom"}},
    ],
)
def test_a_reply_without_an_answer_is_invalid(body: Any) -> None:
    """P11: whatever a server calls success."""
    found = understand(TEXT, Raw(status=200, body=body))
    assert found["status"] == "invalid"
    assert found["problem"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"content": None, "refusal": "I cannot help with that."}, "refused: I cannot help"),
        ({"content": "", "refusal": "No."}, "refused: No."),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "refused: No."),
        ({"content": None, "refusal": "no " * 10_000}, "refused: no no"),
        ({"content": None, "tool_calls": [{"id": "a"}]}, "called tools instead of answering"),
        ({"content": " ", "function_call": {"name": "f"}}, "called tools instead of answering"),
        ({"content": None, "refusal": None, "tool_calls": []}, "has no text"),
        ({"content": 7, "text": "not here"}, "has no text"),
    ],
)
def test_what_a_model_does_instead_of_answering_is_told(message: Any, told: str) -> None:
    """P11: its own words are what helps whoever reads the record."""
    found = understand(TEXT, Raw(status=200, body={"choices": [{"message": message}]}))
    assert found["status"] == "invalid"
    assert told in found["problem"]
    assert len(found["problem"]) < 600


def test_an_answer_in_several_pieces_is_one() -> None:
    """What else is between them, such as a picture, is no text."""
    pieces = [{"type": "text", "text": "light "}, {"type": "image"}, "x", {"text": "blue"}]
    assert understand(TEXT, Raw(status=200, body=reply(pieces)))["value"] == "light blue"


CUT_OFF = "the answer was cut off at max_tokens"


@pytest.mark.parametrize(
    ("shape", "text", "told"),
    [
        (TEXT, "", f"{CUT_OFF} before it began"),
        (TEXT, None, f"{CUT_OFF} before it began"),
        (TEXT, "<think>What is", f"{CUT_OFF} before it began"),
        (TEXT, "<think>Hm.</think> ", f"{CUT_OFF} before it began"),
        (JSON, '{"a": [1, 2', f"{CUT_OFF}: there is no JSON in the answer"),
        (CHOICE, "I would say", f"{CUT_OFF}: I would say is not one of"),
        ({"kind": "json", "required_fields": ["b"]}, '{"a": 1}, {', f"{CUT_OFF}; $.b: is"),
    ],
)
def test_an_answer_that_was_cut_off_says_so(shape: Any, text: Any, told: str) -> None:
    """P11: the remedy is more tokens, not another model."""
    found = understand(shape, Raw(status=200, body=reply(text, finish_reason="length")))
    assert found["status"] == "invalid"
    assert found["problem"].startswith(told)


@pytest.mark.parametrize(
    ("shape", "text", "rationale"),
    [
        (TEXT, "The answer is that", CUT_OFF),
        (JSON, '{"a": 1} as I', CUT_OFF),
        (JSON, '{"a": 1, "_rationale": "why"}', "why"),
    ],
)
def test_half_an_answer_that_is_valid_says_that_it_is_half(
    shape: Any, text: str, rationale: str
) -> None:
    """What stands there is kept, with that beside it."""
    found = understand(shape, Raw(status=200, body=reply(text, finish_reason="length")))
    assert (found["status"], found["rationale"]) == ("ok", rationale)
    whole = understand(TEXT, Raw(status=200, body=reply("Blue.", finish_reason="stop")))
    assert "rationale" not in whole


PRICED = llm("a", cost=Cost(per_call=0.01, per_1k_input=1.0, per_1k_output=2.0))


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 50}, 0.01 + 0.1 + 0.1),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 0.01),
        ({"prompt_tokens": 100}, 0.25),
        ({"prompt_tokens": -1, "completion_tokens": 5}, 0.25),
        ({"prompt_tokens": True, "completion_tokens": 5}, 0.25),
        (None, 0.25),
        ("x", 0.25),
    ],
)
def test_a_reply_costs_what_it_says_it_used(usage: Any, cost: float) -> None:
    """P13: without a count, all that was reserved."""
    body = understand(TEXT, Raw(status=200, body={**reply("x"), "usage": usage}), PRICED)
    assert body["cost"] == pytest.approx(cost)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (Raw(failure="it ended with 3", transport=False, billable=True), "error"),
        (Raw(status=200, unusable="it is not UTF-8"), "invalid"),
    ],
)
@pytest.mark.parametrize(
    ("responder", "cost"),
    [
        (llm("a", cost=Cost(per_1k_input=1.0)), 0.25),
        (Responder(id="a", kind="system", command=("true",), cost=Cost(per_call=0.2)), 0.2),
        (Responder(id="a", kind="system", command=("true",)), 0.0),
    ],
)
def test_work_that_brought_nothing_of_use_is_paid_for(
    raw: Raw, status: str, responder: Responder, cost: float
) -> None:
    """P13: whoever had it may bill it; a model that did not count it, all that was reserved."""
    body = understand(TEXT, raw, responder)
    assert (body["status"], body["cost"]) == (status, cost)
    assert body["problem"] == (raw.failure or raw.unusable)


def test_an_invalid_reply_is_paid_for_all_the_same() -> None:
    """P12, P13: the money is gone."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0}
    body = understand(JSON, Raw(status=200, body={**reply("x"), "usage": usage}), PRICED)
    assert (body["status"], body["cost"]) == ("invalid", 0.01)


def test_a_wrong_shape_is_invalid_and_says_where() -> None:
    """P11: the answer is kept for whoever asks why."""
    body = said({"kind": "json", "required_fields": ["total"]}, '{"sum": 1}')
    assert (body["status"], body["problem"]) == ("invalid", "$.total: is required")
    assert body["value"] == {"sum": 1}


def test_a_program_answers_with_its_output() -> None:
    """P8: a system or pattern responder's body is the answer."""
    body = understand(JSON, Raw(body={"n": 1.0, "_confidence": 1}), TOOL)
    assert (body["status"], body["value"], body["confidence"]) == ("ok", {"n": 1}, 1.0)
    assert body["cost"] == 0.5
    assert understand(TEXT, Raw(body="words"), TOOL)["value"] == "words"
    assert understand(TEXT, Raw(body={"n": 1}), TOOL)["problem"] == "$: must be text, not an object"
    assert understand(CHOICE, Raw(body="yes"), TOOL)["value"] == "Yes"
    assert understand(JSON, Raw(body=2**60), TOOL)["status"] == "invalid"


def test_a_program_keeps_to_its_own_schema() -> None:
    """P8: a system responder comes with a schema, whatever the query asks for."""
    tool = Responder(id="a", kind="system", command=("true",), schema={"required": ["n"]})
    assert understand(JSON, Raw(body={"n": 1}), tool)["status"] == "ok"
    body = understand(JSON, Raw(body={"m": 1}), tool)
    assert body["status"] == "invalid"
    assert body["problem"] == '$: "n" is a required property (by the schema of a)'


@pytest.mark.parametrize(("printed", "text"), [(42, "42"), (True, "true"), (-0.5, "-0.5")])
def test_what_a_program_prints_is_text_where_text_is_wanted(printed: Any, text: str) -> None:
    """P8: `echo 42` is an answer of text, though its reader took it for JSON."""
    body = understand(TEXT, Raw(body=printed), TOOL)
    assert (body["status"], body["value"]) == ("ok", text)
    one = understand({"kind": "choice", "choices": [text, "other"]}, Raw(body=printed), TOOL)
    assert (one["status"], one["value"]) == ("ok", text)
    assert understand(TEXT, Raw(body=printed), person("a"))["status"] == "invalid"
    assert understand(TEXT, Raw(body=None), TOOL)["status"] == "invalid"


def test_a_person_submits_an_answer_with_what_is_beside_it() -> None:
    """P18: validated against the shape; confidence and rationale are kept."""
    eve = person("a")
    raw = Raw(body={"n": 1}, confidence=0.5, rationale="I looked it up", delay_secs=90_000)
    body = understand(JSON, raw, eve)
    assert (body["status"], body["confidence"]) == ("ok", 0.5)
    assert body["rationale"] == "I looked it up"
    wrong = understand({"kind": "json", "required_fields": ["m"]}, raw, eve)
    assert wrong["problem"] == "$.m: is required"


def nested(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"a": 1, "_rationale": "\ud83d"}, "$.rationale: not Unicode text"),
        ({"a": 1, "_obligations": [{"id": "\ud83d"}]}, "not Unicode text"),
        ({"a": 1, "_obligations": [{"id": "o", "n": math.nan}]}, "not a JSON number"),
        ({"a": 1, "_obligations": [{"id": "o", "n": 2**60}]}, "beyond ±(2^53-1)"),
        ({"a": 1, "_obligations": [{"id": "o", "n": nested(200)}]}, "nested deeper than 100"),
        ({"a": 1, "_obligations": [{"id": "o", "n": nested(70)}]}, "nested deeper than 64"),
        ({"a": 1, "_obligations": nested(2000)}, "too deep to be shown has no id"),
        (nested(MAX_NESTED + 1), "nested deeper than 64 levels"),
        (nested(101), "nested deeper than 64 levels"),
        ({"a": "x" * MAX_ANSWER_BYTES}, f"has {MAX_ANSWER_BYTES + 10} bytes"),
        ({"a": 1, "_rationale": "x" * MAX_ANSWER_BYTES}, f"at most {MAX_ANSWER_BYTES} are kept"),
    ],
)
def test_what_no_record_can_hold_is_an_invalid_answer(body: Any, told: str) -> None:
    """P11: said beside the answer as well as in it; it is paid for."""
    found = understand(JSON, Raw(body=body), TOOL)
    assert (found["status"], found["cost"]) == ("invalid", 0.5)
    assert told in found["problem"]


def test_an_answer_may_be_nested_as_deep_as_is_allowed() -> None:
    """P11: 64 levels; the records that follow put a few more around it (P19)."""
    assert understand(JSON, Raw(body=nested(MAX_NESTED)), TOOL)["status"] == "ok"


def test_a_reply_that_cannot_be_read_at_all_costs_what_was_reserved() -> None:
    """P13: what a program printed in place of text has more digits than are ever written."""
    found = understand(TEXT, Raw(body=10**5000), TOOL)
    assert (found["status"], found["cost"]) == ("invalid", 0.25)
    assert "cannot be recorded" in found["problem"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (Raw(failure="said \ud83d"), "error"),
        (Raw(status=500, body={"error": "\ud83d"}), "error"),
        (Raw(status=500, body="\ud83d"), "error"),
        (Raw(status=500, body=nested(2000)), "error"),
        (Raw(status=200, body={"error": "\ud83d"}), "invalid"),
        (Raw(status=200, body=reply("no \ud83d")), "invalid"),
    ],
)
def test_half_a_surrogate_pair_is_told_as_its_escape(raw: Raw, status: str) -> None:
    """P4, P19: an error stays an error, whatever its text."""
    for shape in (JSON, CHOICE):
        found = understand(shape, raw)
        assert found["status"] == status
        assert "too deep" in found["problem"] or "\\ud83d" in found["problem"]


@pytest.mark.parametrize("count", [math.inf, math.nan, 1e308, 10**400, 1e13])
def test_a_count_of_tokens_that_is_none_is_not_taken(count: float) -> None:
    """P13: it costs what was reserved, as if there were no count."""
    usage = {"prompt_tokens": count, "completion_tokens": 1}
    body = understand(TEXT, Raw(status=200, body={**reply("x"), "usage": usage}), PRICED)
    assert (body["status"], body["cost"]) == ("ok", 0.25)


def test_a_price_without_measure_is_what_was_reserved() -> None:
    """P13."""
    usage = {"prompt_tokens": 10**12, "completion_tokens": 10**12}
    for price in (2.0, 1e308):
        dear = llm("a", cost=Cost(per_1k_output=price))
        assert understand(TEXT, Raw(body={**reply("x"), "usage": usage}), dear)["cost"] == 0.25


@pytest.mark.parametrize("newlines", [10, 100_000])
def test_a_fence_that_does_not_end_is_read_in_linear_time(newlines: int) -> None:
    """P11: a pattern that goes back took minutes for a thousand lines."""
    text = "```" + "\n" * newlines
    assert said(JSON, text + "x")["status"] == "invalid"
    assert the_json(f"{text}[1]{chr(10) * newlines}```") == [1]


ODD = st.sampled_from([math.inf, -1e308, 1e308, 10**400, -(10**400), 2**60, "\ud83d", nested(80)])
WORDS = st.text(st.characters(exclude_categories=()), max_size=5)  # with halves of pairs
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS, inner, max_size=3)
        | st.fixed_dictionaries({"_rationale": inner, "_confidence": inner})
        | st.fixed_dictionaries(
            {"_obligations": st.lists(st.fixed_dictionaries({"id": WORDS, "x": inner}))}
        )
    ),
    max_leaves=10,
)
COMPLETIONS = st.builds(
    lambda text, probabilities, usage: {**reply(text, logprobs=logprobs(*probabilities)), **usage},
    WORDS | ANYTHING.map(json.dumps),
    st.lists(st.floats() | ODD, max_size=2),
    st.fixed_dictionaries(
        {"usage": st.fixed_dictionaries({"prompt_tokens": ANYTHING, "completion_tokens": ANYTHING})}
    ),
)


@given(
    st.sampled_from([None, 200, 500]),
    ANYTHING | COMPLETIONS,
    st.none() | WORDS,
    st.sampled_from([JSON, TEXT, CHOICE]),
    st.sampled_from([PRICED, TOOL, person("a")]),
)
def test_nothing_that_a_responder_sends_raises(
    status: int | None, body: Any, words: str | None, shape: dict[str, Any], responder: Responder
) -> None:
    """P11, P20: whatever comes fits into a record, and the run takes it."""
    raw = Raw(status=status, body=body, failure=words if status is None else None, rationale=words)
    k, drafts = started(shape, responder)
    found = understood(k.plan, drafts[0].body, raw)
    assert found["status"] in ("ok", "invalid", "error")
    stored: Any = parse(canonical(found).decode())
    _, after = step.take(k, Entry("do", stored, k.now + 1))
    for draft in after:
        canonical(draft.body)


@given(ANYTHING.map(json.dumps) | st.text(), st.text(max_size=20))
def test_no_text_of_a_model_raises(text: str, before: str) -> None:
    """P11."""
    assert said(JSON, before + text)["status"] in ("ok", "invalid")
