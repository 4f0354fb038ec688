"""How large a schema is once its references are followed (P7)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.patterns.query import expansion
from covend.patterns.query.admit import InvalidQuery, admit
from covend.patterns.query.expansion import expansion_problem, is_recursive
from covend.patterns.query.shape import MAX_SCHEMA_BYTES, schema_problem
from covend.phylactery.canonical import canonical, parse


def ladder(levels: int) -> Any:
    """Each definition refers twice to the next, and once back; the last name comes first."""

    def ref(level: int) -> dict[str, str]:
        return {"$ref": f"#/$defs/d{levels - level:03d}"}

    defs: dict[str, Any] = {f"d{levels - level:03d}": {} for level in range(levels)}
    for level in range(levels):
        one = defs[f"d{levels - level:03d}"]
        if level < levels - 1:
            one["allOf"] = [ref(level + 1), ref(level + 1)]
        if level > 0:
            one["properties"] = {"back": ref(level - 1)}
    return {"$defs": defs, **ref(0)}


def test_references_back_hide_nothing() -> None:
    """P7: what was counted within a circle is too little anywhere else."""
    assert "references come to more than 10000" in str(schema_problem(ladder(26)))
    assert schema_problem(ladder(6)) is None


EDGES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=10)


@given(EDGES, st.permutations(range(6)))
def test_the_count_is_that_of_following_each_reference_where_it_stands(
    edges: list[tuple[int, int]], order: list[int]
) -> None:
    """P7: whatever the definitions are called, and whichever is looked at first."""
    defs = {f"d{name}": {"allOf": []} for name in order}
    for one, other in edges:
        defs[f"d{one}"]["allOf"].append({"$ref": f"#/$defs/d{other}"})
    schema: Any = {"$defs": defs, "allOf": [{"$ref": f"#/$defs/d{name}"} for name in order]}

    def followed(name: int, way: tuple[int, ...]) -> int:
        if name in way:
            return 1
        nexts = [other for one, other in edges if one == name]
        return 1 + sum(followed(other, (*way, name)) for other in nexts)

    found = expansion._Expansion(schema)
    assert found.count(schema, "")[0] == sum(followed(name, ()) for name in order)


def test_definitions_count_where_they_are_referred_to() -> None:
    """P7: one that nobody uses costs nothing; a property of that name is none."""
    heavy = ladder(26)
    assert expansion_problem({"$defs": heavy["$defs"]}) is None
    assert not is_recursive({"$defs": heavy["$defs"]})
    named = {**heavy, "properties": {"$defs": {"$ref": heavy["$ref"]}}}
    named.pop("$ref")
    assert "references come to more" in str(expansion_problem(named))


def test_a_schema_of_many_kinds_that_lead_to_one_another_is_no_problem() -> None:
    """P7: as a grammar's are, of which each may be asked for by itself."""
    names = [f"kind{number}" for number in range(20)]
    kinds = {
        name: {"properties": {side: {"$ref": "#/$defs/any"} for side in ("l", "r")}}
        for name in names
    }
    some = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    asked = {f"a_{name}": {"$ref": f"#/$defs/{name}"} for name in names}
    assert schema_problem({"$defs": {"any": some, **kinds}, "properties": asked}) is None


def test_names_that_end_alike_are_looked_at_once() -> None:
    """P7: a thousand documents called ``a``, and a reference to each."""
    defs = {f"d{n}": {"allOf": [{"$id": f"x{n}/a"}, {"$ref": f"x{n}/a"}]} for n in range(1000)}
    used = {"allOf": [{"$ref": f"#/$defs/d{n}"} for n in range(1000)]}
    found = expansion._Expansion({"$defs": defs, **used})
    assert found.count({"$defs": defs, **used}, "")[0] == 2000
    assert found.steps < 20_000


def crowd(kinds: int) -> Any:
    """Definitions of which each refers to all others."""
    every = [{"$ref": f"#/$defs/d{number}"} for number in range(kinds)]
    return {"$defs": {f"d{number}": {"allOf": every} for number in range(kinds)}, **every[0]}


def large() -> Any:
    """Few references, of which each leads through a circle with many parts."""
    parts = {f"p{number}": True for number in range(3000)}
    one: dict[str, Any] = {"properties": {**parts, "x": {"$ref": "#/$defs/two"}}}
    every = {"allOf": [{"$ref": "#/$defs/one"}] * 200}
    return {"$defs": {"one": one, "two": {"$ref": "#/$defs/one"}}, **every}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (crowd(40), "references come to more than 10000"),
        (large(), "parts come to more than 200000"),
    ],
)
def test_to_find_out_takes_no_longer_than_allowed(schema: Any, told: str) -> None:
    """P7: the guard is no weapon itself."""
    data = canonical(schema)
    schema = parse(data.decode())  # each part is one of its own
    found = expansion._Expansion(schema)
    with pytest.raises(expansion._TooMuch):
        found.count(schema, "")
    assert found.steps <= expansion.MAX_STEPS + len(data)
    assert told in str(schema_problem(schema))
    assert is_recursive(schema)


def of_size(size: int) -> Any:
    schema = {"type": "object", "description": ""}
    schema["description"] = "x" * (size - len(canonical(schema)))
    return schema


def test_a_schema_has_so_many_bytes_at_most() -> None:
    """P7, X6: a query that brings a larger one is refused, and told where it is and by how much."""
    assert schema_problem(of_size(MAX_SCHEMA_BYTES)) is None
    query = {"question": "?", "responders": [{"kind": "llm"}]}
    for shape in ({"schema": of_size(MAX_SCHEMA_BYTES + 1)}, {"schema_ref": "big"}):
        with pytest.raises(InvalidQuery) as refused:
            admit(
                {**query, "answer_shape": {"kind": "json", **shape}},
                (),
                thread="q-1",
                now=0,
                seed=0,
                schemas={"big": of_size(MAX_SCHEMA_BYTES + 1)},
            )
        assert refused.value.errors == [
            {
                "path": "$.answer_shape.schema",
                "problem": "is no valid JSON Schema: has 65537 bytes as canonical JSON; "
                "at most 65536 are allowed",
            }
        ]
