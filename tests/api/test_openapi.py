"""The OpenAPI document is the API: fuzzed from it, and nothing is missing."""

import json
import re
from copy import deepcopy

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK

from covend.api.app import ROUTES, operations
from covend.api.document import document

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
FEW, MANY = 4, 300


def test_every_route_is_in_the_document(api):
    """From the same operations as the routes; every reference leads somewhere."""
    served = api.client.get("/openapi/openapi.json").json()
    listed = {
        (path, method.upper()) for path, methods in served["paths"].items() for method in methods
    }
    routed = {
        (re.sub(":(str|path)}", "}", path), str(method))
        for route in ROUTES
        for path in route.paths
        for method in route.http_methods
    }
    assert listed == routed and len(listed) == 18
    assert served == json.loads(json.dumps(document(operations())))
    for schema in served["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_operations_have_names_of_their_own():
    found = document(operations())["paths"]
    names = [one["operationId"] for methods in found.values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_it_is_said_what_becomes_of_a_responder_of_the_file():
    """P8: an operator reads there why it is refused."""
    found = document(operations())["paths"]["/api/responders/{id}"]
    assert "is refused with 409, which names the file" in found["delete"]["description"]


ENDLESS = "/api/inbox/events"
LABELS = [f"{one.method} {one.path}" for one in operations() if one.path != ENDLESS]


DEPTH = 2
"""How deep the queries are nested that are drawn; the schema has no bound."""


def unrolled(spec):
    """The document with queries inside queries to a depth, so that drawing an example ends."""
    schemas = spec["components"]["schemas"]
    query, trigger = schemas["Query"], schemas["Trigger"]
    for depth in range(DEPTH, -1, -1):
        name = f"Query{depth}" if depth else "Query"
        schemas[name] = deepcopy(query)
        below = {"type": "array", "maxItems": 0}
        if depth < DEPTH:
            schemas[f"Trigger{depth}"] = inner = deepcopy(trigger)
            inner["properties"]["query"] = {"$ref": f"#/components/schemas/Query{depth + 1}"}
            below |= {"maxItems": 2, "items": {"$ref": f"#/components/schemas/Trigger{depth}"}}
        schemas[name]["properties"]["triggers"] = below
    return spec


def nesting(query):
    """How deep the triggers of a query go; 0 for what is no query."""
    try:
        return 1 + max(nesting(trigger["query"]) for trigger in query["triggers"])
    except (TypeError, KeyError, ValueError):
        return 0


def fuzz(api, label, examples):
    """Sends what the document allows and what it does not; every answer must be as documented."""
    api.actor.instant = True
    api.submit()
    api.tell(NewTask(**TASK))
    spec = unrolled(document(operations()))
    method, _, path = label.partition(" ")
    operation = schemathesis.openapi.from_dict(spec)[path][method]
    seen: set[int] = set()
    depths: set[int] = set()
    about = spec["paths"][path][method.lower()]
    queried = any(one["in"] == "query" for one in about["parameters"])
    wrong = [GenerationMode.NEGATIVE] if queried or "requestBody" in about else []
    for mode in [GenerationMode.POSITIVE, *wrong]:

        @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case, session):
            depths.add(nesting(case.body))
            response = case.call(base_url=api.url, session=session, timeout=30)
            seen.add(response.status_code)
            case.validate_response(response, checks=CHECKS)

        with requests.Session() as session:
            session.trust_env = False
            check(session=session)
    if label == "POST /api/queries" and examples == MANY:
        assert depths >= set(range(DEPTH + 1))
    return seen


@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_as_documented(api, label):
    """Statuses, types and bodies, to a few requests right and wrong of every operation."""
    assert fuzz(api, label, FEW)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_as_documented_at_length(api, label):
    """The same with many requests."""
    assert fuzz(api, label, MANY)
