"""The physics of the forecourt: fuelling points, tanks, customers and tankers, moved by a clock in simulated
milliseconds.

Pure of threads, ports and protocols; all chance comes from one seed. Tells its truth to ``truth.Truth``.
"""

from __future__ import annotations

from collections import deque
from random import Random

from drivers.simulator.config import ForecourtConfig, PumpConfig, ReaderConfig
from drivers.simulator.customers import Queue, Scan
from drivers.simulator.faults import FaultBoard
from drivers.simulator.pump_head import PumpHead, Sale
from drivers.simulator.tank import Tank, Tanker
from drivers.simulator.truth import Truth
from drivers.simulator.wallet import CHIP

# everything moves in steps of this size whatever the caller's rhythm, so the same seed gives the same day
TICK_MS = 100
# one call of ``step`` catches up at most an hour; the rest waits for the next call
MAX_TICKS_PER_STEP = 36_000
DRIFT_EVERY_MS = 10_000
# a station's readers type faster than anyone scans; the bound only guards against a mistake here
MAX_SCANS = 10_000


class World:
    """``heads`` by point number, ``tanks`` by tank number; both may be read at any time between two steps."""

    def __init__(
        self, config: ForecourtConfig, seed: int, *, board: FaultBoard | None = None, truth: Truth | None = None
    ) -> None:
        config.check()
        self.config = config
        self.board = FaultBoard(seed) if board is None else board
        self.truth = Truth() if truth is None else truth
        self.now_ms = 0
        self.open = True
        rng = Random(f"world:{seed}")
        self._rng = Random(rng.getrandbits(64))
        self.tanks = {tank.number: Tank(tank) for tank in config.tanks}
        self.tankers = [Tanker(delivery, self.tanks[delivery.tank]) for delivery in config.deliveries]
        self.heads = {point.number: self._head(point, rng) for point in config.points}
        self.scans: deque[Scan] = deque(maxlen=MAX_SCANS)
        self._low = dict.fromkeys(self.tanks, False)
        self.queues = [
            self._queue(index, point, Random(rng.getrandbits(64))) for index, point in enumerate(config.points)
        ]
        self._tell_tanks()
        self.write_summary()

    def step(self, now_ms: int) -> None:
        """Everything up to ``now_ms`` happens (at most ``MAX_TICKS_PER_STEP`` ticks of it in this call)."""
        for _ in range(min(MAX_TICKS_PER_STEP, (now_ms - self.now_ms) // TICK_MS)):
            self.tick()

    def let_in(self) -> None:
        """Opening time, where the configuration waits for it."""
        for queue in self.queues:
            queue.let_in = True

    def close(self) -> None:
        """Closing time: nobody new comes, whoever fuels finishes."""
        if self.open:
            self.open = False
            for queue in self.queues:
                queue.open = False
            self.truth.add("closed", self.now_ms)
            self.write_summary()

    @property
    def quiet(self) -> bool:
        """Closed, everybody gone, every nozzle hangs."""
        return not self.open and all(queue.quiet for queue in self.queues)

    def take_scans(self) -> list[Scan]:
        """What readers have seen since the last call, oldest first."""
        taken = list(self.scans)
        self.scans.clear()
        return taken

    def write_summary(self) -> None:
        """Replace ``truth.json`` with how things stand now."""
        self.truth.write_summary(
            t_ms=self.now_ms,
            open=self.open,
            quiet=self.quiet,
            tanks=[{"tank": number, "volume_ml": tank.volume_ml} for number, tank in sorted(self.tanks.items())],
        )

    def tick(self, dt_ms: int = TICK_MS) -> None:
        """One step of any length: whoever leaps over idle time answers for nobody being due inside it."""
        was_quiet = self.quiet
        drifts = (self.now_ms + dt_ms) // DRIFT_EVERY_MS > self.now_ms // DRIFT_EVERY_MS
        self.now_ms += dt_ms
        for head in self.heads.values():
            head.tick(self.now_ms)
        for queue in self.queues:
            queue.tick(self.now_ms, dt_ms)
        for tanker in self.tankers:
            self._deliver(tanker, dt_ms)
        for number, tank in self.tanks.items():
            low = tank.volume_ml < tank.config.low_product_ml
            if low != self._low[number]:
                self._low[number] = low
                self.truth.add("tank_low", self.now_ms, tank=number, low=low, volume_ml=tank.volume_ml)
        if drifts:
            for tank in self.tanks.values():
                tank.drift(self._rng)
            self._tell_tanks()
        if self.quiet and not was_quiet:
            self.truth.add("quiet", self.now_ms)
            self.write_summary()

    def _deliver(self, tanker: Tanker, dt_ms: int) -> None:
        what = tanker.tick(self.now_ms, dt_ms)
        if what is not None:
            self.truth.add(
                "delivery",
                self.now_ms,
                what=what,
                tank=tanker.config.tank,
                volume_ml=tanker.given_ml,
                tank_volume_ml=tanker.tank.volume_ml,
            )

    def _head(self, point: PumpConfig, rng: Random) -> PumpHead:
        totals = {}
        for nozzle in point.nozzles:
            drawn = rng.randrange(10_000_000, 900_000_000)
            totals[nozzle.number] = drawn if point.totalizer_start is None else point.totalizer_start
            self.truth.nozzle(point.number, nozzle.number, totals[nozzle.number])
        head = PumpHead(point, totals, self.board)
        head.on_sale = self._sold
        head.on_zero_lift = self._zero_lift
        head.on_meter = lambda p, n, old, new: self.truth.meter(self.now_ms, p, n, old, new)
        return head

    def _queue(self, index: int, point: PumpConfig, rng: Random) -> Queue:
        tap = self._reader_of(point.number, "pn532")
        return Queue(
            self.config.customers,
            point,
            self.heads[point.number],
            tanks=self.tanks,
            # each point has its own cards: nobody fuels at two points at once
            cards=tuple(
                c for c in self.config.cards[index :: len(self.config.points)] if tap or not c.startswith(CHIP)
            ),
            reader=self._reader_of(point.number, "scanner"),
            tap_reader=tap,
            rng=rng,
            on_scan=self.scans.append,
            speed=self.board.speed,
        )

    def _reader_of(self, point: int, kind: str) -> ReaderConfig | None:
        """The reader fixed to the point, else a roaming one that serves it."""
        here = (reader for reader in self.config.readers if point in reader.points and reader.kind == kind)
        serving = sorted(here, key=lambda reader: len(reader.points))
        return serving[0] if serving else None

    def _sold(self, sale: Sale) -> None:
        queue = next(q for q in self.queues if q.head.number == sale.point)
        customer = queue.in_fuelling
        self.truth.sale(
            self.now_ms,
            point=sale.point,
            nozzle=sale.nozzle,
            volume_ml=sale.volume_ml,
            amount_minor=sale.amount_minor,
            totalizer_end=sale.totalizer_end,
            unit_price_milli=sale.unit_price_milli,
            ended_by=sale.ended_by,
            customer=None if customer is None else customer.number,
            card=None if customer is None else customer.card,
        )
        self.write_summary()

    def _zero_lift(self, point: int, nozzle: int) -> None:
        self.truth.zero_lifts += 1
        self.truth.add("zero_lift", self.now_ms, point=point, nozzle=nozzle)

    def typed(self, scan: Scan) -> None:
        """A reader has really typed this code: only then is it true."""
        self.truth.scans += 1
        self.truth.add(
            "scan",
            self.now_ms,
            reader=scan.reader,
            text=scan.text,
            point=scan.point,
            customer=scan.customer,
            what=scan.what,
            when=scan.when,
        )

    def _tell_tanks(self) -> None:
        self.truth.add("tanks", self.now_ms, volume_ml={str(n): tank.volume_ml for n, tank in self.tanks.items()})
