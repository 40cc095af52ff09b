"""A PN532 on a serial line as a reader of cards: wakes it, looks for a card, reads it once, waits until it is gone.

Codec + port -> CardTap. Knows no meaning of what a card says. Keeps no log and never shows an id or a message.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from drivers import options as own_options
from drivers.card import CardError, Dialogue, read_ndef
from drivers.commands import Command
from drivers.config import LineConfig, SerialSettings
from drivers.device import CodeReaderCapabilities, Device
from drivers.errors import WiringError
from drivers.pn532 import codec
from drivers.pn532.codec import Frame, FrameDecoder, Signal, Target
from drivers.port import Port
from drivers.readings import CardTap, CommandOutcome, DeviceStatus, Reading
from drivers.registry import DriverSpec
from drivers.unheard import Unheard

SERIAL_DEFAULTS = SerialSettings(baudrate=115_200, data_bits=8, parity="none", stop_bits=1)
CAPABILITIES = CodeReaderCapabilities(nfc=True)

WAKING = (codec.FIRMWARE, codec.NORMAL_MODE, codec.AUTOMATIC_RATS, codec.FEW_RETRIES)
TRIES = 3
"""How often a command is said again that nobody acknowledges, and how many silent commands are a lost chip."""

SILENCE_S = 0.02
"""So long a pause within a frame means that its end is lost."""

REST_S = 1.0
"""Between attempts to wake a chip that does not answer."""

CANCEL_PAUSE_S = 0.001
READ_SIZE = 300
EMPTY_LOOKS = 2
"""So many times without a card before it counts as taken away: one look may fail."""


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options of a PN532 line. ``ack``: how long it may take to acknowledge (some adapters need 1.5 s),
    ``answer``: to answer, ``poll_interval``: between two looks for a card.
    """

    ack_s: float = 0.1
    answer_s: float = 0.5
    poll_interval_s: float = 0.2


LIMITS = {"ack": (15, 2_000), "answer": (50, 5_000), "poll_interval": (50, 2_000)}


class _Silent(Exception):
    """The chip did not acknowledge, or did not answer."""


