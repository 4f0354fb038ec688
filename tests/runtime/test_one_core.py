"""A process of many threads keeps to one core; what it starts for others need not."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="this machine has one core",
)

PROGRAM = """
import json, os, subprocess, sys, threading
from covend.runtime import one_core

def cores(let_go=False):
    if let_go:
        one_core.let_go()
    seen = "import os; print(len(os.sched_getaffinity(0)))"
    return int(subprocess.run([sys.executable, "-c", seen], capture_output=True).stdout)

def thread(**options):
    told = []
    one = threading.Thread(target=lambda: told.append(cores(**options)))
    one.start()
    one.join()
    return told[0]

before = thread(let_go=True)
one_core.hold()
print(json.dumps([before, thread(), thread(let_go=True), thread()]))
"""


def test_threads_keep_to_one_core_but_for_those_that_let_go():
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    every = len(os.sched_getaffinity(0))
    assert json.loads(said) == [every, 1, every, 1]
