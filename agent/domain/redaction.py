"""Redaction of personal data and secrets in anything that is logged, printed for diagnosis or bundled for support.

Pure: denies by key, then by pattern (personal data rules, logs). Knows no logger and no file. False hits are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

REDACTED = "[redacted]"

DENIED_KEYS = frozenset(
    {
        "text",
        "token",
        "code",
        "raw",
        "frame",
        "payload",
        "phone",
        "mobile",
        "name",
        "plate",
        "card_number",
        "uid",
        "pin",
        "password",
        "secret",
        "key",
        "seed",
        "mac",
        "picc",
        "enc",
        "cmac",
        "authorization",
        "cookie",
        "url",
    }
)
"""Values under these keys, under ``k_*`` and under ``DENIED_WORDS`` are dropped whatever they are."""

DENIED_WORDS = frozenset({"phone", "mobile", "plate", "pin", "password", "secret", "token", "uid"})
"""A key that has one of these among its words is denied as well: ``customer_phone``, ``uid_index``."""

HASH_KEYS = frozenset({"hash", "head_hash", "prev_hash", "commit"})
"""Long hex is the meaning of these keys: it passes."""

INTEGER_KEYS = frozenset({"volume_ml", "amount_minor", "seq", "totalizer_ml"})
"""Integers under these keys pass even where they look like a phone or a card."""

MEMBER_KEYS = frozenset({"member", "member_id"})
"""Opaque ids are shown by their first four hex digits."""

MAX_DEPTH = 8
"""Levels of nested values looked into; a log line deeper than this is a mistake, and hidden."""

_MEMBER_TOKEN = re.compile(r"(fm[0-9]:).*", re.IGNORECASE | re.DOTALL)
_PEM = re.compile(r"-----BEGIN.*?(?:-----END[^-]*-----|\Z)", re.DOTALL)
_QUERY = re.compile(r"\?\S*")
_SUN_VALUE = re.compile(r"[0-9A-Fa-f]{32}")
_LONG_HEX = re.compile(r"[0-9A-Fa-f]{32,}")
_PHONE = re.compile(
    r"(?<!\d)(?:(?:(?:00|\+)?86|0)[\s().-]{0,2})?([1１][3-9３-９]\d)[\s().-]{0,2}\d{4}[\s().-]{0,2}(\d{4})(?!\d)"
)
_DIGITS = re.compile(r"\d{14,}")
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = re.compile(rf"([{_PROVINCES}][A-Z])[ ·.-]?[A-Z0-9]{{3,4}}([A-Z0-9]{{2}})(?![A-Z0-9])")
_CHIP_ID = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{10}([0-9A-Fa-f]{4})(?![0-9A-Za-z])")
_MEMBER_ID = re.compile(r"[0-9A-Fa-f]{16}")


def redact(value: str) -> str:
    """Return a string with member tokens, keys, SUN queries, long hex, mobile numbers, long digit runs, number plates
    and ids of chips masked.

    A phone typed in full width or in groups of 3-4-4 is a phone. Digit runs above 24 are masked like 14-24.
    """
    shown = _MEMBER_TOKEN.sub(lambda hit: hit.group(1).upper() + REDACTED, value)
    shown = _PEM.sub("[pem]", shown)
    shown = _QUERY.sub(lambda hit: "?" + REDACTED if _SUN_VALUE.search(hit.group()) else hit.group(), shown)
    shown = _LONG_HEX.sub(lambda hit: hit.group()[:4] + "..", shown)
    shown = _DIGITS.sub(lambda hit: f"[digits:{len(hit.group())}]", shown)
    shown = _PLATE.sub(r"\1***\2", shown)
    shown = _CHIP_ID.sub(r"..\1", shown)
    return _PHONE.sub(r"\1****\2", shown)


def denied(key: str) -> bool:
    """Return whether a value must be dropped for its key alone."""
    lower = key.lower()
    return lower in DENIED_KEYS or lower.startswith("k_") or not DENIED_WORDS.isdisjoint(lower.split("_"))


def redact_mapping(mapping: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """Return a copy of a log event or record with denied keys dropped and every string in it redacted, at any depth."""
    return _mapping(mapping, 0)


def _mapping(mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {redact(str(key)): _value(str(key), value, depth) for key, value in mapping.items()}


def _value(key: str, value: object, depth: int) -> Any:
    lower = key.lower()
    if value is None or isinstance(value, bool):
        return value
    if denied(lower):
        return REDACTED
    if isinstance(value, int) and lower in INTEGER_KEYS:
        return value
    if isinstance(value, (int, float)):
        shown = redact(str(value))
        return value if shown == str(value) else shown
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[bytes:{len(value)}]"
    if depth >= MAX_DEPTH:
        return REDACTED
    if isinstance(value, Mapping):
        return _mapping(value, depth + 1)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_value(key, item, depth + 1) for item in value]
    return _string(lower, str(value))


def _string(key: str, value: str) -> str:
    if key in HASH_KEYS and _LONG_HEX.fullmatch(value):
        return value
    if key in MEMBER_KEYS and _MEMBER_ID.fullmatch(value):
        return value[:4] + ".."
    return redact(value)
