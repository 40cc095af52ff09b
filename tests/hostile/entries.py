"""The doors at which hostile input comes in, each with the real thing behind it, and a station whose state is watched.

A door takes one input and returns the outcomes that were answered. What counts as state: everything but ``NOTED``.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from agent.clock import read
from agent.crypto import public_ed25519, sign_ed25519, verify_ed25519
from agent.domain import identity
from agent.domain.codes import fm1, token
from agent.domain.codes.keyset import Key, KeySet, Purpose, Status
from agent.inbox import FromLine
from agent.pipeline import scanning
from drivers.config import LineConfig
from drivers.readings import CardTap, CodeScan
from drivers.scanner.codec import MAX_FRAME_BYTES
from drivers.scanner.driver import SerialScanner
from tests.hostile.inputs import as_bytes
from tests.support.head_office_says import INDEX_KEY, key_set, member_of
from tests.support.station import EPOCH_MS, VirtualStation
from tests.support.station_plans import by_hand
from tests.support.wire import VirtualPort

READER, TERMINAL = "reader-1", "H07"
SEED, KID = bytes(range(100, 132)), b"\x01"
NOTED = ("scan_event", "desk_memory")
"""Tables that may tell of a refused input: that there was one, where and when, and how it was answered."""

PAUSE_S = 0.05


def good_code(now_s: int) -> str:
    """A code that head office signed: what near misses are made of."""
    claims = token.Claims(token.EDDSA, KID, int(member_of(1), 16), now_s + 100, b"\x00\x00\x00\x01")
    return fm1.issue(claims, partial(sign_ed25519, SEED))


class TokenDoor:
    """Classification and the check of signed codes, alone."""

    def __init__(self) -> None:
        key = Key(KID, token.EDDSA, public_ed25519(SEED), Purpose.PRINTED, 0, 2**32 - 1, Status.ACTIVE)
        self._keys = KeySet(1, {KID: key})

    def __call__(self, text: str) -> list[str]:
        found = identity.classify(text)
        if found.value is None or found.kind is not identity.Kind.MEMBER_TOKEN:
            return [found.kind.value]
        at = fm1.Instant(EPOCH_MS // 1000)
        return [fm1.check(found.value, self._keys, at, verify_ed25519).outcome.value]


class Watched:
    """A station with members, keys and a sale, and the doors that lead into its pipeline."""

    def __init__(self, folder: Path) -> None:
        self.station = VirtualStation(7, folder, by_hand())
        self.station.run_for(8)
        self.station.handle(key_set(1, (KID.hex(), public_ed25519(SEED), "dynamic")))
        self.station.fuel(1, 5_000)
        self.station.run_for(3)
        self.code = good_code(self.station.clock.wall_ms() // 1000)
        self._port = VirtualPort(lambda _data: b"")
        self._scanner = SerialScanner(LineConfig("s", "virtual", "serial-scanner", reader=READER))
        self._scanner.turn(self._port)

    def scanner(self, text: str) -> list[str]:
        """Bytes on the wire of a serial scanner, through its driver, each code it makes of them to the pipeline."""
        self._port.arrive(as_bytes(text) + b"\r\n")
        scans: list[CodeScan] = []
        while self._port._arriving:
            told = self._scanner.turn(self._port)
            scans += [reading for reading in told if isinstance(reading, CodeScan)]
        assert all(len(scan.text) <= MAX_FRAME_BYTES for scan in scans)
        return [self._answered(scan) for scan in scans]

    def handheld(self, text: str) -> list[str]:
        """A text that a handheld sends, at the point where it has come through the web server."""
        pipeline = self.station.pipeline
        step = pipeline._step(read(self.station.clock))
        scan = scanning.TerminalScan(step.new_id(), TERMINAL, None, text)
        shown = scanning.from_terminal(step, scan, INDEX_KEY)
        pipeline._finish(step)
        self._passed()
        return [shown["outcome"]]

    def card(self, message: bytes | None) -> list[str]:
        """A card laid on a reader, with whatever it says."""
        return [self._answered(CardTap(READER, b"\x08\x01\x02\x03", message))]

    def _answered(self, reading: CodeScan | CardTap) -> str:
        before = self.station.live.answers
        self.station.handle(FromLine(READER, reading, read(self.station.clock)))
        self._passed()
        after = self.station.live.answers
        assert after is not before, "everything that is shown to a reader is answered"
        return str(after[-1]["outcome"])

    def _passed(self) -> None:
        """Time goes by for the rule of duplicates; no second is ticked, for the station's lines stand still."""
        self.station.clock.now_s += PAUSE_S

    def state(self) -> dict[str, str]:
        """A digest of each table that no refused input may change."""
        with closing(sqlite3.connect(self.station.settings.store.path)) as db:
            named = [
                name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            ]
            return {
                name: hashlib.sha256(repr(db.execute(f"SELECT * FROM {name}").fetchall()).encode()).hexdigest()
                for name in named
                if name not in NOTED
            }
