"""Recognises at one look the records that come by the thousand: one pattern per type says form and content are right.

Pure. Made from the shapes of ``recordtypes``. What it does not recognise may be as good: ``records`` judges that at
length, and a test holds the two against each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sync.recordtypes import TYPES
from sync.shapes import (
    BOOT,
    CLOCK,
    COUNT,
    CURRENCY,
    DAY,
    HASH_HEX,
    MEMBER_ID,
    POSITIVE,
    TOTALIZER,
    ULID,
    Int,
    Items,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
    Word,
)
from sync.shapes import TIME as TIME_FORM

HOT_TYPES = ("fc.sale.v1", "fc.sale.settled.v1", "fc.sale.linked.v1")
"""A fuelling is these; everything else is rare beside them."""

_FORMS = frozenset((CURRENCY, DAY, HASH_HEX, MEMBER_ID, TIME_FORM, TOTALIZER, ULID))
"""Texts whose pattern fixes their length as well and can match neither a quote nor a backslash."""

_CHARACTER = r'[^"\\\x00-\x1f]'
"""Stands for itself in RFC 8785, whatever it is: escapes are left to the judging at length."""

_DATE = (
    "(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIME = rf'"{_DATE}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{3}}Z"'
"""A time of the calendar, but for the 29th of February."""

_INT = "(?>0|-?[1-9][0-9]{0,14}+)"
_INTS: Mapping[Shape, str] = {Int(): _INT, COUNT: "(?>0|[1-9][0-9]{0,14}+)", POSITIVE: "[1-9][0-9]{0,14}+"}
"""Fifteen digits are within 2^53 - 1, sixteen may not be."""


def read_plain(text: str, at: int) -> tuple[dict[str, Any], int] | None:
    """Read the record at a place of a text, if it is of a hot type and canonical, and every member is as it must be.

    Its seq and stream are for the caller to check, and that it is not too large. Returns it and where it ends.
    """
    for pattern in _PATTERNS:
        found = pattern.match(text, at)
        if found is not None:
            return _DECODER.raw_decode(text, at)
    return None


def _pattern(shape: Shape) -> str:
    """Return what matches a value of a shape in canonical JSON, or a part of those values, and nothing else."""
    match shape:
        case Text() if shape in _FORMS:
            return f'"{shape.pattern}"'
        case Text(low, high, None):
            return f'"{_CHARACTER}{{{low},{high}}}+"'
        case Word(allowed):
            return f'"(?>{"|".join(map(re.escape, allowed))})"'
        case Int() if shape in _INTS:
            return _INTS[shape]
        case Truth():
            return "(?>true|false)"
        case OrNull(of):
            return f"(?>null|{_pattern(of)})"
        case Items(of):
            item = _pattern(of)
            return rf"\[(?>{item}(?>,{item})*+)?+\]"
        case Members(required, optional):
            return _members(required, optional)
    raise AssertionError(f"{shape} has no pattern")


def _members(required: Mapping[str, Shape], optional: Mapping[str, Shape]) -> str:
    """Names in order; the first that must be there stands without a comma, those before it bring one behind them."""
    every = {name: f'"{re.escape(name)}":{_pattern(shape)}' for name, shape in {**required, **optional}.items()}
    first = min(required)
    parts = []
    for name in sorted(every):
        if name == first:
            parts.append(every[name])
        elif name < first:
            parts.append(f"(?>{every[name]},)?+")
        else:
            parts.append(f"(?>,{every[name]})" + ("?+" if name in optional else ""))
    return rf"\{{{''.join(parts)}\}}"


def _record(name: str) -> re.Pattern[str]:
    data = _pattern(TYPES[name].data)
    return re.compile(
        rf'\{{"boot":{_pattern(BOOT)},"clock":{_pattern(CLOCK)},"data":{data},"id":{_pattern(ULID)},'
        rf'"mono_ms":{_pattern(COUNT)},"seq":{_pattern(POSITIVE)},"time":{_TIME},"type":"{re.escape(name)}"\}}'
    )


_DECODER = json.JSONDecoder()
_PATTERNS = tuple(map(_record, HOT_TYPES))
