"""The pipeline itself: one item, one step, at most one commit, then its consequences.

Pure decisions live in the domain, thread shells around this class. If a step fails for any reason but a person's wish,
memory and database may disagree: the exception goes up and the process starts again from the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from agent.clock import Clock, read
from agent.domain import link_memory
from agent.domain import link_records as links
from agent.domain import point_events as events
from agent.domain.alerts import DeviceAlerts
from agent.domain.alerts import restore as restore_alerts
from agent.domain.identity import index_version
from agent.domain.instant import Now
from agent.failpoints import failpoint
from agent.ids import RandomBits
from agent.inbox import (
    AlertFound,
    Asked,
    AuditDue,
    Audited,
    FraudLooked,
    FromHeadOffice,
    FromLine,
    FromStorage,
    Item,
    MembersCompared,
    Posted,
    Ticked,
    refusal,
    success,
)
from agent.keyring import NO_KEYS, Keyring
from agent.live import LiveBoard
from agent.logs import get_logger
from agent.pipeline import (
    alerting,
    asking,
    caching,
    card_keys,
    codes,
    commanding,
    downlink,
    fencing,
    gauging,
    handhelds,
    online,
    people,
    points,
    posting,
    pricing,
    profiling,
    quoting,
    rebirth,
    receiving,
    resending,
    retention,
    reviewing,
    rollback,
    rulebook,
    scanning,
    settling,
    shifts,
    sources,
    telemetry,
    watching,
)
from agent.pipeline.memory import Memory
from agent.pipeline.step import Outlets, RequestRefused, Step
from agent.settings import Settings
from agent.settings.model import HANDHELD
from agent.store.journal import Stamp
from agent.store.store import Store, Tx
from drivers.commands import Acknowledge
from drivers.device import DispenserCapabilities
from drivers.readings import (
    CardTap,
    CodeScan,
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    GaugeAlarms,
    GaugeDeliveries,
    GaugeHistory,
    GaugeLimits,
    GaugeUnits,
    HeldSale,
    Reading,
    TankChart,
    TankReading,
    TotalizerReading,
)
from sync import ports
from sync.signing import PinnedKeys

_log = get_logger("pipeline")

CONNECTS_PER_START = 1_000_000
"""connect_n is reserved in blocks at each start (one write), far more than a process can use."""

REMEMBER_SALES_S = 900
"""Cleared sales stay in linking's memory for repeats only; late links and corrections read them from the database."""


