"""Clients for each test; every file has a box of its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .live import Clients


@pytest.fixture
def clients():
    with ThreadPoolExecutor(32, "client") as pool:
        yield Clients(pool)
