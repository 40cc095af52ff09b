"""Why a device does not answer, from what was and was not heard: one likely cause with what to do. Pure.

Knows signs on a wire. What a protocol's own words mean stands with its pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.field.decoding import LIKELY, Likeness, decode, likeness
from agent.field.traffic import Traffic, echoed
from drivers.dissection import FieldKit, Piece
from drivers.port import PCSC
from drivers.readings import DeviceStatus

DAMAGED_PERCENT = 5
UNIFORM_PERCENT = 80
SIGNS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """``cause``: a stable word; ``message`` and ``hint`` for people; ``evidence``: numbers behind it."""

    cause: str
    message: str
    hint: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was tried: the protocol, the address or ``None``, whether the port has serial settings of its own."""

    protocol: str
    port: str
    address: int | None
    kind: str
    serial: str

    @property
    def is_socket(self) -> bool:
        """Whether a serial server stands between."""
        return "://" in self.port


def diagnose(asked: Asked, kit: FieldKit | None, traffic: Traffic, offline: DeviceStatus | None = None) -> Finding:
    """Return the most likely cause that ``asked`` was not answered. ``offline``: what the driver itself said of it."""
    if asked.port.startswith(PCSC):
        return _no_card(offline)
    received = traffic.received
    heard = [chunk for chunk in traffic.chunks if chunk.side == "b"]
    pieces = [] if kit is None else [one.piece for one in decode(heard, kit)]
    table = likeness(heard)
    echoes = echoed(traffic.chunks)
    evidence = _evidence(traffic, pieces, table, echoes)
    if asked.kind == "code-reader":
        evidence["first_bytes"] = ""  # half a member's code, or the id of a card
    found = (
        _silence(asked, kit, received)
        or _echo(traffic, echoes)
        or _refused(pieces)
        or _other_address(asked, pieces)
        or _damaged(asked, traffic)
        or _parity_inside(asked, pieces)
        or _another_protocol(asked, table)
        or _bad_checks(pieces)
        or _uniform(asked, received)
        or _half_understood(asked, pieces)
        or _nothing_decodes(asked)
    )
    return Finding(found.cause, found.message, found.hint, evidence)


def _evidence(traffic: Traffic, pieces: Sequence[Piece], table: Sequence[Likeness], echoes: int) -> dict[str, Any]:
    received = traffic.received
    size = len(received)
    return {
        "bytes_sent": len(traffic.sent),
        "bytes_received": size,
        "damaged_characters": traffic.damaged,
        "echoes": echoes,
        "bytes_00_or_ff_percent": 100 * (received.count(0) + received.count(0xFF)) // size if size else 0,
        "high_bit_percent": 100 * sum(byte > 0x7F for byte in received) // size if size else 0,
        "frames_intact": sum(piece.check == "ok" for piece in pieces),
        "frames_with_wrong_check": sum(piece.check == "bad" for piece in pieces),
        "looks_like_percent": {one.protocol: one.percent for one in table},
        "first_bytes": received[:64].hex(" ").upper(),
    }


def _no_card(offline: DeviceStatus | None) -> Finding:
    """Behind the PC/SC service are no bytes to look at; the service itself says what is missing."""
    if offline is not None:
        return Finding("reader", offline.reason, offline.hint)
    return Finding("silence", "the reader is there, but no card was laid on it", "lay a card on it while this runs")


def _silence(asked: Asked, kit: FieldKit | None, received: bytes) -> Finding | None:
    if received:
        return None
    if asked.kind == "code-reader":
        return Finding("silence", "nothing was received", f"scan a code while this runs; {kit.silence if kit else ''}")
    own = kit.silence if kit and kit.silence else "the device is switched off"
    wire = "the serial server's other side" if asked.is_socket else f"wrong port ({asked.port})"
    where = "" if asked.address is None else f" at address {asked.address:02X}"
    return Finding(
        "silence",
        f"nothing at all was received{where}",
        f"likely: {own}; cable or power; {wire}; TX and RX (or A and B) swapped",
    )


def _echo(traffic: Traffic, echoes: int) -> Finding | None:
    if not echoes or traffic.received.replace(b"\x1b", b"") not in (
        sent := traffic.sent.replace(b"\x1b", b""),
        sent[: len(traffic.received)],
    ):
        return None
    return Finding(
        "echo",
        "only our own bytes came back: the converter echoes, and no device answered",
        "switch the converter's echo off, check TX and RX for a bridge, then power and cable of the device",
    )


