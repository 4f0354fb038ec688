"""Box files as text, and what is wrong with them as short lines."""

from pathlib import Path

import pytest

from covend.config import ConfigErrors, parse

from .documents import ENVIRON, GOOD


@pytest.fixture
def box_of():
    """Parses a document as if it stood in /boxes/box.toml, in a fixed environment."""

    def read(text=GOOD, **environ):
        return parse(text, Path("/boxes/box.toml"), {**ENVIRON, **environ})

    return read


@pytest.fixture
def errors_of(box_of):
    """What is wrong with a document, each error as `LINE PATH: MESSAGE`."""

    def read(text, **environ):
        with pytest.raises(ConfigErrors) as caught:
            box_of(text, **environ)
        return [f"{e.line} {e.path}: {e.message}" for e in caught.value.errors]

    return read
