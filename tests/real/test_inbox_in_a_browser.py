"""The inbox's page in a real browser (P18)."""

import contextlib
import json

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK, Served
from tests.real.browser import CHROMIUM, Browser

from covend.questions import ActOnTask, ShowTask
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


# ── what is typed is not lost ───────────────────────────────────────────────────────────────────


ANSWER = "document.querySelector('#fields textarea').value"
SAID = "document.querySelector('#answer .said')"


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


# ── what others share ───────────────────────────────────────────────────────────────────────────


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


@contextlib.contextmanager
def every_page(browser, script):
    """Runs a script in every page before those of the page."""
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    try:
        yield
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


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


def test_a_task_that_is_open_says_how_much_time_is_left_as_it_passes(page, browser):
    """P18: also why an eta that is sooner changed nothing."""
    with every_page(browser, "window.setInterval = (act) => { window.redraw = act; };"):
        comes_back(browser)
        show(browser, "t-1")
        browser.click("#accept button")
        browser.until("document.querySelector('#state').textContent === 'accepted'")
        said = browser.text("#outcome")
        assert "as before: in 30 minutes is sooner, and an eta can only make it later" in said
        assert said.startswith("Taken on, due in ") and "is one of the two" in said
        later = f"{page.actor.tasks['t-1', 'did:ada']['due']} / 1000 - 5 * 60000"
        browser.look(f"Date.now = () => {later}; redraw()")
        assert (browser.text("#due"), browser.text("#outcome")[:25]) == (
            "due in 5 minutes", "Taken on, due in 5 minute",
        )  # fmt: skip
        browser.look(f"Date.now = () => {later} + 10 * 60000; redraw()")
        assert browser.text("#due") == "due 5 minutes ago"
        assert browser.look("document.querySelector('#due').className") == "late"


# ── what is wrong, and what is right ────────────────────────────────────────────────────────────


TEXT = {"type": "string"}
PERSON = {"type": "object", "properties": {"first": TEXT, "age": {"type": "integer"}}}
RICH = {
    "type": "object",
    "properties": {
        "verdict": TEXT,
        "score": {"type": "integer", "minimum": 1, "maximum": 10, "title": "Of the whole",
                  "description": "How good it is"},
        "name": {"type": "string", "minLength": 3, "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": TEXT},
        "colours": {"type": "array", "items": {"enum": ["red", "green"]}},
        "person": PERSON,
        "points": {"type": "array", "items": {"type": "object"}, "maxItems": 3,
                   "description": "Where"},
    },
    "required": ["verdict"],
}  # fmt: skip


def show_rich(page, browser):
    shape = {"kind": "json", "schema": RICH}
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": shape}))
    show(browser, "t-2")


def refuse(browser, detail, *faults):
    """The box refuses the next answer."""
    errors = [{"path": path, "problem": problem} for path, problem in faults]
    body = json.dumps(json.dumps({"detail": detail, "errors": errors}))
    browser.look(f"window.fetch = () => Promise.resolve(new Response({body}, {{status: 422}}))")
    browser.fill("#fields textarea", "x")
    browser.click("#answer .main")
    browser.until(f"{SAID}.textContent.includes({json.dumps(detail)}) || "
                  "document.querySelector('[aria-invalid]')")  # fmt: skip


def test_every_fault_stands_at_its_control(page, browser):
    """P18: also of a member's member and of an item; the focus goes to the first."""
    show_rich(page, browser)
    refuse(browser, "score: too much; age: no number; tags: too short",
           ("$.value.score", "too much"), ("$.value.person.age", "no number"),
           ("$.value.tags[0]", "too short"))  # fmt: skip
    marked = "[...document.querySelectorAll('[aria-invalid=true]')]"
    beside = f"{marked}.map((one) => one.closest('.field').innerText.split('\\n'))"
    found = [(lines[0], lines[-1]) for lines in browser.look(beside)]
    assert found == [("score", "too much"), ("tags", "too short"), ("age", "no number")]
    described = (
        f"{marked}.map((one) => document.getElementById("
        "one.getAttribute('aria-describedby').split(' ').pop()).textContent)"
    )
    assert browser.look(described) == ["too much", "too short", "no number"]
    assert browser.look(f"document.activeElement === {marked}[0]")
    assert "too much" not in browser.text("#answer .said")
    assert browser.text("#error") == ""
    browser.look("window.fetch = () => new Promise(() => {})")
    browser.click("#answer .main")
    assert browser.look(f"{marked}.length") == 0


def test_a_fault_that_has_no_control_is_said_once(page, browser):
    """P18: beside the button, which is where the person is."""
    show_rich(page, browser)
    refuse(browser, "$.score: too much", ("$.value", "$.score: too much"))
    assert browser.text("#answer .said") == "$.score: too much"
    assert browser.text("#error") == ""
    assert browser.look("document.activeElement.textContent") == "Submit"
    refuse(browser, "must be from 0 to 1", ("$.confidence", "must be from 0 to 1"))
    assert browser.text("#answer .said") == "$.confidence: must be from 0 to 1"


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


