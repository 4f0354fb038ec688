"""P15: what could build gigabytes or compare for minutes is refused when it is admitted."""

from __future__ import annotations

import pytest

from covend.patterns.expressions import cel

NAMES = {
    "s": "dyn",
    "t": "string",
    "xs": "dyn",
    "items": "dyn",
    "known": "map(string, dyn)",
    "responses": cel.VOCABULARY["responses"],
}
LARGE = "100 times as large"
MANY = "something of 1000000 parts"
SUMS = "what + makes here"
COMPARES = "compares two things in each round"
SEARCHES = "searches the same thing in each round"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("xs.map(x, xs).size() > 0", LARGE),
        ("responses[0].answer.map(x, responses[0].answer).size() > 0", LARGE),
        ("responses.map(r, xs.map(x, r.answer)).size() > 0", LARGE),
        ("xs.map(x, xs.map(y, {'x': x, 'y': y})).size() > 0", LARGE),
        ("xs.filter(x, xs.map(y, xs).size() > 0).size() > 0", LARGE),
        ("[s]" + ".map(a, xs.map(z, a))" * 3 + ".size() > 0", LARGE),
        ("[s]" + ".map(a, [a, a])" * 10 + ".size() > 0", LARGE),
        ("[s]" + ".map(a, {'b': [a.b, a.b]})" * 10 + ".size() > 0", LARGE),
        ("[s]" + ".map(a, {'b': [a.b, a]})" * 10 + ".size() > 0", LARGE),
        ("[s]" + ".map(a, {'b': {'c': a.b.c, 'd': a.b['c']}})" * 10 + ".size() > 0", LARGE),
        ("[0]" + ".map(a, [a, a])" * 20 + ".size() > 0", MANY),
        ("[0]" + ".map(a, {'a': a, 'b': a})" * 20 + ".size() > 0", MANY),
        ("[0]" + ".map(a, [0, 0].map(z, a))" * 20 + ".size() > 0", MANY),
        ("[0]" + ".map(a, [a, a])" * 20 + ".all(a, a == a)", MANY),
        (f"xs.map(x, [{'0, ' * 120}0]).size() > 0", MANY),
    ],
)
def test_an_expression_that_could_build_gigabytes_is_refused(source: str, told: str) -> None:
    """P15, P7: at admission; how an admitted one is evaluated does not change (P5)."""
    assert told in str(cel.check(source, NAMES))


@pytest.mark.parametrize(
    "source",
    [
        "xs.exists(x, s + x == 'aa')",
        "xs.exists(x, t + x == 'aa')",
        "xs.all(x, xs.exists(y, x + y == 'aa'))",
        "xs.all(x, [s].all(y, y + y != ''))",
        "['x']" + ".map(a, [a + a + a + a])" * 6 + ".size() > 0 && xs.all(x, s + s != '')",
        "[s]" + ".map(a, a + a + a + a)" * 6 + ".size() > 0",
        "[xs.map(x, [0, 0, 0, 0, 0, 0])].map(b, xs.all(x, b + b != []))[0]",
    ],
)
def test_adding_what_is_no_number_in_each_round_is_refused(source: str) -> None:
    """P15: nothing that ``+`` makes is freed before the evaluation ends."""
    assert SUMS in str(cel.check(source, NAMES))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("xs.all(x, xs == xs)", COMPARES),
        ("xs.all(x, s.a == s.b)", COMPARES),
        ("xs.all(x, s.a < s.b)", COMPARES),
        ("xs.all(x, xs.all(y, x == x))", COMPARES),
        ("xs.all(x, [s].all(y, y == s))", COMPARES),
        ("xs.all(x, xs.all(y, xs.all(z, x == z)))", COMPARES),
        ("[xs.map(x, [0, 0])].map(b, xs.all(x, b == b))[0]", COMPARES),
        ("xs.all(x, x in xs)", SEARCHES),
        ("xs.all(x, x.kind in s.kinds)", SEARCHES),
        ("xs.all(x, xs.all(y, 1 in x))", SEARCHES),
        ("xs.all(x, s.matches('a+$'))", SEARCHES),
        ("xs.all(x, x.matches(s))", SEARCHES),
    ],
)
def test_comparing_the_same_large_things_in_each_round_is_refused(source: str, told: str) -> None:
    """P15: ten thousand rounds of something given are a minute, or an hour."""
    assert told in str(cel.check(source, NAMES))


@pytest.mark.parametrize(
    "source",
    [
        "s + s + s != ''",
        "t + s + s != ''",
        "s == s && s in xs",
        "[s + s].all(a, a.size() > 0)",
        "[s + s + s].all(a, [a + a + a].all(b, b.size() > 0))",
        "xs.all(x, x + 1 > 0)",
        "xs.map(x, double(x.n) + double(x.m)).size() > 0",
        "items.map(i, {'name': i.name, 'kind': 'x'}).size() > 0",
        "items.map(i, {'name': i.name, 'kind': 'x'}).map(j, {'n': j.name, 'k': j.kind})[0].n == 1",
        "items"
        + ".map(i, {'a': i.a, 'b': i.b, 'c': i.c, 'd': i.d.e, 'f': i.d.f})" * 6
        + "[0].a == 1",
        "items.filter(i, i.n > 1).size() > 0",
        "items.filter(i, i.n > 1).filter(i, i.m > 1).size() > 0",
        "xs.filter(x, x.n > 1).map(x, {'n': x.n, 'm': [x.m]}).exists(x, x.n == 2)",
        "xs.all(x, xs.all(y, x.n == y.n || xs.exists(z, double(z.n) != double(x.n))))",
        "[xs].map(x, [x, x].map(x, [x, x])).size() > 0",
        "xs.all(x, timestamp(x.at) + duration('1h') > timestamp(x.till))",
        "responses.map(r, r.answer.items.map(i, i.n)).size() > 0",
        "responses.all(r, r.answer == responses[0].answer)",
        "responses.exists(r, responses.exists(q, r.answer == q.answer && r.trust > q.trust))",
        "xs.all(x, x.kind in ['a', 'b'])",
        "xs.all(x, x.kind in known)",
        "xs.all(x, 'a' in x.tags)",
        "xs.all(x, xs.exists(y, y == x))",
        "xs.all(x, s.kind == 'a')",
        "xs.all(x, x.name.matches('^[a-z]+$'))",
        "['a+', 'b+'].exists(x, s.matches(x))",
    ],
)
def test_an_expression_that_goes_through_its_data_is_admitted(source: str) -> None:
    """P15: copies are counted, not macros."""
    assert cel.check(source, NAMES) is None


@pytest.mark.parametrize(
    "source",
    [
        "items.all(i, i.price + i.tax < 10.0)",
        "items.map(i, i.first + ' ' + i.last).size() > 0",
        "responses.all(r, r.answer.items.all(i, i.price + i.tax < 10.0))",
        "xs.map(x, [x] + [x]).size() > 0",
    ],
)
def test_parts_of_a_macros_own_variable_may_be_added(source: str) -> None:
    """P15: over all rounds they come to what was given, so often as the source says."""
    assert cel.check(source, NAMES) is None
