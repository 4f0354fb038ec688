"""Writes a box file for what was found on a machine. Pure: takes the findings, returns text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from covend.cli.discover import Found, FoundDevice, FoundModel
from covend.config import ConfigErrors, parse, show_size
from covend.config.types import GIB, MIB

FIRST_PORT = 8101
CONTEXT = 8192
SLOTS = 4
HOST_SHARE = 0.7
"""Of the RAM: the rest is the machine's own."""


class Nothing(Exception):
    """There is nothing that a box could be made of; says what is missing."""


class Used(msgspec.Struct, frozen=True):
    """A model that the box file serves: under which name, by which server, with how much memory."""

    name: str
    server: str
    memory: int
    command: tuple[str, ...]
    discipline: str = "kinetic"
    slots: int = SLOTS
    upstream: str = ""


class Draft(msgspec.Struct, frozen=True):
    """The text of a box file, what it serves, and what it leaves out and why."""

    text: str
    used: tuple[Used, ...]
    left_out: tuple[str, ...]


def draft(found: Found, *, name: str, limit: int, file: Path) -> Draft:
    """A box file for `found` that holds; raises Nothing where none can be written."""
    device = max(found.devices, key=lambda device: (device.kind == "nvidia", device.capacity))
    capacity = device.capacity if device.kind == "nvidia" else int(device.capacity * HOST_SHARE)
    if not found.models:
        raise Nothing("no model found: name a folder with GGUF files (covend init ~/models)")
    if not found.servers:
        raise Nothing(
            "no model server found: install llama.cpp (llama-server), vLLM, or "
            "pip install '.[demo]' in covend's source folder"
        )
    used: list[Used] = []
    left_out: list[str] = []
    for model in found.models:
        plan = _plan(model, device, found.servers, {u.name for u in used})
        if isinstance(plan, str):
            left_out.append(f"{model.name}: {plan}")
        elif plan.memory > capacity:
            need, room = show_size(plan.memory), show_size(capacity)
            left_out.append(f"{model.name}: needs about {need}, {device.name} has {room}")
        elif len(used) == limit:
            left_out.append(f"{model.name}: only {limit} are taken (--limit)")
        else:
            used.append(plan)
    if not used:
        raise Nothing("no model can be served here:\n  " + "\n  ".join(left_out))
    text = _write(name, device, capacity, used)
    try:
        parse(text, file, {})
    except ConfigErrors as errors:
        raise Nothing(f"what was found makes no box file that holds:\n{errors}") from errors
    return Draft(text, tuple(used), tuple(left_out))


def _plan(
    model: FoundModel, device: FoundDevice, servers: dict[str, str], taken: set[str]
) -> Used | str:
    """How to serve a model on a device, or why it cannot be."""
    name = _name(model, taken)
    if model.kind == "hf":
        if "vllm" not in servers:
            return "needs vLLM, which is not installed"
        if device.kind != "nvidia":
            return "needs a GPU"
        wanted = model.size * 1.15 + 3 * GIB
        share = max(0.2, -(-wanted * 100 // device.capacity) / 100)
        memory = int(share * device.capacity) + 512 * MIB
        command = (
            "vllm", "serve", _literal(model.name), "--host", "{host}", "--port", "{port}",
            "--served-model-name", "{model}", "--max-model-len", str(CONTEXT),
            "--max-num-seqs", "16", "--gpu-memory-utilization", f"{share:.2f}",
        )  # fmt: skip
        return Used(name, "vllm", memory, command, slots=16)
    # Weights, the KV cache of a mid-sized model at this context, and compute buffers.
    memory = int(model.size * 1.1) + max(256 * MIB, min(2 * GIB, model.size // 4))
    if "llama-server" in servers:
        layers = ("--n-gpu-layers", "99") if device.kind == "nvidia" else ()
        command = (
            "llama-server", "--model", _literal(model.path), "--alias", "{model}",
            "--host", "{host}", "--port", "{port}", "--ctx-size", str(CONTEXT),
            "--parallel", str(SLOTS), *layers,
        )  # fmt: skip
        return Used(name, "llama-server", memory, command)
    if "xllamacpp" in servers:
        if device.kind == "nvidia":
            return "needs llama-server: the xllamacpp of this environment computes on the CPU"
        command = (
            "{python}", "-m", "covend.demo.soulstone", "--model", _literal(model.path),
            "--alias", "{model}", "--port", "{port}", "--parallel", str(SLOTS),
        )  # fmt: skip
        return Used(name, "xllamacpp", memory, command)
    return "needs llama-server, which is not installed"


def _name(model: FoundModel, taken: set[str]) -> str:
    """A short name that no other model of the box has."""
    last = model.name.rpartition("/")[2].lower()
    base = re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._")[:40] or "model"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _literal(text: str) -> str:
    """`text` so that nothing in it is taken for a placeholder."""
    return re.sub(r"\{([a-z_]+(?::[^{}]*)?)\}", r"{{\1}}", text)


def _write(name: str, device: FoundDevice, capacity: int, used: list[Used]) -> str:
    lines = [
        "# Written by `covend init`: one coven per model, one model resident at a time.",
        "# Memory is estimated from file sizes; covend measures and tells when it is wrong.",
        "# Every key there is: configs/full.toml; check changes with `covend check-config`.",
        "",
        f"name = {_string(name)}",
        "",
        "[[device]]",
        f"name = {_string(device.name)}",
        f"kind = {_string(device.kind)}",
    ]
    if device.uuid:
        lines.append(f"uuid = {_string(device.uuid)}")
    label = re.sub(r"[^ -~]", "?", device.label)
    lines.append(f"capacity = {_string(_size(capacity, up=False))}  # {label}")
    for index, one in enumerate(used):
        lines += [
            "",
            "[[soulstone]]",
            f"name = {_string(one.name)}",
            f"discipline = {_string(one.discipline)}",
            f"slots = {one.slots}",
            f'endpoint = "http://127.0.0.1:{FIRST_PORT + index}"',
            "command = [",
            *(f"  {_string(word)}," for word in one.command),
            "]",
            f"memory = {{ {device.name} = {_string(_size(one.memory, up=True))} }}",
            "",
            "[[coven]]",
            f"name = {_string(one.name)}",
            f"soulstones = [{_string(one.name)}]",
        ]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _size(size: int, up: bool) -> str:
    """Whole MiB, so that the file reads well."""
    return f"{-(-size // MIB) if up else size // MIB}MiB"
