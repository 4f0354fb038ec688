"""The model's name in a body is found and replaced; no other byte changes (G1)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.gate import body as bodies
from covend.gate.errors import Refusal

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("model"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6) | st.just("model"), inner, max_size=4)
    ),
    max_leaves=12,
)
keys = st.text(max_size=6).filter(lambda key: key not in ("model", "stream"))


@given(
    before=st.dictionaries(keys, values, max_size=4),
    after=st.dictionaries(keys, values, max_size=4),
    name=st.text(min_size=1),
    new=st.text(min_size=1),
    ascii=st.booleans(),
    indent=st.none() | st.integers(0, 2),
)
def test_any_json_body_keeps_every_byte_but_the_models_name(
    before: dict, after: dict, name: str, new: str, ascii: bool, indent: int | None
) -> None:
    """G1: the value of the top-level key, and nothing else, whatever else is called model."""
    after = {key: value for key, value in after.items() if key not in before}
    text = json.dumps({**before, "model": name, **after}, ensure_ascii=ascii, indent=indent)
    body = text.encode("utf-8", "surrogatepass")
    found, stream, (start, end) = bodies.read_json(body)
    assert (found, stream) == (name, False)
    assert json.loads(body[start:end]) == name
    changed = bodies.splice(body, (start, end), bodies.spell(new)[0])
    assert changed[:start] == body[:start]
    assert changed.endswith(body[end:])
    assert json.loads(changed) == {**before, "model": new, **after}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","x":{"model":1},"model":"a"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"model":"a","\\u006Dodel":"b"}',
    ],
)
def test_two_models_in_one_body_are_refused(body: bytes) -> None:
    """G7: the gate and the soulstone could believe another one each."""
    with pytest.raises(Refusal) as caught:
        bodies.read_json(body)
    assert (caught.value.status, caught.value.code) == (400, "duplicate_model")


def test_an_escaped_key_is_the_key() -> None:
    body = b'{"x":[{"model":"no"}],"m\\u006fdel" : "a\\"b" }'
    name, _, span = bodies.read_json(body)
    assert (name, body[slice(*span)]) == ('a"b', b'"a\\"b"')


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b'{"model":"\xff"}', "body"),
        (b"[]", "$.model"),
        (b"{}", "$.model"),
        (b'{"model":7}', "$.model"),
        (b'{"model":"a","stream":"yes"}', "$.stream"),
        (b'{"x":' + b"[" * 100_000, "body"),
    ],
)
def test_a_wrong_body_is_refused_with_its_place(body: bytes, where: str) -> None:
    """X6: what was wrong and where."""
    with pytest.raises(Refusal) as caught:
        bodies.read_json(body)
    assert (caught.value.status, caught.value.where) == (400, where)


def test_a_body_made_to_be_slow_is_refused() -> None:
    """G7: the scan for a second name has a budget."""
    body = b'{"model":"a","x":[' + b'"model",' * bodies.MAX_TOKENS + b'""]}'
    with pytest.raises(Refusal) as caught:
        bodies.read_json(body)
    assert caught.value.code == "body_too_complex"


FORM = (
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="model.wav"\r\n\r\n'
    b'\x00name="model"\xff\r\n--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    b"whisper\r\n--XX--\r\n"
)


def test_the_model_of_a_form_is_found_and_replaced() -> None:
    """G1: audio transcriptions are forms."""
    name, span = bodies.read_multipart(FORM, b"multipart/form-data; boundary=XX")
    assert name == "whisper"
    changed = bodies.splice(FORM, span, bodies.spell("real")[1])
    assert changed == FORM.replace(b"whisper", b"real")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (FORM, b"multipart/form-data"),
        (FORM.replace(b'name="file"', b'name="model"'), b"multipart/form-data; boundary=XX"),
        (
            FORM.replace(b'; name="model"\r', b'; name="other"\r'),
            b"multipart/form-data; boundary=XX",
        ),
        (FORM[:150], b"multipart/form-data; boundary=XX"),
        (b"", b"multipart/form-data; boundary=XX"),
    ],
)
def test_a_form_without_exactly_one_model_is_refused(body: bytes, kind: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        bodies.read_multipart(body, kind)
    assert caught.value.status == 400
