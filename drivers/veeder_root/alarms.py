"""Standing alarms of a console, put together from 205 (tanks, now) and 101 (all, also unacknowledged).

Knows which of the two is believed for what. Knows no wire.
"""

from __future__ import annotations

from drivers.readings import GaugeAlarm, GaugeAlarms
from drivers.veeder_root.display import StatusRow
from drivers.veeder_root.layouts import Alarm, TankAlarms
from drivers.veeder_root.tables import PROBE_LOST, TANK, alarm_text


class Alarms:
    """Latest answers to 205 and 101. Tank alarms of 101 count only where 205 is refused: 205 is what stands now."""

    def __init__(self) -> None:
        self._by_tank: dict[int, tuple[int, ...]] | None = None
        self._texts: dict[int, tuple[str, ...]] = {}
        self._standing: tuple[Alarm, ...] | None = None

    @property
    def known(self) -> bool:
        """Whether either report has been answered."""
        return self._by_tank is not None or self._standing is not None

    def forget(self) -> None:
        """Forget all: nothing is known until the console is asked again."""
        self._by_tank, self._standing = None, None
        self._texts.clear()

    def take_tanks(self, records: tuple[TankAlarms, ...]) -> None:
        """Keep a computer-format 205 reply; tanks asked one by one are added to each other."""
        self._by_tank = {**(self._by_tank or {}), **{record.tank: record.numbers for record in records}}

    def take_rows(self, rows: tuple[StatusRow, ...]) -> None:
        """Keep a display-format 205 reply."""
        self._by_tank = {**(self._by_tank or {}), **{row.tank: row.numbers for row in rows}}
        self._texts.update({row.tank: row.others for row in rows})

    def take_standing(self, records: tuple[Alarm, ...]) -> None:
        """Keep a 101 reply."""
        self._standing = records

    def lost(self, tank: int) -> frozenset[int]:
        """Return the alarms of ``tank`` that make its level invalid (08 invalid fuel level, 09 probe out)."""
        if self._by_tank is not None:
            numbers = set(self._by_tank.get(tank, ()))
        else:
            numbers = {alarm.number for alarm in self._standing or () if (alarm.category, alarm.device) == (TANK, tank)}
        return PROBE_LOST & numbers

    def level(self, gauge: str) -> GaugeAlarms:
        """Return all alarms standing now, in the order of their identity (category, number, device)."""
        found = {}
        for alarm in self._standing or ():
            if alarm.category != TANK or self._by_tank is None:
                found[alarm.category, alarm.number, alarm.device] = alarm_text(alarm.category, alarm.number)
        for tank, numbers in (self._by_tank or {}).items():
            for number in numbers:
                found[TANK, number, tank] = alarm_text(TANK, number)
        for tank, texts in self._texts.items():
            if texts:  # the console's own words, which the table does not know: one entry, number 0
                found[TANK, 0, tank] = "; ".join(texts)
        return GaugeAlarms(gauge, tuple(GaugeAlarm(*identity, text) for identity, text in sorted(found.items())))
