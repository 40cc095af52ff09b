"""One Modbus wire shared by its devices: the gap between telegrams, reply times, who may answer, what a refusal means.

Knows telegrams and the port's clock. Knows no map. What a device may do on the wire is which of the three handles it
has: ``ReadingWire`` cannot write at all, ``SelectingWire`` writes one register that picks a tank, ``WritingWire`` any.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from drivers.asked import Heard
from drivers.errors import DeviceRefused, DeviceSilent, DriverError, FrameRejected, WiringError
from drivers.modbus.codec import (
    Function,
    ReadRequest,
    Reply,
    ReplyDecoder,
    Request,
    Transport,
    WriteRequest,
    encode,
)
from drivers.port import Port

ACKNOWLEDGED, BUSY = 5, 6
NO_PATH, TARGET_SILENT = 10, 11
SILENT = frozenset({NO_PATH, TARGET_SILENT})
BUSY_TRIES = 3
BUSY_PAUSE_S = 0.2
FAST_BAUD = 19_200
FAST_GAP_S = 0.00175  # above 19200 baud the standard fixes the gap, because 3.5 characters would be too short
GAP_CHARACTERS = 3.5
READ_BYTES = 512
MAX_HEARD_BYTES = 1_024  # a wire that babbles costs one window, not the line
LAST_TRANSACTION = 0xFFFF
PROBE_WINDOW_S = 0.1  # for a device that is offline, so that a dead one costs the others little
SLOW_FACTOR = 1.5  # a device's own slowest answer times this is its probe window
SLOWEST_FADES = 0.95  # per answer, so that one hiccup of this PC does not count for ever
FULL_PROBE_EVERY = 32


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. ``reply_s``: from the end of the request to the end of the reply's first bytes.

    ``character_s``: one character on the wire, 0 on TCP. ``gap_s``: quiet before a request. ``in_frame_s``: silence
    that ends a broken reply; USB adapters hand bytes over in portions up to 16 ms apart.
    """

    reply_s: float
    character_s: float = 0.0
    gap_s: float = 0.0
    in_frame_s: float = 0.05


def serial_timing(reply_s: float, baudrate: int, bits_per_character: int) -> Timing:
    """The times of an RTU wire; the gap is 3.5 characters, 1.75 ms above 19200 baud."""
    character_s = bits_per_character / baudrate
    return Timing(reply_s, character_s, FAST_GAP_S if baudrate > FAST_BAUD else GAP_CHARACTERS * character_s)


def refusal(exception: int, what: str) -> DriverError:
    """What an exception means for people: ``WiringError``, ``DeviceRefused`` or ``DeviceSilent``, each with a hint."""
    told = f"{what}: exception {exception}"
    if exception in {1, 2, 3}:
        word = {1: "function", 2: "address", 3: "value"}[exception]
        return WiringError(
            f"{told} ({word} not allowed)", hint="this is not the device of the map: check map, version and unit"
        )
    if exception in SILENT:
        return DeviceSilent(f"{told} (the gateway gets no answer)", hint="check the device behind the gateway")
    if exception in {ACKNOWLEDGED, BUSY}:
        return DeviceRefused(f"{told} (busy)", hint="ask less often, or let no second master ask")
    return DeviceRefused(f"{told} (device failure)", hint="look at the device itself")


