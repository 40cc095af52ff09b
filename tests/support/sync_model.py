"""A tiny head office and a tiny journal in memory, for tests of delivery: they share only the codec with the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync import messages as m
from sync.envelope import Event
from sync.judging import Refused, build_ack, judge_batch, listable, must_reincarnate, welcome_stream
from sync.ports import OutboxRow

STATION = "SH-0421"
INSTALL = "install-1"
INCARNATION = "00112233445566778899aabbccddeeff"
TIME = "2026-11-21T08:00:00.000Z"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DATA: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "L": ("fc.stocktake.v1", {"shift": 1}),
    "A": ("fc.device.alert.v1", {"subject": "pump-3", "alert": "offline", "state": "raised", "evidence": {}}),
    "T": ("fc.health.v1", {"disk_free_kb": 1_000}),
}


def ulid(number: int) -> str:
    """A valid ULID that holds a number."""
    text = ""
    for _ in range(26):
        number, rest = divmod(number, 32)
        text = _ALPHABET[rest] + text
    return text


def raw_record(stream: str, seq: int, **changes: object) -> bytes:
    """One valid record; ``changes`` replace members of its data."""
    kind, data = _DATA[stream]
    if stream == "L" and seq == 1:
        kind, data = "fc.incarnation.v1", {"reason": "new", "parent": None}
    return m.make_record(
        seq=seq,
        id=ulid(seq * 3 + m.STREAMS.index(stream)),
        type=kind,
        time=TIME,
        boot="b7c1",
        mono_ms=seq,
        clock="ntp",
        data={**data, **changes},
    )


class ModelJournal:
    """Three growing chains; implements the Outbox protocol."""

    def __init__(self, incarnation: str = INCARNATION) -> None:
        self.incarnation = incarnation
        self.rows: dict[str, list[OutboxRow]] = {name: [] for name in m.STREAMS}
        self.acked = dict.fromkeys(m.STREAMS, 0)
        self.pruned = dict.fromkeys(m.STREAMS, 0)

    def append(self, stream: str, raw: bytes | None = None) -> OutboxRow:
        """Write the next record (a valid one unless ``raw`` says otherwise)."""
        rows = self.rows[stream]
        seq = len(rows) + 1
        raw = raw_record(stream, seq) if raw is None else raw
        previous = self.hash_at(stream, seq - 1)
        assert previous is not None
        rows.append(OutboxRow(seq, raw, m.hash_next(previous, seq, raw)))
        return rows[-1]

    def heads(self) -> dict[str, m.StreamPosition]:
        """See Outbox."""
        heads = {}
        for name, rows in self.rows.items():
            last_hash = self.hash_at(name, len(rows))
            assert last_hash is not None
            heads[name] = m.StreamPosition(len(rows), last_hash, self.acked[name])
        return heads

    def read(self, stream: str, first_seq: int, max_records: int, max_bytes: int) -> list[OutboxRow]:
        """See Outbox."""
        found: list[OutboxRow] = []
        if first_seq <= self.pruned[stream]:
            return found
        for row in self.rows[stream][first_seq - 1 : first_seq - 1 + max_records]:
            max_bytes -= len(row.raw) + 1
            if found and max_bytes < 0:
                break
            found.append(row)
        return found

    def hash_at(self, stream: str, seq: int) -> bytes | None:
        """See Outbox."""
        if seq == 0:
            return m.hash_0(STATION, self.incarnation, stream)
        rows = self.rows[stream]
        return rows[seq - 1].hash if 0 < seq <= len(rows) else None

    def prune(self, stream: str, up_to: int) -> None:
        """Delete delivered rows; their hashes stay known."""
        self.pruned[stream] = max(self.pruned[stream], min(up_to, self.acked[stream]))

    def batch(self, stream: str, first_seq: int, last_seq: int) -> m.Batch:
        """The batch of a run of its records."""
        rows = self.rows[stream][first_seq - 1 : last_seq]
        return m.Batch(
            install_id=INSTALL,
            incarnation=self.incarnation,
            stream=stream,
            first_seq=first_seq,
            prev_hash=self.hash_at(stream, first_seq - 1),
            records=tuple(row.raw for row in rows),
            last_hash=rows[-1].hash,
            payload_bytes=1,
        )

    def hello(self, connect_n: int = 1) -> m.Hello:
        """Its hello."""
        return m.Hello(
            incarnation=self.incarnation,
            install_id=INSTALL,
            software="test",
            connect_n=connect_n,
            boot="b7c1",
            mono_ms=1,
            time=TIME,
            clock="ntp",
            streams=self.heads(),
        )


class ModelHeadOffice:
    """Cursor, chain and dead letters of one incarnation in memory, by the rules of W-20, W-21, W-23 and W-25."""

    def __init__(self, credit: m.Credit | None = None) -> None:
        self.credit = m.Credit() if credit is None else credit
        self.stored: dict[str, list[tuple[bytes, bytes]]] = {name: [] for name in m.STREAMS}
        self.dead: dict[str, list[m.DeadLetter]] = {name: [] for name in m.STREAMS}
        self.told_acked = dict.fromkeys(m.STREAMS, 0)
        self.incarnation = INCARNATION

    def cum(self, stream: str) -> int:
        """What it has."""
        return len(self.stored[stream])

    def hash_at(self, stream: str, seq: int) -> bytes:
        """Its own hash of a seq."""
        return self.stored[stream][seq - 1][1] if seq else m.hash_0(STATION, self.incarnation, stream)

    def raws(self, stream: str) -> Sequence[bytes]:
        """Every record in order."""
        return [raw for raw, _ in self.stored[stream]]

    def restore(self, stream: str, cum: int) -> None:
        """Go back to what a backup had of a stream."""
        del self.stored[stream][cum:]
        self.dead[stream] = [one for one in self.dead[stream] if one.seq <= cum]

    def on_batch(self, batch: m.Batch) -> m.Ack:
        """Ingest and answer."""
        judged = judge_batch(batch)
        if isinstance(judged, Refused):
            return self._ack(batch, refused=judged.code)
        stream, cum = batch.stream, self.cum(batch.stream)
        if batch.first_seq > cum + 1:
            return self._ack(batch, gap=True)
        if batch.prev_hash != self.hash_at(stream, batch.first_seq - 1):
            return self._ack(batch, fork=True)
        for place, (raw, hash_n) in enumerate(zip(batch.records, judged.hashes, strict=True)):
            seq = batch.first_seq + place
            if seq <= cum:
                if hash_n != self.hash_at(stream, seq):
                    return self._ack(batch, fork=True)
                continue
            self.stored[stream].append((raw, hash_n))
            verdict = judged.verdicts[place]
            if isinstance(verdict, m.Rejected):
                self.dead[stream].append(m.DeadLetter(seq, verdict.reason))
        return self._ack(batch)

    def on_hello(self, hello: m.Hello) -> m.Welcome:
        """Answer a hello."""
        streams = {}
        for name, at in hello.streams.items():
            self.told_acked[name] = at.acked
            cum = self.cum(name)
            known = self.hash_at(name, at.last_seq) if at.last_seq <= cum else None
            streams[name] = welcome_stream(at, cum, self.hash_at(name, cum), known)
        return m.Welcome(
            for_install_id=hello.install_id,
            for_connect_n=hello.connect_n,
            incarnation=hello.incarnation,
            time=TIME,
            streams=streams,
            credit=self.credit,
            reincarnate=must_reincarnate(hello, streams),
        )

    def _ack(self, batch: m.Batch, *, gap: bool = False, fork: bool = False, refused: str | None = None) -> m.Ack:
        told = self.told_acked[batch.stream]
        dead = [one for one in self.dead[batch.stream] if one.seq > told]
        cum, listed = listable(dead, self.cum(batch.stream))
        head_hash = self.hash_at(batch.stream, cum)
        return build_ack(
            batch,
            cum=cum,
            head_hash=head_hash,
            credit=self.credit,
            rejected=listed,
            gap=gap,
            fork=fork,
            refused=refused,
        )


def event_of(source: str) -> Event:
    """An envelope that only has a source."""
    return Event(source, "id", m.Batch.TYPE, TIME, {})
