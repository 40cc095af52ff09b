"""The published contract, docs/asyncapi.yaml, and whether a value is what one of its schemas says.

Knows exactly the JSON Schema keywords the contract uses; another keyword is an error. Objects may hold more.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

PUBLISHED = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
# Every worker of a test run reads it when it collects: libyaml takes a sixth of the time, and it too loads plain values only.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONTRACT = yaml.load(PUBLISHED.read_text(encoding="utf-8"), LOADER)


def resolved(ref: str) -> Any:
    """What a reference of the contract leads to."""
    assert ref.startswith("#/"), ref
    found: Any = CONTRACT
    for part in ref[2:].split("/"):
        found = found[part]
    return found


def _is(kind: str, value: object) -> bool:
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return type(value) is int if kind == "integer" else isinstance(value, kinds[kind])


CHECKS: dict[str, Any] = {
    "$ref": lambda rule, value: valid(resolved(rule), value),
    "type": _is,
    "const": lambda rule, value: rule == value,
    "enum": lambda rule, value: value in rule,
    "minLength": lambda rule, value: not isinstance(value, str) or len(value) >= rule,
    "maxLength": lambda rule, value: not isinstance(value, str) or len(value) <= rule,
    "pattern": lambda rule, value: not isinstance(value, str) or re.search(rule, value) is not None,
    "minimum": lambda rule, value: not _is("integer", value) or value >= rule,
    "maximum": lambda rule, value: not _is("integer", value) or value <= rule,
    "minItems": lambda rule, value: not isinstance(value, list) or len(value) >= rule,
    "maxItems": lambda rule, value: not isinstance(value, list) or len(value) <= rule,
    "maxProperties": lambda rule, value: not isinstance(value, dict) or len(value) <= rule,
    "items": lambda rule, value: not isinstance(value, list) or all(valid(rule, item) for item in value),
    "required": lambda rule, value: not isinstance(value, dict) or set(rule) <= set(value),
    "properties": lambda rule, value: (
        not isinstance(value, dict) or all(valid(rule[name], value[name]) for name in rule if name in value)
    ),
    "anyOf": lambda rule, value: any(valid(one, value) for one in rule),
    "oneOf": lambda rule, value: sum(valid(one, value) for one in rule) == 1,
    "allOf": lambda rule, value: all(valid(one, value) for one in rule),
}
WORDS_ONLY = {"description", "x-stream", "then"}


def valid(schema: dict[str, Any], value: object) -> bool:
    """Whether a value fits; ``if`` always stands with ``then`` here."""
    for word, rule in schema.items():
        if word == "additionalProperties":
            others = set(value) - set(schema.get("properties", {})) if isinstance(value, dict) else set()
            if isinstance(value, dict) and not all(rule is not False and valid(rule, value[name]) for name in others):
                return False
        elif word == "if":
            if valid(rule, value) and not valid(schema["then"], value):
                return False
        elif word not in WORDS_ONLY and not CHECKS[word](rule, value):
            return False
    return True
