"""A reader of a fake answer finds every loss, repetition and addition."""

from hypothesis import given
from hypothesis import strategies as st

from covend.testing import missing_token, token_text
from covend.testing.text import token


@given(st.integers(0, 200))
def test_a_whole_answer_misses_nothing(count):
    assert missing_token(token_text(count), count) is None


@given(st.integers(1, 60), st.data())
def test_a_lost_token_is_found_where_it_is_missing(count, data):
    lost = data.draw(st.integers(0, count - 1))
    text = "".join(token(number) for number in range(count) if number != lost)
    assert missing_token(text, count) == lost


@given(st.integers(1, 60), st.data())
def test_a_repeated_token_is_found_right_after_it(count, data):
    twice = data.draw(st.integers(0, count - 1))
    numbers = [*range(twice + 1), *range(twice, count)]
    assert missing_token("".join(map(token, numbers)), count) == twice + 1


@given(st.integers(0, 30), st.data())
def test_any_other_text_of_the_same_letters_is_not_whole(count, data):
    whole = token_text(count)
    cut = data.draw(st.integers(0, len(whole)))
    other = whole[:cut] + data.draw(st.text("token 0123456789", max_size=8))
    assert (missing_token(other, count) is None) == (other == whole)
