"""Agents reach a running box over MCP, on both transports, with the official client."""

import asyncio
import socket
import subprocess
import sys

import pytest
from tools.chaos.box import Stone

from covend.questions import PutResponder
from covend.testing import eventually

from .live import LIVELY, Live

pytest.importorskip("mcp")
from mcp import Client, StdioServerParameters

pytestmark = pytest.mark.xdist_group("box")

PERSON = {"id": "ann", "kind": "actor", "did": "did:web:ann"}


@pytest.fixture(scope="module")
def box():
    stones = [Stone("chat", coven="talk", slots=2, load=0.2, tokens_per_second=200)]
    with Live(stones, budget=280, tables=LIVELY) as box:
        box.desk(PutResponder(PERSON))
        yield box


def command(box, *more):
    return ["-m", "covend.cli", "mcp", "--run-dir", str(box.run_dir), *more]


async def a_session(server):
    """What an agent does with a box: asks a model, asks a person, answers for him, looks."""
    async with Client(server, read_timeout_seconds=60) as client:
        told = {"question": "Who are you?", "who": ["chat"], "wait_seconds": 40}
        answer = (await client.call_tool("query", told)).structured_content
        asked = {"question": "May I?", "who": ["did:web:ann"], "wait_seconds": 0}
        person = (await client.call_tool("query", asked)).structured_content
        (task,) = (await client.call_tool("inbox", {"did": "did:web:ann"})).structured_content[
            "result"
        ]
        word = {"task": task["id"], "did": "did:web:ann", "act": "submit", "answer": "You may."}
        said = (await client.call_tool("answer_task", word)).structured_content
        late = await client.call_tool("answer_task", word | {"act": "decline", "answer": None})
        end = (
            await client.call_tool("query_result", {"id": person["id"], "wait_seconds": 20})
        ).structured_content
        status = (await client.call_tool("status", {})).structured_content
    assert answer["know"]["status"] == "fulfilled"
    assert answer["know"]["answer"]
    assert person["state"] == "open"
    assert said["state"] == "submitted"
    assert late.is_error
    assert end["know"]["answer"] == "You may."
    assert [coven["name"] for coven in status["covens"]] == ["talk"]


def test_an_agent_speaks_to_the_box_on_standard_input_and_output(box):
    server = StdioServerParameters(command=sys.executable, args=command(box))
    asyncio.run(asyncio.wait_for(a_session(server), 90))


def test_an_agent_speaks_to_the_box_over_http(box):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, *command(box, "--http", f"127.0.0.1:{port}")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as served:
        try:
            eventually(lambda: answers(port), 30, "the MCP server listens")
            asyncio.run(asyncio.wait_for(a_session(f"http://127.0.0.1:{port}/mcp"), 90))
        finally:
            served.terminate()
            served.communicate(timeout=20)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_without_a_running_box_the_server_says_so(tmp_path):
    argv = [sys.executable, "-m", "covend.cli", "mcp", "--run-dir", str(tmp_path)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert "no box is running" in ended.stderr
