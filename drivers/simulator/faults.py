"""Faults by name: what each does, where it is applied, when it comes by itself; and the board that says what holds now.

Pure: time is the simulated clock in ms, chance comes from the seed. Faults of processes, brokers and disks live
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType


class UnknownFault(ValueError):
    """No fault of that name; the message lists those that exist."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``scope``: pump | line | gauge | scanner, i.e. what a target names (point, line, tank, reader).

    ``lasts_s`` > 0: holds so many seconds **on the wire** (they are scaled by the speed). ``lasts_s`` = 0: strikes
    ``times``
    opportunities and is used up. ``again_s``: when scheduled by name it comes again after so many wire seconds, 0 =
    once.
    ``at_start``: only makes sense before the first reading, so a scheduled one strikes at time zero.
    """

    name: str
    scope: str
    where: str
    description: str
    lasts_s: float = 0
    times: int = 1
    again_s: float = 0
    at_start: bool = False


_ALL = (
    Fault("pump-silent", "pump", "pump reply", "the pump answers nothing at all", lasts_s=10, again_s=0),
    Fault("pump-babbles", "pump", "pump reply", "the pump answers every frame with 48 random bytes", lasts_s=8),
    Fault(
        "pump-restart",
        "pump",
        "pump head",
        "processor reset mid-fuelling: display, prices and numbering lost, totals kept",
    ),
    Fault(
        "totals-unreadable", "pump", "pump head", "requests for totals are acknowledged and never answered", lasts_s=10
    ),
    Fault("totalizer-rollover", "pump", "pump head", "counters stand 5 L before 10^10 and roll over", at_start=True),
    Fault("meter-replaced", "pump", "pump head", "between two sales a counter is replaced by one that stands lower"),
    Fault("lost-reply", "pump", "pump reply", "a reply is lost on its way to the master", times=2, again_s=3),
    Fault(
        "lost-ack",
        "pump",
        "pump input",
        "the master's ACK does not reach the pump, so the block comes again",
        times=2,
        again_s=3,
    ),
    Fault("bad-crc", "pump", "pump reply", "one bit of a data block is flipped", times=2, again_s=3),
    Fault(
        "swapped-digits",
        "pump",
        "pump reply",
        "two digits of a Two-Wire block change places, which its check does not see",
        times=1,
        again_s=3,
    ),
    Fault(
        "slow-state", "pump", "pump head", "RESET and AUTHORIZE are acknowledged and take effect 1 s later", lasts_s=15
    ),
    Fault(
        "reset-ignored-while-hung",
        "pump",
        "pump head",
        "RESET is acknowledged and ignored while the nozzle hangs",
        lasts_s=600,
    ),
    Fault("one-silent-poll", "pump", "pump reply", "the pump stays silent once at each change of state", lasts_s=600),
    Fault("slow-device", "pump", "pump reply", "every reply comes 80 ms late but inside the reply window", lasts_s=20),
    Fault(
        "late-answer",
        "pump",
        "pump reply",
        "a reply comes 250 ms late, when another address is being asked",
        times=2,
        again_s=4,
    ),
    Fault("wrong-address", "pump", "pump reply", "an intact reply carries the next address", times=2, again_s=4),
    Fault(
        "duplicate-address",
        "pump",
        "pump reply",
        "a second device with the same address answers at the same time",
        lasts_s=8,
    ),
    Fault("echo", "line", "dispenser line", "the line echoes every byte of the master before the reply", lasts_s=8),
    Fault(
        "noise",
        "line",
        "dispenser line",
        "random bytes come before a reply and a data block is damaged",
        times=2,
        again_s=4,
    ),
    Fault("half-frames", "pump", "pump reply", "a reply is cut in the middle", times=2, again_s=3),
    Fault("cable-pulled", "line", "port", "the port vanishes and comes back after three seconds", lasts_s=3),
    Fault("cable-renamed", "line", "port", "the port vanishes and comes back at once as another device", times=1),
    Fault("gauge-silent", "gauge", "console", "the console answers nothing", lasts_s=15),
    Fault("probe-out", "gauge", "console", "a probe is out: alarm 09, invalid height, '?' for digits", lasts_s=12),
    Fault(
        "gauge-frozen", "gauge", "console", "the values of a tank stand still while it is being drawn from", lasts_s=600
    ),
    Fault("water-spike", "gauge", "console", "the water height of a tank jumps by 80 mm", lasts_s=6),
    Fault("units-changed", "gauge", "console", "somebody switches the console from metric to US units", lasts_s=600),
    Fault("gauge-clock-drift", "gauge", "console", "the clock of the console is 17 minutes ahead", lasts_s=600),
    Fault("gauge-wrong-century", "gauge", "console", "the clock of the console has fallen back to 1988", lasts_s=600),
    Fault("gauge-reply-cut", "gauge", "console", "a long reply of the console is cut off", times=2, again_s=5),
    Fault("gauge-bad-checksum", "gauge", "console", "a bit of a reply is another one", times=2, again_s=5),
    Fault("gauge-question-marks", "gauge", "console", "a tank's record is filled with '?'", lasts_s=8),
    Fault("scanner-noise", "scanner", "reader", "control bytes and half a code come before a scan", times=3, again_s=3),
    Fault(
        "scanner-unplugged",
        "scanner",
        "port",
        "the reader's port vanishes and comes back after three seconds",
        lasts_s=3,
    ),
    Fault(
        "shave-volume",
        "pump",
        "pump head",
        "planted fraud: a meter counts 200 ml less than flowed, display and total alike",
    ),
)
SIMULATOR_FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _ALL})

_MODBUS = (
    Fault("wrong-map", "pump", "pump reply", "a Modbus device answers with exception 2: no such register", lasts_s=10),
    Fault("device-failure", "pump", "pump reply", "a Modbus device answers with exception 4", times=2, again_s=4),
    Fault("device-busy", "pump", "pump reply", "a Modbus device answers with exception 6", times=2, again_s=4),
    Fault("words-swapped", "pump", "pump reply", "a Modbus device sends the low word of a value first", lasts_s=600),
    Fault("gauge-link-lost", "gauge", "console", "the Modbus card of a gauge has lost the gauge", lasts_s=12),
    Fault("gauge-scan-suspended", "gauge", "console", "somebody is in the set-up menu of the gauge", lasts_s=12),
)
PROTOCOL_FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _MODBUS})
"""Faults that only one protocol knows: for its tests and training, not offered by the demonstration."""

# units of 10 ml
SHAVED_UNITS = 20
ROLLOVER_MARGIN_UNITS = 500
SLOW_STATE_S = 1.0
SLOW_REPLY_MS = 80
LATE_REPLY_MS = 250


def check_fault(name: str) -> Fault:
    """The fault of that name; ``UnknownFault`` lists the names when there is none."""
    fault = SIMULATOR_FAULTS.get(name) or PROTOCOL_FAULTS.get(name)
    if fault is None:
        raise UnknownFault(f"unknown simulator fault {name!r}; known are: {', '.join(sorted(SIMULATOR_FAULTS))}")
    return fault


@dataclass(slots=True)
class _Standing:
    """``until_ms`` ``None`` = until cleared; ``left`` ``None`` = not counted."""

    until_ms: int | None
    left: int | None


@dataclass(frozen=True, slots=True)
class Strike:
    """A scheduled fault is due now; the forecourt chooses the target and injects it."""

    fault: Fault
    t_ms: int


class FaultBoard:
    """What is wrong now. A target is a point number, tank number, line or reader name; ``None`` = all of that scope."""

    def __init__(self, seed: int, speed: float = 1.0) -> None:
        self.rng = Random(f"faults:{seed}")
        self.speed = speed
        self.now_ms = 0
        self._standing: dict[tuple[str, int | str | None], _Standing] = {}
        self._known: set[str] = set()  # names that have stood, whether or not they still do
        self._schedule: list[Strike] = []

    def inject(
        self, name: str, target: int | str | None = None, *, times: int | None = None, for_s: float | None = None
    ) -> None:
        """Make it hold: ``times`` opportunities or ``for_s`` wire seconds (defaults of the table; ``for_s=0`` = until
        cleared).
        """
        fault = check_fault(name)
        lasts_s = fault.lasts_s if for_s is None else for_s
        counted = times is not None or (fault.lasts_s == 0 and for_s is None)
        left = (times if times is not None else fault.times) if counted else None
        until = None if counted or lasts_s == 0 else self.now_ms + self.wire_ms(lasts_s)
        self._standing[(name, target)] = _Standing(until, left)
        self._known.add(name)

    def clear(self, name: str | None = None) -> None:
        """End one fault on all its targets, or every fault (scheduled repetitions too)."""
        for key in [key for key in self._standing if name is None or key[0] == name]:
            del self._standing[key]
        self._schedule = [] if name is None else [s for s in self._schedule if s.fault.name != name]

    def schedule(self, name: str) -> None:
        """Let it come by itself: first after 8-12 wire seconds by the seed (``at_start`` at once), then every
        ``again_s``.
        """
        fault = check_fault(name)
        first_s = 0.0 if fault.at_start else self.rng.uniform(8, 12)
        self._schedule.append(Strike(fault, self.wire_ms(first_s)))

    def due(self, now_ms: int) -> list[Strike]:
        """Moves the board's clock and takes the strikes that have come due."""
        self.now_ms = max(self.now_ms, now_ms)
        strikes = [strike for strike in self._schedule if strike.t_ms <= self.now_ms]
        for strike in strikes:
            self._schedule.remove(strike)
            if strike.fault.again_s:
                self._schedule.append(Strike(strike.fault, self.now_ms + self.wire_ms(strike.fault.again_s)))
        return strikes

    @property
    def is_clear(self) -> bool:
        """Whether nothing is wrong: no fault stands, on any target."""
        return not self._standing

    @property
    def is_lasting(self) -> bool:
        """Whether a fault stands that ends by time or by hand, not by having struck so often."""
        return any(standing.left is None for standing in self._standing.values())

    def active(self, name: str, target: int | str) -> bool:
        """Whether it holds for this target now; uses nothing up."""
        return self._find(name, target) is not None

    def hit(self, name: str, target: int | str) -> bool:
        """As ``active``, and uses up one opportunity of a counted fault."""
        key = self._find(name, target)
        if key is None:
            return False
        standing = self._standing[key]
        if standing.left is not None:
            standing.left -= 1
            if standing.left <= 0:
                del self._standing[key]
        return True

    def wire_ms(self, seconds: float) -> int:
        """Seconds on the wire as simulated milliseconds."""
        return round(seconds * 1000 * self.speed)

    def _find(self, name: str, target: int | str) -> tuple[str, int | str | None] | None:
        if not self._standing or name not in self._known:  # nearly always, and every frame asks a dozen times
            return None
        for key in ((name, target), (name, None)):
            standing = self._standing.get(key)
            if standing is None:
                continue
            if standing.until_ms is not None and standing.until_ms <= self.now_ms:
                del self._standing[key]
                continue
            return key
        return None
