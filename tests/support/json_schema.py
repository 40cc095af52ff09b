"""Is a value what a JSON schema says: the words that our own documents use, and no other, so that none is overlooked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
SAYS_NOTHING = {"title", "description", "default"}
KNOWN = SAYS_NOTHING | {
    "$ref",
    "additionalProperties",
    "anyOf",
    "enum",
    "items",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
}


def problems(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], where: str = "$") -> list[str]:
    """Every way in which ``value`` is not as ``schema`` says; ``document``: where references lead."""
    unknown = set(schema) - KNOWN
    assert not unknown, f"{where}: this reader does not know {sorted(unknown)}"
    if "$ref" in schema:
        return problems(value, resolved(schema["$ref"], document), document, where)
    if "anyOf" in schema:
        tried = [problems(value, one, document, where) for one in schema["anyOf"]]
        return [] if any(not found for found in tried) else [f"{where}: {value!r} fits none of {len(tried)}"]
    wanted = schema.get("type")
    if wanted is not None:
        fits = isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        if not fits:
            return [f"{where}: {value!r} is no {wanted}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{where}: {value!r} is not like {schema['pattern']}")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            found.append(f"{where}: {len(value)} characters")
    if type(value) is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{where}: {value} is beyond its limits")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += problems(item, schema["items"], document, f"{where}[{number}]")
    if isinstance(value, dict):
        found += _fields(value, schema, document, where)
    return found


def _fields(value: dict[str, Any], schema: Mapping[str, Any], document: Mapping[str, Any], where: str) -> list[str]:
    assert schema.get("additionalProperties") is False, f"{where}: an object that may hold anything"
    fields = schema["properties"]
    found = [f"{where}.{name}: missing" for name in schema.get("required", []) if name not in value]
    found += [f"{where}.{name}: not said" for name in value if name not in fields]
    for name in value.keys() & fields.keys():
        found += problems(value[name], fields[name], document, f"{where}.{name}")
    return found


def resolved(reference: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference leads to."""
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    assert isinstance(found, dict)
    return found
