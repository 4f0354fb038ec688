"""Queries on a whole box whose core is killed again and again (P4)."""

import os

import pytest
from tools.chaos.box import Stone

from covend.questions import ActOnTask, ListTasks, PutResponder, RecordsOf, ShowQuery, SubmitQuery
from covend.runtime.pidfd import ProcessId
from covend.testing import eventually

from .live import LIVELY, Live

pytestmark = pytest.mark.xdist_group("box")

STAGES = 3


COMMAND = '[ -e "$1.go" ] && exec echo done; sleep 60 & echo $$ $! > "$1"; wait'
"""Answers once it may; else it says who it and what it began are, and does not end."""


@pytest.fixture(scope="module")
def pids(tmp_path_factory):
    return tmp_path_factory.mktemp("command") / "pids"


@pytest.fixture(scope="module")
def box(pids):
    stones = [Stone("chat", coven="talk", slots=2, load=0.2, tokens_per_second=100)]
    command = ["sh", "-c", COMMAND, "sh", str(pids)]
    slow = {"name": "slow", "kind": "system", "command": command}
    with Live(stones, budget=280, tables=LIVELY | {"[responder]": slow}) as box:
        yield box


def ended(box, thread):
    def once():
        found = box.desk(ShowQuery(thread))
        return found["know"] if found["state"] == "ended" else None

    return eventually(once, 60, "the end of the query")


def kinds(box, thread):
    return [entry["kind"] for entry in box.desk(RecordsOf(thread))["records"]]


def served(box):
    """How many requests the soulstone was ever sent: its journal outlives everybody."""
    return len(box.written("chat", "request"))


def waterfall():
    stages = [
        {"name": f"{n}", "responders": [{"id": "model:chat"}], "accept_expression": "false"}
        for n in range(STAGES)
    ]
    return {
        "question": "What is it?",
        "responders": [{"id": "model:chat"}],
        "orchestration": {"pattern": "waterfall", "stages": stages},
        "dial": {"max_tokens": 60},
    }


def test_a_core_killed_in_the_middle_of_every_call_pays_for_each_call_once(box):
    """P4: three calls of 0.6 s each, and a kill -9 during each of them."""
    thread = box.desk(SubmitQuery(waterfall(), "survivor"))["id"]
    for number in range(STAGES):
        eventually(
            lambda n=number: kinds(box, thread).count("call") > n, 40, f"call {number} is made"
        )
        core = box.kill("core")
        box.until_reborn("core", core)
    know = ended(box, thread)
    assert know["status"] == "unfulfilled"
    records = kinds(box, thread)
    assert (records.count("call"), records.count("do")) == (STAGES, STAGES)
    assert served(box) == STAGES
    assert box.desk(SubmitQuery(waterfall(), "survivor")) == {"id": thread, "state": "ended"}


def test_a_person_s_answer_arrives_after_the_core_was_killed_while_they_thought(box):
    """P4, P6, P18: the task is the same one, and the model is not asked again."""
    before = served(box)
    ann = {"id": "ann", "kind": "actor", "did": "did:ann"}
    box.desk(PutResponder(ann))
    tiers = [
        {"name": "model", "responders": [{"id": "model:chat"}], "expression": "true"},
        {"name": "ann", "responders": [{"id": "ann"}]},
    ]
    asked = waterfall() | {"orchestration": {"pattern": "escalate", "tiers": tiers}}
    thread = box.desk(SubmitQuery(asked, "thinker"))["id"]

    def task():
        found = box.desk(ListTasks("did:ann", state="open"))["tasks"]
        return found[0] if found else None

    first = eventually(task, 40, "a task for ann")
    core = box.kill("core")
    box.until_reborn("core", core)
    assert task() == first
    box.desk(ActOnTask(first["id"], "submit", "did:ann", value="mine"))
    assert ended(box, thread)["answer"] == "mine"
    assert served(box) == before + 1


def test_no_command_outlives_a_killed_core_and_the_next_core_runs_it_again(box, pids):
    """P4, S16: of the first nothing is left, be it the command or what it began."""
    asked = {"question": "What is it?", "responders": [{"id": "slow"}]}
    thread = box.desk(SubmitQuery(asked, "commander"))["id"]
    first = eventually(lambda: pids.exists() and pids.read_text().split(), 40, "the command runs")
    pids.with_suffix(".go").touch()
    processes = [ProcessId.of(int(pid)) for pid in first]
    assert os.getpgid(int(first[1])) == int(first[0])
    core = box.kill("core")
    eventually(lambda: not any(process.alive() for process in processes), 20, "both are gone")
    box.until_reborn("core", core)
    assert ended(box, thread)["answer"] == "done"
