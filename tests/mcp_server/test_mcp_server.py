"""The MCP server as an agent meets it: through the official client, against a scripted desk."""

import asyncio
import sys

import pytest

pytest.importorskip("mcp")

from mcp import Client

from covend.mcp import server as module
from covend.mcp.server import server
from covend.protocol import StatusQuery
from covend.questions import (
    MAX_BYTES,
    ActOnTask,
    CancelQuery,
    ListResponders,
    ListTasks,
    RecordsOf,
    ShowQuery,
    SubmitQuery,
    refusal,
)

KNOW = {"status": "fulfilled", "answer": "blue", "confidence": 0.9}
RECORDS = [{"seq": 1, "kind": "intend"}, {"seq": 2, "kind": "call"}, {"seq": 3, "kind": "know"}]
RESPONDERS = [
    {"id": "model:chatter", "kind": "llm", "model": "chatter"},
    {"id": "ann", "kind": "actor", "did": "did:web:ann", "available": False,
     "channels": ["mailto://secret"]},
]  # fmt: skip
TASKS = [{"id": "t1", "state": "open"}, {"id": "t2", "state": "submitted"}]
AWAY = TimeoutError("desk@core did not answer")


class Desk:
    """Answers as the core would; ``silent`` asks go unanswered first, as while it restarts."""

    def __init__(self, silent=0, tasks=TASKS, trouble=None, wrong=None):
        self.wrong = wrong or {"damaged": [], "set_aside": None}
        self.trouble = trouble
        self.heard = []
        self.silent = silent
        self.tasks = tasks

    async def ask(self, address, message, seconds):
        self.heard.append(message)
        match message:
            case SubmitQuery(query={"orchestration": {"pattern": "waterfall"}}):
                errors = [{"path": "$.responders[0]", "problem": "no such model"}]
                errors += [{"path": "$.fold", "problem": "not understood"}]
                return refusal(422, "invalid_query", "2 errors", errors)
            case SubmitQuery() | RecordsOf() | ShowQuery() if self.silent:
                self.silent -= 1
                if isinstance(AWAY, dict):
                    return AWAY
                raise AWAY
            case SubmitQuery():
                return {"id": "q-1", "state": "open"}
            case ListResponders():
                return {"responders": RESPONDERS}
            case RecordsOf(after=after):
                return {"records": [r for r in RECORDS if r["seq"] > after], "ended": True}
            case ShowQuery():
                return {"id": "q-1", "state": "ended", "know": KNOW, "calls": [], **self.wrong}
            case ListTasks(state=state, limit=limit, after=after):
                rows = [(n, task) for n, task in enumerate(self.tasks, 1) if task["state"] == state]
                page = [(n, task) for n, task in rows if n > after][:limit]
                last = page[-1][0] if len(page) == limit else None
                return {"tasks": [task for _, task in page], "next": last}
            case StatusQuery() if self.trouble:
                raise self.trouble
            case ActOnTask(id=id):
                return {"id": id, "state": "submitted"}
            case _:
                return {"box": "quiet"}


def talk(desk, *calls):
    """The results of these tool calls, in one session."""

    async def session():
        async with Client(server(desk.ask, "1")) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(session())


def text(result):
    return result.content[0].text


def test_an_agent_finds_the_tools_with_what_they_take():
    async def listed():
        async with Client(server(Desk().ask, "1")) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(listed())}
    every = [
        "answer_task",
        "cancel_query",
        "inbox",
        "query",
        "query_result",
        "responders",
        "status",
    ]
    assert sorted(tools) == every
    assert "required" not in tools["query"].input_schema
    asked = tools["query"].input_schema["properties"]
    assert "verify" in str(asked["pattern"])
    assert "id:NAME" in asked["who"]["description"]
    assert asked["wait_seconds"]["minimum"] == 0
    said = tools["answer_task"].input_schema["properties"]
    assert "overbooked" in str(said["reason"])
    assert "note of a decline" in said["rationale"]["description"]
    assert "from 0 to 1" in said["confidence"]["description"]


@pytest.mark.parametrize("confidence", [-0.1, 1.1, "NaN"])
def test_an_agent_is_no_surer_than_sure(confidence):
    """P18: the box hears nothing of it."""
    desk = Desk()
    said = {"task": "t1", "did": "did:web:ann", "act": "submit", "answer": "yes"}
    (refused,) = talk(desk, ("answer_task", said | {"confidence": confidence}))
    assert refused.is_error
    assert desk.heard == []


