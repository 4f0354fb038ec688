"""`covend query` and `covend inbox`, against a scripted desk that tells a golden thread."""

import json
import sys
from datetime import datetime
from io import StringIO

import pytest
from rich.console import Console
from tools.golden.stories import STORIES

from covend.actors.runs import views
from covend.cli import inbox_view
from covend.cli.client import BoxClient
from covend.cli.query import asking
from covend.cli.query_view import PURGED, ending, line, table, tree
from covend.questions import (
    MAX_BYTES,
    ActOnTask,
    CancelQuery,
    EndOf,
    ListQueries,
    ListResponders,
    ListTasks,
    RecordsOf,
    SettleCall,
    ShowQuery,
    ShowTask,
    SubmitQuery,
    refusal,
)
from covend.runtime import Actor


def thread(name):
    """The records of a story, as the desk tells them."""
    return [
        {"seq": seq, "kind": entry.kind, "body": entry.body, "clock": entry.clock}
        for seq, entry in enumerate(STORIES[name]().records, 1)
    ]


def task():
    """A task as the desk tells it, of a call that a story has."""
    body = next(r["body"] for r in thread("verify_disagree_tiebreaker_wins") if r["kind"] == "call")
    body = {**body, "ask": {**body["ask"], "question": "May I?", "input": "a dog"}}
    row = {"thread": "q-1", "did": "did:web:ann", "state": "open", "seq": 2, "opened": 0}
    return views.task(row | {"due": 1_780_000_000_000_000}, body) | {"id": "t1"}


TASK = task()
RESPONDERS = [
    {"id": "ann", "kind": "actor", "did": "did:web:ann", "available": False, "trust": 0.875},
    {"id": "model:a", "kind": "llm", "model": "a", "typical_delay_secs": 1.5},
    {"id": "model:b", "kind": "llm", "model": "b", "channels": ["mailto://secret"]},
    {"id": "far", "kind": "llm", "model": "m", "api_key_env": "KEY", "missing_env": ["KEY"]},
]


def refused(status, message):
    return refusal(status, "refused", message)


class Desk(Actor):
    queries = 1
    more = 0
    page = 200
    know = True

    def __init__(self, records, asked):
        self.records, self.asked = records, asked

    def on_receive(self, message):
        self.asked.append(message)
        know = next(r["body"] for r in self.records if r["kind"] == "know")
        match message:
            case ListResponders():
                return {"responders": RESPONDERS}
            case SubmitQuery(query={"question": "wrong"}):
                errors = [{"path": "$.responders", "problem": "nobody"}]
                return refusal(422, "invalid_query", "1 error", errors)
            case SubmitQuery():
                return {"id": "q-1", "state": "open"}
            case EndOf(id="q-none"):
                return refused(404, "no query q-none")
            case EndOf(id=id):
                return {"id": id, "state": "open", "know": None}
            case CancelQuery(id="q-aside"):
                return {"id": "q-aside", "state": "open", "know": None}
            case RecordsOf(after=after):
                return {"records": [r for r in self.records if r["seq"] > after], "ended": True}
            case ShowQuery(id="q-none"):
                return refused(404, "no query q-none")
            case ShowQuery() | CancelQuery():
                intend = self.records[0]
                return {
                    "id": "q-1",
                    "state": "ended",
                    "query": intend["body"]["query"],
                    "opened": intend["clock"],
                    "know": know if self.know else None,
                    "calls": [],
                }
            case SettleCall(id=id, call=call, how=how):
                return {"id": id, "call": call, "how": how}
            case ListQueries():
                line = {"id": "q-1", "state": "ended", "opened": 1_780_000_000_000_000}
                line |= {"question": "Is it so?", "pattern": "verify"}
                rest = range(message.after + 1, self.queries + 1)[: min(message.limit, 200)]
                after = rest[-1] if rest and rest[-1] < self.queries else None
                return {"queries": [line | {"id": f"q-{n}"} for n in rest], "next": after}
            case ListTasks(state=state, after=after, limit=limit):
                tasks = [TASK, TASK | {"id": "t2", "state": "declined"}]
                tasks += [TASK | {"id": f"m{n}"} for n in range(self.more)]
                rest = [t for t in tasks if state in (None, t["state"])][after:]
                page = rest[: min(limit, self.page)]
                return {"tasks": page, "next": after + len(page) if rest[len(page) :] else None}
            case ShowTask(did=did):
                return TASK if did in (None, TASK["did"]) else refused(404, f"no task of {did}")
            case ActOnTask(act="decline"):
                return refused(409, "t1 was declined before")
            case ActOnTask():
                return TASK | {"state": "submitted"}
        raise AssertionError(message)


