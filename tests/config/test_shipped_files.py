"""The files in configs/: they hold, they are complete, and the schema is the structs'."""

import re
import tomllib
from pathlib import Path

import msgspec
import msgspec.inspect
import pytest

from covend.config import Box, load, schema_text
from covend.config.convert import Converter

CONFIGS = Path(__file__).parents[2] / "configs"
FULL = CONFIGS / "full.toml"


@pytest.mark.parametrize("name", ["demo", "gpu-box", "full"])
def test_a_shipped_file_holds_on_any_machine(name):
    """Neither a GPU nor the model servers have to be there to check a file."""
    file = CONFIGS / f"{name}.toml"
    assert load(file).soulstone
    assert file.read_text().startswith("#:schema covend.schema.json\n")


def test_the_demo_has_every_kind_of_soulstone_and_not_the_room_for_all():
    box = load(CONFIGS / "demo.toml")
    stones = {stone.name: stone for stone in box.soulstone}
    assert stones["thinker"].discipline == "titan"
    assert (stones["chatter"].discipline, stones["chatter"].slots) == ("kinetic", 4)
    assert stones["lexicon"].lexicon
    assert "--embeddings" in stones["embedder"].command
    budget = box.device[0].capacity - box.reserve_on("host")
    both = stones["thinker"].memory["host"] + stones["chatter"].memory["host"]
    assert both > budget


def test_the_schema_file_is_what_the_structs_say():
    """Renew it with: covend check-config --schema > configs/covend.schema.json"""
    assert (CONFIGS / "covend.schema.json").read_text() == schema_text()


def test_the_schema_lets_units_be_written_and_knows_no_null():
    schema = msgspec.json.decode(schema_text())["$defs"]
    assert schema["Device"]["properties"]["capacity"]["type"] == ["integer", "string"]
    assert schema["Whim"]["properties"]["linger"]["type"] == ["number", "string"]
    memory = schema["Soulstone"]["properties"]["memory"]
    assert memory["additionalProperties"]["type"] == ["integer", "string"]
    assert "source" not in schema["Box"]["properties"]
    assert "null" not in schema_text()


def structs_below(kind, path=()):
    """(path, struct) of every table of a box file."""
    yield path, kind
    for field in msgspec.inspect.type_info(kind).fields:
        inner = field.type
        while not isinstance(inner, msgspec.inspect.StructType):
            inner = getattr(inner, "item_type", None) or getattr(inner, "type", None)
            if inner is None:
                break
        else:
            yield from structs_below(inner.cls, (*path, field.encode_name))


def tables_at(document, path):
    found = [document]
    for key in path:
        below = [table[key] for table in found if key in table]
        found = [t for part in below for t in (part if isinstance(part, list) else [part])]
    return found


@pytest.mark.parametrize(("path", "kind"), list(structs_below(Box)), ids=str)
def test_the_annotated_file_names_every_key_of_every_table(path, kind):
    written = {key for table in tables_at(tomllib.loads(FULL.read_text()), path) for key in table}
    assert set(kind.__struct_encode_fields__) - {"source"} == written


def stated_defaults():
    """(struct, key, TOML text) of every default that a comment of the annotated file states."""
    structs = {".".join(path): kind for path, kind in structs_below(Box)}
    kind, comment = Box, ""
    for line in FULL.read_text().splitlines():
        if line.startswith("#"):
            comment += " " + line[1:].strip()
            continue
        if header := re.fullmatch(r"\[+([a-z_.]+)\]+", line):
            kind = structs[header[1]]
        key = re.match(r"([a-z_0-9]+) = ", line)
        stated = re.search(r"\(default (.+)\)$", comment)
        if key and stated:
            yield kind, key[1], stated[1]
        comment = ""


@pytest.mark.parametrize(("kind", "key", "stated"), list(stated_defaults()))
def test_the_defaults_that_the_annotated_file_states_are_the_real_ones(kind, key, stated):
    field = next(f for f in msgspec.inspect.type_info(kind).fields if f.encode_name == key)
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory()
    problems = []
    made = Converter(lambda *error: problems.append(error))._value(
        field.type, tomllib.loads(f"x = {stated}")["x"], ()
    )
    assert (made, problems) == (default, [])


def test_the_annotated_file_states_a_default_for_most_keys():
    assert len(list(stated_defaults())) > 60
