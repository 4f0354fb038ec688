"""P15: CEL behind an adapter; an error is neither true nor false and never accepts."""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patterns.cel_table import CASES, ERROR, REFUSED, VALUES

from covend.patterns.expressions import cel

NAMES = {name: cel.VOCABULARY.get(name, "dyn") for name in VALUES}


@pytest.mark.parametrize(("source", "expected"), CASES, ids=[source for source, _ in CASES])
def test_an_expression_is_what_the_language_definition_says(source: str, expected: object) -> None:
    """P15, against a table from the CEL language definition."""
    found = cel.evaluate(source, VALUES)
    problem = cel.check(source, NAMES, "any")
    if expected in (ERROR, REFUSED):
        assert isinstance(found, cel.CelError), found
        assert found.message
        assert (problem is not None) == (expected is REFUSED), problem
    else:
        assert problem is None
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(("source", "names", "there_are"), [
    ("foo > 1 || bar", {"confidence": "double", "answer": "dyn"}, "answer, confidence"),
    ("foo", {"response": "dyn"}, "response"),
    ("foo", {}, "none"),
])  # fmt: skip
def test_of_a_name_that_is_not_there_it_is_said_which_are(source, names, there_are) -> None:
    """P15, X6."""
    problem = cel.check(source, names)
    assert problem.startswith("1:1: undeclared reference to 'foo'")
    assert problem.endswith(f"; there are: {there_are}") and problem.count("there are") == 1
    assert "there are" not in cel.check("1 +", names)


def test_an_error_has_no_truth_value() -> None:
    """P15: who forgets to test the type of an error is told, rather than let through."""
    error = cel.evaluate("1 / 0 == 1", {})
    assert isinstance(error, cel.CelError)
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(error)


@pytest.mark.parametrize("source", ["1", "'true'", "null", "answer", "[true]", "answer.nope"])
def test_a_condition_that_is_no_bool_is_an_error(source: str) -> None:
    """P15: 1, "true" and null are not true."""
    assert isinstance(cel.holds(source, {"answer": "x"}), cel.CelError)


def test_a_condition_holds_or_does_not() -> None:
    assert cel.holds("confidence > 0.5", {"confidence": 0.75}) is True
    assert cel.holds("confidence > 0.5", {"confidence": 0.25}) is False


def test_a_confidence_nobody_stated_is_an_error_in_every_comparison() -> None:
    """P15: unknown is neither above nor below a threshold."""
    for source in ("confidence > 0.5", "confidence <= 0.5", "confidence == 0.5"):
        assert isinstance(cel.holds(source, {"confidence": None}), cel.CelError)


@pytest.mark.parametrize(
    ("source", "gives", "fine"),
    [
        ("true", "bool", True),
        ("1", "bool", False),
        ("answer", "bool", True),  # dyn: known only when it is evaluated
        ("1", "number", True),
        ("1.5", "number", True),
        ("answer.x", "number", True),
        ("'a'", "number", False),
        ("true", "number", False),
        ("[1]", "any", True),
    ],
)
def test_what_comes_out_is_checked_too(source: str, gives: cel.Gives, fine: bool) -> None:
    """P7: typed at admission, the result as well."""
    assert (cel.check(source, {"answer": "dyn"}, gives) is None) == fine


def test_declared_members_are_typed() -> None:
    """P15: typed from the answer's schema; has() and unknown members still work."""
    names = {"answer": "map(string, dyn)", "answer.total": "int", "answer.name": "string"}
    assert cel.check("answer.total > 3 && has(answer.other) && answer.other == 1", names) is None
    problem = cel.check("answer.total > 'three'", names)
    assert problem is not None
    assert "1:14" in problem
    assert "(int, string)" in problem


def test_a_long_source_is_refused() -> None:
    """P15: at most 2 KB, counted in bytes."""
    fits = "'" + "x" * 2000 + "' != ''"
    assert cel.holds(fits, {}) is True
    for long in ("'" + "x" * 2050 + "' != ''", "'" + "é" * 1030 + "' != ''"):
        assert "at most 2048" in str(cel.check(long, {}))
        assert isinstance(cel.holds(long, {}), cel.CelError)


@pytest.mark.parametrize(
    "source",
    ["(" * 300 + "1" + ")" * 300 + " == 1", "[" * 300 + "]" * 300 + " == []", "a" + ".a" * 400],
)
def test_deep_nesting_is_refused(source: str) -> None:
    """P15: depth is limited."""
    assert cel.check(source, {"a": "dyn"}) is not None
    assert isinstance(cel.holds(source, {"a": {}}), cel.CelError)


def test_iterations_are_limited() -> None:
    """P15: four nested loops over forty items would be millions of steps."""
    source = "xs.all(a, xs.all(b, xs.all(c, xs.all(d, true))))"
    found = cel.holds(source, {"xs": list(range(40))})
    assert isinstance(found, cel.CelError)
    assert "budget" in found.message
    assert cel.holds("xs.all(a, xs.all(b, true))", {"xs": list(range(40))}) is True


def test_memory_that_runs_out_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """P2: how much there is belongs to the process; a CelError for it would be replayed."""

    class Full:
        def eval(self, data: object) -> object:
            raise MemoryError

    monkeypatch.setattr(cel, "_program", lambda source, names: Full())
    with pytest.raises(MemoryError):
        cel.evaluate("true", {})