@pytest.fixture
def desk(box):
    """Gives the box a desk that tells this thread; what it was asked is the list returned."""

    def tells(name="verify_disagree_tiebreaker_wins"):
        asked = []
        box.system.spawn(Desk, thread(name), asked, name="desk")
        return asked

    return tells


def test_a_question_is_followed_line_by_line_to_its_answer(box, desk, covend):
    asked = desk()
    run = covend(
        "query", "ask", "Is it so?", "-p", "verify", "-w", "a", "-w", "b", "--run-dir", box.run_dir
    )
    query = asked[1].query
    assert query["orchestration"]["verifier"] == [{"id": "model:b"}]
    assert run.stderr.startswith("q-1\n")
    for text in ("asks primary/0#1 a", "asks verifier/0#1 b", "asks tiebreaker/0#1", "fulfilled"):
        assert text in run.stderr, run.stderr
    assert run.stdout == '{"x": 3}\n'


def test_a_script_gets_the_answer_and_nothing_else(box, desk, covend, monkeypatch):
    """However long its lines are, and with its tabs; what steers a terminal is made visible."""
    answer = f"a:\n\t{'word ' * 100}\x1b[2J"
    monkeypatch.setitem(globals(), "thread", ending_in(thread, {"answer": answer}))
    desk()
    said = answer.replace("\x1b", "␛") + "\n"
    for words in (("why?",), ("watch", "q-1")):
        run = covend("query", *words, "--run-dir", box.run_dir)
        assert run.stdout == said
        assert "asks primary/0#1 a" in run.stderr and "fulfilled" in run.stderr
    told = covend("query", "why?", "--json", "--run-dir", box.run_dir)
    assert json.loads(told.stdout)["know"]["answer"] == answer
    assert told.stderr == "q-1\n"


def ending_in(told, end):
    """The same stories, their ends changed."""

    def changed(name):
        return [
            {**record, "body": record["body"] | end} if record["kind"] == "know" else record
            for record in told(name)
        ]

    return changed


def test_a_query_without_an_end_to_show_fails_without_a_traceback(box, desk, covend, monkeypatch):
    monkeypatch.setattr(Desk, "know", False)
    desk()
    assert covend("query", "watch", "q-1", "--run-dir", box.run_dir, status=1).stdout == ""


def test_a_query_in_a_file_goes_as_it_is(box, desk, covend, tmp_path):
    asked = desk()
    query = {"question": "q", "responders": [{"kind": "llm"}], "metadata": {"n": 1}}
    (tmp_path / "q.json").write_text(json.dumps(query))
    told = covend("query", "ask", "-f", "q.json", "--no-wait", "--run-dir", box.run_dir)
    assert told.stdout == "q-1\n"
    (order,) = asked
    assert (type(order), order.query) == (SubmitQuery, query)


def test_what_would_count_for_nothing_beside_a_file_is_refused(box, desk, covend, tmp_path):
    """The file says it all: whom the query asks, how, about what, and for how much."""
    asked = desk()
    (tmp_path / "q.json").write_text('{"question": "q", "responders": [{"kind": "llm"}]}')
    options = ["-p", "single_shot", "--who", "a", "--input", "", "--max-cost", "0"]
    run = covend("query", "-f", "q.json", *options, "--run-dir", box.run_dir, status=2)
    said = "covend: -p, -w, --input, --max-cost beside -f: say it in the file\n"
    assert run.stderr == said
    run = covend("query", "-f", "q.json", "-w", "a", "--run-dir", box.run_dir, status=2)
    assert run.stderr == "covend: -w beside -f: say it in the file\n"
    assert asked == []


