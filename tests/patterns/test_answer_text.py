"""JSON in prose that is broken on purpose (P11)."""

import json
from typing import Any

import pytest

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
    ],
)
def test_a_part_of_what_breaks_off_is_no_answer(text: str) -> None:
    """P11: a model that ran out of tokens has not answered, whatever is whole in what it said."""
    with pytest.raises(InvalidAnswer):
        the_json(text)


def test_what_was_found_before_something_breaks_off_is_found() -> None:
    assert the_json('It is {"a": 1}, or rather {') == {"a": 1}
    assert the_json('It is {"a": 1} of [') == {"a": 1}
    assert the_json('Say {"hi}, [1] and {"x: 2}') == [1]
