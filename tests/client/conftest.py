"""One API for each test module, and a client of it for each test."""

from collections.abc import Iterator

import pytest
from tests.api.served import Served

from covend import Client


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


@pytest.fixture
def client(api: Served) -> Iterator[Client]:
    with Client(api.url, patience=10) as client:
        yield client
