"""The inbox's page in a real browser: the list, a task, what changes meanwhile (P18)."""

from tests.api.scripted_desk import NewTask
from tests.api.served import TASK
from tests.real.inbox_page import (
    ANSWER,
    IN_A_BROWSER,
    comes_back,
    every_page,
    half_answered,
    refuse,
    rows,
    screen,
    seen,
    show,
    words,
)

from covend.testing import eventually

pytestmark = IN_A_BROWSER

HOSTILE = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"


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
