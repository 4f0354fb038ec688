"""What a type checker tells a user of the client."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import covend
from covend import client

USER = """
from covend import AsyncClient, Client
from covend.client import Answer, ApiError, Event, Query, QueryView, Responder, Ticket


def ask(box: Client, query: Query) -> Answer:
    def seen(event: Event) -> None:
        kind: str = event.kind
        print(kind)

    ticket: Ticket = box.submit(query)
    view: QueryView = box.get(ticket.id)
    responders: tuple[Responder, ...] = box.responders()
    print(view.state, [one.id for one in responders])
    try:
        return box.query(query, on_progress=seen)
    except ApiError as error:
        print([fault.path for fault in error.errors])
        raise


async def wait(box: AsyncClient) -> Answer:
    return await box.query({"question": "2 + 2"})
"""
WRONG = """
from covend import Klient
from covend.client import Evnet
"""
SOURCE = Path(covend.__file__).parents[1]


@pytest.fixture
def checked(tmp_path):
    """Runs pyright over a user's script; returns the rule of each error with its line."""

    def check(text):
        (tmp_path / "user.py").write_text(text)
        config = {"typeCheckingMode": "strict", "extraPaths": [str(SOURCE)], "include": ["user.py"]}
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        found = json.loads(done.stdout)["generalDiagnostics"]
        return [(one["range"]["start"]["line"], one["rule"]) for one in found]

    return check


def test_a_user_s_script_is_typed_throughout(checked):
    """Strict: every name of covend.client that a signature has can be imported from there."""
    assert checked(USER) == []


def test_a_misspelled_name_is_an_error(checked):
    """Names are imported at first use, and known to a type checker nevertheless."""
    unknown = {line for line, rule in checked(WRONG) if rule == "reportAttributeAccessIssue"}
    assert unknown == {1, 2}


@pytest.mark.parametrize("module", [covend, client])
def test_every_name_is_there_and_no_other(module):
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert client.Answer.__module__ == "covend.client.models"
    with pytest.raises(AttributeError, match="has no attribute 'Klient'"):
        module.Klient  # noqa: B018
