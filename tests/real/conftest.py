"""A browser and a page of the inbox, for each file of tests that look at it."""

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK, Served
from tests.real.browser import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def server():
    served = Served()
    yield served
    served.close()


@pytest.fixture
def page(server, browser):
    with server.connected():
        server.tell(NewTask(**{**TASK, "due": 4_000_000_000_000_000}))
        browser.complaints.clear()
        browser.open(f"{server.url}/inbox")
        browser.until("document.querySelectorAll('#tasks button').length === 1")
        yield server
        browser.look("sessionStorage.clear()")
        browser.open("about:blank")
        assert browser.complaints == []
