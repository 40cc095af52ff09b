"""The NDEF file of a tag (NFC Forum Type 4): finds the first link in it and gives its text as it stands.

Knows nothing of what the link means. The text is never URL-decoded: signatures count its characters.
"""

from __future__ import annotations

URI_PREFIXES = {0: "", 1: "http://www.", 2: "https://www.", 3: "http://", 4: "https://"}
_SHORT, _HAS_ID = 0x10, 0x08
_TNF, _WELL_KNOWN = 0x07, 1


class NdefError(ValueError):
    """A file that lies about its lengths; the message says where, never the content."""


def first_uri(message: bytes) -> str | None:
    """Return the text of the first link of an NDEF message (without NLEN), ``None`` where it has none.

    Raises NdefError: a record that is longer than the message, a link that is no ASCII text or has an unknown prefix.
    """
    at = 0
    while at < len(message):
        kind, name, payload, at = _record(message, at)
        if (kind, name) == (_WELL_KNOWN, b"U"):
            return _uri(payload)
    return None


def content(file: bytes) -> bytes:
    """Return the message of an NDEF file that begins with NLEN. Raises NdefError where the file is shorter."""
    size = int.from_bytes(file[:2], "big")
    if len(file) < 2 + size or len(file) < 2:
        raise NdefError(f"an NDEF file of {len(file)} bytes says that it holds {size}")
    return file[2 : 2 + size]


def _record(message: bytes, at: int) -> tuple[int, bytes, bytes, int]:
    """Return type name format, type, payload and where the next record begins."""
    flags, name_size, at = message[at], _number(message, at + 1, 1), at + 2
    size_bytes = 1 if flags & _SHORT else 4
    size, at = _number(message, at, size_bytes), at + size_bytes
    id_size = 0
    if flags & _HAS_ID:
        id_size, at = _number(message, at, 1), at + 1
    end = at + name_size + id_size + size
    if end > len(message):
        raise NdefError("an NDEF record is longer than its message")
    return flags & _TNF, message[at : at + name_size], message[at + name_size + id_size : end], end


def _number(message: bytes, at: int, size: int) -> int:
    if at + size > len(message):
        raise NdefError("an NDEF record ends within its head")
    return int.from_bytes(message[at : at + size], "big")


def _uri(payload: bytes) -> str:
    prefix = URI_PREFIXES.get(payload[0]) if payload else None
    if prefix is None or not payload[1:].isascii():
        raise NdefError("an NDEF link with an unknown prefix, or not of ASCII characters")
    return prefix + payload[1:].decode("ascii")