def _refused(pieces: Sequence[Piece]) -> Finding | None:
    if not any(piece.kind == "not known" for piece in pieces):
        return None
    return Finding(
        "refused",
        "the console answers 9999FF1B: function not known, or a security code is missing or not wanted",
        "try --option security_code=...... (six characters), or without it; else this console has no inventory report",
    )


def _other_address(asked: Asked, pieces: Sequence[Piece]) -> Finding | None:
    if asked.address is None:
        return None
    sure = [piece for piece in pieces if piece.confidence >= 70 and piece.direction != "to_device"]
    others = {address for piece in sure if (address := _address(piece)) is not None} - {asked.address}
    if not others:
        return None
    names = ", ".join(f"0x{address:02X}" for address in sorted(others))
    return Finding(
        "other-address",
        f"nothing from address 0x{asked.address:02X}, but {names} answers on this wire",
        f"use --address {names.split(',')[0]}, or set the head's address",
    )


def _address(piece: Piece) -> int | None:
    value = next((field.value for field in piece.fields if field.name == "address"), None)
    return value if isinstance(value, int) else None


def _damaged(asked: Asked, traffic: Traffic) -> Finding | None:
    size = len(traffic.received)
    if not traffic.damaged or 100 * traffic.damaged < DAMAGED_PERCENT * size:
        return None
    return Finding(
        "line-settings",
        f"{traffic.damaged} of {size} characters came with parity or framing errors at {asked.serial}",
        "wrong baud rate or parity: try --scan, or the settings of the device's own menu",
    )


def _parity_inside(asked: Asked, pieces: Sequence[Piece]) -> Finding | None:
    if not any("7 data bits" in piece.problem for piece in pieces):
        return None
    return Finding(
        "line-settings",
        f"the bytes carry parity bits: the device sends 7 data bits, we read {asked.serial}",
        "add --data-bits 7 with --parity odd or even",
    )


def _another_protocol(asked: Asked, table: Sequence[Likeness]) -> Finding | None:
    best = table[0] if table else None
    if best is None or best.protocol == asked.protocol or best.percent < LIKELY - 15:
        return None
    own = next((one.percent for one in table if one.protocol == asked.protocol), 0)
    if own * 2 >= best.percent:
        return None
    return Finding(
        "other-protocol",
        f"bytes come, but not {asked.protocol}: these bytes look like {best.protocol}",
        f"try --protocol {best.protocol}",
    )


def _bad_checks(pieces: Sequence[Piece]) -> Finding | None:
    bad = sum(piece.check == "bad" for piece in pieces)
    good = sum(piece.check == "ok" for piece in pieces)
    if not bad:
        return None
    return Finding(
        "checksum",
        f"{bad} of {bad + good} frames came with a wrong checksum",
        "noise, a second master on the wire, missing termination or a loose contact; check shield and ground",
    )


def _uniform(asked: Asked, received: bytes) -> Finding | None:
    extreme = received.count(0) + received.count(0xFF)
    if 100 * extreme < UNIFORM_PERCENT * len(received):
        return None
    return Finding(
        "line-settings",
        f"almost only 00 and FF came at {asked.serial}",
        "wrong baud rate, A and B swapped, or no bias on the wire: try --scan, then swap the two wires",
    )


def _half_understood(asked: Asked, pieces: Sequence[Piece]) -> Finding | None:
    sound = [piece for piece in pieces if piece.confidence >= 60]
    if not sound:
        return None
    return Finding(
        "incomplete",
        f"the device speaks {asked.protocol} ({len(sound)} frames) but did not tell all in time",
        "give it more time with --timeout 30s; see the frames with --json or --record FILE",
    )


def _nothing_decodes(asked: Asked) -> Finding:
    fix = "the serial server's baud rate and parity" if asked.is_socket else "baud rate and parity (try --scan)"
    return Finding(
        "not-decodable",
        f"bytes came at {asked.serial}, but none of them decode as {asked.protocol} or another known protocol",
        f"wrong {fix}, or a protocol without a driver: record it with forecourt device tap",
    )
