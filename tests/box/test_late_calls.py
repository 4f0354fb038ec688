"""Paid calls on a whole box whose core or worker is killed while they are under way (P4, P12)."""

import pytest
from tests.actors import payee
from tools.chaos.box import Stone

from covend.questions import PutResponder, RecordsOf, ShowQuery, SubmitQuery
from covend.runtime import ActorError
from covend.testing import eventually

from .live import LIVELY, Live

pytestmark = pytest.mark.xdist_group("box")

PRICE = 0.25


@pytest.fixture(scope="module")
def box():
    stones = [Stone("chat", coven="talk", slots=2, load=0.2, tokens_per_second=100)]
    with Live(stones, budget=280, tables=LIVELY) as box:
        yield box


@pytest.fixture
def provider(box):
    with payee.serving() as server:
        for name in ("quick", "slow"):
            cost = {"per_call": PRICE}
            url = f"{server.url}/{name}"
            desk(box, PutResponder({"id": name, "kind": "system", "url": url, "cost": cost}))
        yield server


def desk(box, message, seconds=40.0):
    """The desk's answer; asked again while the core is away."""

    def once():
        try:
            return box.ask(message, "desk@core", 5.0)
        except ActorError:
            return None

    answer = eventually(once, seconds, "the desk answers")
    assert "refused" not in answer, answer
    return answer


def query(*names, **more):
    wanted = [{"id": name} for name in names]
    return {"question": "What is it?", "responders": wanted, **more}


def submit(box, asked):
    return desk(box, SubmitQuery(asked))["id"]


def ended(box, thread):
    def once():
        found = desk(box, ShowQuery(thread))
        return found["know"] if found["state"] == "ended" else None

    return eventually(once, 60, "the end of the query")


def kinds(box, thread):
    return [entry["kind"] for entry in desk(box, RecordsOf(thread))["records"]]


def kill_core(box):
    box.until_reborn("core", box.kill("core"))


def test_a_core_killed_after_the_end_with_a_late_answer_due_sends_nothing_anew(box, provider):
    """P4, P12, P13: what it may have cost stays reserved; whatever is asked next is paid once."""
    provider.hold("slow")
    thread = submit(box, query("quick", "slow", min_quorum=1))
    eventually(lambda: provider.keys("slow"), 20, "the slow one is asked")
    know = ended(box, thread)
    kill_core(box)
    provider.let_go()
    assert ended(box, submit(box, query("quick")))["answer"] == "from quick"
    assert kinds(box, thread) == ["intend", "call", "call", "do", "know"]
    shown = desk(box, ShowQuery(thread))
    assert shown["know"] == know
    assert shown["spent"] == {"settled": PRICE, "reserved": PRICE, "overrun": 0}
    assert len(provider.keys("slow")) == 1 and len(provider.paid) == 3


def test_a_late_answer_after_the_end_is_billed_once_though_the_core_is_killed_then(box, provider):
    """P12: it is durable like any other."""
    provider.hold("slow")
    thread = submit(box, query("quick", "slow", min_quorum=1))
    eventually(lambda: provider.keys("slow"), 20, "the slow one is asked")
    ended(box, thread)
    provider.let_go()
    eventually(lambda: kinds(box, thread)[-1] == "do", 20, "the late answer")
    kill_core(box)
    assert ended(box, submit(box, query("quick")))["answer"] == "from quick"
    assert kinds(box, thread) == ["intend", "call", "call", "do", "know", "do"]
    spent = desk(box, ShowQuery(thread))["spent"]
    assert spent == {"settled": 2 * PRICE, "reserved": 0, "overrun": 0}
    assert len(provider.keys("slow")) == 1


def test_a_core_killed_while_lost_work_is_asked_for_again_pays_once(box, provider):
    """P4: the connection was reset after the work was done; then kill -9 during the second try."""
    provider.resets = 1
    provider.hold("slow")
    thread = submit(box, query("slow"))
    eventually(lambda: len(provider.asked) == 1, 20, "the first try")
    first = provider.held["slow"]
    provider.hold("slow")
    first.set()
    eventually(lambda: len(provider.asked) == 2, 20, "the second try")
    kill_core(box)
    eventually(lambda: len(provider.asked) == 3, 40, "the second try again")
    provider.let_go()
    assert ended(box, thread)["answer"] == "from slow"
    assert kinds(box, thread) == ["intend", "call", "do", "call", "do", "know"]
    assert set(provider.keys("slow")) == set(provider.paid) == {f"{thread}/primary/0#1"}
    assert desk(box, ShowQuery(thread))["spent"]["settled"] == PRICE


@pytest.mark.parametrize(("policy", "served", "status"), [
    ("redispatch", 2, "fulfilled"), ("fail", 1, "error"),
])  # fmt: skip
def test_a_worker_killed_in_the_middle_of_a_call_makes_it_again_or_not(box, policy, served, status):
    """P4: a model of this box is asked at least once, unless the query would rather have none."""
    before = len(box.written("chat", "request"))
    asked = query("model:chat", on_indeterminate=policy, dial={"max_tokens": 150})
    thread = submit(box, asked)
    eventually(lambda: len(box.written("chat", "request")) == before + 1, 40, "the call")

    box.kill("ghoul-0")
    assert ended(box, thread)["status"] == status
    assert len(box.written("chat", "request")) == before + served
