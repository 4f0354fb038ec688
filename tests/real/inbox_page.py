"""What the tests of the inbox's page do with it and see of it."""

import contextlib
import json

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK
from tests.real.browser import CHROMIUM

from covend.questions import ActOnTask

IN_A_BROWSER = [
    pytest.mark.real,
    pytest.mark.xdist_group("box"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
"""What marks each file of these tests."""

VERDICT = {
    "kind": "json",
    "required_fields": ["verdict"],
    "schema": {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["right", "wrong", "unclear"]},
            "score": {"type": "number", "description": "from 0 to 10"},
            "lines": {"type": "array"},
            "blocking": {"type": "boolean"},
            "comment": {"type": "string"},
        },
    },
}

ANSWER = "document.querySelector('#fields textarea').value"
SAID = "document.querySelector('#answer .said')"


def words(page):
    return [message for message in page.actor.heard if isinstance(message, ActOnTask)]


def show(browser, id):
    browser.until(f"document.querySelector('[data-task=\"{id}\"]')")
    browser.click(f'[data-task="{id}"]')
    browser.until(f"document.querySelector('[data-task=\"{id}\"][aria-current=true]')")


def rows(browser):
    return browser.look(
        "[...document.querySelectorAll('#tasks button')].map((b) => b.dataset.task)"
    )


def comes_back(browser):
    """The page is left and opened again in its tab, as by a reload."""
    url = browser.look("location.href")
    browser.open("about:blank")
    browser.open(url)
    browser.until("document.querySelector('#live').dataset.state === 'on'")


def half_answered(page, browser, id="t-2"):
    page.tell(NewTask(**{**TASK, "id": id, "question": f"And {id}?"}))
    show(browser, id)
    browser.fill("#fields textarea", "An hour of work.")


@contextlib.contextmanager
def every_page(browser, script):
    """Runs a script in every page before those of the page."""
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    try:
        yield
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


@contextlib.contextmanager
def screen(browser, width, height):
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=False)  # fmt: skip
    try:
        yield
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def seen(browser, selector):
    return browser.look(f"document.querySelector('{selector}').checkVisibility()")


def refuse(browser, detail, *faults):
    """The box refuses the next answer."""
    errors = [{"path": path, "problem": problem} for path, problem in faults]
    body = json.dumps(json.dumps({"detail": detail, "errors": errors}))
    browser.look(f"window.fetch = () => Promise.resolve(new Response({body}, {{status: 422}}))")
    browser.fill("#fields textarea", "x")
    browser.click("#answer .main")
    browser.until(f"{SAID}.textContent.includes({json.dumps(detail)}) || "
                  "document.querySelector('[aria-invalid]')")  # fmt: skip
