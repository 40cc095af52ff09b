"""The station bundle, FC-BUNDLE/1: all that a new station needs from head office, as one JSON text.

Pure: text in, text out, for both ends. Knows what each part must look like; does not know where a part goes.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.topics import TopicError, check_station

FORMAT = "fc-bundle/1"
MAX_BUNDLE_BYTES = 1_048_576
"""A bundle is a few kilobytes; past this it is none."""

FINGERPRINT_CHARS = 32
_STATION_KEYS = ("id", "name", "timezone", "currency", "group", "language")
_BROKER = re.compile(r"mqtts?://[^/:\s]+(:[0-9]{1,5})?")
_TIMEZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_LANGUAGE = re.compile(r"zh-CN|en")
_INDEX_KEY = re.compile(r"[0-9a-f]{64}")
_AGE_RECIPIENT = re.compile(r"age1[0-9a-z]{20,120}")


class BundleProblem(ValueError):
    """The text is no bundle, or a part of it cannot be used. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str = "ask head office for a new bundle") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Bundle:
    """What head office hands out for one station.

    ``station``: values of [station]; ``broker``: URL; ``files``: secrets and certificates by the names of FILES;
    ``configuration``: a whole station.toml where head office knows the devices, else None.
    """

    station: Mapping[str, str]
    broker: str
    made_at: str
    files: Mapping[str, str] = field(repr=False)
    configuration: str | None = None


def _jwks(text: str) -> bool:
    try:
        keys = json.loads(text)["keys"]
        return bool(keys) and all(key["kty"] == "OKP" and "d" not in key and key["kid"] for key in keys)
    except (ValueError, KeyError, TypeError):
        return False


def _pem(text: str) -> bool:
    return text.startswith("-----BEGIN ") and "-----END " in text


def _recipients(text: str) -> bool:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return bool(lines) and all(_AGE_RECIPIENT.fullmatch(line) for line in lines)


def _card_keys(text: str) -> bool:
    try:
        told = json.loads(text)
        return {name: len(bytes.fromhex(key)) for name, key in told.items()} == {"transport": 32, "meta_read": 16}
    except (ValueError, TypeError, AttributeError):
        return False


FILES: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "index-key": ("64 hex digits", lambda text: _INDEX_KEY.fullmatch(text.strip()) is not None),
    "pinned-keys": ("a JWK set of public Ed25519 keys", _jwks),
    "broker-password": ("one line", lambda text: bool(text.strip()) and len(text.strip().splitlines()) == 1),
    "ca.pem": ("a certificate in PEM", _pem),
    "station.pem": ("a certificate in PEM", _pem),
    "station.key": ("a private key in PEM", _pem),
    "backup-recipients": ("age recipients, one a line", _recipients),
    "card-keys": ("the keys of signing cards: transport and meta_read", _card_keys),
}
"""Every file a bundle may hold, what it must look like in words, and the test for it."""

REQUIRED_FILES = ("index-key", "pinned-keys")


def dump(bundle: Bundle) -> str:
    """Return the bundle as text. Raises BundleProblem where ``load`` would."""
    text = json.dumps(
        {
            "format": FORMAT,
            "made_at": bundle.made_at,
            "station": dict(bundle.station),
            "head_office": {"broker": bundle.broker},
            "configuration": bundle.configuration,
            "files": dict(bundle.files),
        },
        ensure_ascii=False,
        indent=2,
    )
    load(text.encode("utf-8"))
    return text + "\n"


