"""Two threads that meet in the first use of a type (``covend.resolving``)."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import covend
from covend.resolving import resolved

PLAIN = {"str", "int", "float", "bool", "bytes", "dict", "list", "tuple", "Any"}
"""What msgspec looks nothing up for."""

MEETING = '''
from __future__ import annotations

import resource
import threading

import msgspec
from covend.resolving import resolved

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
under_way, looked = threading.Event(), threading.Event()


def number():
    """The type of Inner's member: msgspec asks for it when Outer is half resolved."""
    under_way.set()
    looked.wait(PATIENCE)  # for the other thread, which gets nowhere if it waits for us
    return int


class Inner(msgspec.Struct):
    n: number()


class Outer(msgspec.Struct):
    inner: Inner


def read():
    given = {"inner": {"n": 1}}
    found.append(msgspec.convert(given, TYPE).inner.n)


found = []
first = threading.Thread(target=read)
first.start()
assert under_way.wait(30.0)
read()
looked.set()
first.join()
print(found)
'''


def met(kind, patience):
    script = MEETING.replace("TYPE", kind).replace("PATIENCE", str(patience))
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_thread_waits_while_another_resolves_the_type_it_wants():
    """P4: a run is adopted while its query is asked again, and the process lives."""
    ended = met("resolved(Outer)", 0.3)
    assert (ended.returncode, ended.stdout) == (0, "[1, 1]\n"), ended.stderr


def test_without_that_the_process_dies():
    """The reason for it all: once this fails, msgspec waits by itself."""
    assert met("Outer", 30.0).returncode == -signal.SIGSEGV


def test_a_type_that_cannot_be_decoded_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(TypeError):
            resolved(dict[list[int] | set[int], int])


def undecided(tree):
    """The lines that decode to a type of their own choice, not to a resolved one."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        match ast.unparse(call.func):
            case "msgspec.convert":
                kind = named.get("type") or call.args[1]
            case "msgspec.json.decode" | "msgspec.msgpack.decode":
                kind = named.get("type")
            case "msgspec.json.Decoder" | "msgspec.msgpack.Decoder":
                kind = named.get("type") or next(iter(call.args), None)
            case _:
                continue
        if isinstance(kind, ast.Call) and ast.unparse(kind.func) == "resolved":
            continue
        if kind and not {n.id for n in ast.walk(kind) if isinstance(n, ast.Name)} <= PLAIN:
            yield f"{call.lineno}: {ast.unparse(call)}"


def test_everything_decodes_to_resolved_types():
    found = []
    for path in Path(covend.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        short = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        assert not [n for n in short if n.module == "msgspec" and "convert" in ast.unparse(n)]
        if path.name != "resolving.py":
            found += [f"{path.name}:{line}" for line in undecided(tree)]
    assert found == []
