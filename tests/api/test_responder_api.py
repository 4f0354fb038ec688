"""Responders over HTTP (P8)."""

import pytest

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
    assert response.json()["errors"][0]["path"] == f"$.{next(iter(member))}"
    assert api.client.get("/api/responders").json() == {"responders": []}


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