def load(content: bytes) -> Bundle:
    """Return the bundle in ``content``. Raises BundleProblem naming the first part that cannot be used."""
    if len(content) > MAX_BUNDLE_BYTES:
        raise BundleProblem("this file is larger than 1 MiB and no bundle")
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as failure:
        raise BundleProblem("this file is no bundle: it is not JSON") from failure
    if not isinstance(value, dict) or not str(value.get("format", "")).startswith("fc-bundle/"):
        raise BundleProblem('this file is no bundle: "format" is missing')
    if value["format"] != FORMAT:
        raise BundleProblem(
            f"this bundle has format {value['format']}, this software reads {FORMAT}",
            hint="install the newer software first, or ask head office for a bundle of this format",
        )
    _members(value, ("format", "made_at", "station", "head_office", "configuration", "files"), "the bundle")
    _members(value["head_office"], ("broker",), "head_office")
    _pattern(value["head_office"]["broker"], _BROKER, "head_office.broker", "mqtt://HOST:PORT or mqtts://HOST:PORT")
    configuration = value["configuration"]
    if not isinstance(value["made_at"], str):
        raise BundleProblem("made_at is not a text")
    station = _station(value["station"])
    if configuration is not None:
        _configuration(configuration, station["id"])
    return Bundle(
        station=station,
        broker=value["head_office"]["broker"],
        made_at=value["made_at"],
        files=_files(value["files"]),
        configuration=configuration,
    )


def fingerprint(content: bytes) -> str:
    """Return what two people compare over the telephone: 32 hex digits of the SHA-256, in groups of four."""
    digest = hashlib.sha256(content).hexdigest()[:FINGERPRINT_CHARS]
    return " ".join(digest[start : start + 4] for start in range(0, FINGERPRINT_CHARS, 4))


def same_fingerprint(one: str, other: str) -> bool:
    """Return whether two fingerprints agree, however they are spaced and written."""
    return "".join(one.split()).lower() == "".join(other.split()).lower()


def _members(value: Any, names: tuple[str, ...], where: str) -> None:
    if not isinstance(value, dict):
        raise BundleProblem(f"{where} is not an object")
    for name in names:
        if name not in value:
            raise BundleProblem(f"{where} lacks {name}")
    for name in value:
        if name not in names:
            raise BundleProblem(f"{where} has an unknown member {name!r:.40}")


def _pattern(value: Any, pattern: re.Pattern[str], where: str, wanted: str) -> None:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise BundleProblem(f"{where} is not {wanted}")


def _station(value: Any) -> Mapping[str, str]:
    _members(value, _STATION_KEYS, "station")
    for name in ("id", "group"):
        try:
            check_station(str(value[name]))
        except TopicError as failure:
            raise BundleProblem(f"station.{name}: {failure}") from failure
    if not isinstance(value["name"], str) or not value["name"].isprintable():
        raise BundleProblem("station.name is not one line of text")
    _pattern(value["timezone"], _TIMEZONE, "station.timezone", "a time zone such as Asia/Shanghai")
    _pattern(value["currency"], _CURRENCY, "station.currency", "a currency code such as CNY")
    _pattern(value["language"], _LANGUAGE, "station.language", "zh-CN or en")
    return {name: value[name] for name in _STATION_KEYS}


def _configuration(text: Any, station: str) -> None:
    """Refuse a station.toml that cannot be this station's; its other faults are for check-config."""
    try:
        found = tomllib.loads(text)["station"]["id"]
    except (TypeError, AttributeError, ValueError, KeyError, RecursionError) as failure:
        raise BundleProblem("configuration is neither null nor a station.toml with [station] id") from failure
    if found != station:
        raise BundleProblem(f"the configuration belongs to station {found!r:.40}, the bundle to {station}")


def _files(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise BundleProblem("files is not an object")
    for name in REQUIRED_FILES:
        if name not in value:
            raise BundleProblem(f"files lacks {name}")
    for name, text in value.items():
        if name not in FILES:
            raise BundleProblem(f"files has an unknown member {name!r:.40}")
        wanted, right = FILES[name]
        if not isinstance(text, str) or not right(text):
            raise BundleProblem(f"the file {name} is not {wanted}")
    if ("station.pem" in value) != ("station.key" in value):
        raise BundleProblem("station.pem and station.key belong together, one is missing")
    return dict(value)
