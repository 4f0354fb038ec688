"""A client of the API for each test; one API for each test module, as in its own tests."""

from collections.abc import Iterator

import pytest
from tests.api.conftest import api, server
from tests.api.served import Served

from covend import Client

__all__ = ["api", "client", "server"]


@pytest.fixture
def client(api: Served) -> Iterator[Client]:
    with Client(api.url, patience=10) as client:
        yield client