@pytest.mark.parametrize("seconds", [-1, "NaN", "inf"])
def test_an_agent_cannot_wait_for_less_than_nothing_nor_for_ever(seconds):
    desk = Desk()
    (refused,) = talk(desk, ("query", {"question": "Why?", "wait_seconds": seconds}))
    assert refused.is_error
    assert desk.heard == []


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("query", {"question": "Why?", "max_cost": 0.01}),
        ("query_result", {"id": "q-1", "wait_secs": 3}),
        ("status", {"all": True}),
    ],
)
def test_an_argument_that_a_tool_does_not_know_is_refused_by_name(tool, arguments):
    """A limit misspelled would be no limit, and nobody would be told."""
    desk = Desk()
    (refused,) = talk(desk, (tool, arguments))
    assert refused.is_error
    assert list(arguments)[-1] in text(refused)
    assert desk.heard == []


def test_an_agent_cancels_a_query_that_it_needs_no_more():
    """P14: whoever stops waiting does not stop the query."""
    desk = Desk()
    (told,) = talk(desk, ("cancel_query", {"id": "q-1", "reason": "found it"}))
    assert not told.is_error
    assert desk.heard == [CancelQuery("q-1", "found it")]


def test_a_question_is_asked_and_followed_to_its_answer():
    desk = Desk()
    (result,) = talk(desk, ("query", {"question": "Which colour?", "pattern": "verify"}))
    assert not result.is_error
    assert result.structured_content["know"] == KNOW
    query = desk.heard[0].query
    assert query["question"] == "Which colour?"
    assert query["orchestration"]["pattern"] == "verify"


@pytest.mark.parametrize("both", [True, False])
def test_a_query_is_a_question_or_a_whole_one(both):
    query = {"question": "Why?", "responders": [{"kind": "llm"}]}
    desk = Desk()
    wrong = {"question": "Why?", "whole_query": query} if both else {}
    refused, whole = talk(desk, ("query", wrong), ("query", {"whole_query": query}))
    assert "either a question, or a whole_query" in text(refused)
    assert whole.structured_content["know"] == KNOW
    assert desk.heard[0].query == query


def test_an_agent_says_what_a_query_may_cost_and_nothing_it_says_is_dropped():
    """P13: a whole query says it itself."""
    desk = Desk()
    whole = {"question": "Why?", "responders": [{"kind": "llm"}]}
    limited, refused = talk(
        desk,
        ("query", {"question": "Why?", "max_cost_usd": 0.5}),
        ("query", {"whole_query": whole, "max_cost_usd": 0.5, "about": "x"}),
    )
    assert not limited.is_error
    (submitted,) = [one.query for one in desk.heard if isinstance(one, SubmitQuery)]
    assert submitted["side_effects"] == {"max_cost_usd": 0.5}
    assert "say about, max_cost_usd in the whole_query" in text(refused)


def test_an_agent_names_those_that_there_are():
    """P8: a name is the box's own model before another, and one that nobody has is an error."""
    desk = Desk()
    wrong, right, there = talk(
        desk,
        ("query", {"question": "Why?", "who": ["chattr"]}),
        ("query", {"question": "Why?", "who": ["chatter"]}),
        ("responders", {}),
    )
    assert "nobody is called 'chattr'; there are chatter, ann, and people by did" in text(wrong)
    assert not right.is_error
    asked = [message.query for message in desk.heard if isinstance(message, SubmitQuery)]
    assert [query["responders"] for query in asked] == [[{"id": "model:chatter"}]]
    told = there.structured_content["result"]
    assert [(one["id"], one["available"]) for one in told] == [
        ("model:chatter", True),
        ("ann", False),
    ]
    assert "secret" not in str(told)


def test_a_restarting_core_is_waited_for():
    desk = Desk(silent=2)
    (result,) = talk(desk, ("query_result", {"id": "q-1", "wait_seconds": 30.0}))
    assert result.structured_content["state"] == "ended"
    assert desk.silent == 0


def test_an_agent_is_told_what_is_wrong_with_a_query_and_nothing_where_nothing_is():
    """D1, P2: where its end is missing, it is known why."""
    wrong = {"damaged": [{"seq": 3, "problem": "not what was stored"}], "set_aside": "damaged"}
    (found,) = talk(Desk(wrong=wrong), ("query_result", {"id": "q-1"}))
    assert wrong.items() <= found.structured_content.items()
    (found,) = talk(Desk(), ("query_result", {"id": "q-1"}))
    assert found.structured_content == {"id": "q-1", "state": "ended", "know": KNOW}


def test_a_refused_query_tells_the_agent_everything_that_is_wrong():
    (result,) = talk(Desk(), ("query", {"question": "?", "pattern": "waterfall"}))
    assert result.is_error
    told = "2 errors; $.responders[0]: no such model; $.fold: not understood"
    assert text(result) == f"Error executing tool query: {told}"