def test_every_error_of_a_refused_query_is_shown(box, desk, covend):
    desk()
    run = covend("query", "ask", "wrong", "--run-dir", box.run_dir, status=2)
    assert run.stderr == "$.responders: nobody\ncovend: 1 error\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ask"], "give a question, or a query in a file"),
        (["ask", "why?", "-p", "seventh"], "no pattern 'seventh'; one of single_shot"),
        (["ask", "-f", "missing.json"], "missing.json cannot be read"),
        (["ask", "-f", "twice.json"], "twice.json: $.question is there more than once"),
        (["ask", "-f", "deep.json"], "deep.json: nested too deeply"),
        (["ask", "-f", "latin.json"], "latin.json: no UTF-8"),
        (["ask", "-f", "list.json"], "list.json: a query is a JSON object"),
        (["ask", "-f", "half.json"], "half.json: no JSON: "),
        (["ask", "why?", "--key", ""], "--key: at least one character"),
        (["list", "--state", "half"], "no state 'half'"),
    ],
)
def test_a_wrong_command_line_says_what_would_be_right(box, covend, tmp_path, arguments, problem):
    (tmp_path / "twice.json").write_text('{"question": "One?", "question": "Two?"}')
    (tmp_path / "deep.json").write_text("[" * 5000 + "]" * 5000)
    (tmp_path / "latin.json").write_bytes(b'{"question": "\xff"}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "half.json").write_text('{"question": ')
    run = covend("query", *arguments, "--run-dir", box.run_dir, status=2)
    assert problem in run.stderr


def test_a_query_that_has_no_answer_fails_the_command(box, desk, covend):
    desk("single_shot_all_silent")
    run = covend("query", "watch", "q-1", "--run-dir", box.run_dir, status=1)
    assert "latency_timeout" in run.stderr and run.stdout == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ensemble_rejected", "rejected  by "),
        ("verify_nobody_to_ask", 'predicates: [{"id": '),
    ],
)
def test_an_end_without_an_answer_says_why(box, desk, covend, name, why):
    """X6: who rejected what, and whom nobody is."""
    desk(name)
    run = covend("query", "watch", "q-1", "--run-dir", box.run_dir, status=1)
    assert why in run.stderr, run.stderr


def test_a_query_is_drawn_as_a_tree_of_rounds_and_reasons(box, desk, covend):
    desk()
    drawn = covend("query", "show", "q-1", "--run-dir", box.run_dir).stdout
    assert drawn.startswith("q-1  Is it so?")
    assert "tiebreaker/0#1 c" in drawn


@pytest.mark.parametrize("name", sorted(STORIES))
def test_every_story_can_be_drawn(name):
    records = thread(name)
    query, opened = records[0]["body"]["query"], records[0]["clock"]
    know = next((record["body"] for record in records if record["kind"] == "know"), None)
    story = {"id": "q-1", "query": query, "opened": opened, "know": know}
    with (console := Console(width=200, file=StringIO())).capture() as drawn:
        console.print(tree(story, records))
        for record in records:
            console.print(line(record) or "")
    assert (know or {"status": "still open"})["status"] in drawn.get()
    for record in records:
        if record["kind"] == "call":
            assert f"{record['body']['slot']}#{record['body']['attempt']}" in drawn.get()


@pytest.mark.parametrize(
    ("join", "then"),
    [
        (None, "then meet: q-2"),
        ({"id": "offer", "of": 3}, "then meet: q-2, once 3 of 3 parts of the join 'offer' came"),
        (
            {"id": "offer", "of": 3, "need": "any"},
            "then meet: q-2, once 1 of 3 parts of the join 'offer' came",
        ),
        (
            {"id": "offer", "of": 3, "need": 2},
            "then meet: q-2, once 2 of 3 parts of the join 'offer' came",
        ),
    ],
)
def test_a_part_of_a_join_is_not_drawn_as_if_it_had_begun_the_next_query(join, then):
    """P20: there may be no such query yet."""
    body = {"trigger": "meet", "child": "q-2", "query": {"question": "Which?"}}
    note = {"seq": 9, "kind": "trigger", "body": body if join is None else body | {"join": join}}
    assert line(note | {"clock": 0}).plain.endswith(then)


@pytest.mark.parametrize("kind", ["unjoined", "refused"])
def test_a_next_query_that_is_not_begun_is_drawn_with_the_reason(kind):
    """P19, P20: a part in a join that came too late, or a query that is not valid then."""
    records = thread("single_shot_quorum_closes_early")
    body = {"trigger": "meet", "child": "q-2", "refused": "an id is for one use"}
    note = {"seq": 99, "kind": kind, "body": body, "clock": records[-1]["clock"]}
    story = {"query": records[0]["body"]["query"], "opened": records[0]["clock"], "know": None}
    with (console := Console(width=200, file=StringIO())).capture() as drawn:
        console.print(tree({"id": "q-1", **story}, [*records, note]))
    assert "then meet: an id is for one use" in drawn.get()
    assert line(note).plain.endswith("then meet: an id is for one use")


