"""A key that a server says back, in every spelling that JSON has for it (P8)."""

import json

import pytest

from covend.actors.calls.quoted_keys import LEAST_SECRET, without

KEY = 'sk-proj/a+b="<c&d>\\e'


def told(text, key=KEY):
    return without(key, text.encode()).decode()


def escaped(key, which, digits="04x"):
    return "".join(f"\\u{ord(c):{digits}}" if c in which else json.dumps(c)[1:-1] for c in key)


@pytest.mark.parametrize("spelled", [
    json.dumps(KEY)[1:-1],
    json.dumps(KEY)[1:-1].replace("/", r"\/"),
    escaped(KEY, "<>&"),
    escaped(KEY, KEY),
    escaped(KEY, KEY, "04X"),
    escaped(KEY, "/\\", "04X"),
], ids=["plain", "slash", "markup", "all", "upper case", "slash and backslash"])  # fmt: skip
def test_a_key_is_found_however_json_text_spells_it(spelled):
    """And what is around it stays as it is."""
    body = rf'{{"a": "\n{spelled}\"", "{spelled}": ["\/", "é\u00e9\\"]}}'
    assert json.loads(body)["a"] == f'\n{KEY}"'
    assert json.loads(told(body)) == {"a": '\n***"', "***": ["/", "éé\\"]}


def test_a_key_in_text_that_is_no_json_is_found():
    assert told(f"no such key: {KEY}, {KEY}!") == "no such key: ***, ***!"


@pytest.mark.parametrize("slash", ["/", r"\/", r"\u002f"])
def test_a_key_is_found_in_json_that_is_text_of_other_json(slash):
    """One server quotes another, and that one a third."""
    key = "/sk-proj/a+b/"
    body = json.dumps({"k": f" {key} "}).replace("/", slash)
    for _ in range(2):
        body = json.dumps({"raw": body})
        inner = json.loads(told(body, key))
        while "raw" in inner:
            inner = json.loads(inner["raw"])
        assert inner == {"k": " *** "}


@pytest.mark.parametrize("key", ["\\" * 9, "sk-proj\\\\x\\", "\\/\\/\\/\\/\\/"])
def test_a_key_of_backslashes_is_found(key):
    for text in (key, json.dumps(key)[1:-1], escaped(key, "\\")):
        assert told(f'"{text}"', key) == '"***"'


@pytest.mark.parametrize("text", [
    "", "{}", json.dumps(KEY[:-1]), json.dumps(KEY.upper()), "s\\k-proj", "\\" * 1000,
    json.dumps({"a": "sk-proj\n/a+b\u00e9\\"}), "sk-proj/a+b=\xff",
])  # fmt: skip
def test_an_answer_without_the_key_is_not_touched(text):
    assert told(text) == text


def test_what_is_too_short_for_a_key_is_none():
    """``none`` and ``x`` are given to servers that want no key."""
    short = "x" * (LEAST_SECRET - 1)
    assert (told(short, short), told("x" + short, "x" + short)) == (short, "***")


@pytest.mark.parametrize(
    "key", [KEY, "\\" * 40 + "x", "\\a" * 20 + "x"], ids=["usual", "one", "many"]
)
@pytest.mark.parametrize("piece", ["\\", "\\\\a", "s", r"\u0073", "sk-proj\\"])
def test_no_answer_makes_the_search_slow(key, piece):
    """Else a server could hold up all calls: what is tried once is not tried in another way."""
    text = piece * (200_000 // len(piece))
    assert told(text, key) == text
