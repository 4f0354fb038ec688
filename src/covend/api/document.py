"""The OpenAPI document, written from the operations themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from covend import __version__
from covend.api.operations import Nothing, Operation, Stream
from covend.api.problems import MEDIA_TYPE
from covend.client.models import GateError, ProblemDetails
from covend.questions import MAX_BYTES

REF = "#/components/schemas/{name}"
JSON = "application/json"
ABOUT = (
    "Queries, the inbox and responders of one box. A key of the box file that names a `did` is one "
    "person's: in the inbox it speaks for that did alone, it asks queries and reads those whose id "
    "it knows, and what is the operators' says so. A refusal is a problem (RFC 9457) with every "
    "fault in `errors`. What the gate before the API refuses itself (keys and their limits, heads "
    "and bodies that are no HTTP, an API that is away) comes as on its other paths: "
    '`{"error": {…}}`.'
)
LARGE = f"The body has more than {MAX_BYTES} bytes, or than the box file's `gate.max_body_bytes`."
RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1 of these operations."""
    listed = list(operations)
    types: set[type[msgspec.Struct]] = {ProblemDetails, GateError}
    for one in listed:
        types.update(_types(one))
    known = sorted(types, key=lambda found: found.__name__)
    refs, schemas = msgspec.json.schema_components(known, ref_template=REF)
    ref = dict(zip(known, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in listed:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, ref)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "covend",
            "version": __version__,
            "description": ABOUT,
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _types(one: Operation) -> set[type[msgspec.Struct]]:
    found = {answer.event if isinstance(answer, Stream) else answer
             for answer in one.answers.values()} | {one.body}  # fmt: skip
    return {kind for kind in found if kind is not None and kind is not Nothing}


def _operation(one: Operation, ref: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    responses = {str(status): _answer(one, status, answer, ref)
                 for status, answer in one.answers.items()}  # fmt: skip
    problem = _content(MEDIA_TYPE, ref[ProblemDetails])
    gate = _content(JSON, ref[GateError])
    refused = {"content": {**problem, **gate}}
    responses["400"] = {"description": "The request does not hold.", **refused}
    responses["403"] = {"description": "Not from here, or not with this key.", **refused}
    responses["500"] = {"description": "The box failed at this.", "content": problem}
    responses["503"] = {"description": "The core or the API is away.", "headers": RETRY, **refused}
    responses["401"] = {"description": "No valid API key.", "content": gate}
    responses["429"] = {"description": "More than may be asked now.", "headers": RETRY, **refused}
    if one.body is not Nothing:
        responses["413"] = {"description": LARGE, **refused}
        responses["415"] = {"description": "The body is no JSON.", "content": problem}
    found: dict[str, Any] = {
        "summary": one.summary,
        **({"description": one.about} if one.about else {}),
        "operationId": _name(one),
        "tags": [one.path.split("/")[2]],
        "parameters": _parameters(one),
        "responses": dict(sorted(responses.items())),
    }
    if one.body is not Nothing:
        content = _content(JSON, ref[one.body])
        found["requestBody"] = {"required": one.body_required, "content": content}
    return found


def _answer(
    one: Operation,
    status: int,
    answer: type[msgspec.Struct] | Stream | None,
    ref: dict[type[msgspec.Struct], dict[str, Any]],
) -> dict[str, Any]:
    if answer is None:
        return {"description": "Done; there is nothing to say."}
    if isinstance(answer, Stream):
        shown = {"schema": {"type": "string"}, "x-event": ref[answer.event]}
        text = "Server-sent events; the data of each is of the type x-event."
        return {"description": text, "content": {"text/event-stream": shown}}
    if answer is ProblemDetails:
        return {"description": _REASONS[status], "content": _content(MEDIA_TYPE, ref[answer])}
    found: dict[str, Any] = {
        "description": (answer.__doc__ or one.summary).partition("\n")[0],
        "content": _content(JSON, ref[answer]),
    }
    if one.returns:
        found["headers"] = {name: {"schema": {"type": "string"}, "description": text}
                            for name, text in one.returns.items()}  # fmt: skip
    return found


_REASONS = {
    404: "There is no such thing.",
    409: "It does not fit what has happened already.",
    422: "Well formed, and it cannot be carried out; every fault is named by its path.",
}


def _content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def _name(one: Operation) -> str:
    words = [one.method.lower(), *re.findall(r"[a-z]+", one.path)[1:]]
    return "_".join(words)


def _parameters(one: Operation) -> list[dict[str, Any]]:
    named = re.findall(r"{(\w+)}", one.path)
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in named
    ]
    (_, schemas) = msgspec.json.schema_components([one.params], ref_template=REF)
    for name, schema in schemas[one.params.__name__]["properties"].items():
        shown = {key: value for key, value in schema.items() if key != "description"}
        about = {"description": schema["description"]} if "description" in schema else {}
        found.append({"name": name, "in": "query", "required": False, "schema": shown, **about})
    for name, text in one.headers.items():
        schema = {"type": "string", "minLength": 1, "maxLength": 200}
        found.append(
            {"name": name, "in": "header", "required": False, "schema": schema, "description": text}
        )
    return found
