"""Looking for devices: harmless questions to every address with every usual line setting, until something answers.

Bounded: each question waits once, each setting once. Knows no protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.field.decoding import decode
from agent.field.recording import Chunk
from agent.field.traffic import Traffic, open_traced
from drivers import registry
from drivers.config import LineConfig, SerialSettings
from drivers.dissection import FieldKit, Piece
from drivers.errors import WiringError
from drivers.port import EVDEV, PCSC, Port

SOUND = 60
GAP_S = 0.05  # silence inside an answer
MAX_ANSWER = 64 * 1024
SETTLE_S = 0.03


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered: where, with which settings, in which words."""

    address: int | None
    serial: str
    answer: str
    settings: SerialSettings


def describe(port: str, settings: SerialSettings) -> str:
    """Line settings as people write them: ``9600 8O1``; a socket has none."""
    if port.startswith(PCSC):
        return "a reader of the PC/SC service"
    if port.startswith(EVDEV):
        return "an input device"
    if "://" in port:
        return "the serial server's settings"
    parity = str(settings.parity or "none")[:1].upper()
    return f"{settings.baudrate} {settings.data_bits}{parity}{settings.stop_bits}"


def scan(
    protocol: str,
    port: str,
    given: SerialSettings,
    traffic: Traffic,
    address: int | None = None,
    *,
    progress: Callable[[str], None] = lambda _text: None,
) -> list[Found]:
    """Return what answers with the first line setting that anything answers with; empty when nothing does.

    Parts of ``given`` that are set are kept; with ``address`` only that one is tried.
    Raises ``PortLost`` and ``WiringError``.
    """
    driver = registry.spec(protocol)
    kit = registry.field_kit(driver)
    if kit is None or not kit.probes(kit.addresses.start):
        raise WiringError(
            f"a {protocol} device is never asked, so it cannot be searched",
            hint="run forecourt device read without --scan and use the device meanwhile",
        )
    for settings in _settings(kit, port, given, driver.serial_defaults):
        shown = describe(port, settings)
        progress(shown)
        config = LineConfig("device", port, protocol, settings)
        wire = open_traced(config, driver.serial_defaults, traffic)
        try:
            found = [
                Found(one if len(kit.addresses) > 1 else None, shown, pieces[0].summary, settings)
                for one in (kit.addresses if address is None else (address,))
                if (pieces := _first(wire, kit, one))
            ]
        finally:
            wire.close()
        if found:
            return found
    return []


def answers(port: Port, kit: FieldKit, question: bytes) -> list[Piece]:
    """Put one question; the sound pieces that came back and are not its echo. Raises ``PortLost``."""
    port.discard()
    port.write(question)
    data = port.read(4096, kit.probe_wait_s)
    gap_s = max(GAP_S, kit.probe_wait_s / 4)
    while data and len(data) < MAX_ANSWER:
        pieces = _sound(data.removeprefix(question), kit)
        more = b"" if any(piece.check == "ok" for piece in pieces) else port.read(4096, gap_s)
        if not more:
            return pieces
        data += more
    return _sound(data.removeprefix(question), kit)


def _sound(data: bytes, kit: FieldKit) -> list[Piece]:
    """What a device said in ``data``, damaged pieces and our own left out."""
    pieces = [one.piece for one in decode([Chunk(0, "b", data)] if data else [], kit)]
    return [
        piece
        for piece in pieces
        if piece.confidence >= SOUND and piece.check != "bad" and piece.direction != "to_device"
    ]


def _first(port: Port, kit: FieldKit, address: int) -> Sequence[Piece]:
    for question in kit.probes(address):
        port.pause(SETTLE_S)
        pieces = answers(port, kit, question)
        if pieces:
            return [piece for piece in pieces if len(kit.addresses) == 1 or _is_from(piece, address)]
    return []


def _is_from(piece: Piece, address: int) -> bool:
    return any(field.name == "address" and field.value == address for field in piece.fields)


def _settings(kit: FieldKit, port: str, given: SerialSettings, defaults: SerialSettings) -> Iterator[SerialSettings]:
    """What to try: the protocol's own settings first; through a serial server only one, its own."""
    guesses = [(defaults.baudrate, defaults.data_bits, defaults.parity, defaults.stop_bits), *kit.serial_guesses]
    tried = set()
    for baudrate, data_bits, parity, stop_bits in guesses[:1] if "://" in port else guesses:
        settings = SerialSettings(
            given.baudrate or baudrate,
            given.data_bits or data_bits,
            given.parity or parity,
            given.stop_bits or stop_bits,
        )
        if settings not in tried:
            tried.add(settings)
            yield settings
