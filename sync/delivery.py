"""The station's side of delivery, sans-IO: cursors, windows, credit, timeouts, refusals; what to publish next.

Pure and deterministic: time (monotonic seconds) and randomness come in. Knows no MQTT, thread or database; own hashes
are asked from a function. In doubt it sends again: head office drops what it knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from sync.envelope import MAX_BATCH_RECORDS
from sync.judging import welcome_verdict
from sync.messages import MAX_REJECTED, STREAMS, Ack, Credit, DeadLetter, Welcome

MAX_WINDOW = 4  # W-11: batches in flight per stream
ACK_TIMEOUT_S = 30.0  # W-12, doubling ...
MAX_ACK_TIMEOUT_S = 300.0  # ... to here
JITTER = 0.25  # W-12: lengthens a timeout by up to a quarter, so that stations do not come back in step
EQUAL_REFUSALS = 3  # W-20: then one record at a time
AUDIT_EVERY_S = 3_600.0  # W-22: a bad ack is audited once per kind and hour
REHELLO_EVERY_S = 1.0  # a head office that contradicts itself is not greeted at network speed
EQUAL_REINCARNATIONS = 3  # welcomes that alone ask for a new incarnation; a late copy of an old hello gets one too
PRIORITY = ("A", "L", "T")  # W-11

HashAt = Callable[[str, int], bytes | None]


@dataclass(frozen=True, slots=True)
class PublishHello:
    """Say hello with the heads as they are now. The same ``connect_n`` on a repeat, +1 per MQTT connect."""

    connect_n: int


@dataclass(frozen=True, slots=True)
class ApplyAck:
    """Persist: everything up to ``cum`` is delivered; ``rejected`` are all dead letters since the told ``acked``."""

    stream: str
    cum: int
    head_hash: bytes
    rejected: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True)
class RaiseSyncAlert:
    """A person should know: ``refused`` or ``hash_missing``, with texts and numbers as evidence."""

    kind: str
    evidence: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class StopIncarnation:
    """Our incarnation must not send any more: ``fork``, ``reincarnate``, ``behind_mark`` or ``pruned``."""

    reason: str
    told: Mapping[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class AuditBadAck:
    """An ack that was not acted on: ``foreign``, ``bad_hash`` or ``unknown_hash``. At most one per kind and hour."""

    kind: str
    stream: str
    cum: int


Output = PublishHello | ApplyAck | RaiseSyncAlert | StopIncarnation | AuditBadAck


@dataclass(frozen=True, slots=True)
class BatchOffer:
    """Publish records ``first_seq`` to at most ``last_seq`` of a stream, then call ``sent`` with what went out."""

    stream: str
    first_seq: int
    last_seq: int


@dataclass(slots=True)
class _InFlight:
    first_seq: int
    last_seq: int


@dataclass(slots=True)
class _Lane:
    """One stream. ``applied``: cum whose ack was applied; ``known``: cum a welcome told, perhaps further."""

    last_seq: int = 0
    applied: int = 0
    known: int = 0
    next_seq: int = 1
    in_flight: deque[_InFlight] = field(default_factory=lambda: deque(maxlen=MAX_WINDOW))
    opened: bool = False
    timeout_s: float = ACK_TIMEOUT_S
    deadline: float | None = None
    gap_cum: int | None = None
    refusal: tuple[int, str] | None = None
    refusals: int = 0
    single_until: int = 0
    held: bool = False
    hello_at_acked: int | None = None

    def restart_at(self) -> int:
        """Where to go back to. A record head office already has is sent again only to be told its dead letters."""
        return self.known if self.known > self.applied else self.applied + 1

    def go_back(self) -> None:
        """Forget what is in flight and start again behind the cursor."""
        self.in_flight.clear()
        self.deadline = None
        self.next_seq = self.restart_at()


@dataclass(slots=True)
class Counters:
    """What happened without a consequence; for metrics and tests."""

    repeated_acks: int = 0
    bad_acks: int = 0
    ignored_welcomes: int = 0
    timeouts: int = 0
    gaps: int = 0
    refusals: int = 0


class Delivery:
    """One incarnation's delivery. Inputs return what to do; ``next_batch`` says what may be sent right now.

    ``applied``: per stream the persisted acked seq. ``hash_at(stream, seq)``: the station's own hash (hash_0 at 0),
    None where it is no longer known.
    """

    def __init__(
        self, *, install_id: str, incarnation: str, applied: Mapping[str, int], hash_at: HashAt, rng: Random
    ) -> None:
        """See the class; nothing happens until ``connected``."""
        self._install_id = install_id
        self._incarnation = incarnation
        self._hash_at = hash_at
        self._rng = rng
        self._lanes = {name: _Lane(last_seq=applied[name], applied=applied[name]) for name in STREAMS}
        for lane in self._lanes.values():
            lane.known = lane.applied
            lane.next_seq = lane.applied + 1
        self._connect_n: int | None = None
        self._welcomed = False
        self._stopped: str | None = None
        self._ho_online = True
        self._hello_unanswered = False
        self._reincarnations = 0
        self.credit = Credit()
        self._paused_until: float | None = None
        self._sent_log: deque[tuple[float, int]] = deque()
        self._hello_deadline: float | None = None
        self._hello_timeout_s = ACK_TIMEOUT_S
        self._rehello_at: float | None = None
        self._last_rehello: float | None = None
        self._greet_at: float | None = None
        self._restored: tuple[str | None, ...] = ()
        self._audited: dict[str, float] = {}
        self.counters = Counters()

    # --- what a shell may ask -----------------------------------------------------------------------------------

    @property
    def welcomed(self) -> bool:
        """Whether batches may be sent on this connection (W-13)."""
        return self._welcomed

    @property
    def stopped(self) -> str | None:
        """Why this incarnation stopped, or None."""
        return self._stopped

    def cum(self, stream: str) -> int:
        """The highest seq whose ack was applied."""
        return self._lanes[stream].applied

    def last_seq(self, stream: str) -> int:
        """Where the stream ends, as far as it was told."""
        return self._lanes[stream].last_seq

    def in_flight(self, stream: str) -> int:
        """Batches sent and not yet acknowledged."""
        return len(self._lanes[stream].in_flight)

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do, on the clock of ``now``; None if nothing is running."""
        if self._stopped is not None or self._connect_n is None:
            return None
        times = [self._hello_deadline, self._rehello_at, self._greet_at, self._paused_until]
        times += [lane.deadline for lane in self._lanes.values()]
        if self._sent_log and self.credit.records_per_s:
            times.append(self._sent_log[0][0] + 1.0)
        return min((moment for moment in times if moment is not None), default=None)

    # --- inputs -------------------------------------------------------------------------------------------------

    def connected(self, now: float, connect_n: int) -> list[Output]:
        """MQTT is up and ``down/#`` is subscribed: say hello."""
        if self._stopped is not None:
            return []
        self._connect_n = connect_n
        self._hello_timeout_s = ACK_TIMEOUT_S
        self._reset_lanes()
        return [self._hello(now)]

    def disconnected(self) -> None:
        """MQTT is down: nothing is in flight any more."""
        self._connect_n = None
        self._restored = ()
        self._welcomed = False
        self._hello_deadline = self._rehello_at = self._greet_at = None
        self._reset_lanes()

    def grew(self, stream: str, last_seq: int) -> None:
        """The journal now ends at ``last_seq``; it never shrinks within an incarnation."""
        lane = self._lanes[stream]
        lane.last_seq = max(lane.last_seq, last_seq)

    def persisted(self, now: float, stream: str, acked: int) -> list[Output]:
        """The pipeline has stored an ack's list. A full list needs a new hello, or cum could not pass it (W-21)."""
        lane = self._lanes[stream]
        if lane.hello_at_acked is None or acked < lane.hello_at_acked:
            return []
        lane.hello_at_acked = None
        return self._say_hello_again(now)

    def ho_state(self, now: float, online: bool, restored: str | None = None) -> list[Output]:
        """Head office's retained presence: while it is away no batch is sent, hellos ask whether it is back.

        On its return the windows restart; a hello without a welcome on this connection is repeated at once or, where it
        may have come too early, a little later. ``restored``: when its database was put back: a change is greeted.
        """
        if online:
            before, self._restored = self._restored, (restored,)
            if before and before != self._restored and self._welcomed and self._rehello_at is None:
                self._rehello_at = now + ACK_TIMEOUT_S * self._rng.random()
        back, self._ho_online = online and not self._ho_online, online
        if self._connect_n is None or self._stopped is not None:
            return []
        if back:
            self._reset_lanes()
            if not self._welcomed:
                return self._say_hello_again(now)
            self._hello_deadline = None
        elif online and not self._welcomed:
            self._greet_at = now + REHELLO_EVERY_S
        elif not online and self._hello_deadline is None:
            self._hello_deadline = self._later(now, self._hello_timeout_s)
        return []

    def welcome(self, now: float, welcome: Welcome) -> list[Output]:
        """Head office answered. One for another hello is ignored (W-13); a fork or restore stops us (W-25, W-32)."""
        addressed = welcome.for_install_id, welcome.for_connect_n, welcome.incarnation
        if addressed != (self._install_id, self._connect_n, self._incarnation) or self._stopped is not None:
            self.counters.ignored_welcomes += 1
            return []
        last_seqs = {name: lane.last_seq for name, lane in self._lanes.items()}
        verdict = welcome_verdict(welcome, last_seqs, self._hash_at)
        if verdict == "reincarnate":
            return self._asked_to_reincarnate(now)
        if verdict is not None:
            known = {
                name: at.cum for name, at in welcome.streams.items() if self._hash_at(name, at.cum) == at.head_hash
            }
            return self._stop(verdict, known)
        self._reincarnations = 0
        self._greet_at = None
        self._welcomed = True
        self._ho_online = True
        self._hello_deadline = None
        self._hello_timeout_s = ACK_TIMEOUT_S
        self._take_credit(now, welcome.credit)
        outputs: list[Output] = []
        for name, at in welcome.streams.items():
            lane = self._lanes[name]
            lane.known = at.cum
            lane.applied = min(lane.applied, at.cum)
            lane.held = self._hash_at(name, at.cum) is None
            if lane.held:
                outputs.append(RaiseSyncAlert("hash_missing", {"stream": name, "cum": at.cum}))
        self._reset_lanes()
        return outputs

    def ack(self, now: float, ack: Ack) -> list[Output]:
        """An ack came in; acted on only if it is ours and its hash is ours (W-22)."""
        if self._stopped is not None:
            return []
        if (ack.install_id, ack.incarnation) != (self._install_id, self._incarnation):
            return self._bad_ack(now, "foreign", ack)
        if ack.fork:
            return self._stop("fork")
        lane = self._lanes[ack.stream]
        if ack.cum > lane.last_seq:
            return self._say_hello_again(now)
        own = self._hash_at(ack.stream, ack.cum)
        if own != ack.head_hash:
            return self._bad_ack(now, "unknown_hash" if own is None else "bad_hash", ack)
        self._take_credit(now, ack.credit)
        outputs = self._advance(now, lane, ack)
        if ack.refused is not None:
            return outputs + self._refused(lane, ack.stream, ack.cum, ack.refused)
        if ack.gap:
            return outputs + self._gap(now, lane, ack.cum)
        return outputs

    def tick(self, now: float) -> list[Output]:
        """Let timeouts fire. Call it at ``next_deadline`` or as often as is convenient."""
        outputs: list[Output] = []
        if self._stopped is not None or self._connect_n is None:
            return outputs
        if self._greet_at is not None and now >= self._greet_at:
            self._greet_at = None
            if not self._welcomed and self._rehello_at is None:
                outputs.append(self._hello(now))
        hello_times = [moment for moment in (self._hello_deadline, self._rehello_at) if moment is not None]
        if hello_times and now >= min(hello_times):
            if self._rehello_at is None:
                self._hello_timeout_s = min(self._hello_timeout_s * 2, MAX_ACK_TIMEOUT_S)
            else:
                self._last_rehello = now
            outputs.append(self._hello(now))
        for lane in self._lanes.values():
            if lane.deadline is not None and now >= lane.deadline:
                self.counters.timeouts += 1
                lane.timeout_s = min(lane.timeout_s * 2, MAX_ACK_TIMEOUT_S)
                lane.opened = False
                lane.go_back()
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
        self._forget_sent(now)
        return outputs

    # --- sending ------------------------------------------------------------------------------------------------

    def next_batch(self, now: float) -> BatchOffer | None:
        """What to send right now, or None. A before L before T, but a stream with nothing in flight comes first."""
        if not self._welcomed or not self._ho_online or self._stopped is not None or self._connect_n is None:
            return None
        if self._paused_until is not None and now < self._paused_until:
            return None
        room = self._records_left(now)
        if room <= 0:
            return None
        ready = [name for name in PRIORITY if self._may_send(self._lanes[name])]
        idle = [name for name in ready if not self._lanes[name].in_flight]
        for name in idle or ready:
            lane = self._lanes[name]
            size = 1 if lane.single_until else min(MAX_BATCH_RECORDS, room)
            return BatchOffer(name, lane.next_seq, min(lane.last_seq, lane.next_seq + size - 1))
        return None

    def sent(self, now: float, stream: str, first_seq: int, last_seq: int) -> None:
        """The offered batch was handed to MQTT, perhaps shorter than offered."""
        lane = self._lanes[stream]
        assert lane.next_seq == first_seq <= last_seq, "only what was offered may be sent"
        lane.in_flight.append(_InFlight(first_seq, last_seq))
        lane.next_seq = last_seq + 1
        if self.credit.records_per_s:
            self._sent_log.append((now, last_seq - first_seq + 1))
        if lane.deadline is None:
            lane.deadline = self._later(now, lane.timeout_s)

    def missing(self, stream: str, first_seq: int) -> list[Output]:
        """The outbox no longer has ``first_seq``, which head office wants: it was restored from an old backup (W-34).

        A chain cannot leap: this incarnation ends, the next one names what is lost and sends what is kept.
        """
        assert first_seq <= self._lanes[stream].last_seq, "nobody asks for what was never written"
        return self._stop("pruned", {name: lane.known for name, lane in self._lanes.items()})

    # --- inside -------------------------------------------------------------------------------------------------

    def _hello(self, now: float) -> PublishHello:
        assert self._connect_n is not None, "hello needs a connection"
        self._hello_unanswered = True
        self._welcomed = False
        self._rehello_at = None
        self._hello_deadline = self._later(now, self._hello_timeout_s)
        for lane in self._lanes.values():
            lane.gap_cum = None
        return PublishHello(self._connect_n)

    def _say_hello_again(self, now: float) -> list[Output]:
        if self._connect_n is None or self._stopped is not None or self._rehello_at is not None:
            return []
        self._welcomed = False
        if self._last_rehello is not None and now < self._last_rehello + REHELLO_EVERY_S:
            self._rehello_at = self._last_rehello + REHELLO_EVERY_S
            return []
        self._last_rehello = now
        return [self._hello(now)]

    def _asked_to_reincarnate(self, now: float) -> list[Output]:
        """Our own comparison found nothing, so the welcome may answer a late copy of a hello from before we grew.

        A fresh hello settles it; head office only has to insist (W-32).
        """
        if self._hello_unanswered:
            self._hello_unanswered = False
            self._reincarnations += 1
        if self._reincarnations >= EQUAL_REINCARNATIONS:
            return self._stop("reincarnate")
        return self._say_hello_again(now)

    def _stop(self, reason: str, told: Mapping[str, int] | None = None) -> list[Output]:
        self._stopped = reason
        self._welcomed = False
        return [StopIncarnation(reason, told or {})]

    def _bad_ack(self, now: float, kind: str, ack: Ack) -> list[Output]:
        self.counters.bad_acks += 1
        audited = self._audited.get(kind)
        if audited is not None and now < audited + AUDIT_EVERY_S:
            return []
        self._audited[kind] = now
        return [AuditBadAck(kind, ack.stream, ack.cum)]

    def _reset_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.opened = False
            lane.timeout_s = ACK_TIMEOUT_S
            lane.go_back()

    def _take_credit(self, now: float, credit: Credit) -> None:
        self.credit = credit
        self._paused_until = now + credit.pause_ms / 1000 if credit.pause_ms else None
        if not credit.records_per_s:
            self._sent_log.clear()

    def _advance(self, now: float, lane: _Lane, ack: Ack) -> list[Output]:
        if ack.cum <= lane.applied:
            self.counters.repeated_acks += 1
            return []
        lane.applied = ack.cum
        lane.known = max(lane.known, ack.cum)
        lane.next_seq = max(lane.next_seq, ack.cum + 1)
        lane.opened = True
        lane.timeout_s = ACK_TIMEOUT_S
        while lane.in_flight and lane.in_flight[0].last_seq <= ack.cum:
            lane.in_flight.popleft()
        lane.deadline = self._later(now, lane.timeout_s) if lane.in_flight else None
        if ack.cum >= lane.single_until:
            lane.single_until = 0
        if len(ack.rejected) >= MAX_REJECTED:
            lane.hello_at_acked = ack.cum
        return [ApplyAck(ack.stream, ack.cum, ack.head_hash, ack.rejected)]

    def _gap(self, now: float, lane: _Lane, cum: int) -> list[Output]:
        if cum < lane.applied:
            return self._say_hello_again(now)
        if lane.gap_cum == cum:
            return []
        self.counters.gaps += 1
        lane.gap_cum = cum
        lane.go_back()
        return []

    def _refused(self, lane: _Lane, stream: str, cum: int, code: str) -> list[Output]:
        self.counters.refusals += 1
        if cum < lane.applied:
            return []
        lane.refusals = lane.refusals + 1 if lane.refusal == (cum, code) else 1
        lane.refusal = (cum, code)
        if lane.refusals > EQUAL_REFUSALS or not lane.in_flight:
            return []
        last_refused = lane.in_flight[-1].last_seq
        lane.go_back()
        if lane.refusals < EQUAL_REFUSALS:
            return []
        lane.single_until = last_refused
        return [RaiseSyncAlert("refused", {"stream": stream, "code": code, "cum": cum, "last_seq": last_refused})]

    def _may_send(self, lane: _Lane) -> bool:
        if lane.held or lane.next_seq > lane.last_seq:
            return False
        window = min(MAX_WINDOW, self.credit.window) if lane.opened and not lane.single_until else 1
        return len(lane.in_flight) < window

    def _records_left(self, now: float) -> int:
        if not self.credit.records_per_s:
            return MAX_BATCH_RECORDS
        self._forget_sent(now)
        return self.credit.records_per_s - sum(count for _, count in self._sent_log)

    def _forget_sent(self, now: float) -> None:
        while self._sent_log and now >= self._sent_log[0][0] + 1.0:
            self._sent_log.popleft()

    def _later(self, now: float, seconds: float) -> float:
        return now + seconds * (1 + JITTER * self._rng.random())