def test_a_late_answer_is_drawn_as_late_with_what_it_cost_in_the_end():
    """P12, P13: after the end the bill goes on."""
    records = thread("single_shot_late_answer_is_billed")
    records[-1]["body"]["late"] = True
    query, opened = records[0]["body"]["query"], records[0]["clock"]
    know = next(record["body"] for record in records if record["kind"] == "know")
    story = {"id": "q-1", "query": query, "opened": opened, "know": know}
    spent = {"settled": 0.5, "reserved": 0.0}
    assert "late ok $0.3000" in line(records[-1]).plain
    for more, bill in (({"spent": spent}, "$0.5000\n"), ({}, "$0.2000 (perhaps $0.5000 more)\n")):
        with (console := Console(width=200, file=StringIO())).capture() as drawn:
            console.print(tree({**story, **more}, records))
        assert "primary/1#1 b  0.00 s  late ok $0.3000" in drawn.get()
        assert bill in drawn.get()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"status": "declined", "problem": "out_of_domain"}, "declined  out_of_domain (Ask Bea.)"),
        ({"status": "ok", "value": "yes"}, "ok  yes (Ask Bea.)"),
    ],
)
def test_what_a_person_says_beside_an_answer_or_a_decline_reaches_who_asked(body, says):
    """P18."""
    do = {"slot": "primary/0", "attempt": 1, "rationale": "Ask\nBea."} | body
    assert line({"kind": "do", "clock": 0, "body": do}).plain.endswith(says)


def test_a_query_that_is_not_there_is_said_so(box, desk, covend):
    desk()
    run = covend("query", "show", "q-none", "--run-dir", box.run_dir, status=1)
    assert run.stderr == "covend: no query q-none\n"


def test_what_was_purged_is_said_in_one_line(box, desk, covend, monkeypatch):
    """D4: of the records only the ends are kept, and what began it."""
    records = [
        record if record["kind"] in ("intend", "know") else {**record, "body": {}, "purged": True}
        for record in thread("verify_disagree_tiebreaker_wins")
    ]
    monkeypatch.setitem(globals(), "thread", lambda name: records)
    desk()
    for command in ("show", "watch"):
        told = covend("query", command, "q-1", "--run-dir", box.run_dir).output
        assert told.count(PURGED) == 1 and "fulfilled" in told, told


def test_a_list_is_as_long_as_it_was_asked_for(box, desk, covend, monkeypatch):
    """The desk gives 200 at once: the pages that follow are asked for."""
    monkeypatch.setattr(Desk, "queries", 450)
    desk()
    options = ("--json", "--run-dir", box.run_dir)
    page = json.loads(covend("query", "list", "--limit", "430", *options).stdout)
    assert [query["id"] for query in page["queries"]] == [f"q-{n}" for n in range(1, 431)]
    assert page["next"] == 430
    page = json.loads(covend("query", "list", "--limit", "1000", *options).stdout)
    assert (len(page["queries"]), page["next"]) == (450, None)


def test_queries_are_listed_and_cancelled(box, desk, covend):
    asked = desk()
    assert "Is it so?" in covend("query", "list", "--run-dir", box.run_dir).stdout
    told = covend("query", "cancel", "q-1", "--reason", "late", "--run-dir", box.run_dir).stdout
    assert told == "q-1: fulfilled\n"
    assert asked[-1] == CancelQuery(id="q-1", reason="late")


def test_a_query_that_cannot_be_cancelled_is_said_to_stand_as_it_does(box, desk, covend):
    """P14: as one that was set aside."""
    desk()
    told = covend("query", "cancel", "q-aside", "--run-dir", box.run_dir).stdout
    assert told == "q-aside: open\n"


def test_an_operator_settles_an_unclear_call(box, desk, covend):
    """P4, ``on_indeterminate: ask``."""
    asked = desk()
    told = covend("query", "settle", "q-1", "primary/0#1", "--again", "--run-dir", box.run_dir)
    assert told.stdout == "q-1 primary/0#1: again\n"
    covend("query", "settle", "q-1", "primary/0#1", "--failed", "--run-dir", box.run_dir)
    calls = [SettleCall(id="q-1", call="primary/0#1", how=how) for how in ("again", "failed")]
    assert [said for said in asked if isinstance(said, SettleCall)] == calls


def test_who_settles_a_call_says_how_and_of_which_query(box, desk, covend):
    """P4."""
    asked = desk()
    run = covend("query", "settle", "q-1", "a#1", "--run-dir", box.run_dir, status=2)
    assert "--again" in run.stderr and "--failed" in run.stderr
    run = covend("query", "settle", "q-none", "a#1", "--again", "--run-dir", box.run_dir, status=1)
    assert run.stderr == "covend: no query q-none\n"
    assert not any(isinstance(said, SettleCall) for said in asked)


