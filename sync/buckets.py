"""A bucket of members as it travels and as it is summed up: FC-BUCKET/1, columns of plain bytes, each packed by itself.

Pure. Knows what a station keeps of a member; knows no database, no signature and no request. Indexes are random and
cannot be packed: they travel as their first ten bytes, by which a station recognises.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, NamedTuple

BUCKETS = 1_024
BUCKET_KEY = b"fc-bucket1"
_BLOCK = BUCKET_KEY.ljust(64, b"\0")
_INNER, _OUTER = (hashlib.sha256(bytes(byte ^ pad for byte in _BLOCK)) for pad in (0x36, 0x5C))
"""HMAC begun once: a million members are numbered in a third of the time."""

DIGEST_BYTES = 10
"""80 bits: among 2,000,000 indexes a stranger's number is taken for a member's once in 6 * 10^17 look-ups."""

SUM_BYTES = 16
MAGIC = b"FCB1"
MAX_MEMBERS = 65_535
MAX_UNPACKED_BYTES = 16 * 1024 * 1024
"""Of all strips of one bucket; a bucket of a million members has 60 KB."""

_HEAD = struct.Struct(">4sI")
_STRIP = struct.Struct(">BI")
_RAW, _DEFLATED = 0, 1
_CORE = 13
"""Columns that are summed up; the two behind them travel beside: a station counts growth on, and closes card keys."""
_COLUMNS = 15
_BIRTHDAY = re.compile(r"([01][0-9])-([0-3][0-9])")
_DAYS = 32

Strips = list[bytes]
"""One column: a text or a blob in one strip, numbers as one strip for each of their bytes, the lowest first."""


class BucketError(ValueError):
    """The bytes are no bucket of this format. Example: cut in the middle."""


class Row(NamedTuple):
    """What a station keeps of one member. ``digests``: sorted; ``lots``: (points, usable_from, expires_on, lot)."""

    member: str
    digests: tuple[bytes, ...]
    tier: str
    tags: tuple[str, ...]
    flags: tuple[str, ...]
    tank_l: int | None
    mask: str
    birthday_md: str | None
    lots: tuple[tuple[int, str | None, str | None, str | None], ...]
    growth: int | None = None
    as_of: Any = None
    card_key: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """A bucket that was read. ``merged``: ids that are another member's now; ``sum``: of what is summed up."""

    rows: tuple[Row, ...]
    merged: Mapping[str, str]
    sum: bytes


def bucket_of(member: str) -> int:
    """Return the bucket of a member id: the first ten bits of HMAC-SHA256(``fc-bucket1``, id as text)."""
    inner, outer = _INNER.copy(), _OUTER.copy()
    inner.update(member.encode())
    outer.update(inner.digest())
    keyed = outer.digest()
    return (keyed[0] << 2) | (keyed[1] >> 6)


def recognised_by(index: bytes) -> bytes:
    """Return what a station stores of a blind index and looks it up by."""
    return index[:DIGEST_BYTES]


def row_of(op: Mapping[str, Any]) -> Row:
    """Return what a station keeps of a PUT: absent and null are one, tags, flags and indexes have no order."""
    told = {*(op.get("indexes") or ()), *(op.get("indexes_next") or ())}
    lots = tuple(
        (lot["points"], lot.get("usable_from"), lot.get("expires_on"), lot.get("lot") or None)
        for lot in op.get("lots") or ()
    )
    tank_l = op.get("tank_l")
    return Row(
        op["member"],
        tuple(sorted({digest for digest in map(_digest, told) if digest})),
        op.get("tier") or "",
        tuple(sorted(op.get("tags") or ())),
        tuple(sorted(op.get("flags") or ())),
        tank_l if tank_l is not None and tank_l > 0 else None,
        op.get("mask") or "****",
        op.get("birthday_md"),
        lots,
        op.get("growth"),
        op.get("as_of"),
        op.get("card_key"),
    )


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)[:DIGEST_BYTES]
    except ValueError:
        return b""


# --- writing --------------------------------------------------------------------------------------------------------


