"""The OpenAPI 3.1 document of the station's web server, made of the contract; served as it is, checked by tests."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic.json_schema import models_json_schema

from agent.board import contract

_MEANING = {
    200: "Done",
    400: "The body is not what this document says",
    401: "Not paired, or the signature, its time or its count is not good",
    403: "Nobody is signed in, or another page has asked",
    409: "Not as things are",
    413: "More than 2 KiB",
    415: "Not application/json",
    429: "Too many requests",
    503: "No answer in time: ask again, with the same scan_id",
}
_SIGNED = ("Forecourt-Device", "Forecourt-Time", "Forecourt-Count", "Forecourt-MAC")
_DESCRIPTION = (
    "Handhelds scan member codes here. A device proves itself by the cookie it was paired with, or by four headers: "
    "its name, Unix seconds, a count that rises with every request, and an HMAC-SHA256 in hexadecimal; "
    "docs/handhelds.md has the bytes."
)


@lru_cache(maxsize=1)
def document(version: str) -> bytes:
    """Return the document as JSON."""
    models = sorted({m for r in contract.ROUTES for m in (r.answer, r.request) if m} | {contract.Problem}, key=repr)
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for route in contract.ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    value = {
        "openapi": "3.1.0",
        "info": {"title": "Forecourt station", "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": _schemes()},
    }
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def _schemes() -> dict[str, Any]:
    headers = {name: {"type": "apiKey", "in": "header", "name": name} for name in _SIGNED}
    return {"cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-forecourt"}, **headers}


def _operation(route: contract.Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.op,
        "summary": route.summary,
        "security": [] if route.is_open else [{"cookie": []}, {name: [] for name in _SIGNED}],
        "responses": {
            str(status): {"description": _MEANING[status], "content": _json(contract.Problem if no else route.answer)}
            for status, no in ((200, False), *((problem, True) for problem in route.problems))
        },
    }
    if route.request is not None:
        found["requestBody"] = {"required": True, "content": _json(route.request)}
    if "{" in route.path:
        name = route.path.partition("{")[2].rstrip("}")
        schema = {"type": "string", "pattern": contract.ULID}
        found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": schema}]
    return found


def _json(model: type[contract.Body]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
