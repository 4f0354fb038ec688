"""One API for each test module; each test finds a fresh desk behind it."""

from collections.abc import Iterator

import pytest
from tests.api.served import Served


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    served = Served()
    try:
        yield served
    finally:
        served.close()


@pytest.fixture
def api(server: Served) -> Iterator[Served]:
    with server.connected():
        yield server
