"""Hex as people paste it: plain, 0x51 lists, escapes, ``xxd``, ``hexdump -C``, ``od -A x -t x1z``. Text to bytes, pure.

Knows no protocol. Says in which line it could not go on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_XXD = re.compile(r"\s*([0-9A-Fa-f]{4,16}):\s+(.*)")
_OFFSET = re.compile(r"([0-9A-Fa-f]{6,16})(?:\s+(.*))?")
_PAIRS = re.compile(r"(?:[0-9A-Fa-f]{2}\s+)*[0-9A-Fa-f]{2}")
_XXD_PAIRS = re.compile(r"(?:(?:[0-9A-Fa-f]{2}){1,8} )*(?:[0-9A-Fa-f]{2}){1,8}(?=\s{2}|\s*$)")
_PREFIXED = re.compile(r"(?:0[xX]|\\x)([0-9A-Fa-f]{1,2})(?![0-9A-Fa-f])")
_LOOSE = re.compile(r"[\s,;:\-_|{}\[\]()<>\"']+|b(?=[\"'])")
_COMMENT = re.compile(r"(?:#|//).*")


class NotHex(ValueError):
    """The text is no hex dump. ``hint`` says what would be."""

    hint = 'write bytes as "51 30 01", 0x51,0x30 or as xxd and hexdump -C print them'


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


def parse(text: str) -> bytes:
    """Return the bytes of a dump. Raises ``NotHex`` naming the line; a text without any byte is not hex either."""
    lines = [_Line(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [line for line in lines if line.text.strip()]
    data = _bytes(lines) if lines else b""
    if not data:
        raise NotHex("there is no byte in it")
    return data


def _bytes(lines: list[_Line]) -> bytes:
    if all(_XXD.fullmatch(line.text) for line in lines):
        return b"".join(_xxd(line) for line in lines)
    if _is_hexdump(lines):
        return _hexdump(lines)
    return b"".join(_plain(line) for line in lines)


def _xxd(line: _Line) -> bytes:
    """``00000000: 5130 0101 00a2 9c03 fa  Q0.......``: the ASCII column begins after two spaces."""
    match = _XXD.fullmatch(line.text)
    rest = match[2] if match else ""
    pairs = _XXD_PAIRS.match(rest)
    if pairs is None:
        raise NotHex(f"line {line.number}: {rest[:20]!r} is no hex")
    return bytes.fromhex(pairs[0])


def _is_hexdump(lines: list[_Line]) -> bool:
    """Offsets in front that fit the number of bytes before them; a plain row of digits has none."""
    offsets = [match for line in lines if (match := _OFFSET.fullmatch(line.text))]
    stars = sum(line.text.strip() == "*" for line in lines)
    if len(offsets) + stars != len(lines) or not offsets or int(offsets[0][1], 16) != 0:
        return False
    return any(match[2] for match in offsets) and all(
        match[2] is None or _PAIRS.match(match[2]) is not None for match in offsets
    )


def _hexdump(lines: list[_Line]) -> bytes:
    out = bytearray()
    last = b""
    repeat = False
    for line in lines:
        match = _OFFSET.fullmatch(line.text)
        if match is None:
            repeat = True
            continue
        at = int(match[1], 16)
        if repeat and last and len(out) < at <= len(out) + (1 << 24):
            out += (last * (at // len(last) + 1))[: at - len(out)]
        repeat = False
        if at != len(out):
            raise NotHex(f"line {line.number}: offset {match[1]} does not follow, {len(out):x} was expected")
        body = re.split(r"\s*[|>]", match[2] or "", maxsplit=1)[0].strip()
        if body and not _PAIRS.fullmatch(body):
            raise NotHex(f"line {line.number}: {body[:20]!r} is no hex")
        last = bytes.fromhex(body)
        out += last
    return bytes(out)


def _plain(line: _Line) -> bytes:
    text = _COMMENT.sub("", line.text)
    if _PREFIXED.search(text):
        rest = _LOOSE.sub("", _PREFIXED.sub("", text))
        if rest:
            raise NotHex(f"line {line.number}: {rest[:20]!r} is no hex")
        return bytes(int(digits, 16) for digits in _PREFIXED.findall(text))
    groups = _LOOSE.sub(" ", text).split()
    for group in groups:
        if not re.fullmatch(r"[0-9A-Fa-f]+", group):
            raise NotHex(f"line {line.number}: {group[:20]!r} is no hex")
        if len(group) % 2:
            raise NotHex(f"line {line.number}: {group[:20]!r} has an odd number of digits")
    return bytes.fromhex("".join(groups))