def test_an_unclear_call_is_drawn_with_the_command_that_settles_it():
    """P4, ``on_indeterminate: ask``."""
    story, records = waiting()
    story["calls"][0]["status"] = "unclear"
    with (console := Console(width=200, file=StringIO())).capture() as drawn:
        console.print(tree(story, records))
    assert "unclear: nobody knows" in drawn.get() and "waiting for" not in drawn.get()
    assert "`covend query settle q-1 'primary/0#1' --again` or `--failed`" in drawn.get()


class HeldUp(Desk):
    """A desk whose query waits for an operator until it was looked at twice."""

    looks = 0

    def on_receive(self, message):
        if isinstance(message, RecordsOf) and self.looks < 2:
            return {"records": [], "ended": False, "set_aside": False}
        told = super().on_receive(message)
        if isinstance(message, ShowQuery):
            self.looks += 1
            told["calls"] = [{"call": "primary/0#1", "status": "unclear"}]
        return told


def test_who_follows_a_query_is_told_once_that_an_operator_must_settle_a_call(box, covend):
    """P4, ``on_indeterminate: ask``."""
    box.system.spawn(HeldUp, thread("verify_disagree_tiebreaker_wins"), [], name="desk")
    said = covend("query", "watch", "q-1", "--run-dir", box.run_dir).stderr
    settle = "`covend query settle q-1 'primary/0#1' --again` or `--failed`"
    assert " ".join(said.split()).count(settle) == 1 and "asks primary/0#1 a" in said


class Slow(Desk):
    """A desk whose query has no news at first."""

    def on_receive(self, message):
        told = super().on_receive(message)
        first = sum(isinstance(one, RecordsOf) for one in self.asked) == 1
        if isinstance(message, RecordsOf) and first:
            return {"records": [], "ended": False, "set_aside": False}
        return told


