"""P2, P15: how macros go round; an expression has the same value and error in every process.

The evaluator's maps are hash tables with another seed in each process: of eight keys two processes
make the same list once in 40,320 times.
"""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patterns.cel_table import CASES, ERROR, REFUSED, VALUES

from covend.patterns.expressions import cel

KEYS = list("hgfedcba")
VALUE = {"answer": {key: at for at, key in enumerate(KEYS)}}
FIRST = sorted(KEYS)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("answer.map(k, k)", FIRST),
        ("answer.map(k, k != 'a', k)", FIRST[1:]),
        ("answer.filter(k, k != 'a')", FIRST[1:]),
        ("answer.filter(k, answer[k] < 3)[0]", "f"),
        ("answer.map(k, double(answer[k])).map(n, n)[0]", 7.0),
        ("[answer].map(x, x.map(k, k))", [FIRST]),
        ("[answer].map(x, {'of': x.filter(k, x[k] > 0)})[0].of", FIRST[:-1]),
        ("{'m': answer}.m.map(k, k)", FIRST),
        ("(answer.a > 0 ? answer : {}).map(k, k)", FIRST),
        ("answer.map(k, answer.map(j, j > k)[0])", [False] * 8),
        ("answer.map(map, type(map) == string ? map : '')", FIRST),
        ("{'d': 1, 'b': 2, 'c': 3, 'a': 4}.map(k, k)", ["a", "b", "c", "d"]),
        ("{2: 1, 'b': 2, 1u: 3, true: 4, -5: 6}.map(k, k)", [True, -5, 1, 2, "b"]),
        ("{'ä': 1, '😀': 2, 'z': 3, '': 4}.map(k, k)", ["", "z", "ä", "😀"]),
    ],
)
def test_a_macro_goes_over_a_map_in_the_order_of_its_keys(source: str, expected: object) -> None:
    """P2: what a run has recorded is found again wherever it is replayed."""
    assert cel.check(source, {"answer": "dyn"}, "any") is None
    assert cel.evaluate(source, VALUE) == expected


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("answer.map(k, {}[k])", "a"),
        ("answer.all(k, {}[k] == 1)", "a"),
        ("answer.exists(k, {}[k] == 1)", "a"),
        ("answer.exists_one(k, {}[k] == 1)", "h"),
        ("answer.filter(k, {}[k] == 1)", "h"),
        ("[answer].all(x, x.map(k, {}[k]) == [])", "a"),
    ],
)
def test_of_many_errors_it_is_always_the_same_that_is_told(source: str, key: str) -> None:
    """P2: an error's text is recorded too; each macro tells its first, or its last."""
    found = cel.evaluate(source, VALUE)
    assert isinstance(found, cel.CelError)
    assert f'Key not found in map : "{key}"' in found.message


def test_how_many_rounds_a_macro_takes_does_not_depend_on_the_process() -> None:
    """P2: what is found in the last rounds is beyond the evaluator's budget, or it is not."""
    many = {f"{at:04}": at for at in range(85)}
    values = {"answer": many, "last": f"{84:04}"}
    far = "answer.all(k, answer.exists(j, j == last))"
    near = "answer.all(k, answer.exists(j, j == '0000'))"
    assert isinstance(cel.evaluate(far, values), cel.CelError)
    assert cel.evaluate(near, values) is True


@given(st.dictionaries(st.text("ab\0ä😀", max_size=3), st.integers(0, 3)), st.randoms())
def test_the_order_in_which_a_map_was_made_is_not_seen(
    answer: dict[str, int], order: random.Random
) -> None:
    """P2: JSON that was read back has its keys in another order than it was made with."""
    shuffled = dict(order.sample(sorted(answer.items()), len(answer)))
    for source in ("answer", "answer.map(k, k)", "answer.filter(k, answer[k] > 1)"):
        assert cel.evaluate(source, {"answer": answer}) == cel.evaluate(
            source, {"answer": shuffled}
        )