class Pn532:
    """One reader on its own wire; online once it has told its firmware."""

    capabilities = CAPABILITIES

    def __init__(self, config: LineConfig) -> None:
        self.device_id = f"reader:{config.reader}"
        self._reader = config.reader
        self._options = own_options.read(Options, LIMITS, config.options)
        self._decoder = FrameDecoder()
        self._commands = Unheard(self.device_id)
        self._counts: Counter[str] = Counter()
        self._online = False
        self._was_online = False
        self._awake = 0
        self._silent = 0
        self._lies: bytes | None = None
        self._missed = 0
        self._due_s = 0.0
        self._kept: deque[Frame | Signal] = deque()

    def turn(self, port: Port) -> Sequence[Reading]:
        """One step of waking up, or one look for a card and, where there is a new one, the talk with it."""
        if self._commands:
            return self._commands.end(CommandOutcome.REFUSED, "a card reader takes no commands")
        try:
            readings = self._look(port) if self._awake == len(WAKING) else self._wake(port)
        except _Silent:
            return self._unanswered()
        self._silent = 0
        self._due_s = 0.0 if self._awake < len(WAKING) else self._options.poll_interval_s
        return readings

    def due_in_s(self) -> float:
        """Return the time until the next look for a card, 0 while it is being woken."""
        return 0.0 if self._commands else self._due_s

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        self._commands.submit(command)

    def reset(self) -> Sequence[Reading]:
        """The port is gone or new: the chip is woken again, a card that still lies there is read again."""
        self._decoder.reset()
        self._awake = self._silent = self._missed = 0
        self._lies = None
        self._due_s = 0.0
        readings: list[Reading] = self._commands.end(CommandOutcome.UNKNOWN, "the port was lost")
        return readings + self._gone("port lost", "check the reader's cable and power")

    def counters(self) -> Mapping[str, int]:
        """What went wrong since the process began: damaged frames, silent commands, cards that did not finish."""
        return dict(self._counts)

    def _wake(self, port: Port) -> list[Reading]:
        if self._awake == 0:
            port.discard()
            self._decoder.reset()
            port.write(codec.WAKE_UP)
        self._ask(port, WAKING[self._awake])
        self._awake += 1
        if self._awake < len(WAKING) or self._online:
            return []
        status = DeviceStatus(self.device_id, online=True, gap=self._was_online)
        self._online = self._was_online = True
        return [status]

    def _look(self, port: Port) -> list[Reading]:
        if self._lies is not None:
            self._ask(port, codec.RELEASE_ALL)
        try:
            found = codec.targets(self._ask(port, codec.LIST_ONE_CARD))
        except codec.BodyError:
            self._counts["frames_rejected.layout"] += 1
            return []
        if not found:
            self._missed += 1
            if self._missed >= EMPTY_LOOKS:
                self._lies = None
            return []
        self._missed = 0
        if found[0].uid == self._lies:
            return []
        if len(found) > 1:
            self._counts["taps_failed.several_cards"] += 1
            return []
        return self._tapped(port, found[0])

    def _tapped(self, port: Port, card: Target) -> list[Reading]:
        """Talk with a new card; a talk that breaks off is no tap, and the card is read again while it lies there."""
        try:
            ndef = self._read(port, read_ndef()) if card.ats else None
        except CardError as failure:
            self._counts[f"taps_failed.{failure.reason}"] += 1
            return []
        self._lies = card.uid
        return [CardTap(self._reader, card.uid, ndef)]

    def _read(self, port: Port, dialogue: Dialogue) -> bytes | None:
        apdu = next(dialogue)
        while True:
            try:
                error, more, answer = codec.answered(self._ask(port, codec.exchange(apdu)))
            except codec.BodyError as failure:
                raise CardError("layout") from failure
            if error or more:
                raise CardError("card_gone" if error else "more_follows")
            try:
                apdu = dialogue.send(answer)
            except StopIteration as end:
                message: bytes | None = end.value
                return message

    def _ask(self, port: Port, body: bytes) -> bytes:
        """Say a command and return its answer without the code. Raises _Silent."""
        frame = codec.encode(body)
        self._kept.clear()
        for _ in range(TRIES):
            port.write(frame)
            if self._acknowledged(port, frame):
                return self._answer(port, body[0] + 1)
        self._counts["silent.no_ack"] += 1
        raise _Silent

    def _acknowledged(self, port: Port, frame: bytes) -> bool:
        for what in self._heard(port, self._options.ack_s):
            if what is Signal.ACK:
                return True
            if what is Signal.NACK:
                port.write(frame)
        return False

    def _answer(self, port: Port, code: int) -> bytes:
        for what in self._heard(port, self._options.answer_s):
            if what is Signal.ERROR:
                self._counts["frames_rejected.syntax"] += 1
                break
            if isinstance(what, Frame) and what.direction == codec.FROM_CHIP and what.data[:1] == bytes((code,)):
                return what.data[1:]
        port.write(codec.ACK_BYTES)  # the host's acknowledgement cancels the command
        port.pause(CANCEL_PAUSE_S)
        self._counts["silent.no_answer"] += 1
        raise _Silent

    def _heard(self, port: Port, wait_s: float) -> Iterator[Frame | Signal]:
        """Yield what arrives until ``wait_s`` are over; a pause within a frame drops it."""
        until_s = port.monotonic() + wait_s
        while True:
            while self._kept:  # an answer often comes together with its acknowledgement
                what = self._kept.popleft()
                if what is Signal.REJECTED:
                    self._counts["frames_rejected.check"] += 1
                yield what
            left_s = until_s - port.monotonic()
            if left_s <= 0:
                return
            data = port.read(READ_SIZE, min(left_s, SILENCE_S) if self._decoder.partial else left_s)
            self._kept.extend(self._decoder.feed(data) if data else self._decoder.reset())

    def _unanswered(self) -> list[Reading]:
        self._silent += 1
        self._due_s = self._options.poll_interval_s
        if self._silent < TRIES:
            return []
        self._silent = self._awake = 0
        self._due_s = REST_S
        self._decoder.reset()
        return self._gone("silent", "check power and cable of the reader, and that it is set to HSU (serial)")

    def _gone(self, reason: str, hint: str) -> list[Reading]:
        if not self._online:
            return []
        self._online = False
        return [DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint)]


def make_devices(config: LineConfig) -> list[Device]:
    """Return the one reader of ``config``; raises ``WiringError`` without a reader id or with wrong options."""
    if not config.reader:
        raise WiringError(f"line {config.id!r} has no reader", hint="give the line the id of its reader")
    return [Pn532(config)]


SPEC = DriverSpec(
    protocol="pn532",
    kind="code-reader",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=partial(own_options.check, Options, LIMITS),
    make_devices=make_devices,
    capabilities=CAPABILITIES,
)
