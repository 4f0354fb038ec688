"""The line of every key: documents are generated together with the lines of their parts."""

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from covend.config.locate import line_at, lines_of

keys = st.text("ab-_.\"' é=[]#", min_size=1, max_size=4)
scalars = (
    st.integers()
    | st.booleans()
    | st.sampled_from(["", "#", "x = 1", "]", "}", '"""', "'''", "\\", "a\n[b]\nc"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(keys, values, max_size=4)
documents = st.fixed_dictionaries(
    {}, optional={"top": tables, "one": tables, "many": st.lists(tables, min_size=1, max_size=3)}
)


class Writer:
    """Writes TOML in styles drawn by Hypothesis, and notes the line of every part."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def note(self, path):
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def gap(self):
        self.text += self.draw(st.sampled_from(["", " ", "\n", "\r\n", " # ] } [x]\n\n"]))

    def blank(self):
        self.text += self.draw(st.sampled_from(["\n", "\n\n", " # a = [1]\n", "\r\n"]))

    def key(self, key):
        bare = key.isascii() and all(c.isalnum() or c in "-_" for c in key)
        if not bare or self.draw(st.booleans()):
            literal = "'" not in key and self.draw(st.booleans())
            key = f"'{key}'" if literal else json.dumps(key)
        self.text += key + self.draw(st.sampled_from(["", " "]))

    def string(self, value):
        if "'''" not in value and not value.endswith("'") and self.draw(st.booleans()):
            self.text += f"'''\n{value}'''"
        elif self.draw(st.booleans()):
            quoted = value.replace("\\", "\\\\").replace('"""', '""\\"')
            self.text += f'"""{quoted}"""'
        else:
            self.text += json.dumps(value)

    def value(self, value, path):
        match value:
            case str():
                self.string(value)
            case list():
                self.text += "["
                for index, item in enumerate(value):
                    self.gap()
                    self.note((*path, index))
                    self.value(item, (*path, index))
                    self.gap()
                    self.text += "," if index < len(value) - 1 or self.draw(st.booleans()) else ""
                self.gap()
                self.text += "]"
            case dict():
                self.text += "{"
                for index, (key, item) in enumerate(value.items()):
                    self.text += ", " if index else " "
                    self.pair(key, item, path)
                self.text += " }"
            case _:
                self.text += json.dumps(value)

    def pair(self, key, value, path):
        self.note((*path, key))
        self.key(key)
        while isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
            self.text += ". "
            path, (key, value) = (*path, key), next(iter(value.items()))
            self.note((*path, key))
            self.key(key)
        self.text += "= "
        self.value(value, (*path, key))

    def table(self, table, path):
        for key, value in table.items():
            self.pair(key, value, path)
            self.blank()

    def document(self, document):
        self.table(document.get("top", {}), ())
        if "one" in document:
            self.note(("one",))
            self.note(("one", "t"))
            self.text += "[ one . t ]"
            self.blank()
            self.table(document["one"], ("one", "t"))
        for index, table in enumerate(document.get("many", ())):
            self.note(("many",))
            self.note(("many", index))
            self.text += "[[many]]"
            self.blank()
            self.table(table, ("many", index))
            self.note(("many", index, "sub"))
            self.note(("many", index, "sub", 0))
            self.text += "[[many.sub]]\nz.z = 1\n"
            self.note(("many", index, "sub", 0, "last"))
            self.text += '[many.sub.last]\n"" = 2\n'


def paths(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        yield from paths(item, (*path, key))


@given(documents, st.data())
def test_every_part_of_a_document_is_found_on_its_line(document, data):
    """X6: an error names the line; the writer knows where it put each part."""
    writer = Writer(data.draw)
    writer.document(document)
    parsed = tomllib.loads(writer.text)
    found = lines_of(writer.text)
    assert {path: found.get(path) for path in writer.lines} == writer.lines
    assert {path for path in paths(parsed) if path} == set(found)


def test_a_missing_part_is_on_the_line_of_what_it_is_missing_from():
    lines = lines_of("\n[a]\nb = { c = 1 }")
    assert line_at(lines, ("a", "b", "c", "d")) == 3
    assert line_at(lines, ("a", "x")) == 2
    assert line_at(lines, ("x",)) == 0
