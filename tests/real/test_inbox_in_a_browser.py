"""The inbox's page in a real browser (P18)."""

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK, Served
from tests.real.browser import CHROMIUM, Browser

from covend.questions import ActOnTask
from covend.testing import eventually

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
        browser.look("sessionStorage.clear()")
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


def test_what_was_too_large_to_come_is_named(page, browser):
    """P18: nobody answers about what they were not shown without knowing it."""
    page.tell(NewTask(**{**TASK, "id": "t-2", "input": None, "left_out": ["$.input"]}))
    show(browser, "t-2")
    assert "$.input" in browser.text("#facts")


def test_a_choice_is_made_with_radios(page, browser):
    page.tell(
        NewTask(**{**TASK, "id": "t-2", "answer_shape": {"kind": "choice", "choices": ["a", "b"]}})
    )
    show(browser, "t-2")
    browser.click("#answer .main")
    browser.until("document.querySelector('.fault:not([hidden])')")
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
    browser.until("document.querySelector('.fault:not([hidden])')")
    assert "a number is right" in browser.text(".fault:not([hidden])")
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
    members = {"other": {"type": "string"}, "verdict": {"type": "string"}}
    shape = {"kind": "json", "schema": {"type": "object", "properties": members}}
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": shape}))
    show(browser, "t-2")
    browser.fill("#fields textarea", "x")
    browser.complaints.clear()
    browser.click("#answer .main")
    browser.until("document.activeElement.closest('.field')?.innerText.includes('it is needed')")
    assert "what is marked" in browser.text("#answer .said")
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


def rows(browser):
    return browser.look(
        "[...document.querySelectorAll('#tasks button')].map((b) => b.dataset.task)"
    )


def end_while_cut_off(page, browser, how):
    """The page loses its box; when that is there again its first task has ended."""
    state = page.core_dies()
    state.tasks["t-1", "did:ada"]["state"] = how
    page.cut()
    browser.until("document.querySelector('#live').dataset.state === 'wait'")
    page.core_starts(state)


def test_what_ended_while_the_page_was_cut_off_is_gone_from_it(page, browser):
    """P18: what is open in front of its person stays as it is, half filled in."""
    for id in ("t-2", "t-3"):
        page.tell(NewTask(**{**TASK, "id": id}))
    browser.until("document.querySelectorAll('#tasks button').length === 3")
    show(browser, "t-2")
    browser.fill("#fields textarea", "half an ans")
    end_while_cut_off(page, browser, "submitted")
    browser.until("document.querySelectorAll('#tasks button').length === 2", 30)
    assert rows(browser) == ["t-2", "t-3"]
    assert browser.look("document.querySelector('#fields textarea').value") == "half an ans"
    assert browser.look("!document.querySelector('#answer').hidden")
    browser.complaints.clear()  # the console notes the lost connection


def test_a_chosen_task_that_ended_while_the_page_was_cut_off_says_so(page, browser):
    """P18: nobody goes on answering what is over."""
    show(browser, "t-1")
    end_while_cut_off(page, browser, "expired")
    browser.until("document.querySelector('#state').textContent === 'expired'", 30)
    assert browser.look("document.querySelector('#answer').hidden")
    browser.complaints.clear()  # the console notes the lost connection


def test_both_who_share_a_task_are_on_everybody_s_page(page, browser):
    """P18: each share is answered as its person's."""
    page.tell(NewTask(**{**TASK, "did": "did:dee"}))
    browser.until("document.querySelectorAll('#tasks button').length === 2")
    browser.click("#tasks li:nth-child(2) button")
    assert browser.look("document.querySelectorAll('#tasks [aria-current=true]').length") == 1
    browser.fill("#fields textarea", "yes")
    browser.click("#answer .main")
    browser.until("!document.querySelector('#outcome').hidden")
    assert words(page)[-1].did in browser.text("#facts")


def test_a_link_opens_its_task(page, browser):
    """P18: that of a notification, on a new page and on one that is open."""
    page.tell(NewTask(**{**TASK, "id": "q-1~tier:2~0~1", "question": "And this?"}))
    browser.open("about:blank")
    browser.open(f"{page.url}/inbox#q-1~tier:2~0~1")
    browser.until("document.querySelector('#question').textContent === 'And this?'")
    browser.look("location.hash = 't-1'")
    browser.until("document.querySelector('#question').textContent === 'Is it right?'")
    assert browser.text("#error") == ""


def test_a_link_to_what_waits_no_more_says_so(page, browser):
    """P18: shown as it ended; another's, or one that is purged, is not there."""
    page.client.post("/api/inbox/t-1/submit", json={"did": "did:ada", "value": "yes"})
    browser.open("about:blank")
    browser.open(f"{page.url}/inbox#t-1")
    browser.until("!document.querySelector('#error').hidden")
    assert "waits for an answer no more" in browser.text("#error")
    assert "Submitted" in browser.text("#outcome")
    browser.look("location.hash = 't-9'")
    browser.until("document.querySelector('#error').textContent.includes('none for you')")
    browser.complaints.clear()  # the console notes the 404


def test_what_was_accepted_can_be_extended(page, browser):
    """P18: at most twice, so the page leaves a second time to say."""
    show(browser, "t-1")
    for _ in range(2):
        browser.until("!document.querySelector('#accept button').disabled")
        browser.click("#accept button")
        browser.until("document.querySelector('#state').textContent === 'accepted'")
    browser.until("document.querySelector('#accept button').textContent === 'Extend'")
    eventually(lambda: len(words(page)) == 2, 10, "two words on it")


def test_a_lost_answer_is_not_said_to_be_unsent(page, browser):
    """P18: nobody knows whether it arrived, and the page says so."""
    show(browser, "t-1")
    browser.look("window.fetch = () => Promise.reject(new TypeError('cut'))")
    browser.fill("#fields textarea", "yes")
    browser.click("#answer .main")
    browser.until("!document.querySelector('#answer .said').hidden")
    assert "not known whether this arrived" in browser.text("#answer .said")
    assert browser.look("document.querySelector('#fields textarea').value") == "yes"


def test_the_fields_of_a_schema_can_be_seen(page, browser, tmp_path):
    """P18: optional text, a reference, text that may be empty, a field of any type."""
    schema = {
        "type": "object",
        "properties": {
            "zip": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "if known"},
            "grade": {"$ref": "#/$defs/Grade"},
            "comment": {"type": "string"},
            "extra": {},
        },
        "required": ["grade", "comment"],
        "$defs": {"Grade": {"enum": ["1", "2"]}},
    }
    shape = {"kind": "json", "schema": schema}
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": shape}))
    show(browser, "t-2")
    kinds = browser.look("[...document.querySelectorAll('#fields > *')].map((f) => f.tagName)")
    assert kinds == ["FIELDSET", "DIV", "DIV", "DIV"]
    browser.click("#fields > :nth-child(1) .choice:nth-of-type(2) input")
    browser.click("#fields > :nth-child(2) input[type=checkbox]")
    browser.fill("#fields > :nth-child(3) textarea", "10115")
    browser.screenshot(tmp_path / "fields.png")
    browser.click("#answer .main")
    browser.until("document.querySelector('#state').textContent !== 'open' "
                  "|| !document.querySelector('#answer .said').hidden")  # fmt: skip
    assert words(page)[-1].value == {"grade": "2", "comment": "", "zip": "10115"}
    browser.complaints.clear()  # the desk of these tests wants a verdict, and the console notes it
