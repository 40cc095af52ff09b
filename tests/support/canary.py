"""Canaries: what must never be found again, and how to look for it in anything. Extend ``SECRETS`` by a line.

Knows no station: what is a place, the tests say. The sheet asks for pieces of six characters; digits and hexadecimal,
of which a station's files are full, are looked for in longer ones, so that no counter or hash is taken for a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors"
PIECE = 6
STEP = 3
"""Of a long secret every third piece is looked for: whatever leaks eight characters of it, leaks one of them."""

LONG = 60
DIGITS_PIECE = 9
HEX_PIECE = 12
_DIGITS = re.compile(rb"[0-9]+")
_EMPTY = re.compile(rb"\0{2,}")
_HEX = re.compile(rb"[0-9A-F]+|[0-9a-f]+")


def pieces(*secrets: bytes, size: int = PIECE) -> list[bytes]:
    """Every piece of ``size`` bytes of every secret, each once; of a shorter one nothing."""
    found = {secret[at : at + size] for secret in secrets for at in range(len(secret) - size + 1)}
    return sorted(found)


def told_by(secret: bytes) -> list[bytes]:
    """The pieces of a secret that give it away, in every case it may be written in."""
    if _DIGITS.fullmatch(secret):
        return pieces(secret, size=min(DIGITS_PIECE, len(secret)))
    if _HEX.fullmatch(secret):
        return pieces(secret.upper(), secret.lower(), size=HEX_PIECE)
    looked_for = sorted({secret[at : at + PIECE] for at in range(0, len(secret) - PIECE + 1, STEP)})
    return [piece for piece in (looked_for if len(secret) > LONG else pieces(secret)) if not _HEX.fullmatch(piece)]


def found_in(places: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """``secret in place`` for every secret of which a piece stands in a place."""
    shorter = {place: _EMPTY.sub(b"\0", content) for place, content in places.items()}
    looked = {name: told_by(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}"
        for place, content in shorter.items()
        for name, told in looked.items()
        if any(piece in content for piece in told)
    ]


def _vectors(file: str) -> dict[str, object]:
    value: dict[str, object] = json.loads((VECTORS / file).read_text(encoding="utf-8"))
    return value


def _tokens() -> dict[str, str]:
    """Member codes that are good, expired, signed by another, and damaged."""
    codes = _vectors("member_code.json")["codes"]
    assert isinstance(codes, list)
    long = [code["text"] for code in codes if code["text"].startswith("FM1:") and len(code["text"]) > 100]
    return {f"token {n}": text[4:] for n, text in enumerate(long[:: len(long) // 4])}


def _taps() -> dict[str, str]:
    """A tapped link by its ciphertext and MAC, and the id and the key of the chip."""
    taps = _vectors("nfc_sun.json")["sun"]
    assert isinstance(taps, list)
    tap = taps[0]
    picc, mac = re.findall(r"[0-9A-F]{16,}", tap["text"])
    return {"tap": picc, "tap mac": mac, "uid": tap["rf_uid"]}


SECRETS: Mapping[str, Callable[[], dict[str, str]]] = {
    "member codes": _tokens,
    "contactless cards": _taps,
    "phones": lambda: {
        "phone": "17796403528",
        "phone of an enrolment": "19073365284",
        "phone looked up": "15862217940",
    },
    "cards": lambda: {"card": "9273860415590726", "unknown card": "9481720365500810"},
    "money": lambda: {"payment code": "134651829037465120", "bank card": "4539578763621486"},
    "people": lambda: {
        "name": "欧阳测试君",
        "Latin name": "Quentin Zyxwvut",
        "plate": "粤B7Q4X9",
        "staff PIN": "739186204571",
        "badge": "580417936208",
    },
}
"""What nobody may find again, by what it is; every function gives names and texts."""


def all_secrets() -> dict[str, bytes]:
    """Every secret by its name."""
    return {name: text.encode() for tell in SECRETS.values() for name, text in tell().items()}
