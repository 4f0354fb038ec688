"""Commands that work on box files, without a running box."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import covend as package
from covend.config import load, schema_text

GOOD = """\
# my box
[[device]]
name = "host"     # RAM

[[soulstone]]
name = "s"
authority = "shared"
endpoint = "http://127.0.0.1:1"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "covend.toml"
    path.write_text(GOOD)
    return path


def test_the_program_and_the_module_are_the_same_command():
    command = [sys.executable, "-m", "covend.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"covend {package.__version__}\n"


def test_a_wrong_file_ends_the_program_with_status_two(tmp_path):
    (tmp_path / "bad.toml").write_text("x = 1")
    command = [sys.executable, "-m", "covend.cli", "check-config", "bad.toml"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 30}
    done = subprocess.run(command, check=False, **options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.toml:1: $.x: unknown key 'x'" in done.stderr
    assert "covend: 3 errors in the box file" in done.stderr


def test_the_program_starts_without_the_box_s_libraries():
    """A command line that takes a second to say its version is not used."""
    heavy = ("zmq", "pykka", "msgspec", "psutil", "pynvml", "uvloop", "rich.table", "covend.config")
    code = f"import sys, covend.cli.app; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "command",
    ["serve", "stop", "status", "ps", "swap", "why", "check-config", "init", "trace tail",
     "trace tree", "trace why", "trace export", "keys add", "keys list", "keys remove",
     "keys hash", "jobs submit", "jobs show"],
)  # fmt: skip
def test_every_command_explains_itself(covend, command):
    shown = covend(*command.split(), "--help").stdout
    assert "Usage:" in shown
    assert command in shown


def test_check_config_counts_what_holds_and_notes_what_is_absent(covend, file):
    missing = '[[soulstone]]\nname = "x"\ncommand = ["no-such-program", "/no/model.gguf"]\n'
    rest = 'endpoint = "http://127.0.0.1:2"\nmemory = { host = 1 }\nlexicon = true\n'
    file.write_text(GOOD + missing + rest)
    shown = covend("check-config").stdout
    assert "box box holds, with 1 devices, 2 soulstones and 0 covens" in shown
    assert "note: soulstone x: no program no-such-program on this machine" in shown
    assert "note: soulstone x: no file /no/model.gguf on this machine" in shown


def test_check_config_notes_the_variables_that_are_not_set(covend, file, monkeypatch):
    """P8, P18: nobody else says it, until a call or a message fails."""
    monkeypatch.setenv("SET", "x")
    model = 'kind = "llm"\nmodel = "m"\nendpoint = "http://h"\n'
    bob = (
        'kind = "actor"\ndid = "did:bob"\nchannels = ["{env:HOOK}", "json://{env:S}:{env:SET}@h"]\n'
    )
    parts = (f'name = "far"\n{model}api_key_env = "NO_KEY"\n', f'name = "bob"\n{bob}',
             f'name = "near"\n{model}api_key_env = "SET"\n')  # fmt: skip
    file.write_text(GOOD + "".join(f"[[responder]]\n{part}" for part in parts))
    assert json.loads(covend("check-config", "--json").stdout)["notes"] == [
        "responder far: no variable NO_KEY is set, for its api_key_env",
        "responder bob: no variable HOOK is set, for its channels",
        "responder bob: no variable S is set, for its channels",
    ]


def test_check_config_gives_programs_every_error(covend, file):
    file.write_text("[[device]]\nnam = 'x'\n")
    told = json.loads(covend("check-config", file, "--json", status=2).stdout)
    assert told["ok"] is False
    assert [(error["line"], error["path"]) for error in told["errors"]] == [
        (0, "$"),
        (1, "$.device[0]"),
        (2, "$.device[0].nam"),
    ]


def test_check_config_prints_the_schema(covend):
    assert covend("check-config", "--schema").stdout == schema_text()


def test_without_a_box_file_the_places_looked_at_are_named(covend, tmp_path):
    said = covend("check-config", status=2).stderr
    assert "looked for covend.toml" in said
    assert f"{tmp_path}/config/covend/covend.toml, /etc/covend.toml" in said


def test_serve_refuses_a_wrong_file_before_anything_starts(covend, file, tmp_path):
    file.write_text("x = 1")
    assert "unknown key 'x'" in covend("serve", file, status=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["covend.toml"]


def test_serve_refuses_a_strategy_that_is_not_there(covend, file, tmp_path):
    """W17."""
    file.write_text(GOOD + '[whim]\nstrategy = "no-such"\n')
    folders = ("--run-dir", tmp_path / "run", "--state-dir", tmp_path / "state")
    assert "no-such" in covend("serve", file, *folders, status=2).stderr


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


def test_a_new_key_is_shown_once_and_stored_as_its_hash(covend, file):
    """G7: hashed at rest."""
    options = ("--class", "ritual", "--capability", "s", "--capability", 'a"b', "--per-minute", "9")
    secret = covend("keys", "add", "alice", *options).stdout.strip()
    text = file.read_text()
    assert text.startswith(GOOD)
    assert secret not in text
    (key,) = load(file).key
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.klass, key.capabilities, key.per_minute) == ("ritual", ("s", 'a"b'), 9)


def test_a_key_may_speak_for_one_person(covend, file):
    """P18, G7."""
    covend("keys", "add", "ann", "--did", "did:web:ann")
    covend("keys", "add", "operator")
    assert [key.did for key in load(file).key] == ["did:web:ann", None]
    assert "did:web:ann" in covend("keys", "list").stdout
    wrong = covend("keys", "add", "eve", "--did", "did:web eve", status=2)
    assert "did" in wrong.stderr and len(load(file).key) == 2


def test_two_new_keys_differ(covend, file):
    assert covend("keys", "add", "a").stdout != covend("keys", "add", "b").stdout


def test_a_removed_key_takes_nothing_else_with_it(covend, file):
    covend("keys", "add", "alice")
    file.write_text(file.read_text() + "\n# the dials\n[whim]\nkappa = 3\n")
    before = file.read_text()
    covend("keys", "add", "bob")
    covend("keys", "remove", "bob")
    assert file.read_text() == before
    covend("keys", "remove", "alice")
    assert file.read_text() == f"{GOOD}\n\n# the dials\n[whim]\nkappa = 3\n"


def test_a_key_file_keeps_its_mode_and_stays_a_link(covend, tmp_path):
    real = tmp_path / "real.toml"
    real.write_text(GOOD)
    real.chmod(0o600)
    (tmp_path / "covend.toml").symlink_to("real.toml")
    covend("keys", "add", "alice")
    assert (tmp_path / "covend.toml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert len(load(real).key) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["covend.toml", "real.toml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "alice"), "'alice' is the name of $.key[0] already"),
        (("add", "a b"), "must be 1 to 48 letters"),
        (("add", "b", "--class", "high"), "must be 'ingest' or 'reflex' or 'ritual' or 'swarm'"),
        (("remove", "bob"), "has no key named 'bob'; there are: alice"),
    ],
)
def test_a_change_that_would_not_hold_changes_nothing(covend, file, arguments, said):
    covend("keys", "add", "alice")
    before = file.read_text()
    assert said in covend("keys", *arguments, status=2).stderr
    assert file.read_text() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_key_file_stays_its_owner_s_whoever_adds_a_key(covend, file):
    """G7: `sudo covend keys add` leaves the box a file that it can read."""
    os.chown(file, 4321, 1234)
    covend("keys", "add", "alice")
    assert (file.stat().st_uid, file.stat().st_gid) == (4321, 1234)


