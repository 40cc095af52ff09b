"""From recorded bytes to pieces with time and side, and which protocol bytes look like. Loads drivers, else pure.

Knows no protocol: each brings its own ``dissect``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from agent.field.recording import Chunk, Side
from drivers import registry
from drivers.dissection import Direction, Field, FieldKit, Piece
from drivers.errors import WiringError

DIRECTIONS: dict[Side, Direction] = {"a": "to_device", "b": "from_device", "?": None}
LIKELY = 50
"""Share of bytes in percent, weighed by confidence, from which on bytes "look like" a protocol."""


@dataclass(frozen=True, slots=True)
class Told:
    """One piece: when its first byte came, on which side, how many of its characters were damaged."""

    t_us: int
    side: Side
    piece: Piece
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much bytes look like a protocol, 0 to 100."""

    protocol: str
    percent: int


def kit_of(protocol: str) -> FieldKit:
    """The field kit of a protocol. Raises ``WiringError`` when there is no such driver or it brings none."""
    kit = registry.field_kit(registry.spec(protocol))
    if kit is None:
        raise WiringError(
            f"the driver of protocol {protocol!r} brings no dissector",
            hint="ask its author for DriverSpec.field_kit, see docs/driver-author.md",
        )
    return kit


def decode(chunks: Sequence[Chunk], kit: FieldKit, direction: Direction = None) -> list[Told]:
    """Take each side's stream apart; pieces in the order of their first bytes. ``direction`` replaces that of ``?``."""
    told = []
    sides: tuple[Side, ...] = ("a", "b", "?")
    for side in sides:
        mine = [chunk for chunk in chunks if chunk.side == side]
        if mine:
            told += _side(mine, kit, DIRECTIONS[side] or direction)
    return sorted(told, key=lambda one: one.t_us)


def _side(chunks: Sequence[Chunk], kit: FieldKit, direction: Direction) -> list[Told]:
    data = b"".join(chunk.data for chunk in chunks)
    starts = list(accumulate((len(chunk.data) for chunk in chunks), initial=0))
    damaged = [starts[n] + at for n, chunk in enumerate(chunks) for at in chunk.damaged]
    told = []
    for piece in kit.dissect(data, direction):
        chunk = chunks[min(bisect_right(starts, piece.offset) - 1, len(chunks) - 1)]
        end = piece.offset + len(piece.raw)
        told.append(Told(chunk.t_us, chunk.side, piece, sum(piece.offset <= at < end for at in damaged)))
    return told


def likeness(chunks: Sequence[Chunk]) -> list[Likeness]:
    """How much the bytes look like each protocol that can be recognised, the most likely first."""
    found = []
    total = sum(len(chunk.data) for chunk in chunks)
    for name in registry.protocols():
        try:
            kit = kit_of(name)
        except WiringError:
            continue  # a driver without a dissector can be used, only not recognised
        weight = sum(len(one.piece.raw) * one.piece.confidence for one in decode(chunks, kit))
        found.append(Likeness(name, weight // total if total else 0))
    return sorted(found, key=lambda one: -one.percent)


def guess(chunks: Sequence[Chunk]) -> str:
    """The protocol that the bytes look like, empty when none does."""
    best = likeness(chunks)[:1]
    return best[0].protocol if best and best[0].percent >= LIKELY else ""


def as_json(told: Told) -> dict[str, Any]:
    """One piece as documented JSON."""
    piece = told.piece
    return {
        "t_us": told.t_us,
        "dir": told.side,
        "direction": piece.direction,
        "offset": piece.offset,
        "length": len(piece.raw),
        "kind": piece.kind,
        "summary": piece.summary,
        "check": piece.check,
        "check_given": piece.check_given or None,
        "check_computed": piece.check_computed or None,
        "problem": piece.problem or None,
        "damaged_characters": told.damaged,
        "fields": [field_json(field) for field in piece.fields],
    }


def field_json(field: Field) -> dict[str, Any]:
    """One field as documented JSON; the bytes of a security code are hidden."""
    return {
        "offset": field.offset,
        "bytes": hex_of(field),
        "name": field.name,
        "value": field.value,
        "unit": field.unit or None,
        "meaning": field.meaning or None,
    }


def hex_of(field: Field) -> str:
    """The bytes of a field as upper-case hex, hidden where they are a secret of the site."""
    if field.name == "security_code":
        return " ".join("**" for _ in field.raw)
    return field.raw.hex(" ").upper()
