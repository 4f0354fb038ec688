"""Responders over HTTP (P8)."""

from urllib.parse import quote

import pytest

from covend.questions import PutResponder

ADA = {"id": "ada", "kind": "actor", "did": "did:ada"}


def test_a_responder_is_registered_changed_and_retired(api):
    path = "/api/responders/ada"
    assert api.client.put(path, json=ADA).json() == ADA
    assert api.client.put(path, json={**ADA, "trust": 0.9}).json()["trust"] == 0.9
    assert [r["id"] for r in api.client.get("/api/responders").json()["responders"]] == ["ada"]
    assert api.client.get(path).json()["trust"] == 0.9
    assert api.client.delete(path).status_code == 204
    assert api.client.get(path).status_code == 404
    assert api.client.delete(path).status_code == 404


@pytest.mark.parametrize("member", [{"command": ["rm"]}, {"api_key_env": "SECRET"}])
def test_what_would_run_or_leak_on_the_box_is_for_its_file_alone(api, member):
    """A client of the API has not the rights of the box's user."""
    response = api.client.put("/api/responders/ada", json={**ADA, **member})
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_responder"
    assert response.json()["errors"][0]["path"] == f"$.{next(iter(member))}"
    assert api.client.get("/api/responders").json() == {"responders": []}


def test_a_channel_that_would_send_a_variable_of_the_box_away_is_for_its_file_alone(api):
    """P8, P18: {env:…} of a channel is filled in where it is told through, whoever wrote it."""
    channels = ["mailto://ada@mail.example", "json://elsewhere.example/{env:SECRET}"]
    response = api.client.put("/api/responders/ada", json={**ADA, "channels": channels})
    (fault,) = response.json()["errors"]
    assert (response.status_code, fault["path"]) == (422, "$.channels[1]")
    assert "only the configuration file may have {env:…}" in fault["problem"]
    assert api.client.get("/api/responders").json() == {"responders": []}
    assert api.client.put("/api/responders/ada", json={**ADA, "channels": channels[:1]}).is_success


def test_how_a_person_is_reached_is_shown_to_operators_alone(api):
    """P18: a key that names a did sees everybody, and nobody's channels."""
    secret = "mailto://ada:hunter2@mail.example"
    api.client.put("/api/responders/ada", json={**ADA, "channels": [secret]})
    bob = {"X-Covend-Key": "bob", "X-Covend-Did": "did:bob"}
    for path in ("/api/responders", "/api/responders/ada"):
        assert secret in api.client.get(path).text
        assert secret in api.client.get(path, headers={"X-Covend-Key": "root"}).text
        seen = api.client.get(path, headers=bob)
        assert "did:ada" in seen.text and "hunter2" not in seen.text


def test_a_key_that_is_not_there_is_shown_to_operators_by_its_name(api):
    """P8: and what was shown may be sent back, but for what the file alone may say."""
    far = {"id": "far", "kind": "llm", "model": "m", "endpoint": "http://h", "api_key_env": "KEY"}
    api.tell(PutResponder({**far, "missing_env": ["KEY"]}))
    bob = {"X-Covend-Key": "bob", "X-Covend-Did": "did:bob"}
    (listed,) = api.client.get("/api/responders").json()["responders"]
    shown = api.client.get("/api/responders/far").json()
    assert listed == shown == {**far, "missing_env": ["KEY"]}
    assert api.client.get("/api/responders/far", headers=bob).json() == far
    refused = api.client.put("/api/responders/far", json=shown)
    assert refused.status_code == 422
    assert [one["path"] for one in refused.json()["errors"]] == ["$.api_key_env"]
    mended = {**shown, "api_key_env": None}
    assert "missing_env" not in api.client.put("/api/responders/far", json=mended).json()


@pytest.mark.parametrize("name", ["Qwen/Qwen3-8B", "a//b", "50%2F50", "a/b/"])
def test_a_responder_with_slashes_in_its_name_is_addressed_as_all_are(api, name):
    """P8: models are named so; what is escaped twice is meant so."""
    path = f"/api/responders/{quote(name, safe='')}"
    wanted = {"id": name, "kind": "llm", "model": "m"}
    assert api.client.put(path, json=wanted).json() == wanted
    assert api.client.get(path).json() == wanted
    assert api.client.delete(path).status_code == 204
    assert api.client.get(path).status_code == 404


def test_a_slash_in_a_name_need_not_be_escaped(api):
    """P8."""
    wanted = {"id": "Qwen/Qwen3-8B", "kind": "llm", "model": "m"}
    assert api.client.put("/api/responders/Qwen/Qwen3-8B", json=wanted).json() == wanted


def test_a_responder_that_says_one_thing_twice_is_refused(api):
    """RFC 8785."""
    body = '{"id": "ada", "kind": "actor", "did": "did:ada", "did": "did:eve"}'
    response = api.client.put(
        "/api/responders/ada", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == "$.did"
    assert api.client.get("/api/responders").json() == {"responders": []}


def test_the_path_names_the_responder(api):
    response = api.client.put("/api/responders/bob", json=ADA)
    assert response.status_code == 422 and response.json()["errors"][0]["path"] == "$.id"


@pytest.mark.parametrize(
    ("given", "status"), [({}, 200), ({"id": "ada"}, 200), ({"id": ""}, 422), ({"id": 5}, 400)]
)
def test_the_id_may_be_left_to_the_path(api, given, status):
    """P8: another one in the body is refused."""
    rest = {"kind": "actor", "did": "did:ada"}
    response = api.client.put("/api/responders/ada", json=rest | given)
    assert response.status_code == status
    if status == 200:
        assert response.json() == ADA
    else:
        assert response.json()["errors"][0]["path"] == "$.id"


def test_whoever_asks_for_nobody_is_told_so_in_one_way(api):
    """404, ``not_found``."""
    assert api.client.get("/api/responders/x").json()["code"] == "not_found"