def test_the_inbox_shows_what_waits_and_takes_an_answer():
    desk = Desk()
    submit = {"task": "t1", "did": "did:web:ann", "act": "submit", "answer": {"ok": True}}
    inbox, answer = talk(desk, ("inbox", {}), ("answer_task", submit))
    assert [task["id"] for task in inbox.structured_content["result"]] == ["t1"]
    assert answer.structured_content["state"] == "submitted"
    said = desk.heard[-1]
    assert (said.act, said.did, said.value) == ("submit", "did:web:ann", {"ok": True})


def waiting(count, state="open"):
    return [{"id": f"{state}-{n}", "state": state, "did": "did:ann"} for n in range(count)]


def shown(desk):
    (inbox,) = talk(desk, ("inbox", {"did": "did:ann"}))
    return inbox.structured_content["result"]


def test_the_inbox_shows_what_waits_however_much_is_over():
    """P18: what is over has no part in the pages that are asked for."""
    tasks = waiting(600, "submitted") + waiting(250) + waiting(3, "accepted")
    assert shown(Desk(tasks=tasks)) == waiting(250) + waiting(3, "accepted")


def test_an_inbox_that_is_too_long_says_so(monkeypatch):
    """And what is accepted is shown all the same."""
    monkeypatch.setattr(module, "MAX_TASKS", 5)
    *tasks, more = shown(Desk(tasks=waiting(6) + waiting(1, "accepted")))
    assert tasks == waiting(5) + waiting(1, "accepted")
    assert more == {"more": "these are the oldest 5 that are open; `did` asks for fewer"}


def test_a_task_that_is_accepted_meanwhile_is_shown_once():
    class Changing(Desk):
        async def ask(self, address, message, seconds):
            told = await super().ask(address, message, seconds)
            self.tasks = [{**self.tasks[0], "state": "accepted"}]
            return told

    assert shown(Changing(tasks=waiting(1))) == [{**waiting(1)[0], "state": "accepted"}]


def test_what_the_box_would_not_take_is_refused_before_it_is_sent():
    """An agent does not go around the bound of the API."""
    large, desk = "x" * MAX_BYTES, Desk()
    submit = {"task": "t1", "did": "did:ann", "act": "submit", "answer": large}
    for told in talk(desk, ("query", {"question": "?", "about": large}), ("answer_task", submit)):
        assert told.is_error and f"at most {MAX_BYTES} are right" in text(told)
    assert desk.heard == []


def test_a_core_that_is_silent_is_asked_again_and_asked_once():
    """P7: every attempt bears the same key, and another call another one."""
    desk = Desk(silent=1)
    first, second = talk(desk, *[("query", {"question": "?"})] * 2)
    assert first.structured_content["know"] == second.structured_content["know"] == KNOW
    keys = [message.key for message in desk.heard if isinstance(message, SubmitQuery)]
    assert len(keys) == 3 and keys[0] == keys[1] != keys[2] and all(keys)


def test_a_refusal_that_holds_for_now_alone_is_no_last_word(monkeypatch):
    """P7: the store was too slow to say whether it took the query."""
    monkeypatch.setattr(sys.modules[__name__], "AWAY", refusal(503, "not_stored", "too slow"))
    desk = Desk(silent=1)
    (told,) = talk(desk, ("query", {"question": "?"}))
    assert told.structured_content["know"] == KNOW
    keys = [message.key for message in desk.heard if isinstance(message, SubmitQuery)]
    assert len(keys) == 2 and len(set(keys)) == 1


def test_an_agent_that_is_told_nothing_knows_with_which_key_to_ask_again(monkeypatch):
    """P7: its next try must not be a second query."""
    monkeypatch.setattr(module, "SUBMIT_SECONDS", 0.0)
    desk = Desk(silent=1)
    (failed,) = talk(desk, ("query", {"question": "?"}))
    assert failed.is_error and f"asked again with key={desk.heard[0].key!r}" in text(failed)


def test_an_agent_whose_core_goes_away_keeps_the_id():
    desk = Desk(silent=1)
    (failed,) = talk(desk, ("query_result", {"id": "q-1"}))
    assert failed.is_error and "query_result tells later what became of q-1" in text(failed)


@pytest.mark.parametrize("trouble", [TimeoutError, ConnectionError, ValueError])
def test_what_went_wrong_reaches_the_agent(trouble):
    """Whether the box is away or refuses."""
    (failed,) = talk(Desk(trouble=trouble("the box has just ended")), ("status", {}))
    assert failed.is_error and "the box has just ended" in text(failed)


def test_the_status_of_the_box_is_a_tool():
    (result,) = talk(Desk(), ("status", {}))
    assert result.structured_content == {"box": "quiet"}
