"""What others wrote does not steer the terminal that shows it (X6)."""

import io
import json

import pytest
import typer
from rich.console import Console
from rich.text import Text

from covend.cli.query_view import table
from covend.cli.shared import Status, console, fail, print_json, say
from covend.cli.visible import visible
from covend.cli.visible_console import Visible


def test_what_steers_a_terminal_becomes_a_sign():
    assert visible("\x1b]0;t\x07 \x9b \x00\r\x7f") == "␛]0;t␇ \ufffd ␀␍␡"
    assert visible("over \u202e and \u2066") == "over \ufffd and \ufffd"


def test_what_people_write_stays_as_it_is():
    text = "two\nlines\t😀 ünï العربية"
    assert visible(text) == text


def test_json_says_the_same_and_steers_no_terminal(capfdbinary):
    """Programs read what was there; what only a terminal would obey is escaped in it."""
    said = {"answer": "a\x1b[2J \x9b2J \x7f \u202e\nünï"}
    print_json(said)
    told = capfdbinary.readouterr().out.decode()
    assert json.loads(told) == said
    assert not set("\x1b\x9b\x7f\u202e") & set(told) and "ünï" in told


def test_what_looks_like_markup_is_shown_as_it_is(capsys):
    console().print("q-1 [/b] [red]r[/red] :smile:", style="red")
    assert capsys.readouterr().out == "q-1 [/b] [red]r[/red] :smile:\n"


def test_what_is_said_beside_tables_steers_no_terminal_either(capsys):
    say("q-\x1b]0;t\x07: ended")
    with pytest.raises(typer.Exit):
        fail("no query \x9b2J", Status.FAILED)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("q-␛]0;t␇: ended\n", "covend: no query \ufffd2J\n")


def test_styles_are_put_on_afterwards():
    """Only covend's own escapes reach the terminal."""
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, color_system="standard", width=120)
    console.push_render_hook(Visible())
    console.print(Text("\x1b[31mred", "green"))
    assert told.getvalue() == "\x1b[32m␛[31mred\x1b[0m\n"


def test_a_table_of_questions_shows_a_hostile_one():
    told = io.StringIO()
    console = Console(file=told, width=120)
    console.push_render_hook(Visible())
    line = {"id": "q-1", "state": "open", "opened": 1_780_000_000_000_000, "pattern": "verify"}
    console.print(table([line | {"question": "\x1b[2J gone?"}]))
    assert "␛[2J gone?" in told.getvalue() and "\x1b" not in told.getvalue()
