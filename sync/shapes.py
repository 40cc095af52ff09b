"""The small language in which the contract writes down what a JSON value must look like.

Knows kinds, ranges and patterns; does not know any message, record type or topic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

MAX_INT = 2**53 - 1  # the largest integer every JSON reader holds exactly (RFC 8259, RFC 7493)
MAX_TEXT_CHARS = 16_384  # no text inside a 16 KiB record can be longer


class Shape(Protocol):
    """What a JSON value must look like."""

    def defect(self, value: object) -> str | None:
        """The first thing that is wrong with ``value``, as a short text with its place; None if nothing is."""

    def schema(self) -> dict[str, Any]:
        """The same rule as a JSON Schema (2020-12) object, for the published contract."""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@dataclass(frozen=True, slots=True)
class Text:
    """A string of ``low`` to ``high`` characters; ``pattern`` must match all of it."""

    low: int = 0
    high: int = MAX_TEXT_CHARS
    pattern: str | None = None

    def defect(self, value: object) -> str | None:
        """See Shape."""
        if not isinstance(value, str):
            return "is not a text"
        if not self.low <= len(value) <= self.high:
            return f"is not {self.low} to {self.high} characters long"
        if self.pattern is not None and _compiled(self.pattern).fullmatch(value) is None:
            return f"does not match {self.pattern}"
        return None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        rule: dict[str, Any] = {"type": "string", "minLength": self.low, "maxLength": self.high}
        if self.pattern is not None:
            rule["pattern"] = f"^(?:{self.pattern})$"
        return rule


@dataclass(frozen=True, slots=True)
class Word:
    """One of a closed list of texts."""

    allowed: tuple[str, ...]

    def defect(self, value: object) -> str | None:
        """See Shape."""
        return None if isinstance(value, str) and value in self.allowed else f"is not one of {', '.join(self.allowed)}"

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {"enum": list(self.allowed)}


@dataclass(frozen=True, slots=True)
class Int:
    """An integer (never a truth value, never a float) from ``low`` to ``high``."""

    low: int = -MAX_INT
    high: int = MAX_INT

    def defect(self, value: object) -> str | None:
        """See Shape."""
        if type(value) is not int:
            return "is not an integer"
        return None if self.low <= value <= self.high else f"is not from {self.low} to {self.high}"

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


MAX_LONGITUDE, MAX_LATITUDE = 180, 90


@dataclass(frozen=True, slots=True)
class Position:
    """A place on earth as GeoJSON has it: [longitude, latitude] in degrees of WGS 84. The only floats of the wire."""

    def defect(self, value: object) -> str | None:
        """See Shape."""
        if not isinstance(value, list) or len(value) != len((MAX_LONGITUDE, MAX_LATITUDE)):
            return "is not [longitude, latitude]"
        for degrees, limit in zip(value, (MAX_LONGITUDE, MAX_LATITUDE), strict=True):
            if isinstance(degrees, bool) or not isinstance(degrees, int | float) or not -limit <= degrees <= limit:
                return f"has a coordinate that is not from -{limit} to {limit}"
        return None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        degrees = {"type": "number", "minimum": -MAX_LONGITUDE, "maximum": MAX_LONGITUDE}
        return {"type": "array", "items": degrees, "minItems": 2, "maxItems": 2}


@dataclass(frozen=True, slots=True)
class Truth:
    """``true`` or ``false``."""

    def defect(self, value: object) -> str | None:
        """See Shape."""
        return None if isinstance(value, bool) else "is not true or false"

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value at all: its meaning belongs to a feature, not to the contract."""

    def defect(self, value: object) -> str | None:  # noqa: ARG002 - the protocol's signature
        """See Shape."""
        return None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {}


@dataclass(frozen=True, slots=True)
class OrNull:
    """``null`` (unknown) or a value of another shape."""

    of: Shape

    def defect(self, value: object) -> str | None:
        """See Shape."""
        return None if value is None else self.of.defect(value)

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {"anyOf": [{"type": "null"}, self.of.schema()]}


