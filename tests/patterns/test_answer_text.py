"""JSON in prose that is broken on purpose (P11)."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from covend.patterns.answers import answer_text
from covend.patterns.answers.answer_text import InvalidAnswer, the_json


class Counting:
    """A decoder that counts the characters it is given to read."""

    def __init__(self) -> None:
        self.read = 0
        self._decoder = json.JSONDecoder()

    def raw_decode(self, text: str, at: int) -> tuple[Any, int]:
        try:
            value, end = self._decoder.raw_decode(text, at)
        except json.JSONDecodeError as failed:
            whole = failed.msg.startswith("Unterminated string")
            self.read += len(text) - at if whole else failed.pos - at
            raise
        self.read += end - at
        return value, end


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    monkeypatch.setattr(answer_text, "_DECODER", counting)
    return counting


@pytest.mark.parametrize("ending", ["", "tru"])
@pytest.mark.parametrize(
    ("opening", "item"),
    [("[", "1,"), ('{"a":', "["), ('[{"a":', "1,"), ('{"a":', '["x",'), ('["', '","')],
)
def test_what_is_broken_is_not_read_a_hundred_times(
    decoder: Counting, opening: str, item: str, ending: str
) -> None:
    """P11: each opening bracket is the beginning of what goes on to the end."""
    text = "Sure: " + opening * 100 + "1," * 300_000 + item * 100 + ending
    with pytest.raises(InvalidAnswer, match="no JSON in the answer"):
        the_json(text)
    assert decoder.read <= 2 * (answer_text.MAX_BROKEN + len(text))


@pytest.mark.parametrize(
    "text",
    [
        'It is {"a": {"b": 1}, "c": [',
        'It is {"a": {"b": 1}, "c": "and so',
        "It is [[1], [2], ",
        'It is [{"a": 1}, {"a": ',
        'It is {"a": [1], "b": ',
        'It is {"a": NaN, "b": {"c": 1}}',
        'It is {"a": "\\ud800", "b": {"c": 1}}',
        'It is [1e400, {"a": ' + "[" * 5000 + "]" * 5000 + "}] [",
    ],
)
def test_a_part_of_what_breaks_off_or_is_not_valid_is_no_answer(text: str) -> None:
    """P11: a model that ran out of tokens has not answered, whatever is whole in what it said."""
    with pytest.raises(InvalidAnswer):
        the_json(text)


def test_what_was_found_before_something_breaks_off_is_found() -> None:
    assert the_json('It is {"a": 1}, or rather {') == {"a": 1}
    assert the_json('It is {"a": 1} of [') == {"a": 1}
    assert the_json('Say {"hi}, [1] and {"x: 2}') == [1]


LEAVES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    LEAVES | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ANSWERS = st.lists(VALUES, max_size=4) | st.dictionaries(TEXTS, VALUES, max_size=4)
PROSE = st.text(st.characters(exclude_characters='{}[]"'), max_size=30)


@given(
    ANSWERS,
    PROSE,
    PROSE,
    st.sampled_from(["{}", "\n```json\n{}\n```\n", "```{}```"]),
    st.booleans(),
)
@example([{"city": "Paris"}, {"city": "Rome"}], "Both:", "Bye!", "\n```json\n{}\n```\n", True)
@example([{"city": "Paris"}], "Here is the list:", "Done.", "{}", False)
def test_a_value_with_prose_around_it_is_read_as_it_is(
    value: Any, before: str, after: str, form: str, indented: bool
) -> None:
    """P11: a list as a list, whatever it holds; nothing within a value is an answer beside it."""
    told = json.dumps(value, indent=2 if indented else None)
    assert the_json(before + form.format(told) + after) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('As in [1], the cities are [{"a": 1}] [2]', [{"a": 1}]),
        ('As in [[1], []], it is {"a": [1, 2]} [2]', {"a": [1, 2]}),
        ('[see: {"a": 1}]', {"a": 1}),
    ],
)
def test_a_list_without_objects_may_be_a_mark(text: str, value: Any) -> None:
    assert the_json(text) == value


@pytest.mark.parametrize("text", ['[{"a": 1}] or {"a": 1}', '{"b": 1} or [[{"a": 1}]]'])
def test_a_list_of_objects_is_no_mark(text: str) -> None:
    """P11: there is no guessing whether the list or the object was meant."""
    with pytest.raises(InvalidAnswer, match="2 different JSON values"):
        the_json(text)
