"""The bench frame judges figures, prints one object, and ends with the right status."""

import doctest
import json
import types

import pytest
import tools.bench.__main__ as frame
from tools.bench import figures
from tools.bench.figures import Missing, at_least, at_most, exactly, machine, need, percentile


@pytest.fixture
def bench(monkeypatch):
    """Puts a bench of one's own in the place of ``whim``."""

    def put(run):
        module = types.SimpleNamespace(TITLE="a bench of this test", run=run)
        monkeypatch.setattr(frame, "available", lambda: {"whim"})
        monkeypatch.setattr(frame.importlib, "import_module", lambda _name: module)

    return put


def test_with_json_one_object_has_the_bench_the_machine_and_the_figures(bench, capsys):
    bench(lambda: {"added": at_most(70, 80, "µs", reference=190)})
    assert frame.main(["whim", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"bench", "machine", "figures"}
    assert printed["bench"] == "whim"
    assert printed["figures"]["added"] == {
        "value": 70, "unit": "µs", "limit": "≤ 80", "ok": True, "reference": 190
    }  # fmt: skip


def test_without_json_a_table_shows_every_figure(bench, capsys):
    bench(lambda: {"added": at_most(70, 80, "µs"), "seen": figures.observed(12345.6, "req/s")})
    assert frame.main(["whim"]) == 0
    shown = capsys.readouterr().out
    assert "added" in shown and "≤ 80" in shown and "12,346" in shown


def test_a_figure_past_its_limit_ends_with_1(bench):
    bench(lambda: {"added": at_most(81, 80, "µs")})
    assert frame.main(["whim", "--json"]) == 1


def test_what_a_bench_misses_is_said_and_ends_with_2(bench, capsys):
    def run():
        raise Missing("wrk is not installed")

    bench(run)
    assert frame.main(["whim"]) == 2
    assert "bench whim: wrk is not installed" in capsys.readouterr().err


def test_an_unknown_bench_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as end:
        frame.main(["nonsense"])
    assert end.value.code == 2
    assert "'nonsense'" in capsys.readouterr().err


def test_every_bench_that_is_there_has_a_name_in_the_list_and_a_title():
    helpers = {"__main__", "figures", "boxes", "simulation"}
    for name in frame.available() & set(frame.NAMES):
        module = __import__(f"tools.bench.{name}", fromlist=["TITLE"])
        assert module.TITLE
        assert callable(module.run), name
    assert not helpers & set(frame.NAMES)


@pytest.mark.parametrize(
    ("figure", "ok"),
    [
        (at_most(80, 80, ""), True),
        (at_most(80.1, 80, ""), False),
        (at_least(6, 6, ""), True),
        (at_least(5.9, 6, ""), False),
        (exactly(0, 0, ""), True),
        (exactly(1, 0, ""), False),
        (at_most(float("nan"), 1, ""), False),
    ],
)
def test_a_limit_is_kept_or_not(figure, ok):
    assert figure.ok is ok


def test_percentiles_are_values_that_were_seen():
    values = list(range(100, 0, -1))
    assert [percentile(values, p) for p in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_missing_program_names_its_package():
    with pytest.raises(Missing, match="apt-get install no-such-package"):
        need("no-such-program", "no-such-package")


def test_the_machine_is_described_whole():
    assert {"cpu", "cores", "memory_gib", "kernel", "python"} == set(machine())


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(figures).failed == 0
    assert doctest.testmod(frame).failed == 0
