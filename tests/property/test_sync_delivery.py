"""Delivery over a pipe that loses, doubles and reorders: everything arrives once, in order, and always at last."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sync import messages as m
from sync.delivery import ApplyAck, Delivery, Output, PublishHello, StopIncarnation
from sync.envelope import decode_batch, encode_batch, station_source
from tests.support.examples import tries
from tests.support.sync_model import INCARNATION, INSTALL, STATION, TIME, ModelHeadOffice, ModelJournal

MAX_ROUNDS = 4_000
FAULTY_ROUNDS = 300


@dataclass
class World:
    """A machine, a journal, a head office and a bad pipe, on a virtual clock from one seed."""

    rng: Random
    loss: float
    journal: ModelJournal
    office: ModelHeadOffice
    machine: Delivery
    now: float = 0.0
    connect_n: int = 0
    stopped: StopIncarnation | None = None
    pipe: list[object] = field(default_factory=list)

    def put(self, message: object) -> None:
        if self.rng.random() >= self.loss:
            self.pipe.append(message)
        if self.rng.random() < self.loss:
            self.pipe.append(message)

    def act(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, StopIncarnation):
                assert output.reason == "pruned", output
                self.stopped = output
            elif isinstance(output, PublishHello):
                self.put(self.journal.hello(output.connect_n))
            elif isinstance(output, ApplyAck):
                self.journal.acked[output.stream] = max(self.journal.acked[output.stream], output.cum)

    def round(self, faulty: bool) -> None:
        if faulty and self.rng.random() < 0.02:
            self.reconnect()
        for name, at in self.journal.heads().items():
            self.machine.grew(name, at.last_seq)
            self.act(self.machine.persisted(self.now, name, at.acked))
        self.act(self.machine.tick(self.now))
        offer = self.machine.next_batch(self.now)
        if offer is not None and not self.journal.read(offer.stream, offer.first_seq, 1, 1):
            self.act(self.machine.missing(offer.stream, offer.first_seq))
            return
        if offer is not None:
            last = min(offer.last_seq, offer.first_seq + self.rng.randrange(1, 6) - 1)
            self.machine.sent(self.now, offer.stream, offer.first_seq, last)
            batch = self.journal.batch(offer.stream, offer.first_seq, last)
            self.put(encode_batch(batch, source=station_source(STATION), time=TIME))
            return
        if self.pipe:
            place = self.rng.randrange(len(self.pipe)) if faulty else 0
            self.carry(self.pipe.pop(place))
            return
        due = self.machine.next_deadline()
        self.now = max(self.now + 0.01, self.now if due is None else due)

    def reconnect(self) -> None:
        self.machine.disconnected()
        self.pipe.clear()
        self.connect_n += 1
        self.act(self.machine.connected(self.now, self.connect_n))

    def carry(self, message: object) -> None:
        if isinstance(message, bytes):
            self.put(self.office.on_batch(decode_batch(message)[1]))
        elif isinstance(message, m.Hello):
            self.put(self.office.on_hello(message))
        elif isinstance(message, m.Welcome):
            self.act(self.machine.welcome(self.now, message))
        elif isinstance(message, m.Ack):
            self.act(self.machine.ack(self.now, message))

    def done(self) -> bool:
        return all(self.journal.acked[name] == len(rows) for name, rows in self.journal.rows.items())


def _world(seed: int, loss: float, credit: m.Credit) -> World:
    journal, rng = ModelJournal(), Random(seed)
    machine = Delivery(
        install_id=INSTALL, incarnation=INCARNATION, applied=journal.acked, hash_at=journal.hash_at, rng=rng
    )
    world = World(rng, loss, journal, ModelHeadOffice(credit), machine)
    world.connect_n = 1
    world.act(machine.connected(0.0, 1))
    return world


@settings(max_examples=tries(25), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    counts=st.tuples(*[st.integers(0, 40)] * 3),
    rate=st.sampled_from([0, 5, 50]),
    poison=st.integers(0, 60),
)
def test_every_record_arrives_once_and_in_order(
    seed: int, loss: float, counts: tuple[int, int, int], rate: int, poison: int
) -> None:
    """Under loss, doubling, reordering and reconnects head office ends with exactly the journal [W-12] [W-20] [W-21]
    [W-22] [W-23]; the machine always gets there once the pipe is merely slow.
    """
    world = _world(seed, loss, m.Credit(4, rate, 0))
    left = dict(zip(m.STREAMS, counts, strict=True))
    for number in range(MAX_ROUNDS):
        faulty = number < FAULTY_ROUNDS
        if not faulty:
            world.loss = 0.0
        grow = world.rng.choice(m.STREAMS)
        if left[grow]:
            left[grow] -= 1
            world.journal.append(grow, b"7" if len(world.journal.rows[grow]) + 1 == poison else None)
        world.round(faulty)
        if not faulty and not any(left.values()) and world.done():
            break
    assert world.done(), f"seed {seed}: {world.journal.acked} of {[len(rows) for rows in world.journal.rows.values()]}"
    for name, rows in world.journal.rows.items():
        assert world.office.raws(name) == [row.raw for row in rows]


@settings(max_examples=tries(25), deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.3]), prunes=st.booleans())
def test_a_restored_head_office_gets_all_that_is_kept(seed: int, loss: float, prunes: bool) -> None:
    """Put back to any earlier state at any moment, head office ends with the whole journal; where a row that it wants is
    pruned the incarnation stops instead, and says truly how far head office has each stream [W-22] [W-34].
    """
    world = _world(seed, loss, m.Credit())
    for number in range(MAX_ROUNDS):
        faulty = number < FAULTY_ROUNDS
        if not faulty:
            world.loss = 0.0
        stream = world.rng.choice(m.STREAMS)
        if number < 60:
            world.journal.append(stream)
        if faulty and world.rng.random() < 0.02:
            world.office.restore(stream, world.rng.randint(0, world.office.cum(stream)))
        if prunes and faulty and world.rng.random() < 0.02:
            world.journal.prune(stream, world.rng.randint(0, len(world.journal.rows[stream])))
        if number == FAULTY_ROUNDS:
            world.reconnect()
        world.round(faulty)
        whole = all(world.office.cum(name) == len(rows) for name, rows in world.journal.rows.items())
        if world.stopped is not None or (not faulty and whole):
            break
    if world.stopped is None:
        assert all(world.office.raws(name) == [r.raw for r in rows] for name, rows in world.journal.rows.items())
        return
    told = world.stopped.told
    assert any(told[name] < world.journal.pruned[name] for name in m.STREAMS), "something wanted is gone"


@settings(max_examples=tries(5), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    """The machine is deterministic given its clock and its randomness [W-12]."""
    histories = []
    for _ in range(2):
        world = _world(seed, 0.3, m.Credit())
        history: list[object] = []
        for number in range(200):
            if number < 20:
                world.journal.append(m.STREAMS[number % 3])
            world.round(True)
            history.append((world.now, world.machine.cum("L"), world.machine.counters.timeouts, len(world.pipe)))
        histories.append(history)
    assert histories[0] == histories[1]
