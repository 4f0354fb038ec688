"""The inbox's page in a real browser (P18)."""

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK, Served
from tests.real.browser import CHROMIUM, Browser

from covend.questions import ActOnTask

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("box"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

HOSTILE = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
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
        browser.open("about:blank")
        assert browser.complaints == []


def words(page):
    return [message for message in page.actor.heard if isinstance(message, ActOnTask)]


def show(browser, id):
    browser.until(f"document.querySelector('[data-task=\"{id}\"]')")
    browser.click(f'[data-task="{id}"]')
    browser.until(f"document.querySelector('[data-task=\"{id}\"][aria-current=true]')")


def test_a_text_is_answered_with_the_keyboard_alone(page, browser):
    """From the list to the submission without a mouse; the list is live."""
    browser.look("document.querySelector('#tasks button').focus()")
    browser.press("Enter", 13, "\r")
    browser.until("document.activeElement.id === 'question'")
    assert browser.text("#question") == "Is it right?"
    assert browser.text("#facts") != ""
    browser.press("Tab", 9)
    browser.until("document.activeElement.tagName === 'TEXTAREA'")
    browser.type("Yes, it is.")
    browser.press("Tab", 9)
    browser.press("Tab", 9)
    browser.until("document.activeElement.textContent === 'Submit'")
    browser.press("Enter", 13, "\r")
    browser.until("!document.querySelector('#outcome').hidden")
    assert words(page)[-1].value == "Yes, it is."
    assert "Submitted" in browser.text("#outcome")
    browser.until("!document.querySelector('#empty').hidden")


def test_what_a_task_says_stays_text(page, browser):
    """Nothing of a question, an input or a choice becomes markup or code."""
    choice = {"kind": "choice", "choices": [HOSTILE, "b"]}
    said = dict.fromkeys(("question", "did", "show"), HOSTILE)
    about = {"input": {"inline": {"html": HOSTILE}}, "answer_shape": choice}
    page.tell(NewTask(**{**TASK, "id": "t-2", **said, **about}))
    show(browser, "t-2")
    assert browser.text("#question") == HOSTILE
    assert browser.look("document.querySelectorAll('main img, main script').length") == 0
    assert browser.look("window.hit === undefined")


def test_a_choice_is_made_with_radios(page, browser):
    page.tell(
        NewTask(**{**TASK, "id": "t-2", "answer_shape": {"kind": "choice", "choices": ["a", "b"]}})
    )
    show(browser, "t-2")
    browser.click("#answer .main")
    browser.until("document.querySelector('.fault')")
    assert words(page) == []
    browser.click("#fields .choice:nth-of-type(2) input")
    browser.click("#answer .main")
    browser.until("!document.querySelector('#outcome').hidden")
    assert words(page)[-1].value == "b"


def test_a_form_is_made_of_a_schema(page, browser, tmp_path):
    """Fields by type; what is missing or wrong is said at its field; confidence and rationale."""
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": VERDICT}))
    show(browser, "t-2")
    kinds = browser.look("[...document.querySelectorAll('#fields > *')].map((f) => f.tagName)")
    assert kinds == ["FIELDSET", "DIV", "DIV", "FIELDSET", "DIV"]
    browser.fill("#fields > :nth-child(2) input", "many")
    browser.click("#fields input[type=radio]")
    browser.click("#answer .main")
    browser.until("document.querySelector('.fault')")
    assert "a number is right" in browser.text(".fault")
    browser.fill("#fields > :nth-child(2) input", "7.5")
    browser.fill("#fields > :nth-child(3) textarea", "[1, 2]")
    browser.click("#fields > :nth-child(4) .choice:nth-of-type(2) input")
    browser.fill("#fields > :nth-child(5) textarea", "fine")
    browser.click("#answer summary")
    browser.fill("#confidence", "0.8")
    browser.fill("#rationale", "read twice")
    browser.screenshot(tmp_path / "form.png")
    browser.click("#answer .main")
    browser.until("!document.querySelector('#outcome').hidden")
    said = words(page)[-1]
    assert said.value == {"verdict": "right", "score": 7.5, "lines": [1, 2],
                          "blocking": False, "comment": "fine"}  # fmt: skip
    assert (said.confidence, said.rationale) == (0.8, "read twice")


def test_what_the_box_finds_wrong_stands_at_its_field(page, browser):
    """The box judges; its faults are shown where they belong, and nothing typed is lost."""
    shape = {"kind": "json", "required_fields": ["other"]}
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": shape}))
    show(browser, "t-2")
    browser.fill("#fields textarea", "x")
    browser.complaints.clear()
    browser.click("#answer .main")
    browser.until("!document.querySelector('#error').hidden")
    assert "refused" in browser.text("#error") and "it is needed" in browser.text("#answer")
    assert browser.look("document.querySelector('#fields textarea').value") == "x"
    browser.complaints.clear()  # the console notes the 422


def test_a_task_is_accepted_and_then_declined(page, browser):
    """P18: with an eta; with a reason."""
    show(browser, "t-1")
    browser.fill("#eta", "15")
    browser.click("#accept button")
    browser.until("document.querySelector('#state').textContent === 'accepted'")
    assert words(page)[-1].eta_secs == 900
    browser.look("document.querySelector('#reason').value = 'conflict_of_interest'")
    browser.fill("#note", "my own work")
    browser.click("#decline button")
    browser.until("document.querySelector('#state').textContent === 'declined'")
    assert (words(page)[-1].reason, words(page)[-1].rationale) == (
        "conflict_of_interest", "my own work",
    )  # fmt: skip


def test_a_person_sees_their_own_tasks(page, browser):
    """The chosen person is part of the address, so that it can be kept."""
    page.tell(NewTask(**{**TASK, "id": "t-2", "did": "did:bob"}))
    browser.until("document.querySelectorAll('#tasks button').length === 2")
    browser.fill("#did", "did:bob")
    browser.click("#who button")
    browser.until("document.querySelectorAll('#tasks button').length === 1")
    assert browser.look("location.search") == "?did=did%3Abob"
    browser.open(browser.look("location.href"))
    browser.until("document.querySelectorAll('#tasks button').length === 1")
    assert browser.look("document.querySelector('#did').value") == "did:bob"


def test_the_page_comes_back_to_a_core_that_restarts(page, browser):
    """Live again by itself."""
    state = page.core_dies()
    page.core_starts(state)
    page.tell(NewTask(**{**TASK, "id": "t-2"}))
    browser.until("document.querySelectorAll('#tasks button').length === 2", 30)


def test_the_operations_are_listed(server, browser):
    with server.connected():
        browser.complaints.clear()
        browser.open(f"{server.url}/openapi")
        browser.until("document.querySelectorAll('#operations summary').length > 17")
        assert "POST /api/queries" in browser.text("#operations")
        browser.open("about:blank")
        assert browser.complaints == []
