"""The FM1 token: a COSE_Sign1 (RFC 9052) over three CWT claims (RFC 8392), in its one permitted encoding.

Knows CBOR's integers, byte strings, arrays and maps as far as the token has them, no key set, no clock. What is decoded
is encoded again and compared, so that no second form of a token exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EDDSA = -8
MEMBER_BYTES = 8
SIGNATURE_BYTES = 64
KID_SIZES, CTI_SIZES = range(1, 9), range(4, 9)
MAX_TOKEN_BYTES = 128
"""A token with the longest key id, serial and both tags has 115 bytes; more is none."""

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_COSE_SIGN1, _CWT = 18, 61
_ALG, _KID = 1, 4
_SUB, _EXP, _CTI = 2, 4, 7
_TAGS = ((), (_COSE_SIGN1,), (_CWT, _COSE_SIGN1))


class TokenError(ValueError):
    """Bytes that are no FM1 token, or a second encoding of one; the message names the rule, never the bytes."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What is signed. ``member``: not zero, top bit clear; ``exp_s``: first Unix second no longer valid; ``cti``:
    serial of the code. Raises TokenError for values that the format does not allow.
    """

    alg: int
    kid: bytes
    member: int
    exp_s: int
    cti: bytes

    def __post_init__(self) -> None:
        if len(self.kid) not in KID_SIZES or len(self.cti) not in CTI_SIZES:
            raise TokenError("key id or serial has another length than the format allows")
        if not 0 < self.member < 2**63:
            raise TokenError("the member id is zero or has its top bit set")
        if not 0 < self.exp_s < 2**32:
            raise TokenError("the end of validity is no Unix second of 32 bits")

    @property
    def member_hex(self) -> str:
        """The member id as everywhere else: 16 lower-case hex digits."""
        return f"{self.member:016x}"

    @property
    def replay_key(self) -> tuple[str, str, str]:
        """What a code is spent by: signed fields alone, as lower-case hex (kid, member, cti)."""
        return (self.kid.hex(), self.member_hex, self.cti.hex())

    def signed(self) -> bytes:
        """Return the bytes that are signed: the COSE Sig_structure with empty external data."""
        return (
            b"\x84" + _head(_TEXT, 10) + b"Signature1" + _bstr(self._protected()) + _bstr(b"") + _bstr(self._payload())
        )

    def token(self, signature: bytes, tags: Sequence[int] = ()) -> bytes:
        """Return the token with its signature; ``tags`` are the outer tags, none when we issue."""
        outer = b"".join(_head(_TAG, tag) for tag in tags)
        parts = (_bstr(self._protected()), _head(_MAP, 0), _bstr(self._payload()), _bstr(signature))
        return outer + _head(_ARRAY, len(parts)) + b"".join(parts)

    def _protected(self) -> bytes:
        return _head(_MAP, 2) + _int(_ALG) + _int(self.alg) + _int(_KID) + _bstr(self.kid)

    def _payload(self) -> bytes:
        member = self.member.to_bytes(MEMBER_BYTES, "big")
        return (
            _head(_MAP, 3) + _int(_SUB) + _bstr(member) + _int(_EXP) + _int(self.exp_s) + _int(_CTI) + _bstr(self.cti)
        )


@dataclass(frozen=True, slots=True)
class Signed:
    """A token taken apart: its claims and the signature over them, not yet checked."""

    claims: Claims
    signature: bytes


def decode(data: bytes) -> Signed:
    """Return a token's claims and signature. Raises TokenError for everything that is not the one encoding of one."""
    if len(data) > MAX_TOKEN_BYTES:
        raise TokenError(f"{len(data)} bytes: a token has at most {MAX_TOKEN_BYTES}")
    reader = _Reader(data)
    tags = tuple(reader.tags())
    if tags not in _TAGS:
        raise TokenError("outer tags other than none, 18, or 61 around 18")
    reader.expect(_ARRAY, 4)
    protected = _Reader(reader.bstr())
    reader.expect(_MAP, 0)
    payload = _Reader(reader.bstr())
    signature = reader.bstr()
    if len(signature) != SIGNATURE_BYTES:
        raise TokenError(f"a signature of {len(signature)} bytes")
    protected.expect(_MAP, 2)
    alg, kid = protected.integer_at(_ALG), protected.bytes_at(_KID)
    payload.expect(_MAP, 3)
    member, exp_s, cti = payload.bytes_at(_SUB), payload.integer_at(_EXP), payload.bytes_at(_CTI)
    if len(member) != MEMBER_BYTES:
        raise TokenError(f"a member id of {len(member)} bytes")
    claims = Claims(alg, kid, int.from_bytes(member, "big"), exp_s, cti)
    if claims.token(signature, tags) != data:
        raise TokenError("another encoding of a token than the shortest")
    return Signed(claims, signature)


def _head(major: int, value: int) -> bytes:
    """Return the shortest head of a CBOR item."""
    if value < 24:
        return bytes((major << 5 | value,))
    size = next(size for size in (1, 2, 4, 8) if value < 256**size)
    return bytes((major << 5 | 23 + size.bit_length(),)) + value.to_bytes(size, "big")


def _int(value: int) -> bytes:
    return _head(_UINT, value) if value >= 0 else _head(_NEGATIVE, -1 - value)


def _bstr(data: bytes) -> bytes:
    return _head(_BYTES, len(data)) + data


class _Reader:
    """Reads the items that a token has, one after the other; the end is checked by encoding again."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def tags(self) -> list[int]:
        found: list[int] = []
        while self._peek() >> 5 == _TAG and len(found) < 3:
            found.append(self._item()[1])
        return found

    def expect(self, major: int, value: int) -> None:
        if self._item() != (major, value):
            raise TokenError("another CBOR item than the format has at this place")

    def integer_at(self, key: int) -> int:
        self.expect(_UINT, key)
        major, value = self._item()
        if major not in (_UINT, _NEGATIVE):
            raise TokenError("no integer where the format has one")
        return value if major == _UINT else -1 - value

    def bytes_at(self, key: int) -> bytes:
        self.expect(_UINT, key)
        return self.bstr()

    def bstr(self) -> bytes:
        major, size = self._item()
        if major != _BYTES:
            raise TokenError("no byte string where the format has one")
        return self._take(size)

    def _item(self) -> tuple[int, int]:
        """Return major type and value of the next head."""
        first = self._take(1)[0]
        major, short = first >> 5, first & 0x1F
        if short < 24:
            return major, short
        if short > 27:
            raise TokenError("an indefinite or reserved CBOR length")
        return major, int.from_bytes(self._take(1 << short - 24), "big")

    def _peek(self) -> int:
        return self._data[self._at] if self._at < len(self._data) else 0

    def _take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise TokenError("the token ends too early")
        self._at += size
        return part
