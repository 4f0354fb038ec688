"""Commits that were made although the run that asked for them did not hear so (P3, P4)."""

import pytest
from tests.actors.running import World, query

from covend.actors.asking_store import ask_store
from covend.actors.runs import commits, execution
from covend.phylactery.messages import Append
from covend.protocol import CancelJob
from covend.questions import ListResponders, ListTasks
from covend.runtime import AskTimeout
from covend.supervisors.backoff import Backoff
from covend.testing import eventually


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


@pytest.fixture
def unheard(monkeypatch):
    """Has a run hear nothing of the first commit with a record of this kind, which is made."""
    monkeypatch.setattr(execution, "AGAIN", Backoff(base=0.01, maximum=0.05))

    def of(kind):
        lost = []

        def heard(ctx, question):
            answer = ask_store(ctx, question)
            batches = [*question.records, *question.then] if isinstance(question, Append) else ()
            if not lost and any(entry.kind == kind for entry in batches):
                lost.append(question)
                raise AskTimeout("the store did not answer")
            return answer

        monkeypatch.setattr(commits, "ask_store", heard)
        return lost

    return of


def test_what_an_end_asks_for_is_done_although_nobody_heard_that_it_is_stored(world, unheard):
    """P14: a task is withdrawn, a job is cancelled, and the registry learns how it went."""
    world.person("ann", channels=["test://ann"])
    world.scripted("quick", "first")
    world.model = lambda job: None
    lost = unheard("know")
    with world.core() as core:
        limits = {"side_effects": {"max_latency_secs": 60}, "min_quorum": 1}
        world.held.clear()
        thread = core.submit(query("ann", "quick", "model:a", **limits))["id"]
        (job,) = eventually(lambda: list(world.submitted), what="the job")
        eventually(lambda: len(world.told) == 1, what="ann is told")
        world.held.set()
        assert core.ended(thread)["answer"] == "first"
        eventually(lambda: world.cancelled == [CancelJob(job.id)], what="the job is cancelled")
        eventually(lambda: len(world.told) == 2, what="ann is told otherwise")
        assert world.told[1][1] == "A question needs no answer any more"
        assert [task["state"] for task in core.ask(ListTasks("did:ann"))["tasks"]] == ["withdrawn"]
        eventually(lambda: trusted(core, "quick") > 0.5, what="the registry learns")
        core.parked()
    assert len(lost) == 1


def trusted(core, name):
    found = core.ask(ListResponders())["responders"]
    return next(one["trust"] for one in found if one["id"] == name)


@pytest.mark.parametrize("policy", ["fail", "ask"])
def test_a_call_that_nobody_heard_to_be_stored_was_not_made_and_is_made_once(
    world, unheard, policy
):
    """P4: nobody carries out what he does not know to be stored, so nothing is unclear."""
    calls = world.path.with_name("calls")
    script = f"echo x >> {calls}; echo '\"done\"'"
    world.other(name="cmd", kind="system", command=["sh", "-c", script])
    lost = unheard("call")
    with world.core() as core:
        assert core.run(query("cmd", on_indeterminate=policy))["answer"] == "done"
        assert core.alerts() == []
    assert (len(lost), calls.read_text().split()) == (1, ["x"])


def test_a_call_of_the_second_step_that_nobody_heard_to_be_stored_is_made_once(world, unheard):
    """P4: the answer before it is not asked for again."""
    world.scripted("one", "short")
    calls = world.path.with_name("calls")
    script = f"echo x >> {calls}; echo '\"long enough\"'"
    world.other(name="cmd", kind="system", command=["sh", "-c", script])
    stages = [
        {"name": "a", "responders": [{"id": "one"}], "accept_expression": "size(answer) > 9"},
        {"name": "b", "responders": [{"id": "cmd"}]},
    ]
    asked = query("one", orchestration={"pattern": "waterfall", "stages": stages})
    lost = unheard("learn")
    with world.core() as core:
        assert core.run({**asked, "on_indeterminate": "fail"})["answer"] == "long enough"
    assert (len(lost), len(world.called), calls.read_text().split()) == (1, 1, ["x"])