class Channel:
    """The wire of one line: one request at a time, its reply or what came instead. ``take_counts`` for people."""

    def __init__(self, transport: Transport, timing: Timing) -> None:
        self._transport: Transport = transport
        self._timing = timing
        self._busy_until: float | None = None
        self._transaction = 0
        self._decoder: ReplyDecoder | None = None
        self._counts: Counter[str] = Counter()
        self.first_byte_s = 0.0

    def forget(self) -> None:
        """The port was lost: nothing of the stream before counts."""
        self._busy_until = None
        self._decoder = None

    def take_counts(self) -> dict[str, int]:
        """What went wrong since the last call: ``frames_rejected.<reason>``, ``busy_replies``."""
        taken, self._counts = dict(self._counts), Counter()
        return taken

    def ask(self, port: Port, unit: int, request: Request, probe_s: float | None = None) -> Reply | Heard:
        """Put ``request`` and return its reply, refusals included. A device that says "busy" is asked three times.

        A write goes again only after "busy", which says that nothing was done; "acknowledge" says that it goes on.
        ``probe_s``: the device is offline, so it gets this window only, and noise ends the wait at once. Raises
        ``PortLost``. ``first_byte_s`` then holds how long the reply's first bytes took.
        """
        again = {BUSY} if isinstance(request, WriteRequest) else {ACKNOWLEDGED, BUSY}
        answer = self._ask_once(port, unit, request, probe_s)
        for _ in range(BUSY_TRIES if probe_s is None else 0):
            if isinstance(answer, Heard) or answer.exception not in again:
                break
            self._counts["busy_replies"] += 1
            port.pause(BUSY_PAUSE_S)
            answer = self._ask_once(port, unit, request, probe_s)
        return answer

    def reply_s(self) -> float:
        """The full reply window."""
        return self._timing.reply_s

    def _ask_once(self, port: Port, unit: int, request: Request, probe_s: float | None) -> Reply | Heard:
        self._transaction = 1 if self._transaction == LAST_TRANSACTION else self._transaction + 1
        raw = encode(self._transport, unit, request, self._transaction)
        self._wait_for_gap(port)
        fresh = ReplyDecoder(self._transport, unit, request, self._transaction)
        if self._transport == "rtu":
            if port.discard():
                self._counts["frames_rejected.late"] += 1
        elif self._decoder is not None:
            fresh.take_over(self._decoder)
        self._decoder = fresh
        port.write(raw)
        self._busy_until = port.monotonic() + len(raw) * self._timing.character_s
        return self._answer(port, fresh, self._busy_until, probe_s)

    def _wait_for_gap(self, port: Port) -> None:
        if self._busy_until is None:
            return
        wait_s = self._busy_until + self._timing.gap_s - port.monotonic()
        if wait_s > 0:
            port.pause(wait_s)

    def _answer(self, port: Port, decoder: ReplyDecoder, sent_s: float, probe_s: float | None) -> Reply | Heard:
        deadline = sent_s + (self._timing.reply_s if probe_s is None else probe_s)
        heard = 0
        while heard < MAX_HEARD_BYTES:
            data = port.read(READ_BYTES, max(0.0, deadline - port.monotonic()))
            if not data:
                break
            self._busy_until = port.monotonic()
            if not heard:
                self.first_byte_s = self._busy_until - sent_s
            heard += len(data)
            try:
                reply = decoder.feed(data)
            except FrameRejected:
                break
            if reply is not None:
                self._count(decoder)
                return reply
            if probe_s is not None:
                deadline = self._busy_until + self._timing.in_frame_s
            else:
                deadline = max(deadline, self._busy_until + self._timing.in_frame_s)
        decoder.end()
        self._count(decoder)
        return Heard.NOISE if heard else Heard.NOTHING

    def _count(self, decoder: ReplyDecoder) -> None:
        for reason, count in decoder.rejected.items():
            self._counts[f"frames_rejected.{reason}"] += count
        decoder.rejected.clear()


class ReadingWire:
    """One device's handle on the wire that can read, and nothing else."""

    def __init__(self, channel: Channel, unit: int) -> None:
        self._channel = channel
        self.unit = unit
        self._slowest_s: float | None = None
        self._probes = 0

    def read(self, port: Port, request: ReadRequest, *, probe: bool = False) -> Reply | Heard:
        """As ``Channel.ask``. ``probe``: the device is offline; it gets little more than its slowest answer took."""
        answer = self._channel.ask(port, self.unit, request, self._window() if probe else None)
        self._probes = self._probes + 1 if probe else 0
        if isinstance(answer, Reply):
            slowest_s = SLOWEST_FADES * (self._slowest_s or 0.0)
            self._slowest_s = max(self._channel.first_byte_s, slowest_s)
        return answer

    def _window(self) -> float:
        full_s = self._channel.reply_s()
        if self._slowest_s is None or self._probes % FULL_PROBE_EVERY == FULL_PROBE_EVERY - 1:
            return full_s
        return min(full_s, max(PROBE_WINDOW_S, SLOW_FACTOR * self._slowest_s))

    def take_counts(self) -> dict[str, int]:
        """As ``Channel.take_counts``."""
        return self._channel.take_counts()

    def forget(self) -> None:
        """As ``Channel.forget``."""
        self._channel.forget()


class SelectingWire(ReadingWire):
    """Reads, and writes the one register that picks which tank the next read is about."""

    def __init__(self, channel: Channel, unit: int, address: int) -> None:
        super().__init__(channel, unit)
        self._address = address

    def select(self, port: Port, tank: int) -> Reply | Heard:
        """Pick ``tank`` for the read that follows; as ``Channel.ask``."""
        return self._channel.ask(port, self.unit, WriteRequest(Function.WRITE_REGISTER, self._address, (tank,)))


class WritingWire(ReadingWire):
    """Reads, and writes what a command of the map says."""

    def write(self, port: Port, request: WriteRequest) -> Reply | Heard:
        """As ``Channel.ask``; without a reply nobody knows what was done, so nothing is sent again."""
        return self._channel.ask(port, self.unit, request)
