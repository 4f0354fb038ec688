"""Forms on the inbox's page, made from the shape of an answer, in a real browser (P18)."""

from tests.api.scripted_desk import NewTask
from tests.api.served import TASK
from tests.real.inbox_page import IN_A_BROWSER, SAID, VERDICT, refuse, show, words

pytestmark = IN_A_BROWSER


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
