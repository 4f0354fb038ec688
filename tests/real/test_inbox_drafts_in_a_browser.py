"""What is typed on the inbox's page is not lost, in a real browser (P18)."""

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK
from tests.real.inbox_page import (
    ANSWER,
    IN_A_BROWSER,
    SAID,
    VERDICT,
    comes_back,
    every_page,
    half_answered,
    rows,
    seen,
    show,
    words,
)

from covend.questions import ShowTask

pytestmark = IN_A_BROWSER


def test_what_is_typed_outlives_other_tasks(page, browser):
    """P18: its row says that it is not sent; the row that is chosen already changes nothing."""
    half_answered(page, browser)
    show(browser, "t-1")
    assert browser.look(ANSWER) == ""
    assert "not sent yet" in browser.text("[data-task=t-2]")
    show(browser, "t-2")
    assert browser.look(ANSWER) == "An hour of work."
    browser.fill("#note", "a note")
    browser.click("[data-task=t-2]")
    assert browser.look(ANSWER) == "An hour of work."
    assert browser.look("document.querySelector('#note').value") == "a note"


def test_what_is_typed_outlives_a_look_at_another_person(page, browser):
    half_answered(page, browser)
    browser.fill("#did", "did:bob")
    browser.click("#who button")
    browser.until("document.querySelectorAll('#tasks button').length === 0")
    browser.fill("#did", "did:ada")
    browser.click("#who button")
    show(browser, "t-2")
    assert browser.look(ANSWER) == "An hour of work."


def test_what_is_typed_outlives_a_reload(page, browser):
    """P18: in every field, with its task in front again."""
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": VERDICT}))
    show(browser, "t-2")
    browser.click("#fields .choice:nth-of-type(2) input")
    browser.fill("#fields > :nth-child(2) input", "7.5")
    browser.fill("#rationale", "read twice")
    comes_back(browser)
    browser.until("!document.querySelector('#task').hidden")
    controls = "[...document.querySelectorAll('#answer input, #answer textarea')]"
    assert browser.look(f"{controls}.filter((one) => one.checked).map((one) => one.value)") == ["1"]
    texts = f"{controls}.filter((one) => one.type !== 'radio').map((one) => one.value)"
    assert browser.look(texts) == ["7.5", "", "", "", "read twice"]
    assert browser.look("document.querySelector('#sure').open")


def test_who_leaves_what_cannot_be_kept_is_asked_first(page, browser):
    """P18: where the browser's storage is full or forbidden."""
    leave = "dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    half_answered(page, browser)
    assert browser.look(leave)
    browser.look("Storage.prototype.setItem = () => { throw new Error('full'); }")
    browser.fill("#fields textarea", "An hour more.")
    assert not browser.look(leave)
    browser.fill("#fields textarea", "")
    assert browser.look(leave)


@pytest.mark.parametrize(
    ("how", "told"), [("submitted", "from elsewhere"), ("withdrawn", "no longer asked")]
)
def test_what_was_not_sent_when_its_task_ended_can_be_copied(page, browser, how, told):
    """P18: nobody is thanked for what they did not send; it goes when they say so."""
    half_answered(page, browser)
    page.actor.tasks["t-2", "did:ada"]["state"] = how
    page.tell(NewTask(**page.actor.tasks["t-2", "did:ada"]))
    browser.until(f"document.querySelector('#state').textContent === '{how}'")
    outcome = browser.text("#outcome")
    assert told in outcome and "was not sent" in outcome and "Thank" not in outcome
    assert browser.text("#heading") == "Not sent"
    text = "document.querySelector('#fields textarea')"
    assert browser.look(f"{text}.checkVisibility() && {text}.readOnly && !{text}.disabled")
    assert browser.look(ANSWER) == "An hour of work."
    assert not browser.look("document.querySelector('#answer .main').checkVisibility()")
    browser.click("#discard")
    browser.until("document.querySelector('#answer').hidden")
    assert rows(browser) == ["t-1"]


def test_what_was_not_sent_is_found_again_after_a_reload(page, browser):
    """P18: also of a task that ended out of sight; the list says so."""
    half_answered(page, browser)
    show(browser, "t-1")
    comes_back(browser)
    page.client.post("/api/inbox/t-2/submit", json={"did": "did:ada", "value": "another"})
    browser.until("document.querySelector('[data-task=t-2]')?.innerText.includes('submitted')")
    comes_back(browser)
    browser.until("document.querySelector('[data-task=t-2]')?.innerText.includes('submitted')")
    show(browser, "t-2")
    assert browser.look(ANSWER) == "An hour of work."
    assert "was not sent" in browser.text("#outcome")


def test_what_was_sent_is_no_draft(page, browser):
    """P18: and the focus stands at what became of it, not at the top of the page."""
    half_answered(page, browser)
    browser.click("#answer .main")
    browser.until("document.activeElement.id === 'outcome'")
    assert browser.text("#outcome") == "Submitted. Thank you."
    assert browser.look("document.querySelector('#answer').hidden")
    assert rows(browser) == ["t-1"]
    assert browser.look("Object.keys(sessionStorage)") == []


