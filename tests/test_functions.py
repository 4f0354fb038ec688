"""Deterministic functions: what is built in, and how others are found (P8)."""

import pytest

from covend import functions
from covend.functions import Declined, UnknownFunction, find


def call(name, question="", given=None, **more):
    function, argument = find(name)
    return function({"question": question, "input": given, "shape": {}, **more}, argument)


@pytest.mark.parametrize(("expression", "found"), [
    (r"\d{4}-\d\d", "2026-11"),
    (r"in (\d{4})", "2026"),
    (r"(?P<year>\d{4})-(?P<month>\d\d)", {"year": "2026", "month": "11"}),
])  # fmt: skip
def test_a_regex_finds_its_groups_or_its_match(expression, found):
    assert call(f"regex:{expression}", given="in 2026-11") == found


@pytest.mark.parametrize(("expression", "found"), [
    (r"(?P<city>\p{L}+), (\p{L}+)", {"city": "Zürich"}), (r"\b(\w+), (\w+)", "rich"),
    (r"(?i)größe (\d+)", "42"), (r"(x)?Gr", None), (r"(?:Größe) 4.", "Größe 42"),
    (r"[А-я]+", "заказ"), (r"(?<n>\d)(?<m>z)?", {"n": "4", "m": None}),
])  # fmt: skip
def test_groups_and_letters_of_any_script_are_found(expression, found):
    """P8: `\\w` and `\\b` know ASCII only, a class of Unicode letters has them all."""
    assert call(f"regex:{expression}", given="Zürich, Bern; заказ; Größe 42") == found


@pytest.mark.parametrize("expression", [r"(a+)+$", r"(\w+\s*)+$", r"(a|a)+\z", r".*a.*a.*a.*b"])
def test_an_expression_that_ruins_a_backtracking_matcher_is_answered(expression):
    """P8: the time grows with the text alone."""
    assert functions.problem(f"regex:{expression}") is None
    with pytest.raises(Declined, match="nothing matches"):
        call(f"regex:{expression}", given="a" * 50_000 + "!")
    assert call("regex:(a+)+!$", given="a" * 50_000 + "!") == "a" * 50_000


def test_of_a_longer_text_it_is_said_that_only_its_beginning_was_looked_through():
    """P8."""
    assert call("regex:x", given="é" * (functions.MAX_TEXT - 1) + "x") == "x"
    with pytest.raises(Declined, match="in the first 65536 characters"):
        call("regex:x", given="é" * functions.MAX_TEXT + "x")


@pytest.mark.parametrize(("expression", "reason"), [
    ("(?=a)", "invalid perl operator: (?="), ("(?<!a)b", "invalid perl operator: (?<!"),
    (r"(a)\1", r"invalid escape sequence: \1"), ("(?P<n>a)(?P=n)", "invalid perl operator: (?P"),
    ("(", "missing ): ("), ("[é", "missing ]: [é"), ("a{1001}", "invalid repetition size: {1001}"),
    ("\ud800", "not Unicode text"), (r"\p{L}{1000}", "pattern too large - compile failed"),
    ("a" * 100_000, "pattern too large - compile failed"),
    ("a" * 12_000, "12004 instructions and 0 groups, where at most 10000 and 20 may be"),
    ("(a)" * 21, "and 21 groups, where at most 10000 and 20 may be"),
])  # fmt: skip
def test_an_expression_that_cannot_be_run_is_refused_with_the_reason(expression, reason, capfd):
    """P8, X6: before anybody is asked, and nothing is written where a log would be."""
    said = functions.problem(f"regex:{expression}")
    assert said.startswith(f"{functions.quoted(expression[:100])} is no regular expression that ")
    assert said.endswith(reason)
    assert capfd.readouterr().err == ""


def test_an_expression_is_shown_as_it_was_written():
    """X6: what a box file says is found in what is told of it; it stays one line."""
    with pytest.raises(Declined) as declined:
        call(r"regex:\b[A-Z]{2}-\d{4}\b", "none")
    assert str(declined.value) == r"nothing matches '\b[A-Z]{2}-\d{4}\b'"
    said = functions.problem("regex:(?=\\d\n\ud800")
    assert said.startswith(r"'(?=\d\n\ud800' is no regular expression")


def test_arithmetic_that_is_too_long_is_called_so():
    """X6: also where there is some more that fits, and comes to nothing."""
    longer = "1+" * functions.MAX_EXPRESSION + "1"
    for text in (longer, f"{longer} or 1 / 0"):
        with pytest.raises(Declined, match="more than 1024 characters: too long"):
            call("arithmetic", text)
    assert call("arithmetic", f"{longer} or 1 + 1") == 2
    with pytest.raises(Declined, match="no arithmetic was found"):
        call("arithmetic", "9" * 2000)


def test_the_input_is_looked_through_before_the_question():
    assert call(r"regex:\d+", "1", given={"b": "3", "a": "2"}) == "2"
    assert call(r"regex:\d+", "1", given={"a": ["x"]}) == "1"


@pytest.mark.parametrize(("name", "given"), [
    ("regex:x", "no"), ("regex:(", "("), ("lookup:{", "a"), ("lookup:[]", "a"),
    ('lookup:{"a": 1}', "b"), ("arithmetic", "no numbers here"), ("arithmetic", "just 42"),
    ("arithmetic", "2 ** 9999"), ("arithmetic", "1 / 0"),
])  # fmt: skip
def test_what_a_function_cannot_answer_it_declines(name, given):
    with pytest.raises(Declined):
        call(name, given=given)


def test_a_table_is_looked_up():
    assert call('lookup:{"France": "Paris", "n": 1}', " France ") == "Paris"


