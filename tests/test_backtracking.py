"""How much a regular expression may go back and try again (P8)."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covend import functions
from covend.backtracking import MAX_LENGTH, MIN_LENGTH, Backtracks, growth, longest

A_LINE, A_PAIR = 10_000, 464
"""Lengths of which the square and the cube are a hundred million."""


@pytest.mark.parametrize(
    ("pattern", "length"),
    [
        (r"\b\d{4}-\d{2}-\d{2}\b", MAX_LENGTH),
        (r"(?P<year>\d{4})-(?P<month>\d\d)", MAX_LENGTH),
        (r"(?!no|none)\w", MAX_LENGTH),
        (r"\d+ [-+*/] \d+", A_LINE),
        (r"name=(\w+)", A_LINE),
        (r"(?:\d{1,3}\.){3}\d{1,3}", A_LINE),
        (r"\$?(\d{1,3}(?:,\d{3})*(?:\.\d\d)?)", A_LINE),
        (r"(?:[0-9a-f]{2})+", A_LINE),
        (r'"(?:[^"\\]|\\.)*"', A_LINE),
        (r"(?:\s+\w+)*!", A_LINE),
        (r"(?:[a-z]+-)+x", A_LINE),
        (r"(?x) [a-z]+ # a word", A_LINE),
        (r".*foo", A_LINE),
        (r"(\w)\1", A_LINE),
        (r".*foo.*bar", A_PAIR),
        (r"<(\w+)>.*?</\1>", A_PAIR),
    ],
)
def test_a_pattern_may_be_tried_on_so_much_of_a_text(pattern, length):
    assert longest(pattern) == length


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(a+)+$", "within a repeat the next character must tell"),
        (r"(\w+\s*)*", "within a repeat"),
        (r"(?:\s*\w+)*", "within a repeat"),
        (r"(\d+|\w)*x", "within a repeat"),
        ("(?:a|[ab]b){20}c", "within a repeat"),
        ("(?i:(ab|Ac)*)x", "within a repeat"),
        (r"([→-⇿]+|.)*x", "within a repeat"),
        (r"((\w)\2)+", "a group that is there again"),
        ("(?>a+)+", "within a repeat"),
        ("(a*)*", "can be empty"),
        ("(a?){30}a{30}", "can be empty"),
        ("(?=(a|[ab]b)c)x", "within what it looks around for"),
        (r"(?=.*\d).", "looks ahead for more than 100 characters"),
        ("a?" * 30 + "a" * 30, "match the same text"),
        ("(a*)?(b*)?(c*)?" * 9 + "x", "match the same text"),
        ("a*a*a*b", "match the same text"),
        ("a" * 5000, "at most 4096 are allowed"),
    ],
)
def test_a_pattern_that_tries_all_ways_is_refused(pattern, told):
    with pytest.raises(Backtracks, match=re.escape(told)):
        longest(pattern)


def test_a_pattern_of_many_levels_is_soon_looked_through():
    assert longest("(?:" * 150 + "a" + ")" * 150) == MAX_LENGTH


def test_a_responder_with_such_a_pattern_is_refused_and_its_text_is_bounded():
    """P8, X6: where it is registered, and where it was registered already."""
    assert "'(a+)+$' could take for ever: within a repeat" in functions.problem("regex:(a+)+$")
    with pytest.raises(functions.Declined, match="could take for ever"):
        functions.regex({"input": "aa", "question": ""}, "(a+)+$")
    late = {"input": "-" * A_PAIR + "foobar", "question": ""}
    with pytest.raises(functions.Declined, match="in the first 464 characters, all that may be"):
        functions.regex(late, ".*foo.*bar")


# ── what is promised holds for a matcher that counts its steps ───────────────────────────────

LETTERS = st.sampled_from(["a", "b", "[ab]"])
TIMES = st.sampled_from([(0, 1), (0, None), (1, None), (2, 2), (1, 3)])
TREES = st.recursive(
    LETTERS,
    lambda inner: (
        st.tuples(st.just("repeat"), inner, TIMES)
        | st.tuples(st.just("row"), st.lists(inner, min_size=1, max_size=4))
        | st.tuples(st.just("one of"), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=8,
)


def written(tree):
    match tree:
        case ("repeat", body, (least, most)):
            return f"(?:{written(body)}){{{least},{'' if most is None else most}}}"
        case ("row", parts):
            return "".join(f"(?:{written(part)})" for part in parts)
        case ("one of", parts):
            return "(?:" + "|".join(map(written, parts)) + ")"
        case _:
            return tree


class Matcher:
    """Goes back and tries again as the one of ``re`` does, and counts."""

    def __init__(self, text, limit):
        self.text, self.limit, self.steps = text, limit, 0

    def row(self, nodes, at):
        """Where a match that begins there may end, in the order in which that is tried."""
        if not nodes:
            yield at
            return
        for end in self.one(*nodes[0], at):
            yield from self.row(nodes[1:], end)

    def one(self, name, given, at):
        self.steps += 1
        assert self.steps <= self.limit
        match str(name):
            case "MAX_REPEAT":
                yield from self.repeated(*given, at)
            case "SUBPATTERN":
                yield from self.row(list(given[3]), at)
            case "BRANCH":
                for branch in given[1]:
                    yield from self.row(list(branch), at)
            case "LITERAL" | "IN" as name:
                letters = [given] if name == "LITERAL" else [code for _, code in given]
                if ord(self.text[at]) in letters:
                    yield at + 1

    def repeated(self, least, most, body, at):
        if most > 0:
            for end in self.row(list(body), at):
                if end > at:
                    yield from self.repeated(max(0, least - 1), most - 1, body, end)
        if least == 0:
            yield at

    def search(self, pattern):
        """Find nothing: what comes last does not occur."""
        nodes = list(re._parser.parse(pattern))
        for begin in range(len(self.text)):
            for _ in self.row(nodes, begin):
                raise AssertionError("found")


@settings(max_examples=300, deadline=None)
@given(TREES, st.sampled_from(["a", "b", "ab", "aab", "abb"]))
def test_the_steps_grow_no_faster_than_is_said(tree, period):
    pattern = f"(?:{written(tree)})c"
    try:
        times, power = growth(pattern)
    except Backtracks:
        return
    text = (period * 24)[:24] + "!"
    Matcher(text, 4 * len(pattern) * times * len(text) ** power).search(pattern)


def test_the_matcher_that_counts_notices_what_is_refused():
    with pytest.raises(AssertionError):
        Matcher("a" * 24 + "!", 10**5).search("(a+)+c")
    assert MIN_LENGTH > 24
