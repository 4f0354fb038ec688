"""HTTP as every path has it: exact paths, HEAD, OPTIONS, 405, and headers of every answer."""

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK

from covend.api.app import operations

PATHS = ["/api/queries", "/api/inbox/t-1", "/api/responders", "/openapi/openapi.json", "/api/none"]


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_stays_in_a_cache_or_is_taken_for_another_type(api, path):
    """P18: tasks, answers and records are for who asked; a problem is as well."""
    api.tell(NewTask(**TASK))
    headers = api.client.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_pages_say_themselves_how_long_they_are_kept(api):
    """They have a tag and are asked for again; nothing is said twice."""
    for path in ("/inbox", "/openapi"):
        answer = api.client.get(path)
        assert answer.headers.get_list("cache-control") == ["no-cache"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize("path", ["/inbox", "/api/queries", "/api/inbox/t-1", "/openapi"])
def test_head_is_as_get_without_the_body(api, path):
    """RFC 9110 §9.3.2."""
    api.tell(NewTask(**TASK))
    got, head = api.client.get(path), api.client.head(path)
    assert (head.status_code, head.content) == (200, b"") and got.content
    assert head.headers == got.headers


def test_head_of_a_stream_ends(api):
    """Only its body is without end."""
    id = api.submit().json()["id"]
    head = api.client.head(f"/api/queries/{id}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/queries", "GET, HEAD, OPTIONS, POST"),
        ("/api/queries/q-1", "DELETE, GET, HEAD, OPTIONS"),
        ("/api/queries/q-1/cancel", "OPTIONS, POST"),
        ("/api/responders/model:a/b", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/inbox", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_a_refused_method_name_the_same_methods(api, path, methods):
    """RFC 9110 §10.2.1: every one that the path has, in order."""
    told = api.client.options(path)
    assert (told.status_code, told.headers["allow"]) == (204, methods)
    refused = api.client.request("PATCH", path)
    assert (refused.status_code, refused.headers["allow"]) == (405, methods)
    assert refused.json()["code"] == "method_not_allowed"
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/api/queries/",
        "/api//queries",
        "//api/queries",
        "/api/queries//",
        "/api/queries/%2F",
        "/api/responders/",
        "/api/responders//",
        "/openapi/openapi.json/",
        "/api/",
        "/",
    ],
)
def test_a_path_outside_the_document_is_not_there(api, path):
    """404: one slash more is another path."""
    answer = api.client.send(api.client.build_request("GET", api.url + path))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/openapi/openapi.json says what there is" in answer.json()["detail"]


@pytest.mark.parametrize("page", ["/inbox", "/openapi"])
def test_a_page_typed_with_a_slash_more_leads_to_the_page(api, page):
    """With whom it is for; what only programs ask for has one path."""
    moved = api.client.get(f"{page}/?did=did%3Abob")
    assert (moved.status_code, moved.headers["location"]) == (308, f"{page}?did=did%3Abob")
    assert api.client.get(f"{page}/", follow_redirects=True).status_code == 200


def test_every_operation_is_let_through(api):
    """The front knows the routes' own paths; 404 of one would be a task's, or a query's."""
    for one in operations():
        path = one.path.replace("{id}", "x").replace("{task}", "x")
        assert one.method in api.client.options(path).headers["allow"].split(", ")