def test_a_key_that_finds_no_room_leaves_the_file_and_nothing_beside_it(covend, file, monkeypatch):
    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    before, beside = file.read_text(), sorted(file.parent.iterdir())
    monkeypatch.setattr("covend.cli.keyfile.os.fsync", full)
    assert "No space left" in covend("keys", "add", "alice", status=2).stderr
    assert (file.read_text(), sorted(file.parent.iterdir())) == (before, beside)


def test_a_key_that_is_no_block_is_left_to_its_owner(covend, file):
    inline = f'key = [{{ name = "a", sha256 = "{"0" * 64}" }}]\n'
    file.write_text(inline + GOOD)
    said = covend("keys", "remove", "a", status=2).stderr
    assert "covend.toml:1: the key is not a [[key]] block; edit it by hand" in said


def test_keys_are_listed_without_themselves(covend, file):
    assert covend("keys", "list").stdout == "no keys; covend keys add NAME makes one\n"
    covend("keys", "add", "alice")
    shown = covend("keys", "list").stdout
    digest = load(file).key[0].sha256
    assert "alice" in shown
    assert digest[:12] in shown
    assert digest not in shown


def test_a_key_is_hashed_from_standard_input(covend):
    shown = covend("keys", "hash", input="sk-x\n").stdout
    assert shown.strip() == hashlib.sha256(b"sk-x").hexdigest()
    assert "no key on standard input" in covend("keys", "hash", input="\n", status=2).stderr
    assert "no UTF-8" in covend("keys", "hash", input=b"\xff\n", status=2).stderr


# ── init ─────────────────────────────────────────────────────────────────────────────────────


