"""The supervision tree of the root: the box's processes (docs/architecture.md).

Kept apart from the core's, so that the root stays as small as a process can be that holds no state.
"""

from __future__ import annotations

import sys

from covend.config import Box
from covend.host.folders import Folders
from covend.supervisors.backoff import Backoff
from covend.supervisors.specs import ChildSpec, ProcessSpec, SupervisorSpec

PROCESS_BACKOFF = Backoff(base=0.05, maximum=5.0)
"""A process that dies at once is started again in 50 ms, then slower, and never given up soon."""


def root_tree(box: Box, config: str, folders: Folders) -> SupervisorSpec:
    """The box's processes (one_for_one): none harms another by dying (docs/architecture.md).

    Stopped right to left: the API first, the reactor last, which then stops the soulstones.
    """
    nodes = [
        ("reactor", 60.0),
        ("core", 8.0),
        *((f"gate-{index}", 8.0) for index in range(box.gates)),
        *((f"ghoul-{index}", 4.0) for index in range(box.ghouls)),
        ("api", 4.0),
    ]
    return SupervisorSpec(
        "root",
        "one_for_one",
        [process(node, config, folders, shutdown) for node, shutdown in nodes],
        intensity=100,
        period=10_000.0,
    )


def process(node: str, config: str, folders: Folders, shutdown: float) -> ChildSpec:
    """One process of the box; its output goes to ``logs/NODE.log`` in the run folder."""
    argv = [sys.executable, "-P", "-m", "covend.boot", node, "--config", config]
    argv += ["--run-dir", str(folders.run), "--state-dir", str(folders.state)]
    spec = ProcessSpec(argv, log_path=folders.logs / f"{node}.log")
    return ChildSpec(node, spec, shutdown=shutdown, backoff=PROCESS_BACKOFF)
