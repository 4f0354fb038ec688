"""One box for all tests of a file, and clients for each."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .live import Clients


def pytest_collection_modifyitems(items):
    """The boxes of all files share one worker, so that they never compete for the cores."""
    for item in items:
        if item.path.parent.name == "box":
            item.add_marker(pytest.mark.xdist_group("box"))


@pytest.fixture
def clients():
    with ThreadPoolExecutor(32, "client") as pool:
        yield Clients(pool)