@dataclass(frozen=True, slots=True)
class Items:
    """An array of at most ``high`` items of one shape."""

    of: Shape
    high: int = MAX_TEXT_CHARS

    def defect(self, value: object) -> str | None:
        """See Shape."""
        if not isinstance(value, list):
            return "is not an array"
        if len(value) > self.high:
            return f"has more than {self.high} items"
        for place, item in enumerate(value):
            wrong = self.of.defect(item)
            if wrong is not None:
                return f"[{place}] {wrong}"
        return None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {"type": "array", "items": self.of.schema(), "maxItems": self.high}


@dataclass(frozen=True, slots=True)
class Members:
    """An object with all ``required`` members; ``optional`` ones are checked if present; others are allowed."""

    required: Mapping[str, Shape] = field(default_factory=dict)
    optional: Mapping[str, Shape] = field(default_factory=dict)

    def defect(self, value: object) -> str | None:
        """See Shape."""
        if not isinstance(value, dict):
            return "is not an object"
        for name, shape in self.required.items():
            if name not in value:
                return f"{name} is missing"
            wrong = shape.defect(value[name])
            if wrong is not None:
                return f"{name} {wrong}"
        for name, shape in self.optional.items():
            wrong = shape.defect(value[name]) if name in value else None
            if wrong is not None:
                return f"{name} {wrong}"
        return None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        both = {**self.required, **self.optional}
        return {
            "type": "object",
            "properties": {name: shape.schema() for name, shape in both.items()},
            "required": list(self.required),
        }


@dataclass(frozen=True, slots=True)
class Exactly:
    """An object with all of these members and no other: what stands in it is acted on."""

    members: Mapping[str, Shape] = field(default_factory=dict)

    def defect(self, value: object) -> str | None:
        """See Shape."""
        wrong = Members(self.members).defect(value)
        if wrong is not None or not isinstance(value, dict):
            return wrong
        strange = [name for name in value if name not in self.members]
        return f"{strange[0]!r:.80} is not known" if strange else None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {**Members(self.members).schema(), "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object of at most ``high`` members with free names and values of one shape."""

    of: Shape
    high: int = 1_024

    def defect(self, value: object) -> str | None:
        """See Shape."""
        if not isinstance(value, dict):
            return "is not an object"
        if len(value) > self.high:
            return f"has more than {self.high} members"
        for name, item in value.items():
            wrong = self.of.defect(item)
            if wrong is not None:
                return f"{name} {wrong}"
        return None

    def schema(self) -> dict[str, Any]:
        """See Shape."""
        return {"type": "object", "additionalProperties": self.of.schema(), "maxProperties": self.high}


POSITIVE = Int(1)
COUNT = Int(0)
HASH_HEX = Text(64, 64, "[0-9a-f]{64}")
INCARNATION = Text(32, 32, "[0-9a-f]{32}")
STATION = Text(1, 32, "[A-Za-z0-9_-]{1,32}")
INSTALL_ID = Text(1, 128, "[!-~]{1,128}")
ULID = Text(26, 26, "[0-7][0-9A-HJKMNP-TV-Z]{25}")
TIME = Text(24, 24, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
LOCAL_TIME = Text(16, 16, "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")
DAY = Text(10, 10, "[0-9]{4}-[0-9]{2}-[0-9]{2}")
TOTALIZER = Text(3, 40, "(?:0|[1-9][0-9]{0,18}):(?:0|[1-9][0-9]{0,18})")
CURRENCY = Text(3, 3, "[A-Z]{3}")
MEMBER_ID = Text(1, 64, "[0-9a-f]{1,64}")
BOOT = Text(1, 36)
SHORT = Text(0, 256)
NAME = Text(1, 128)
CLOCK = Word(("ntp", "rtc", "floor", "unknown"))
STREAM = Word(("L", "A", "T"))