def test_everything_that_is_missing_is_marked_at_once(page, browser):
    schema = {**RICH, "required": ["verdict", "score", "colours"]}
    shape = {"kind": "json", "schema": schema}
    page.tell(NewTask(**{**TASK, "id": "t-2", "answer_shape": shape}))
    show(browser, "t-2")
    browser.click("#answer .main")
    browser.until(f"!{SAID}.hidden")
    shown = "[...document.querySelectorAll('.fault:not([hidden])')].map((one) => one.textContent)"
    assert browser.look(shown) == ["this is needed"] * 3
    assert words(page) == []


def test_a_form_says_what_is_right(page, browser, tmp_path):
    """P18: beside a description, not instead of it; a schema without a form is shown itself."""
    show_rich(page, browser)
    browser.screenshot(tmp_path / "rich.png")
    by_name = dict(
        browser.look("[...document.querySelectorAll('#fields > *')].map((box) =>"
                     "[box.firstChild.textContent.split(' ')[0], box.textContent])")
    )  # fmt: skip
    assert "Of the whole: How good it is" in by_name["score"]
    assert "a whole number, at least 1, at most 10" in by_name["score"]
    assert "at least 3 characters, matching ^[a-z]+$" in by_name["name"]
    assert "one item a line" in by_name["tags"]
    assert "Where" in by_name["points"] and "JSON; text in double quotes" in by_name["points"]
    assert '"maxItems": 3' in browser.look(
        "document.querySelector('#fields details pre').textContent"
    )


def test_lists_and_objects_have_fields_of_their_own(page, browser):
    show_rich(page, browser)
    browser.fill("#fields > :nth-child(1) textarea", "fine")
    browser.fill("#fields > :nth-child(4) textarea", "one, two\nthree")
    browser.click("#fields > :nth-child(5) .choice:nth-of-type(2) input")
    browser.fill("#fields > :nth-child(6) textarea", "Ada")
    browser.fill("#fields > :nth-child(6) input", "36")
    browser.click("#answer .main")
    browser.until("document.activeElement.id === 'outcome'")
    assert words(page)[-1].value == {
        "verdict": "fine", "tags": ["one, two", "three"], "colours": ["green"],
        "person": {"first": "Ada", "age": 36},
    }  # fmt: skip


# ── many tasks, small screens ───────────────────────────────────────────────────────────────────


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


def test_a_long_list_scrolls_by_itself(page, browser):
    """P18: beside the task, which stays where it is."""
    for number in range(60):
        page.tell(NewTask(**{**TASK, "id": f"m-{number}", "question": "Many " * 30}))
    browser.until("document.querySelectorAll('#tasks button').length === 61")
    with screen(browser, 1200, 800):
        assert browser.look("document.documentElement.scrollHeight") <= 800
        row = "document.querySelector('#tasks li:nth-child(30)')"
        browser.look(f"{row}.scrollIntoView({{block: 'center'}})")
        before = browser.look("document.querySelector('nav').scrollTop")
        browser.click("#tasks li:nth-child(30) button")
        assert before > 0 == browser.look("scrollY")
        assert browser.look("document.querySelector('nav').scrollTop") == before
        assert not seen(browser, "#back")


def test_a_phone_shows_the_list_or_the_task(page, browser, tmp_path):
    """P18: with a way back, by the page's button and by the browser's."""
    with screen(browser, 360, 740):
        assert seen(browser, "nav") and not seen(browser, "#task")
        half_answered(page, browser)
        assert seen(browser, "#task") and not seen(browser, "nav")
        assert browser.look("document.activeElement.id") == "question"
        browser.screenshot(tmp_path / "task.png")
        browser.click("#back")
        assert seen(browser, "nav") and not seen(browser, "#task")
        assert browser.look("document.activeElement.dataset.task") == "t-2"
        browser.press("Enter", 13, "\r")
        browser.until("document.activeElement.id === 'question'")
        assert browser.look(ANSWER) == "An hour of work."
        browser.look("history.back()")
        browser.until("document.querySelector('nav').checkVisibility()")
        browser.screenshot(tmp_path / "list.png")


def test_nothing_is_wider_than_a_phone(page, browser, tmp_path):
    """P18: neither an id nor a member's name, a choice or what is wrong."""
    long = "a_name_that_goes_on_" * 5
    shape = {"kind": "json", "schema": {"properties": {
        long: {"enum": [long, "b"]}, f"{long}2": {"type": "integer", "description": long},
        f"{long}3": {"type": "array", "items": {"enum": [long]}},
    }}}  # fmt: skip
    more = {"answer_shape": shape, "thread": long, "question": long, "did": f"did:{long}"}
    page.tell(NewTask(**{**TASK, "id": "t-2", **more}))
    with screen(browser, 360, 740):
        browser.until("document.querySelectorAll('#tasks button').length === 2")
        assert browser.look("document.documentElement.scrollWidth") <= 360
        show(browser, "t-2")
        refuse_all = [("$.value." + name, long) for name in shape["schema"]["properties"]]
        browser.look("document.querySelector('#fields').append("
                     "document.createElement('textarea'))")  # fmt: skip
        refuse(browser, long, *refuse_all, ("$.value", long))
        browser.screenshot(tmp_path / "wide.png")
        assert browser.look("document.documentElement.scrollWidth") <= 360
        inside = "document.querySelector('#task').getBoundingClientRect().right"
        outside = (
            f"[...document.querySelectorAll('#task *')].filter((one) => "
            f"one.getBoundingClientRect().right > {inside}).map((one) => one.outerHTML)"
        )
        assert browser.look(outside) == []