class Pipeline:
    """The only writer of the database. Call ``handle`` from one thread."""

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        clock: Clock,
        boot: str,
        start: str,
        random: RandomBits,
        live: LiveBoard,
        index_key: bytes,
        capabilities: Mapping[int, DispenserCapabilities],
        outlets: Outlets,
        pinned: PinnedKeys | None = None,
        keys: Keyring = NO_KEYS,
    ) -> None:
        """``pinned``: head office's public keys, which coupons are checked with; ``keys``: what else a step may use."""
        self._pinned = pinned
        self._keys = keys
        self._store = store
        self._can = capabilities
        self._settings = settings
        self._clock = clock
        self._boot = boot
        self._start = start
        self._random = random
        self._live = live
        self._index_key = index_key
        self._outlets = outlets
        now = read(clock)
        with store.begin(self._stamp(now)) as tx:
            self._memory = self._build(tx, now)
        self._first(now)

    # --- start ------------------------------------------------------------------------------------------------------

    def _build(self, tx: Tx, now: Now) -> Memory:
        station = self._settings.station
        prices = pricing.at_start(tx, self._settings, now)
        stored = tx.memory.alerts()
        devices = stored.get(alerting.DEVICE_SUBJECT)
        memory = Memory(
            desk=self._desk(tx, now),
            points=points.build(self._settings, tx.memory.points(), prices, self._start, self._can),
            tanks=alerting.build(self._settings, stored),
            device_alerts=DeviceAlerts() if devices is None else restore_alerts(devices),
            prices=prices,
            rules=rulebook.load_active(tx, station.currency, station.exponent),
            keys=codes.load_active(tx, testing=station.mode == "training"),
            index_version=index_version(self._index_key),
            fenced_ms=fencing.at_start(tx),
            thinning=telemetry.at_start(tx),
        )
        for sale, until_ms in tx.quotes.until():
            memory.locks[sale] = (now.mono_ms + self._settings.sales.holds_ms(until_ms, now.wall_ms), until_ms)
        gauging.build(self._settings, tx, memory)
        rollback.at_start(memory)
        people.at_start(tx, memory, now.mono_ms)
        shifts.at_start(tx, memory)
        for sale, due_ms in tx.sales.scheduled():
            memory.due[sale] = now.mono_ms + self._settings.sales.settles_in_ms(due_ms, now.wall_ms)
        return memory

    def _desk(self, tx: Tx, now: Now) -> links.LinkDesk:
        stored = tx.memory.desk()
        readers = tuple(
            links.Reader(r.id, tuple(r.fuelling_points), claims=r.kind == HANDHELD) for r in self._settings.reader
        )
        readers += (links.Reader("cli", tuple(p.id for p in self._settings.fuelling_point)),)
        windows = replace(self._settings.sales.windows(), remember_s=REMEMBER_SALES_S)
        if stored is None:
            return links.open_desk(readers, windows, self._boot, now)
        quality = self._clock.quality()
        desk = link_memory.restore(stored, readers=readers, windows=windows, now=now, clock=quality, boot=self._boot)
        return replace(desk, claims=scanning.claims_held(tx, windows, now))

    def _first(self, now: Now) -> None:
        """The first step: the incarnation record of a new database, the start and its configuration, unpaid counts."""
        step = self._step(now)
        if self._store.heads()["L"][0] == 0:
            step.journal("fc.incarnation.v1", {"reason": "new", "parent": None})
        version = step.tx.memory.meta("configuration")
        if version != self._settings.hash:
            step.tx.memory.set_meta("configuration", self._settings.hash)
        step.tx.memory.set_meta("connect_n", str(int(step.tx.memory.meta("connect_n") or "0") + CONNECTS_PER_START))
        downlink.go_on(step)
        online.go_on(step)
        caching.go_on(step)
        card_keys.go_on(step)
        step.audit("agent", "agent", "started", self._boot, reason=f"configuration {self._settings.hash}")
        rebirth.tell_restored(step)
        reviewing.tell_thresholds(step)
        for weak in points.without_totals(step.memory):
            reason = "the device keeps no totals: its sales are keyed by a number of ours, which is weaker"
            step.audit("agent", "agent", "no_totals", f"point:{weak}", reason=reason)
            step.after.append(partial(_log.warning, "point keeps no totals, its sales have weak keys", point=weak))
        sources.tell(step)
        handhelds.at_start(step)
        if self._settings.sales.settle == "tender":
            for number in self._settings.fuelling_point:
                points.tell_unpaid(step, number.id)
        self._finish(step)

    # --- one item ---------------------------------------------------------------------------------------------------

    def handle(self, item: Item) -> None:
        """Take one item. A refused wish is answered and leaves no trace; any other failure goes up."""
        match item:
            case FromLine(_, FuellingPointReading() as level, _) if points.says_nothing(self._memory, level):
                pass  # as nearly every second of every idle point
            case FromLine(_, reading, at):
                self._reading(reading, Now(at.wall_ms, at.mono_ms))
            case Ticked(kind):
                self._tick(kind)
            case Asked():
                self._asked(item)
            case Posted():
                self._posted(item)
            case FromHeadOffice(ports.CommandCame(jws)):
                self._commanded(jws)
            case FromHeadOffice(event):
                step = self._step(read(self._clock))
                downlink.handle(step, event)
                self._finish(step)
                self._go_on()
            case FromStorage():
                step = self._step(read(self._clock))
                alerting.storage(step, item)
                self._finish(step)
            case AlertFound(subject, alert, standing, detail):
                step = self._step(read(self._clock))
                alerting.device(step, subject, alert, standing=standing, detail=detail)
                self._finish(step)
            case AuditDue() | MembersCompared():
                step = self._step(read(self._clock))
                caching.audited(step, item)
                self._finish(step)
            case FraudLooked(findings, facts):
                step = self._step(read(self._clock))
                watching.looked(step, findings, facts)
                self._finish(step)
            case Audited(person, action, subject, result):
                step = self._step(read(self._clock))
                step.audit(person.name, person.role, action, subject, result=result)
                self._finish(step)

    def _reading(self, reading: Reading, now: Now) -> None:
        step = self._step(now)
        match reading:
            case CodeScan():
                scanning.scanned(step, reading, self._index_key)
            case CardTap():
                scanning.tapped(step, reading, self._index_key)
            case TankReading():
                gauging.tank_reading(step, reading)
            case GaugeAlarms():
                gauging.gauge_alarms(step, reading)
            case GaugeDeliveries():
                receiving.deliveries(step, reading)
            case GaugeHistory():
                gauging.history(step, reading)
            case TankChart():
                gauging.chart(step, reading)
            case GaugeUnits():
                alerting.gauge_units(step, reading)
            case GaugeLimits():
                pass  # the station file is a person's word; the console's own limits are shown by field tools
            case DeviceStatus():
                self._status(step, reading)
            case CommandResult(fuelling_point=0):
                receiving.answered(step, reading)
            case (
                FuellingPointReading(fuelling_point=number)
                | CompletedSale(fuelling_point=number)
                | CommandResult(fuelling_point=number)
                | TotalizerReading(fuelling_point=number)
                | HeldSale(fuelling_point=number)
            ):
                points.handle(step, number, reading)
        self._finish(step)

    def _status(self, step: Step, status: DeviceStatus) -> None:
        known = step.live.devices.get(status.device)
        shown = {"device": status.device, "online": status.online, "reason": status.reason, "hint": status.hint}
        if known is None or known["online"] != status.online:
            log = _log.info if status.online else _log.warning
            step.after.append(
                lambda: log(
                    "device is back" if status.online else "device is gone", device=status.device, reason=status.reason
                )
            )
        step.after.append(lambda: step.live.set_device(status.device, shown))
        kind, _, name = status.device.partition(":")
        if kind == "point":
            points.handle(step, int(name), status)
        elif kind in ("gauge", "reader"):
            alert = "GAUGE_OFFLINE" if kind == "gauge" else "READER_OFFLINE"
            alerting.device(step, status.device, alert, standing=not status.online, detail=status.reason)
            if kind == "gauge" and not status.online:
                alerting.gauge_silent(step, status.device)
                gauging.lost(step, status.device)

    def _tick(self, kind: str) -> None:
        now = read(self._clock)
        step = self._step(now)
        if kind == "second":
            scanning.tell(step, links.Ticked())
            for number in step.memory.points:
                points.handle(step, number, events.Ticked())
            people.unlock_due(step)
            shifts.watch(step)
            quoting.release_due(step)
            settling.settle_due(step)
            online.look(step)
            alerting.watch_gauges(step)
            alerting.watch_clock(step, now.wall_ms, self._store.newest_ms)
            pricing.refresh(step)
            retention.slice_due(step)
            resending.slice_due(step)
            self._scrub(step)
        else:
            receiving.settle(step)
            telemetry.tell(step)
            profiling.refresh(step)
            retention.look(step)
        self._finish(step)
        self._go_on()

    def _scrub(self, step: Step) -> None:
        """Within a second of an erasure its last trace leaves the database's log; a reader in the way is waited for."""
        if step.memory.scrub:
            step.after.append(lambda: setattr(self._memory, "scrub", not self._store.scrub()))

    def _asked(self, item: Asked) -> None:
        step = self._step(read(self._clock))
        try:
            answer = success(asking.act(step, item, self._index_key))
        except online.Waits as waits:
            online.park(step, item, waits.ids)
            self._finish(step)
            return
        except RequestRefused as refused:
            answer = refusal(str(refused), refused.hint, refused.exit_code)
            if not refused.keeps:
                step.roll_back()
                item.reply.give(answer)
                return
        step.after.append(lambda: item.reply.give(answer))
        self._finish(step)

    def _go_on(self) -> None:
        """Questions that waited for head office are answered now that it has spoken, or has not in time."""
        if self._memory.parked:
            step = self._step(read(self._clock))
            items = online.ready(step)
            self._finish(step)
            for item in items:
                self._asked(item)

    def _posted(self, item: Posted) -> None:
        step = self._step(read(self._clock))
        try:
            answer = posting.act(step, item, self._index_key)
        except RequestRefused as failure:
            if not failure.keeps:
                step.roll_back()
                step = self._step(read(self._clock))
            answer = posting.refused(step, item, failure)
        step.passed.append("board")
        step.after.append(lambda: item.reply.give(answer))
        self._finish(step)

    def _commanded(self, jws: str) -> None:
        """Head office orders something: noted in a step of its own, so that one that ends this process is told."""
        step = self._step(read(self._clock))
        order = commanding.received(step, jws)
        self._finish(step)
        if order is None:
            return
        step = self._step(read(self._clock))
        try:
            commanding.obey(step, order)
        except RequestRefused as refused:
            step.roll_back()
            step = self._step(read(self._clock))
            commanding.refuse(step, order, refused)
        self._finish(step)

    # --- the end of a step ------------------------------------------------------------------------------------------

    def _stamp(self, now: Now) -> Stamp:
        """Lift the wall time to the newest time ever seen here: W-02, ``floor``."""
        if now.wall_ms < self._store.newest_ms:
            return Stamp(self._store.newest_ms, now.mono_ms, self._boot, "floor")
        return Stamp(now.wall_ms, now.mono_ms, self._boot, self._clock.quality())

    def _step(self, now: Now) -> Step:
        stamp = self._stamp(now)
        lifted = Now(stamp.wall_ms, now.mono_ms)
        return Step(
            store=self._store,
            settings=self._settings,
            memory=self._memory.draft(),
            live=self._live,
            now=lifted,
            stamp=stamp,
            random=self._random,
            pinned=self._pinned,
            keys=self._keys,
        )

    def _finish(self, step: Step) -> None:
        rollback.follow(step, self._memory)
        if "sale" in step.passed:
            failpoint("sale.before_commit")
        if "delivery" in step.passed:
            failpoint("delivery.before_commit")
        wrote = step.commit()
        before, self._memory = self._memory, step.memory
        self._passed(step)
        for command in step.commands:
            self._outlets.send(command)
        if any(isinstance(command, Acknowledge) for command in step.commands):
            failpoint("sale.after_release")
        for name, message in step.messages:
            self._outlets.publish(name, message)
        for follow in step.after:
            follow()
        self._show_points(before, step)
        if wrote:
            self._outlets.wake_publisher()
        if "stopped" in step.passed:
            self._outlets.begin_anew()

    def _show_points(self, before: Memory, step: Step) -> None:
        after = step.memory
        for number in step.touched if self._live.points else after.points:
            known = number in self._live.points and before.points.get(number) is after.points[number]
            if not known or before.readings.get(number) is not after.readings.get(number):
                self._live.set_point(number, points.show(after, number))

    @staticmethod
    def _passed(step: Step) -> None:
        for word, name in _AFTER:
            if word in step.passed:
                failpoint(name)


_AFTER = (
    ("sale", "sale.after_commit"),
    ("link", "link.after_commit"),
    ("board", "board.after_commit"),
    ("card", "card.after_commit"),
    ("tender", "tender.after_commit"),
    ("enrol", "enrol.after_commit"),
    ("rules", "rules.after_commit"),
    ("quote", "quote.after_commit"),
    ("lease", "lease.after_commit"),
    ("delivery", "delivery.after_commit"),
    ("shift", "shift.after_commit"),
    ("ack", "sync.after_ack_applied"),
    ("begun", "command.begun"),
    ("command", "command.after_commit"),
    ("members", "members.after_commit"),
)
