"""The MCP server as an agent meets it: through the official client, against a scripted desk."""

import asyncio

import pytest

pytest.importorskip("mcp")

from mcp import Client

from covend.mcp.server import server
from covend.questions import ActOnTask, ListTasks, RecordsOf, ShowQuery, SubmitQuery

KNOW = {"status": "fulfilled", "answer": "blue", "confidence": 0.9}
RECORDS = [{"seq": 1, "kind": "intend"}, {"seq": 2, "kind": "call"}, {"seq": 3, "kind": "know"}]
TASKS = [{"id": "t1", "state": "open"}, {"id": "t2", "state": "submitted"}]


class Desk:
    """Answers as the core would; ``silent`` asks go unanswered first, as while it restarts."""

    def __init__(self, silent=0):
        self.heard = []
        self.silent = silent

    async def ask(self, address, message, seconds):
        self.heard.append(message)
        match message:
            case SubmitQuery(query={"orchestration": {"pattern": "waterfall"}}):
                errors = [{"path": "$.responders[0]", "problem": "no such model"}]
                return {"refused": {"status": 422, "message": "2 errors", "errors": errors}}
            case SubmitQuery():
                return {"id": "q-1", "state": "open"}
            case RecordsOf() if self.silent:
                self.silent -= 1
                raise TimeoutError("desk@core did not answer")
            case RecordsOf(after=after):
                return {"records": [r for r in RECORDS if r["seq"] > after], "ended": True}
            case ShowQuery():
                return {"id": "q-1", "state": "ended", "know": KNOW, "calls": []}
            case ListTasks():
                return {"tasks": TASKS, "next": None}
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


def test_an_agent_finds_the_tools_with_what_they_take():
    async def listed():
        async with Client(server(Desk().ask, "1")) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(listed())}
    assert sorted(tools) == ["answer_task", "inbox", "query", "query_result", "status"]
    assert tools["query"].input_schema["required"] == ["question"]
    assert "verify" in str(tools["query"].input_schema["properties"]["pattern"])


def test_a_question_is_asked_and_followed_to_its_answer():
    desk = Desk()
    (result,) = talk(desk, ("query", {"question": "Which colour?", "pattern": "verify"}))
    assert not result.is_error
    assert result.structured_content["know"] == KNOW
    query = desk.heard[0].query
    assert query["question"] == "Which colour?"
    assert query["orchestration"]["pattern"] == "verify"


def test_a_restarting_core_is_waited_for():
    desk = Desk(silent=2)
    (result,) = talk(desk, ("query_result", {"id": "q-1", "wait_seconds": 30.0}))
    assert result.structured_content["state"] == "ended"
    assert desk.silent == 0


def test_a_refused_query_tells_the_agent_everything_that_is_wrong():
    (result,) = talk(Desk(), ("query", {"question": "?", "pattern": "waterfall"}))
    assert result.is_error
    assert "$.responders[0]: no such model" in result.content[0].text


def test_the_inbox_shows_what_waits_and_takes_an_answer():
    desk = Desk()
    submit = {"task": "t1", "did": "did:web:ann", "act": "submit", "answer": {"ok": True}}
    inbox, answer = talk(desk, ("inbox", {}), ("answer_task", submit))
    assert [task["id"] for task in inbox.structured_content["result"]] == ["t1"]
    assert answer.structured_content["state"] == "submitted"
    said = desk.heard[-1]
    assert (said.act, said.did, said.value) == ("submit", "did:web:ann", {"ok": True})


def test_the_status_of_the_box_is_a_tool():
    (result,) = talk(Desk(), ("status", {}))
    assert result.structured_content == {"box": "quiet"}