def gguf(path, size=1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF" + bytes(size - 4))


@pytest.fixture
def machine(covend, tmp_path, monkeypatch):
    """A home folder and a PATH of its own, with llama-server on it."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    programs.mkdir()
    (programs / "llama-server").write_text("#!/bin/sh\n")
    (programs / "llama-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    for name in ("HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    gguf(home / "models" / "deep" / "One {port}.gguf")
    return home


def test_init_writes_a_file_that_holds(covend, machine):
    shown = covend("init").stdout
    assert "next: covend serve covend.toml" in shown
    box = load("covend.toml")
    (stone,) = box.soulstone
    assert stone.command[:3] == (
        "llama-server", "--model", f"{machine}/models/deep/One {{port}}.gguf",
    )  # fmt: skip
    assert stone.name == "one-port"
    assert box.coven[0].soulstones == ("one-port",)


def test_init_never_overwrites_without_being_told(covend, machine):
    Path("covend.toml").write_text("mine")
    assert "--force overwrites it" in covend("init", status=1).stderr
    assert Path("covend.toml").read_text() == "mine"
    covend("init", "--force")
    assert load("covend.toml").soulstone


def test_init_takes_models_and_leaves_what_is_none(covend, machine, tmp_path):
    models = machine / "models"
    gguf(models / "mmproj-One.gguf")
    (models / "fake.gguf").write_bytes(b"<html>")
    for part in (1, 2):
        gguf(models / f"big-0000{part}-of-00002.gguf", 5000)
    gguf(models / "half-00001-of-00002.gguf")
    gguf(tmp_path / "more" / "two.gguf")
    (models / "loop").symlink_to(models)
    hub = machine / ".cache" / "huggingface" / "hub" / "models--org--Chat" / "snapshots" / "abc"
    hub.mkdir(parents=True)
    (hub / "config.json").write_text('{"architectures": ["QwenForCausalLM"]}')
    (hub / "model.safetensors").write_bytes(bytes(100))
    told = json.loads(covend("init", "more", "--json").stdout)
    sizes = {model["name"]: model["size"] for model in told["found"]["models"]}
    assert sizes == {"One {port}": 1000, "big": 10000, "two": 1000, "org/Chat": 100}
    assert sorted(used["name"] for used in told["used"]) == ["big", "one-port", "two"]
    assert told["left_out"] == ["org/Chat: needs vLLM, which is not installed"]
    first = load("covend.toml")
    assert len({stone.endpoint for stone in first.soulstone}) == 3
    limited = json.loads(covend("init", "more", "--json", "--force", "--limit", "1").stdout)
    assert len(limited["used"]) == 1
    assert any("only 1 are taken (--limit)" in out for out in limited["left_out"])


def test_init_says_what_is_missing(covend, machine, tmp_path):
    assert "no such folder: nowhere" in covend("init", "nowhere", status=2).stderr


class FakeNvml:
    """As much of NVML as `covend init` asks, with one card."""

    class NVMLError(Exception):
        pass

    def __init__(self, memory):
        self.memory = memory
        self.open = 0

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetMemoryInfo(self, handle):
        return type("Memory", (), {"total": self.memory})

    def nvmlDeviceGetName(self, handle):
        return "Card\n9000"

    def nvmlDeviceGetUUID(self, handle):
        return "GPU-1"


def test_init_prefers_the_gpu_and_serves_it_with_vllm(covend, machine, monkeypatch):
    nvml = FakeNvml(24 * 2**30)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    vllm = Path(os.environ["PATH"]) / "vllm"
    vllm.write_text("#!/bin/sh\n")
    vllm.chmod(0o755)
    hub = machine / ".cache" / "huggingface" / "hub" / "models--org--Chat" / "snapshots" / "abc"
    hub.mkdir(parents=True)
    (hub / "config.json").write_text('{"architectures": ["QwenForCausalLM"]}')
    with (hub / "model.safetensors").open("wb") as weights:
        weights.truncate(8 * 2**30)
    covend("init")
    box = load("covend.toml")
    assert nvml.open == 0
    (device,) = box.device
    assert (device.kind, device.uuid, device.capacity) == ("nvidia", "GPU-1", 24 * 2**30)
    stones = {stone.name: stone for stone in box.soulstone}
    assert "--n-gpu-layers" in stones["one-port"].command
    chat = stones["chat"]
    assert chat.command[:3] == ("vllm", "serve", "org/Chat")
    share = float(chat.command[chat.command.index("--gpu-memory-utilization") + 1])
    assert 12.2 / 24 <= share < 0.6
    assert chat.memory["gpu0"] >= share * 24 * 2**30