def test_who_follows_a_query_and_prints_only_its_end_reads_it_only_then(box, covend):
    asked = []
    box.system.spawn(Slow, thread("verify_disagree_tiebreaker_wins"), asked, name="desk")
    covend("query", "watch", "q-1", "--json", "--run-dir", box.run_dir)
    assert sum(isinstance(one, ShowQuery) for one in asked) == 1


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("show", "show"),
        ("show q-1", "show q-1"),
        ("show_us_the_way", "ask show_us_the_way"),
        ("-f q.json", "ask -f q.json"),
        ("-f list", "ask -f list"),
        ("--file=list", "ask --file=list"),
        ("--json list", "list --json"),
        ("-c box.toml --json show q-1 --run-dir X", "show -c box.toml --json q-1 --run-dir X"),
        ("-- list", "ask -- list"),
        ("ask lsit", "ask lsit"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_what_is_no_command_is_a_question(words, meant):
    commands = ("ask", "show", "list", "cancel", "settle", "watch")
    found = asking(words.split(), commands, ("-f", "--file", "-c", "--run-dir"))
    assert found == meant.split()


def test_a_question_of_several_words_may_begin_like_a_command():
    assert asking(["show us"], ("ask", "show"), ()) == ["ask", "show us"]


@pytest.mark.parametrize(
    ("word", "right"), [("lsit", "covend query list"), ("help", "covend query --help")]
)
def test_a_mistyped_command_is_not_asked(box, desk, covend, word, right):
    asked = desk()
    run = covend("query", "--run-dir", box.run_dir, word, status=2)
    assert f"`{right}`? As a question it is `covend query ask {word}`" in run.stderr
    assert asked == []
    covend("query", "ask", word, "--run-dir", box.run_dir)
    assert asked[0].query["question"] == word


def test_options_may_stand_before_a_command(box, desk, covend):
    asked = desk()
    told = covend("query", "--run-dir", box.run_dir, "--json", "list").stdout
    assert json.loads(told)["queries"]
    covend("query", "--run-dir", box.run_dir, "show", "q-1")
    assert [type(message) for message in asked[:2]] == [ListQueries, ShowQuery]


def test_the_help_of_query_says_where_its_options_are(covend):
    told = covend("query", "--help").stdout
    assert "covend query ask --help" in " ".join(told.replace("│", " ").split())


def test_a_name_that_nobody_has_is_refused_before_it_is_asked(box, desk, covend):
    asked = desk()
    run = covend("query", "why?", "-w", "aa", "--run-dir", box.run_dir, status=2)
    assert "nobody is called 'aa'; there are ann, a, b, far, and people by did:…" in run.stderr
    assert asked == [ListResponders()]


def test_who_leaves_a_query_is_told_that_it_goes_on(box, desk, covend, monkeypatch):
    desk()
    told = BoxClient.ask

    def interrupted(self, address, message, timeout=10.0):
        if isinstance(message, RecordsOf):
            raise KeyboardInterrupt
        return told(self, address, message, timeout)

    monkeypatch.setattr(BoxClient, "ask", interrupted)
    run = covend("query", "why?", "--run-dir", box.run_dir, status=130)
    assert run.stderr == "q-1\ncovend: it goes on: `covend query watch q-1`\n"
    assert run.stdout == ""


def test_who_can_be_asked_is_listed(box, desk, covend):
    """P8: and why one cannot; where they are reached is not told."""
    desk()
    told = covend("responders", "--run-dir", box.run_dir).stdout.splitlines()
    assert told[1].split()[:4] == ["ann", "actor", "did:web:ann", "0.88"]
    assert "no: switched off, or it failed too often" in told[1]
    assert told[2].split() == ["model:a", "llm", "a", "0.50", "1.5", "s", "yes"]
    told = covend("responders", "--run-dir", box.run_dir, "--json").stdout
    assert [one["available"] for one in json.loads(told)] == [False, True, True, True]
    assert "secret" not in told


def test_a_key_that_is_not_there_is_listed_by_its_name(box, desk, covend):
    """P8: before a call fails for want of it."""
    desk()
    told = covend("responders", "--run-dir", box.run_dir).stdout.splitlines()
    assert told[4].rstrip().endswith("yes, but KEY has no value")
    told = covend("responders", "--run-dir", box.run_dir, "--json").stdout
    assert [one["missing_env"] for one in json.loads(told)] == [[], [], [], ["KEY"]]


def waiting(accepted=None):
    """A story whose only call, of ann, is open, as the desk shows it; ``accepted`` by whom."""
    responder = {"id": "ann", "did": "did:web:ann"}
    place = {"slot": "primary/0", "attempt": 1}
    records = [{"kind": "call", "clock": 0, "body": {**place, "responder": responder,
                "deadline": 1_780_000_000_000_000}}]  # fmt: skip
    if accepted:
        body = {**place, "status": "accepted", "by": accepted}
        records.append({"kind": "do", "clock": 0, "body": body})
    call = {"call": "primary/0#1", "deadline": TASK["due"] + 3_600_000_000}
    story = {"id": "q-1", "query": {"question": "?"}, "opened": 0, "know": None, "calls": [call]}
    return story, records


@pytest.mark.parametrize(
    ("by", "says"),
    [
        (None, "waiting for ann, due "),
        ("did:web:ann", "accepted, due "),
        ("did:web:bea", "accepted by did:web:bea, due "),
    ],
)
def test_an_open_call_says_who_is_waited_for_and_until_when(by, says):
    """P18: an acceptance moved the deadline that the call began with."""
    with (console := Console(width=200, file=StringIO())).capture() as drawn:
        console.print(tree(*waiting(by)))
    due = datetime.fromtimestamp(TASK["due"] / 1e6 + 3600).strftime("%m-%d %H:%M")
    assert f"ann  {says}{due}" in drawn.get()
    assert "no answer" not in drawn.get()


def test_ids_are_whole_on_a_narrow_terminal():
    """Or nobody could copy them."""
    id_ = f"q-{'0123456789abcdef' * 2}"
    query = {"id": id_, "state": "open", "pattern": "retry_on_low_confidence", "opened": 0,
             "question": "Is it so that it is so? " * 3}  # fmt: skip
    task = TASK | {"id": f"{id_}~tiebreaker~0~1", "did": "did:web:demo.covend.dev:ann"}
    for view, whole in ((table([query]), id_), (inbox_view.listing([task]), task["id"])):
        with (console := Console(width=80, file=StringIO())).capture() as drawn:
            console.print(view)
        assert whole in drawn.get()


def test_no_line_of_the_inbox_is_filled_up_with_blanks():
    """A pipe is 200 columns wide."""
    with (console := Console(width=200, file=StringIO())).capture() as drawn:
        console.print(inbox_view.listing([TASK]))
    assert drawn.get().splitlines()[1] == "    for did:web:ann: May I?"


def test_an_answer_is_in_the_colour_of_its_status_alone():
    done = next(line(r) for r in thread("verify_disagree_tiebreaker_wins") if r["kind"] == "do")
    assert "yellow" not in [str(done.style), *(str(span.style) for span in done.spans)]


def test_a_third_that_is_asked_is_explained():
    """P9: also where no two answers could be compared."""
    for body, says in (
        ({"verify": "missing", "closed": {}}, "one of the two gave no answer"),
        ({"verify": "disagree", "agreement": 0.25, "closed": {}}, "disagree (agreement 0.25)"),
    ):
        assert says in line({"kind": "learn", "clock": 0, "body": body}).plain


def test_the_inbox_shows_what_waits_and_no_more(box, desk, covend):
    desk()
    shown = covend("inbox", "--did", "did:web:ann", "--run-dir", box.run_dir).stdout
    assert "t1" in shown
    assert "t2" not in shown
    assert "t2" in covend("inbox", "--all", "--run-dir", box.run_dir).stdout
    page = covend("inbox", "show", "t1", "--run-dir", box.run_dir).stdout
    assert "May I?" in page
    assert "a dog" in page
    assert "the answer:" in page and '"kind"' in page


def test_the_inbox_goes_on_where_a_page_is_shorter_than_asked_for(box, desk, covend, monkeypatch):
    """P18: as one of large tasks is; and it says where there is more than it shows."""
    monkeypatch.setattr(Desk, "page", 7)
    for more in (198, 200):
        monkeypatch.setattr(Desk, "more", more)
        if more == 198:
            desk()
        told = covend("inbox", "--json", "--run-dir", box.run_dir)
        assert len(json.loads(told.stdout)) == min(200, more + 1)
        assert ("there are more: these are the oldest 200" in told.stderr) == (more == 200)


def test_what_is_too_large_to_be_shown_is_said(box, desk, covend, monkeypatch):
    left_out = {"input": None, "left_out": ["$.input"]}
    monkeypatch.setattr(sys.modules[Desk.__module__], "TASK", TASK | left_out)
    desk()
    page = covend("inbox", "show", "t1", "--run-dir", box.run_dir).stdout
    assert "too large to be shown: $.input" in page
    know = {"status": "fulfilled", "answer": None, "left_out": ["$.answer"]}
    shown = Console(file=StringIO(), width=120)
    shown.print(ending({"know": know, "query": {}}))
    assert "too large to be shown: $.answer; `covend export`" in shown.file.getvalue()


def test_what_the_box_would_not_take_is_refused_before_it_is_sent(box, covend, tmp_path):
    """The command line does not go around the bound of the API."""
    file = tmp_path / "query.json"
    large = json.dumps({"question": "q", "input": {"inline": "x" * MAX_BYTES}})
    file.write_text(large)
    said = covend("query", "ask", "-f", file, "--run-dir", box.run_dir, status=2).stderr
    assert f"at most {MAX_BYTES} are right" in said
    answer = ("submit", "t1", "x" * MAX_BYTES, "--did", "did:x")
    said = covend("inbox", *answer, "--run-dir", box.run_dir, status=2).stderr
    assert f"at most {MAX_BYTES} are right" in said


def test_a_word_that_is_no_text_is_refused_before_it_is_sent(box, covend):
    """A byte of the command line that is no UTF-8 is a lone surrogate here."""
    said = covend("query", "why \udcff?", "--run-dir", box.run_dir, status=2).stderr
    assert said == "covend: the query has bytes in it that are no UTF-8\n"
    answer = ("submit", "t1", "\udcff", "--did", "did:x", "--run-dir", box.run_dir)
    assert "the answer has bytes" in covend("inbox", *answer, status=2).stderr


def test_a_person_answers_with_confidence_and_reason(box, desk, covend):
    asked = desk()
    answer = ["submit", "t1", '{"ok": true}', "--as-value", "--confidence", "0.8"]
    told = covend("inbox", *answer, "--did", "did:web:ann", "--run-dir", box.run_dir)
    assert told.stdout == "t1: submitted\n"
    said = ActOnTask(id="t1", act="submit", did="did:web:ann", value={"ok": True}, confidence=0.8)
    assert asked == [said]


def test_who_promised_an_answer_is_said_to_those_who_share_the_task():
    """P18: nobody is told that they took on what their delegate did."""
    for did, says in (("did:web:ann", "did:bob promised an answer, due "), ("did:bob", "accepted")):
        shown = TASK | {"state": "accepted", "did": did, "promised_by": ["did:bob"]}
        for view in (inbox_view.listing([shown]), inbox_view.page(shown)):
            with (console := Console(width=200, file=StringIO())).capture() as drawn:
                console.print(view)
            assert says in drawn.get()


def test_an_eta_is_a_time_a_person_would_write(box, desk, covend):
    asked = desk()
    told = covend(
        "inbox", "accept", "t1", "--eta", "2h", "--did", "did:x", "--run-dir", box.run_dir
    )
    assert told.stdout.startswith("t1: submitted, due ")
    assert asked[0].eta_secs == 7200
    late = ["accept", "t1", "--eta", "soon", "--did", "did:x", "--run-dir", box.run_dir]
    assert "--eta" in covend("inbox", *late, status=2).stderr


@pytest.mark.parametrize(
    ("moved", "says"),
    [
        (0, ""),
        (5, ""),
        (-3600, ": the query itself ends then, and does not wait for "),
        (3600, ", as before: "),
    ],
)
def test_who_accepts_is_told_until_when_and_why_not_as_wished(moved, says):
    """P18: the deadline is never moved past the run's own end, nor to an earlier time."""
    wished = 1_780_000_000_000_000
    task = TASK | {"state": "accepted", "due": wished + moved * 1_000_000}
    told = inbox_view.promised(task, wished)
    due, wish = (datetime.fromtimestamp(at / 1e6).strftime("%m-%d %H:%M")
                 for at in (task["due"], wished))  # fmt: skip
    assert told.startswith(f"accepted, due {due}{says}{wish if says else ''}")
    assert bool(says) == (told != f"accepted, due {due}")


def test_a_note_tells_people_why_a_task_is_declined(box, desk, covend):
    asked = desk()
    said = ["decline", "t1", "--note", "ask Bea", "--did", "did:x", "--run-dir", box.run_dir]
    covend("inbox", *said, status=1)
    assert asked[0].rationale == "ask Bea"


def test_a_word_too_late_is_refused_with_the_reason(box, desk, covend):
    desk()
    said = ["decline", "t1", "--reason", "overbooked", "--did", "did:x"]
    run = covend("inbox", *said, "--run-dir", box.run_dir, status=1)
    assert run.stderr == "covend: t1 was declined before\n"


def test_nobody_answers_without_saying_who_he_is(box, desk, covend):
    run = covend("inbox", "submit", "t1", "yes", "--run-dir", box.run_dir, status=2)
    assert "say who you are: --did" in run.stderr


def test_what_is_said_before_a_word_is_said_to_it(box, desk, covend):
    """P18: --run-dir, --did and --json of `covend inbox` are those of its commands."""
    asked = desk()
    before = ("inbox", "--did", "did:web:ann", "--run-dir", box.run_dir, "--json")
    assert json.loads(covend(*before, "accept", "t1").stdout)["state"] == "submitted"
    assert json.loads(covend(*before, "show", "t1").stdout)["question"] == "May I?"
    assert "no task of did:x" in covend(*before, "show", "t1", "--did", "did:x", status=1).stderr
    assert asked == [
        ActOnTask(id="t1", act="accept", did="did:web:ann"),
        ShowTask("t1", "did:web:ann"),
        ShowTask("t1", "did:x"),
    ]


def test_the_command_line_goes_before_the_environment_also_before_a_word(box, desk, covend):
    asked = desk()
    covend("inbox", "--run-dir", box.run_dir, "--did=did:ann", "accept", "t1",
           env={"COVEND_DID": "did:x", "COVEND_RUN_DIR": "/nowhere"})  # fmt: skip
    assert [said.did for said in asked] == ["did:ann"]


def test_an_option_that_a_word_does_not_take_is_refused(box, covend):
    run = covend("inbox", "--all", "--run-dir", box.run_dir, "show", "t1", status=2)
    assert "--all" in run.output


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[" * 5000 + "]" * 5000, "the answer: nested too deeply"),
        ('{"a": 1, "a": 2}', "the answer: $.a is there more than once"),
        ("yes", "the answer: no JSON: "),
        ("NaN", "the answer: no JSON: "),
    ],
)
def test_an_answer_that_is_no_good_json_is_refused_before_it_is_sent(box, covend, value, problem):
    said = ("inbox", "submit", "t1", value, "--as-value", "--did", "did:x")
    assert problem in covend(*said, "--run-dir", box.run_dir, status=2).stderr
