"""The golden corpus: threads that were written once replay for ever (P2, P5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.golden import __main__ as golden
from tools.golden.play import read, written
from tools.golden.stories import STORIES

from covend.client.models import Answer
from covend.patterns import step
from covend.patterns.answers.folding import as_data
from covend.patterns.expressions import cel
from covend.patterns.responders.responder import Responder
from covend.patterns.state import Response

THREADS = sorted(golden.CORPUS.glob("*.jsonl"))


def test_every_story_has_its_thread() -> None:
    assert sorted(path.stem for path in THREADS) == sorted(STORIES)


@pytest.mark.parametrize("path", THREADS, ids=lambda path: path.stem)
def test_a_thread_replays_byte_for_byte(path: Path) -> None:
    """P5: from its inputs alone, every other record comes out as it was written."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = read(lines)
    replayed = step.replay("q-play", entries)
    assert replayed.missing == []
    assert replayed.k.ended is not None
    inputs = [entry for entry in entries if entry.kind in step.INPUTS]
    made = [written(inputs[0])]
    k, drafts = step.start("q-play", inputs[0].body, inputs[0].clock)
    for entry in [*inputs[1:], None]:
        made += [written(step.Entry(draft.kind, draft.body, k.now)) for draft in drafts]
        if entry is not None:
            made.append(written(entry))
            k, drafts = step.take(k, entry)
    assert made == lines


def test_what_was_written_once_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """P5."""
    corpus = tmp_path / "tests" / "patterns" / "golden"
    corpus.mkdir(parents=True)
    kept = corpus / "verify_agree.jsonl"
    kept.write_text("as it was\n", encoding="utf-8")
    monkeypatch.setattr(golden, "CORPUS", corpus)
    golden.main()
    assert kept.read_text(encoding="utf-8") == "as it was\n"
    assert len(list(corpus.glob("*.jsonl"))) == len(STORIES)
    assert "left alone: 1" in capsys.readouterr().out


def test_all_that_the_ends_of_all_threads_tell_may_be_named_and_is_given_to_clients() -> None:
    """P15, P19: what is in an end is told apart from a member that was mistyped."""
    told = {
        member
        for path in THREADS
        for entry in read(path.read_text(encoding="utf-8").splitlines())
        if entry.kind == "know"
        for member in entry.body
    }
    assert told == cel.MEMBERS["know"]
    assert told <= set(Answer.__struct_fields__)


def test_the_members_that_expressions_may_name_are_those_that_there_are() -> None:
    """P15."""
    assert cel.MEMBERS["responder"] == set(Responder.__struct_fields__)
    known = Response(call="a/0#1", responder="a", value=1, hash="", seq=0)
    assert cel.MEMBERS["response"] == set(as_data(known))
