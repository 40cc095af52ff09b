"""Words for taking bytes of a wire apart for a person: pieces, fields, and what a protocol brings for the field tools.

Knows no protocol, no port and no clock. Every byte of the input stands in exactly one field of exactly one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["to_device", "from_device"] | None
Check = Literal["ok", "bad", "missing", "none"]
"""``missing``: this kind of frame has a checksum and this one came without; ``none``: it never has one."""

Value = int | str | None


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``value`` is ``None`` where the bytes mean nothing; ``framing``: of interest only to the curious."""

    offset: int
    raw: bytes
    name: str
    value: Value = None
    unit: str = ""
    meaning: str = ""
    framing: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """One frame, or a run of bytes that is none. ``fields`` joined are ``raw``, pieces joined are the input.

    ``confidence``: 0 to 100, how sure it is that these bytes are of this protocol. ``problem``: why it is not as it
    should be, empty when it is. ``check_given``/``check_computed``: the checksum in hex, empty where there is none.
    """

    offset: int
    raw: bytes
    kind: str
    direction: Direction = None
    fields: tuple[Field, ...] = ()
    check: Check = "none"
    check_given: str = ""
    check_computed: str = ""
    problem: str = ""
    confidence: int = 0

    @property
    def summary(self) -> str:
        """One line: what it says, framing left out."""
        told = [
            f"{f.name} {f.meaning or ('-' if f.value is None else f.value)}".strip()
            for f in self.fields
            if not f.framing
        ]
        shown = "; ".join(told)
        return f"{self.kind}: {shown}" if shown else self.kind


Dissect = Callable[[bytes, Direction], list[Piece]]


@dataclass(frozen=True, slots=True)
class FieldKit:
    """What a protocol brings for ``forecourt device``. A driver names it in ``DriverSpec.field_kit``.

    ``dissect`` never raises. ``probes(address)``: questions that change nothing in a device, in the order to try them;
    empty for a device that is never asked. ``addresses``: those a search may try. ``attempts(timeout_s)``: options of
    the line to read with, one after the other until the device answers. ``serial_guesses``: (baud rate, data bits,
    parity, stop bits) found in the field, most likely first. ``silence``: what else silence means with this protocol.
    """

    dissect: Dissect
    probes: Callable[[int], Sequence[bytes]] = lambda _address: ()
    addresses: range = range(1)
    probe_wait_s: float = 0.2
    attempts: Callable[[float], Sequence[Mapping[str, object]]] = lambda _timeout_s: ({},)
    serial_guesses: tuple[tuple[int, int, str, int], ...] = ()
    silence: str = ""


class Short(Exception):
    """The bytes end inside a field."""


@dataclass(slots=True)
class Cutting:
    """Cuts named fields from the left. ``wire``: the bytes as sent, one item for each byte of ``plain``.

    The two differ where a protocol escapes bytes or a line adds parity.
    """

    plain: bytes
    wire: Sequence[bytes]
    offset: int
    at: int = 0
    fields: list[Field] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many bytes are not cut yet."""
        return len(self.plain) - self.at

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes without cutting them; raises ``Short``."""
        if size > self.left:
            raise Short
        return self.plain[self.at : self.at + size]

    def add(
        self, size: int, name: str, value: Value = None, unit: str = "", meaning: str = "", *, framing: bool = False
    ) -> bytes:
        """Cut ``size`` bytes as one field and return them; raises ``Short``."""
        taken = self.peek(size)
        raw = b"".join(self.wire[self.at : self.at + size])
        self.fields.append(Field(self.offset, raw, name, value, unit, meaning, framing))
        self.at += size
        self.offset += len(raw)
        return taken

    def rest(self, name: str, meaning: str) -> None:
        """Cut whatever is left as one field, if anything is."""
        if self.left:
            self.add(self.left, name, None, "", meaning)


def unread(data: bytes, offset: int, problem: str, confidence: int = 0) -> Piece:
    """Return a piece of bytes that are no frame, and why."""
    return Piece(offset, data, "bytes", None, (Field(offset, data, "bytes"),), problem=problem, confidence=confidence)


def singles(data: bytes) -> list[bytes]:
    """Return ``data`` as the ``wire`` of a cutting without escapes."""
    return [data[at : at + 1] for at in range(len(data))]
