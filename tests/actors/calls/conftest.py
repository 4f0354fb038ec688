"""A provider that is asked, and counts what it is paid for."""

import pytest
from tests.actors import payee


@pytest.fixture
def provider():
    with payee.serving() as server:
        yield server
