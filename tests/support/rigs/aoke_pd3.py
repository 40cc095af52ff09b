"""The contract suite's knowledge of the Aoke PD-3: a simulated gauge that tells records of alarms and no level."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping

from drivers.errors import FrameRejected
from drivers.pd3.codec import replies
from drivers.readings import DeviceStatus, GaugeHistory, Quality, TankReading
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.pd3_gauge import Pd3Gauge
from tests.support.mutation import Wording, substrings
from tests.support.rigs.base import Rig
from tests.support.rigs.gauge_line import GAUGE, GaugeLineSubject

WATER_UM = 60_000
EXAMPLE = "0103020207D50A060A1C01000E0107D50A060A1D0B000E491B"
EMPTY = "01030020F0"
Event = tuple[int, int, str]


class Pd3Subject(GaugeLineSubject):
    """High water stands in tank 2."""

    protocol = "aoke-pd3"
    options: Mapping[str, object] = {"experimental": True}

    @property
    def wording(self) -> Wording:
        return Wording((bytes.fromhex(EXAMPLE), bytes.fromhex(EMPTY)), decode, oracle)

    def station(self) -> ForecourtConfig:
        made = super().station()
        first, second, *others = made.tanks
        return dataclasses.replace(made, tanks=(first, dataclasses.replace(second, water_um=WATER_UM), *others))

    def lies(self, rig: Rig) -> list[str]:
        """Any value of a tank, and records that the gauge does not have."""
        wrong = [f"{r}" for r in rig.of(TankReading) if r.quality is not Quality.NO_READING or r.volume_ml is not None]
        return wrong + [f"{event}" for told in rig.of(GaugeHistory) for event in events(told) - self.truth(rig)]

    def reads_the_truth(self, rig: Rig) -> None:
        """The records are those of the gauge, and every tank was told to have no reading."""
        lost = [at for at, (_, news) in enumerate(rig.seen) if isinstance(news, DeviceStatus) and not news.online]
        since = lost[-1] + 1 if lost else 0

        def fresh() -> set[int]:
            return {news.gauge_index for _, news in rig.seen[since:] if isinstance(news, TankReading)}

        rig.until(lambda: fresh() == set(self.tanks), 60)
        told = rig.of(GaugeHistory)[-1]
        assert events(told)
        assert events(told) == self.truth(rig)

    def truth(self, rig: Rig) -> set[Event]:
        """The records of the gauge."""
        gauge = rig.forecourt.bus(GAUGE)
        assert isinstance(gauge, Pd3Gauge)
        return {(tank, code, at.isoformat()) for tank, at, code in gauge.records}


def events(history: GaugeHistory) -> set[Event]:
    """A history as (tank, code, time)."""
    return {(event.device, event.number, event.time) for event in history.events}


def decode(data: bytes) -> list[Hashable]:
    """What the driver's codec takes for replies."""
    try:
        found = replies(data)
    except FrameRejected:
        return []
    return [tuple((record.tank, record.code, record.time) for record in reply.records) for reply in found]


def oracle(data: bytes) -> set[Hashable]:
    """Every reply that stands anywhere in the bytes, of either length."""
    found: set[Hashable] = set()
    for frame in substrings(data, 5, 5 + 10 * 8):
        count = frame[2]
        size = (len(frame) - 5) // count if count else 0
        if frame[:2] != b"\x01\x03" or len(frame) != 5 + size * count or (count and size not in {9, 10}) or crc(frame):
            continue
        parts = [frame[3 + n * size : 3 + (n + 1) * size] for n in range(count)]
        found.add(tuple((part[0], int.from_bytes(part[-2:], "big"), time(part[1:-2])) for part in parts))
    return found


def time(raw: bytes) -> str:
    """A time as the gauge tells it; what is no date, in hexadecimal."""
    year = int.from_bytes(raw[:-5], "big") + (2000 if len(raw) == 6 else 0)
    month, day, hour, minute, second = raw[-5:]
    last = 31 - (month in {4, 6, 9, 11}) - (month == 2) * (2 + (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)))
    ok = 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= last and hour < 24 and minute < 60 and second < 60
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}" if ok else raw.hex().upper()


def crc(data: bytes) -> int:
    """CRC-16/MODBUS over a frame with its own at the end: zero when it is right."""
    register = 0xFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        register = register >> 1 ^ (0xA001 if (register ^ bit) & 1 else 0)
    return register


SUBJECT = Pd3Subject()