@pytest.mark.parametrize(("text", "value"), [
    ("What is 17 * 23?", 391), ("2 + 3 * 4", 14), ("(2+3)*4", 20), ("7 / 2", 3.5), ("6/3", 2),
    ("2^10", 1024), ("-3 + 5", 2), ("10 % 4", 2),
])  # fmt: skip
def test_arithmetic_is_computed(text, value):
    assert call("arithmetic", text) == value


@pytest.mark.parametrize(("show", "approved"), [
    (391, True), ("It is 391.", True), ({"answer": "391"}, True), (390, False), (None, False),
    (True, False), ("none", False),
])  # fmt: skip
def test_arithmetic_judges_an_answer(show, approved):
    """An auditor that cannot be wrong about numbers."""
    assert call("arithmetic", "What is 17 * 23?", role="audit", show=show) == {"approved": approved}


def test_installed_functions_are_found_by_their_entry_points(monkeypatch):
    class Entry:
        name = "mine"

        def load(self):
            return lambda asked, argument: argument.upper()

    monkeypatch.setattr(functions, "installed", lambda: {"mine": Entry()})
    assert call("mine:x") == "X"
    with pytest.raises(UnknownFunction, match="arithmetic, lookup, mine, regex"):
        find("nothing:")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("regex:([", "no regular expression"),
        ("lookup:{", "the table is not JSON"),
        ("lookup:[]", "the table is not a JSON object"),
        ("nosuch", "no function is called 'nosuch'"),
        (r"regex:\d", None),
        ('lookup:{"a": 1}', None),
        ("arithmetic", None),
    ],
)
def test_what_could_never_answer_is_known_before_it_is_asked(name, problem):
    """P8, X6: such a responder is not registered."""
    found = functions.problem(name)
    assert found == problem if problem is None else problem in found


def test_whether_a_function_is_there_is_said_without_loading_it(monkeypatch):
    """Its package may take long to load, or fail."""

    class Entry:
        def load(self):
            raise ImportError("broken")

    monkeypatch.setattr(functions, "installed", lambda: {"heavy": Entry()})
    assert functions.problem("heavy:x") is None
    assert "no function is called 'light'" in functions.problem("light")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 60_000,
        "(" * 300 + "1" + ")" * 300 + "+1",
        "1+" * 600 + "1",
        "*".join(["999999^256"] * 90),
        "9" * 900 + "^9+1",
        "(-8)^(1/3)",
        "9" * 400 + ".0 * 1" + "0" * 400 + ".0",
    ],
)
def test_arithmetic_that_is_too_large_is_none(text):
    """P8: neither the text nor any number on the way grows beyond its bound."""
    assert functions.computed(text) is None


def test_no_number_on_the_way_is_larger_than_allowed(monkeypatch):
    """Each is looked at, so that the next operation begins with small ones."""
    bits = []
    bounded = functions._bounded

    def looked_at(value):
        bits.append(value.bit_length())
        return bounded(value)

    monkeypatch.setattr(functions, "_bounded", looked_at)
    assert functions.computed("*".join(["999999^256"] * 90)) is None
    assert max(bits) <= 2 * functions.MAX_BITS


def test_arithmetic_is_found_by_going_through_a_text_once(monkeypatch):
    """The brackets before a number belong to it; of other brackets each is looked at once."""
    assert functions.computed("((((x (((1+2))) x ((((") == 3
    tried = []
    parse = functions.ast.parse
    monkeypatch.setattr(
        functions.ast, "parse", lambda *args, **how: tried.append(args) or parse(*args, **how)
    )
    assert functions.computed("1+x" * 20_000 + " and 20+2") == 22
    assert functions.computed("1+x" * 20_000) is None
    assert len(tried) == 1 + functions.MAX_TRIED


@pytest.mark.parametrize(("shown", "value", "same"), [
    (1.5, 10**400, False), (10**400, 1.5, False), (10**400, 10**400, True),
    (str(10**400), 10**400, True), (str(10**400 + 10**395), 10**400, False), ("9" * 5000, 1, False),
    (10**400 + 1, 10**400, False), (1.0, 1, True), ("1e", 1.0000000001, True),
])  # fmt: skip
def test_numbers_that_no_float_holds_are_compared(shown, value, same):
    assert functions.same_number(shown, value) == same


@pytest.mark.parametrize(
    ("name", "given", "quick"),
    [
        (r"regex:(\d+)", "order 42", True),
        (r"regex:(\d+)", "x" * functions.QUICK_STEPS, False),
        ("regex:a{900}", "a" * 1000, False),
        ("regex:(", "no expression at all", True),
        (r"regex:(\d+)", {"many": "members"}, False),
        ('lookup:{"a": 1}', "a", True),
        ('lookup:{"a": 1}', "a" * functions.QUICK_TEXT, False),
        ("arithmetic", "1 + 1", True),
        ("arithmetic", "1" * functions.QUICK_TEXT, False),
        ("unheard-of", "a", False),
    ],
)
def test_only_what_is_surely_done_soon_is_quick(name, given, quick):
    assert functions.is_quick(name, {"input": given, "question": "?"}) is quick


def test_to_judge_a_long_answer_is_not_quick():
    asked = {"question": "1 + 1", "role": "audit"}
    assert functions.is_quick("arithmetic", {**asked, "show": "It is 2."})
    assert not functions.is_quick("arithmetic", {**asked, "show": "It is 2. " * 200})
    assert not functions.is_quick("arithmetic", {**asked, "show": {"answer": "2"}})


def test_of_an_installed_function_nobody_knows_how_long_it_takes(monkeypatch):
    monkeypatch.setattr(functions, "installed", lambda: {"regex": None})
    assert not functions.is_quick("regex:a", {"question": "a"})
