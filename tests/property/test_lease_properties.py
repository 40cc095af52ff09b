"""No budget and no balance is ever overspent, whatever stations do while nobody hears them, and in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, given, settings

from agent.domain import leases, pools
from agent.domain.leases import Lease, LeaseError, LeaseState, Taken
from agent.domain.pools import Granted, Pool
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, dice

TOTAL = 10_000
STEPS = 60


@dataclass
class Record:
    """One record of a station's journal that moves a lease."""

    id: str
    seq: int
    incarnation: str
    kind: str
    lease: str
    sale: str = ""
    amount: int = 0


@dataclass
class Station:
    """What a station has on its disk, and the records that wait for head office; its clock is not to be trusted."""

    name: str
    incarnation: str = "i1"
    clock_ms: int = 1_000
    leases: dict[str, Lease] = field(default_factory=dict)
    journal: list[Record] = field(default_factory=list)
    sent: int = 0


class Forecourt:
    """Two stations, one pool and a postman who is late; ``truth`` is what customers really had."""

    def __init__(self, roll: Dice) -> None:
        self.roll = roll
        self.pool = Pool("campaign", TOTAL)
        self.stations = [Station(f"S{number}") for number in range(2)]
        self.post: list[tuple[Station, Lease]] = []
        self.truth = 0
        self.numbered = 0
        self.refused = 0

    def live(self, steps: int) -> None:
        """So many random steps; after each nothing is overspent."""
        moves = (*[self.quote] * 6, *[self.settle] * 5, *[self.send] * 4, *[self.deliver] * 5, *[self.grant] * 4)
        moves += (self.release, self.refund, self.refund, self.close_out, self.jump, self.lose_disk, self.repeat)
        for _ in range(steps):
            try:
                self.roll.pick(moves)(self.roll.pick(self.stations))
            except LeaseError:
                self.refused += 1
            self.check()

    def check(self) -> None:
        """Free and leases are the balance, all of it at least 0; customers have no more than there was."""
        pool = self.pool
        assert 0 <= self.truth <= TOTAL
        assert pool.free >= 0
        assert pool.overrun == 0
        assert all(lease.outstanding >= 0 for lease in pool.leases)
        assert pool.free + sum(lease.outstanding for lease in pool.leases) == pool.balance
        assert pool.balance == TOTAL - sum(lease.spent for lease in pool.leases)
        for station in self.stations:
            for lease in station.leases.values():
                assert lease.remaining >= 0

    def _name(self, letter: str) -> str:
        self.numbered += 1
        return f"{letter}{self.numbered}"

    def _pick(self, station: Station) -> Lease:
        if not station.leases:
            raise LeaseError("no lease here")
        reserved = [lease for lease in station.leases.values() if lease.reserved]
        return self.roll.pick(reserved or list(station.leases.values()))

    def _note(self, station: Station, kind: str, lease: Lease, **more: Any) -> None:
        station.journal.append(
            Record(self._name("R"), len(station.journal) + 1, station.incarnation, kind, lease.id, **more)
        )

    def _keep(self, station: Station, lease: Lease) -> None:
        """Write a lease; the step that closes it journals the close-out."""
        before = station.leases[lease.id]
        station.leases[lease.id] = lease
        if lease.state is LeaseState.CLOSED and before.state is not LeaseState.CLOSED:
            self._note(station, "closed_out", lease, amount=lease.spent)

    # --- head office --------------------------------------------------------------------------------------------------

    def grant(self, station: Station) -> None:
        """Head office lends an amount; the message is on its way."""
        amount, name = self.roll.pick((1_000, 3_333, 7_000)), self._name("L")
        granted = Granted(name, station.name, station.incarnation, amount, station.sent)
        self.pool = pools.grant(self.pool, granted)
        assert pools.grant(self.pool, granted) == self.pool
        made = Lease(name, "campaign", station.incarnation, amount, expires_ms=self.roll.pick((10**9, 10**9, 2_000)))
        self.post.append((station, made))

    def deliver(self, _: Station) -> None:
        """A lease that was granted reaches its station, if that is still the one it was granted to."""
        if self.post:
            station, lease = self.post.pop(self.roll.byte() % len(self.post))
            if lease.incarnation == station.incarnation and lease.id not in station.leases:
                station.leases[lease.id] = lease

    def send(self, station: Station) -> None:
        """The next record of a station reaches head office."""
        if station.sent < len(station.journal):
            record = station.journal[station.sent]
            station.sent += 1
            self._arrive(record)

    def repeat(self, station: Station) -> None:
        """A record that head office has comes again: nothing changes."""
        if station.sent:
            before = self.pool
            self._arrive(station.journal[self.roll.byte() % station.sent])
            assert self.pool == before

    def _arrive(self, record: Record) -> None:
        if record.kind == "settled":
            self.pool = pools.spent(self.pool, record.lease, record.id, Taken(record.sale, record.amount))
        elif record.kind == "refunded":
            self.pool = pools.given_back(self.pool, record.lease, record.id, record.sale, record.amount)
        else:
            seq, spent = 10**6 + record.seq, record.amount
            self.pool = pools.closed_out(
                self.pool, record.lease, record.id, incarnation=record.incarnation, seq=seq, spent_by_station=spent
            )
            event("a lease was reclaimed")

    # --- the station --------------------------------------------------------------------------------------------------

    def quote(self, station: Station) -> None:
        """A sale is quoted: a part of the lease is kept for it, for a while of the station's own clock."""
        usable = [lease for lease in station.leases.values() if lease.state is LeaseState.OPEN]
        lease, sale = self.roll.pick(usable or [self._pick(station)]), self._name("T")
        amount, until_ms = self.roll.pick((500, 1, 2_500)), station.clock_ms + 100
        self._keep(station, leases.reserve(lease, sale, amount, now_ms=station.clock_ms, until_ms=until_ms))

    def settle(self, station: Station) -> None:
        """A quoted sale is paid; the same message again changes nothing."""
        lease = self._pick(station)
        for held in lease.reserved[:1]:
            paid = leases.commit(lease, held.sale, held.amount)
            assert leases.commit(paid, held.sale, held.amount) == paid
            self._note(station, "settled", lease, sale=held.sale, amount=held.amount)
            self._keep(station, paid)
            self.truth += held.amount
            event("money was given from a lease")

    def release(self, station: Station) -> None:
        """A quote is given up, or its time is over by the station's clock."""
        lease = self._pick(station)
        if lease.reserved and self.roll.one_in(2):
            self._keep(station, leases.release(lease, lease.reserved[0].sale))
        else:
            self._keep(station, leases.timed_out(lease, station.clock_ms))

    def refund(self, station: Station) -> None:
        """A part of a paid sale comes back."""
        lease = self._pick(station)
        if lease.taken:
            use = self.roll.pick(lease.taken)
            amount = min(use.kept, self.roll.pick((200, 10_000)))
            if amount and lease.state in (LeaseState.OPEN, LeaseState.CLOSING):
                self._note(station, "refunded", lease, sale=use.sale, amount=amount)
                self._keep(station, leases.give_back(lease, use.sale, amount))
                self.truth -= amount

    def close_out(self, station: Station) -> None:
        """The station gives a lease back; what quoted sales hold stays until they are over."""
        self._keep(station, leases.close_out(self._pick(station)))

    def jump(self, station: Station) -> None:
        """The station's clock goes wherever it likes."""
        station.clock_ms = self.roll.pick((1_000, 1_050, 1_000, 0, 1_099, 1_101, 2_001, 10**10))

    def lose_disk(self, station: Station) -> None:
        """The station goes on from a copy of its disk: a new incarnation, and what was not sent may be lost for good."""
        if not self.roll.one_in(4):
            return
        station.incarnation = f"i{int(station.incarnation[1:]) + 1}"
        station.journal = station.journal[: station.sent]
        voided = {name: leases.void(lease, station.incarnation) for name, lease in station.leases.items()}
        station.leases = {name: lease for name, lease in voided.items() if lease.state is LeaseState.VOID}
        self.pool = pools.voided(self.pool, station.name, station.incarnation)
        for lease in station.leases.values():
            assert not lease.live(station.clock_ms)
        event("a station lost its disk")

    def finish(self) -> None:
        """Everybody settles or gives up, closes out and is heard: what is not spent is free again, but for lost disks."""
        for station in self.stations:
            for lease in list(station.leases.values()):
                if lease.state is LeaseState.VOID:
                    continue
                self._keep(station, leases.timed_out(lease, 10**11))
                self._keep(station, leases.close_out(station.leases[lease.id]))
            while station.sent < len(station.journal):
                self.send(station)
            self.check()
        under_way = {lease.id for _, lease in self.post}
        held = sum(
            lease.outstanding
            for lease in self.pool.leases
            if lease.state is LeaseState.VOID or lease.id in under_way or not self._known(lease.id)
        )
        if not any(lease.state is LeaseState.VOID for lease in self.pool.leases):
            assert self.pool.free + held == TOTAL - self.truth

    def _known(self, lease_id: str) -> bool:
        return any(lease_id in station.leases for station in self.stations)


@given(dice())
@settings(max_examples=tries(500))
def test_no_interleaving_overspends_a_budget(roll):
    """Grants, quotes, payments, refunds, close-outs, repeats, wrong clocks and lost disks never give more than there was."""
    forecourt = Forecourt(roll)
    forecourt.live(STEPS)
    forecourt.finish()