def columns(rows: Sequence[Row], merged: Mapping[str, str] | None = None) -> list[Strips]:
    """Return the columns of a bucket whose rows are sorted by id. Raises ValueError over 65,535 members."""
    if len(rows) > MAX_MEMBERS:
        raise ValueError(f"{len(rows)} members in one bucket, at most {MAX_MEMBERS}")
    ids = [int(row.member, 16) for row in rows]
    lots = [lot for row in rows for lot in row.lots]
    heads, tails = _masks(rows)
    profiles = [_text([row.tier, row.tags, row.flags, row.tank_l, _odd(row.birthday_md)]) for row in rows]
    aside = {
        name: {row.member: value for row in rows if (value := getattr(row, name)) is not None}
        for name in ("as_of", "card_key")
    }
    return [
        _numbers([own - before for own, before in zip(ids, [0, *ids], strict=False)]),
        _numbers([len(row.digests) for row in rows]),
        _blob(b"".join(chain.from_iterable(row.digests for row in rows))),
        *_dictionary(profiles),
        *_dictionary(heads),
        _numbers(tails),
        _numbers([_birthday(row.birthday_md) for row in rows]),
        _numbers([len(row.lots) for row in rows]),
        _numbers([_folded(lot[0]) for lot in lots]),
        *_dictionary([_text(lot[1:]) for lot in lots]),
        _numbers([0 if row.growth is None else 1 + _folded(row.growth) for row in rows]),
        _blob(_text({**aside, "merged": dict(merged or {})}).encode()),
    ]


def pack(count: int, strips: Sequence[Strips]) -> bytes:
    """Return the bytes that travel: every strip deflated by itself where that is shorter."""
    parts = [_HEAD.pack(MAGIC, count)]
    for column in strips:
        parts.append(bytes([len(column)]))
        for strip in column:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
            small = packer.compress(strip) + packer.flush()
            method, told = (_DEFLATED, small) if len(small) < len(strip) else (_RAW, strip)
            parts += [_STRIP.pack(method, len(told)), told]
    return b"".join(parts)


def sum_of(count: int, strips: Sequence[Strips]) -> bytes:
    """Return the 16 bytes that stand for a bucket in the manifest: of its first 13 columns before they are packed."""
    digest = hashlib.sha256(_HEAD.pack(MAGIC, count))
    for column in strips[:_CORE]:
        digest.update(bytes([len(column)]))
        for strip in column:
            digest.update(_STRIP.pack(_RAW, len(strip)))
            digest.update(strip)
    return digest.digest()[:SUM_BYTES]


def _numbers(values: Sequence[int]) -> Strips:
    count = len(values)
    flat = struct.pack(f"<{count}Q", *values)
    planes = [flat[place::8] for place in range(8)]
    while planes and not any(planes[-1]):
        planes.pop()
    return planes


def _blob(content: bytes) -> Strips:
    return [content] if content else []


def _dictionary(texts: Sequence[str]) -> tuple[Strips, Strips]:
    """JSON texts as the sorted list of those that occur, and which one it is for each."""
    known = sorted(set(texts))
    place = {text: number for number, text in enumerate(known)}
    return _blob(f"[{','.join(known)}]".encode() if known else b""), _numbers([place[text] for text in texts])


def _masks(rows: Sequence[Row]) -> tuple[list[str], list[int]]:
    """Masks end in four digits as a rule, which say more than the rest together: 0 for none, else 1 and the number."""
    heads, tails = [], []
    for row in rows:
        last = row.mask[-4:]
        ends = len(last) == 4 and last.isascii() and last.isdigit()
        heads.append(_text(row.mask[:-4] if ends else row.mask))
        tails.append(1 + int(last) if ends else 0)
    return heads, tails


def _birthday(text: str | None) -> int:
    found = None if text is None else _BIRTHDAY.fullmatch(text)
    return 0 if found is None else 1 + int(found[1]) * _DAYS + int(found[2])


def _odd(birthday_md: str | None) -> str | None:
    """Return a birthday that is no MM-DD, which then travels as a text."""
    return None if birthday_md is None or _birthday(birthday_md) else birthday_md