@pytest.mark.parametrize(("source", "expected"), [case for case in CASES if case[1] is not REFUSED])
def test_what_is_put_in_order_gives_what_it_gave(source: str, expected: object) -> None:
    """P5: in the round of a macro each expression of the table is what it is alone."""
    found = cel.evaluate(f"once.map(unused, {source}\n)", {**VALUES, "once": [0]})
    if expected is ERROR:
        assert isinstance(found, cel.CelError)
    else:
        assert found == [expected]


@pytest.mark.parametrize("answer", [1, None, "text", [], [3, 1], {}, {"k": 1}])
def test_lists_and_what_has_no_order_are_left_as_they_are(answer: object) -> None:
    """P5: only the order of a map's keys has become another."""
    gathered = cel.evaluate("answer.map(x, x)", {"answer": answer})
    if isinstance(answer, list | dict):
        assert gathered == list(answer)
    else:
        assert isinstance(gathered, cel.CelError)


def test_what_cannot_be_put_in_order_is_refused_and_still_evaluated() -> None:
    """P7, P5: a compiled expression is read only where it is nested less deep than this."""
    deep = 25
    source = "".join(f"xs.all(x{at}, " for at in range(deep)) + "true" + ")" * deep
    assert "nested too deep" in str(cel.check(source, {"xs": "dyn"}))
    assert cel.holds(source, {"xs": [1]}) is True


def test_keys_that_are_put_in_order_take_nothing_from_none() -> None:
    """P20: a null that the evaluator makes a Python value takes a reference from ``None``."""
    values = {"answer": dict.fromkeys(KEYS)}
    cel.evaluate("answer.map(k, k).size()", values)
    before = sys.getrefcount(None)
    for _ in range(500):
        cel.evaluate("answer.map(k, k).size()", values)
    assert sys.getrefcount(None) > before - 250


def test_many_threads_may_put_keys_in_order_at_once() -> None:
    """Sorting is done in Python, from within the evaluator."""
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: cel.evaluate("answer.map(k, k)", VALUE), range(400))
    assert all(one == FIRST for one in found)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 199, 200, 201, 999, 4999])
def test_what_is_gathered_is_all_there_and_in_order(count: int) -> None:
    """P5: it is gathered in two lists, of which the second is added to the first when full."""
    values = {"xs": list(range(count)), "m": {f"{at:04}": at for at in range(count)}}
    assert cel.evaluate("xs.map(x, x * 2)", values) == [at * 2 for at in range(count)]
    assert cel.evaluate("xs.filter(x, x % 3 == 0)", values) == list(range(0, count, 3))
    assert cel.evaluate("xs.map(x, x > 150, [x])", values) == [[at] for at in range(151, count)]
    assert cel.evaluate("m.map(k, k)", values) == list(values["m"])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("xs.map(x, {}[x])", "Key not found in map : 0"),
        ("xs.filter(x, {}[x])", "Key not found in map : 2"),
        ("xs.map(x, {}[x], 1 / 0)", "Key not found in map : 2"),
        ("xs.map(x, x > 0, 1 / 0)", "divide by zero"),
        ("xs.map(x, x / (x - 1) > 0 ? x : {}[x])", "Key not found in map : 0"),
        ("xs.filter(x, x == 1 ? {}[x] : true)", "Key not found in map : 1"),
    ],
)
def test_an_error_in_what_is_gathered_is_the_one_it_was(source: str, told: str) -> None:
    """P5: ``map`` tells its first error, ``filter`` its last."""
    found = cel.evaluate(source, {"xs": [0, 1, 2]})
    assert isinstance(found, cel.CelError)
    assert told in found.message


def test_gathering_ten_thousand_items_takes_megabytes() -> None:
    """P15: each list on the way was there until the evaluation ended, in all 1.6 GB."""
    code = (
        "import resource\nfrom covend.patterns.expressions import cel\n"
        "cel.evaluate('xs.map(x, x)', {'xs': [1]})\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert cel.evaluate('xs.map(x, x).size()', {'xs': list(range(9999))}) == 9999\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 200_000