@pytest.mark.parametrize("failed", [MemoryError, RecursionError])
def test_taking_the_result_apart_fails_like_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, failed: type[Exception]
) -> None:
    """P15, P2: only MemoryError leaves ``evaluate``, wherever in it there is none left."""

    def fail(found: object) -> object:
        raise failed

    monkeypatch.setattr(cel, "_json", fail)
    if failed is MemoryError:
        with pytest.raises(MemoryError):
            cel.evaluate("[1]", {})
    else:
        assert isinstance(cel.evaluate("[1]", {}), cel.CelError)


def test_a_regular_expression_takes_linear_time() -> None:
    """P15: a pattern that ruins a backtracking matcher."""
    values = {"s": "a" * 20_000 + "b"}
    assert cel.holds("s.matches('^(a+)+$')", values) is False


def test_whole_floats_are_what_canonical_json_makes_of_them() -> None:
    """P2: before and after a restart an expression sees the same numbers."""
    before = {"answer": {"n": 4.0, "many": [1.0, 2.5]}, "confidence": 1.0}
    after = {"answer": {"n": 4, "many": [1, 2.5]}, "confidence": 1}
    for source in ("answer.n / 3", "answer.many", "confidence * 0.5", "answer == {'n': 4}"):
        assert cel.evaluate(source, before) == cel.evaluate(source, after)
    assert cel.evaluate("answer.n / 3", before) == 1


def test_confidence_and_trust_are_doubles_wherever_they_are() -> None:
    """P17: a weight may multiply the two, be they 0, 1 or between."""
    response = {"confidence": 1, "trust": 0.5}
    assert cel.evaluate("response.confidence * response.trust", {"response": response}) == 0.5


@pytest.mark.parametrize(
    "value", [2**70, float("nan"), object(), {"a": object()}, {1: 2}, "\ud800", b"x"]
)
def test_no_value_raises(value: object) -> None:
    """P15: whatever comes in, an error comes out as an error."""
    found = cel.holds("answer == 1", {"answer": value})
    assert found is False or isinstance(found, cel.CelError)


def test_tuples_are_lists() -> None:
    assert cel.evaluate("answer", {"answer": ({"a": (1, 2)},)}) == [{"a": [1, 2]}]


@pytest.mark.parametrize("source", ["null", "[null]", "{'a': null}", "answer", "[answer, answer]"])
def test_a_null_that_comes_out_takes_nothing_away(source: str) -> None:
    """P15, P20: each took a reference from ``None``; after some thousands the process died."""
    values = {"answer": {"a": [None]}}
    cel.evaluate(source, values)
    before = sys.getrefcount(None)
    for _ in range(500):
        cel.evaluate(source, values)
    assert sys.getrefcount(None) > before - 250


def test_of_two_errors_in_a_map_the_first_by_name_is_told() -> None:
    """P2: what a run records of them is the same wherever it is replayed."""
    members = ", ".join(f"'{name}': b'{name}'" for name in "hgfedcba")
    found = cel.evaluate(f"{{{members}}}", {})
    assert isinstance(found, cel.CelError)
    assert "b'a'" in found.message


def test_many_threads_may_evaluate_at_once() -> None:
    """The adapter keeps compiled programs, shared by every thread."""

    def work(seed: int) -> list[object]:
        sources = [f"answer.n + {seed % 7} == {n % 5}" for n in range(40)]
        return [cel.holds(source, {"answer": {"n": seed % 3}}) for source in sources]

    seeds = list(range(64))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, seeds)) == [work(seed) for seed in seeds]


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.integers(-(2**53) + 1, 2**53 - 1))
def test_integer_arithmetic_is_exact_or_an_error(one: int, other: int) -> None:
    """P15: no wrap-around and no rounding."""
    for sign, exact in (("+", one + other), ("-", one - other), ("*", one * other)):
        found = cel.evaluate(f"answer {sign} other", {"answer": one, "other": other})
        if -(2**63) <= exact < 2**63:
            assert found == exact
        else:
            assert isinstance(found, cel.CelError)


@given(st.text(max_size=40))
def test_no_source_raises(source: str) -> None:
    """P15: bad input gets an error, not an exception."""
    problem = cel.check(source, {"answer": "dyn"})
    found = cel.holds(source, {"answer": 1})
    assert isinstance(found, bool | cel.CelError)
    if problem is not None and not problem.startswith("gives"):
        assert isinstance(found, cel.CelError)


@given(st.floats())
def test_doubles_compare_as_they_do_in_json(value: float) -> None:
    found = cel.holds("confidence >= 0.5", {"confidence": value})
    assert found is (value >= 0.5 and not math.isnan(value))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("know.statuss == 'fulfilled'", "know has no member statuss; did you mean status?"),
        ("has(know.stagee) || true", "know has no member stagee; did you mean stage?"),
        ("[1].exists(x, know.xyz == x)", "know has no member xyz; it has advisory, answer, "),
        ("responder.cost.per_call < 1.0 && responder.thrust > 0.5", "did you mean trust?"),
        ("double(response.confidnce)", "did you mean confidence?"),
        ("has(know.stage) && know.stage == 'last'", None),
        ("know.answer.whatever == 1 && know['any'] == 1", None),
        ("[{'a': 1}].exists(know, know.a == 1)", None),
        ("know.folded.exists(know, know.a == know.status)", None),
    ],
)
def test_a_member_that_a_name_never_has_is_refused(source: str, problem: str | None) -> None:
    """P15, X6: it would be an error each time, and nobody would hear why it is never met."""
    names = {name: cel.VOCABULARY[name] for name in ("know", "responder", "response")}
    found = cel.check(source, names, "any")
    assert found == problem if problem is None else problem in (found or "")