def _folded(value: int) -> int:
    """Return a whole number as one that is not negative: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return 2 * value if value >= 0 else -2 * value - 1


_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


# --- reading --------------------------------------------------------------------------------------------------------


def read(packed: bytes) -> Content:
    """Return what a packed bucket holds. Raises BucketError, and nothing else whatever the bytes."""
    try:
        count, strips = _unpack(packed)
        return _content(count, strips)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, struct.error) as error:
        raise BucketError(f"not a bucket: {type(error).__name__}: {str(error)[:120]}") from error


def _unpack(packed: bytes) -> tuple[int, list[Strips]]:
    magic, count = _HEAD.unpack_from(packed)
    if magic != MAGIC or count > MAX_MEMBERS:
        raise BucketError("the first bytes are not those of a bucket")
    at, room = _HEAD.size, MAX_UNPACKED_BYTES
    found: list[Strips] = []
    for _ in range(_COLUMNS):
        column: Strips = []
        width, at = packed[at], at + 1
        for _ in range(width):
            method, size = _STRIP.unpack_from(packed, at)
            at += _STRIP.size
            told = packed[at : at + size]
            at += size
            if len(told) != size or method not in (_RAW, _DEFLATED):
                raise BucketError("a strip is cut short")
            column.append(told if method == _RAW else _inflated(told, room))
            room -= len(column[-1])
        found.append(column)
    if at != len(packed):
        raise BucketError("something follows the last column")
    return count, found


def _inflated(told: bytes, room: int) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        strip = unpacker.decompress(told, max(1, room))
    except zlib.error as error:
        raise BucketError(f"a strip cannot be unpacked: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise BucketError("a strip is too long, or cut short")
    return strip


def _content(count: int, strips: list[Strips]) -> Content:
    """Columns become rows column by column: a value of which a bucket has a handful is made once."""
    many = [_read_numbers(column, count) for column in (strips[0], strips[1], strips[4], strips[6], *strips[7:10])]
    deltas, digest_counts, profile_of, head_of, tails, birthdays, lot_counts = many
    names = [f"{own:016x}" for own in accumulate(deltas)]
    digests = _cut(_only(strips[2]), sum(digest_counts))
    profiles = [_profile(found) for found in _read_json(strips[3])]
    tiers, tags, flags, tanks, odd = _across([profiles[place] for place in profile_of], 5)
    heads = [_typed(found, str) for found in _read_json(strips[5])]
    masks = [
        f"{heads[place]}{tail - 1:04d}" if tail else heads[place] for place, tail in zip(head_of, tails, strict=True)
    ]
    days = {day: f"{(day - 1) // _DAYS:02d}-{(day - 1) % _DAYS:02d}" for day in set(birthdays)}
    growth = [_unfolded(grown - 1) if grown else None for grown in _read_numbers(strips[13], count)]
    aside = json.loads(_only(strips[14]))
    rows = map(
        Row,
        names,
        _grouped(digests, digest_counts),
        tiers,
        tags,
        flags,
        tanks,
        masks,
        [days[day] if day else text for day, text in zip(birthdays, odd, strict=True)],
        _grouped(_lots(strips[10:13], sum(lot_counts)), lot_counts),
        growth,
        map(aside["as_of"].get, names),
        map(aside["card_key"].get, names),
    )
    return Content(tuple(rows), aside["merged"], sum_of(count, strips))


def _lots(strips: list[Strips], count: int) -> tuple[Any, ...]:
    points, terms = _read_numbers(strips[0], count), [_terms(*found) for found in _read_json(strips[1])]
    places = _read_numbers(strips[2], count)
    return tuple((_unfolded(number), *terms[place]) for number, place in zip(points, places, strict=True))


def _terms(usable_from: Any, expires_on: Any, lot: Any) -> tuple[str | None, str | None, str | None]:
    return _typed(usable_from, str, None), _typed(expires_on, str, None), _typed(lot, str, None)


def _profile(told: Any) -> tuple[str, tuple[str, ...], tuple[str, ...], int | None, str | None]:
    tier, tags, flags, tank_l, odd = told
    tags, flags = (tuple(_typed(word, str) for word in _typed(words, list)) for words in (tags, flags))
    return _typed(tier, str), tags, flags, _typed(tank_l, int, None), _typed(odd, str, None)


def _typed(found: Any, *kinds: type | None) -> Any:
    """Return what a dictionary holds. Raises TypeError where it is of another kind than these."""
    if type(found) not in kinds and not (found is None and None in kinds):
        raise TypeError(f"{type(found).__name__} is not what stands here")
    return found


def _across(rows: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) or [()] * width


def _grouped(values: tuple[Any, ...], counts: Sequence[int]) -> list[tuple[Any, ...]]:
    """Cut values into as many as each row has."""
    ends = list(accumulate(counts))
    return [values[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _only(column: Strips) -> bytes:
    return b"".join(column)


def _read_json(column: Strips) -> list[Any]:
    found = json.loads(_only(column) or b"[]")
    if not isinstance(found, list):
        raise BucketError("a dictionary is not a list")
    return found


def _read_numbers(planes: Strips, count: int) -> Sequence[int]:
    if any(len(plane) != count for plane in planes) or len(planes) > 8:
        raise BucketError("a column has not as many numbers as it should")
    if len(planes) <= 1:
        return planes[0] if planes else bytes(count)
    flat = bytearray(8 * count)
    for place, plane in enumerate(planes):
        flat[place::8] = plane
    return struct.unpack(f"<{count}Q", flat)


def _cut(content: bytes, count: int) -> tuple[bytes, ...]:
    if len(content) != count * DIGEST_BYTES:
        raise BucketError("not as many indexes as were counted")
    return tuple(content[at : at + DIGEST_BYTES] for at in range(0, len(content), DIGEST_BYTES))


def _unfolded(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -((value + 1) >> 1)


# --- the manifest ---------------------------------------------------------------------------------------------------

FORMAT = "fc-manifest/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a group's cache must hold after change ``op``: for each bucket the last change in it, and its sum.

    ``members``: how many there are.
    """

    op: int
    members: int
    buckets: tuple[tuple[int, bytes], ...]

    def to_bytes(self) -> bytes:
        """The document that the signed head names by its hash: canonical JSON."""
        told = [[op, digest.hex()] for op, digest in self.buckets]
        return _text({"format": FORMAT, "member_op": self.op, "members": self.members, "buckets": told}).encode()

    @classmethod
    def from_bytes(cls, document: bytes) -> Manifest:
        """Read the document. Raises BucketError."""
        try:
            told = json.loads(document)
            op, members = told["member_op"], told["members"]
            buckets = tuple(_entry(*entry) for entry in told["buckets"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BucketError(f"not a manifest: {type(error).__name__}: {str(error)[:120]}") from error
        whole = [op, members, *(changed for changed, _ in buckets)]
        if told.get("format") != FORMAT or len(buckets) != BUCKETS or not all(_is_count(n) for n in whole):
            raise BucketError(f"not a manifest of {BUCKETS} buckets in the form {FORMAT}")
        return cls(op, members, buckets)


def _entry(op: int, digest: str) -> tuple[int, bytes]:
    return op, bytes.fromhex(digest)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def differing(
    manifest: Manifest, have_op: int, own: Mapping[int, tuple[int, bytes]], *, jump: bool
) -> tuple[dict[int, tuple[int, bytes]], int]:
    """Return the buckets to be fetched, each with the (op, sum) of the manifest, and how many could be compared.

    ``own``: of each bucket to be looked at the change up to which it was brought, and its sum now; it holds every
    change up to ``have_op`` as well. Two states are compared where both are good for one and the same op; with ``jump``
    what head office changed after ``have_op`` is fetched too, else those changes are under way.
    """
    found: dict[int, tuple[int, bytes]] = {}
    compared = 0
    for number, (op, sum_here) in own.items():
        changed, digest = manifest.buckets[number]
        if op > manifest.op:
            continue  # newer here
        if changed > max(have_op, op):
            if jump:
                found[number] = (changed, digest)
            continue
        compared += 1
        if sum_here != digest:
            found[number] = (changed, digest)
    return found, compared


def split(packed: bytes, part_bytes: int) -> list[bytes]:
    """Cut a packed bucket into parts; an empty one has one part."""
    return [packed[at : at + part_bytes] for at in range(0, len(packed), part_bytes)] or [b""]


def rows_of(ops: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of a bucket out of its PUTs, in their order."""
    return sorted(map(row_of, ops))
