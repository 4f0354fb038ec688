"""The example in docs/crash-kit.md does what the page says, as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from covend.testing.crash import traceable

pytestmark = pytest.mark.skipif(bool(traceable()), reason=traceable() or "-")

PAGE = Path(__file__).parents[2] / "docs" / "crash-kit.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_example_of_the_page_prints_what_the_page_says(tmp_path):
    for code in blocks("python"):
        name = code.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(code)
    argv = [sys.executable, "gaps.py"]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stderr == ""
    assert [done.stdout] == blocks("text")