def test_a_lost_answer_that_arrived_is_not_said_to_be_unsent(page, browser):
    """P18: when the box is back the page asks it, and the alarm is over."""
    half_answered(page, browser)
    browser.look("window.real = fetch; window.fetch = () => Promise.reject(new TypeError('cut'))")
    browser.click("#answer .main")
    browser.until(f"!{SAID}.hidden")
    page.actor.tasks["t-2", "did:ada"]["state"] = "submitted"
    browser.look("window.fetch = window.real")
    browser.until("document.querySelector('#state').textContent === 'submitted'")
    assert browser.look(f"{SAID}.hidden")
    assert "when the connection was lost" in browser.text("#outcome")
    assert "was not sent" not in browser.text("#outcome")


def test_the_alarm_about_a_lost_answer_ends_with_the_loss(page, browser):
    half_answered(page, browser)
    browser.look("window.real = fetch; window.fetch = () => Promise.reject(new TypeError('cut'))")
    browser.click("#answer .main")
    browser.until(f"!{SAID}.hidden")
    browser.look("window.fetch = window.real")
    browser.until(f"{SAID}.hidden")
    assert browser.text("#state") == "open" and browser.look(ANSWER) == "An hour of work."


def test_who_shares_a_task_keeps_it_when_their_decline_is_refused(page, browser):
    """P18: each share is looked at as its person's; what another promised is not said to be theirs.

    A delegate, whose decline would be refused in any case, is not offered one.
    """
    share = {**TASK, "did": "did:dee", "due": 4_000_000_000_000_000}
    page.tell(NewTask(**{**share, "state": "accepted", "promised_by": ["did:ada"]}))
    browser.open(f"{page.url}/inbox?did=did:dee")
    show(browser, "t-1")
    assert browser.text("#outcome").startswith("did:ada promised an answer, due in ")
    assert "did:ada promised an answer" in browser.text("[data-task=t-1]")
    assert browser.text("#accept button") == "Accept"
    browser.fill("#fields textarea", "An hour of work.")
    browser.click("#decline button")
    browser.until("!document.querySelector('#decline .said').hidden")
    page.heard(ShowTask)
    page.tell(NewTask(**{**share, "id": "t-2", "in_place_of": "did:ada"}))
    show(browser, "t-2")
    assert not seen(browser, "#decline") and "Only did:ada can decline" in browser.text("#stays")
    show(browser, "t-1")
    assert rows(browser) == ["t-1", "t-2"]
    assert browser.text("#state") == "promised" and seen(browser, "#decline")
    assert seen(browser, "#answer .main") and browser.look(ANSWER) == "An hour of work."
    browser.complaints.clear()  # the console notes the 409


AS_THE_GATE = """
const real = fetch;
window.fetch = (path, options = {}) => {
  const did = options.headers?.Authorization?.replace("Bearer ", "did:");
  const key = did && { "X-Covend-Key": did, "X-Covend-Did": did };
  return real(path, { ...options, headers: { ...options.headers, ...key } });
};
"""
"""Says whose a key is, as the gate does of a person's."""


def test_what_is_typed_is_shown_to_nobody_who_comes_with_another_key(page, browser):
    """P18, G7: in the same tab, at once and after a reload; it is there again for whose it is."""
    page.tell(NewTask(**{**TASK, "id": "t-3", "did": "did:bob"}))
    with every_page(browser, AS_THE_GATE):
        browser.look("sessionStorage.setItem('covend-key', 'ada')")
        comes_back(browser)
        half_answered(page, browser)
        browser.fill("#secret", "bob")
        browser.look("document.querySelector('#key').requestSubmit()")
        for again in (False, True):
            if again:
                comes_back(browser)
            browser.until("document.querySelector('[data-task=t-3]') && "
                          "document.querySelectorAll('#tasks button').length === 1")  # fmt: skip
            assert not seen(browser, "#task") and browser.text("#live") == "live"
        browser.look("sessionStorage.setItem('covend-key', 'ada')")
        comes_back(browser)
        show(browser, "t-2")
        assert browser.look(ANSWER) == "An hour of work."
    browser.complaints.clear()  # the console notes the 403


def test_who_types_on_while_the_page_asks_for_a_key_loses_nothing(page, browser):
    """P18, G7: the list is empty until the key is there, what is shown stays."""
    half_answered(page, browser)
    refused = "Promise.resolve(new Response('{}', {status: 401}))"
    browser.look(f"window.real = fetch; window.fetch = () => {refused}")
    browser.click("#answer .main")
    browser.until("document.activeElement.id === 'secret'")
    browser.fill("#secret", "a-key")
    browser.click("#key button")
    browser.until(
        "document.activeElement.id === 'secret' && !document.querySelector('#key').hidden"
    )
    browser.fill("#fields textarea", "An hour of work, and more.")
    browser.look("window.fetch = window.real")
    browser.fill("#secret", "a-key")
    browser.click("#key button")
    browser.until("document.querySelector('#live').dataset.state === 'on'")
    browser.click("#answer .main")
    browser.until("document.activeElement.id === 'outcome'")
    assert words(page)[-1].value == "An hour of work, and more."
