"""A till whose readers and nozzles move: codes are scanned, nozzles lifted and hung, sales end, handhelds act.

The real pipeline on a real database; no device and no clock but the test's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

from agent.clock import read
from agent.crypto import public_ed25519, sign_ed25519
from agent.domain import link_records as links
from agent.domain.codes import fm1, token
from agent.inbox import FromLine
from agent.pipeline import scanning
from agent.store.verify import verify
from drivers.readings import CodeScan
from tests.support import template
from tests.support.head_office_says import key_set
from tests.support.station_settings import Plan
from tests.support.till import EARN, MEMBER, OTHER, Till

PHONE = bytes(range(100, 132))
M1, M2 = MEMBER, OTHER
FIXED, ISLAND_2, ROAMING = "reader-1", "reader-2", "reader-roaming"
"""reader-1 and reader-2 serve points 1 and 2, the roaming one 3 and 4."""

Answer = dict[str, Any]


class Island(Till):
    """``scan`` returns what the reader is answered; ``at`` moves the time of the sequence."""

    codes = 0

    def at(self, seconds: float) -> None:
        """It is so many seconds after the beginning of the sequence."""
        self.wait(self.began_s + seconds - self.clock.now_s)

    def begin(self) -> None:
        """The sequence begins now."""
        self.began_s = self.clock.now_s

    def fresh(self, member: str) -> str:
        """A code that a member's phone shows now, valid for 110 seconds."""
        self.codes += 1
        exp_s = self.clock.wall_ms() // 1000 + 110
        claims = token.Claims(token.EDDSA, b"\x01", int(member, 16), exp_s, self.codes.to_bytes(4, "big"))
        return fm1.issue(claims, partial(sign_ed25519, PHONE))

    def scan(self, text: str, reader: str = FIXED) -> Answer:
        """A reader sees a text; returns what it is answered."""
        before = len(self.pipeline._live.answers)
        self.pipeline.handle(FromLine(reader, CodeScan(reader, text), read(self.clock)))
        assert len(self.pipeline._live.answers) in (before + 1, before)  # the board keeps the newest ones only
        return dict(self.pipeline._live.answers[-1])

    def lift(self, point: int = 1) -> None:
        """The next nozzle is lifted."""
        self.do(lambda step: scanning.tell(step, links.NozzleLifted(point, 1, f"0:{self.meter(point)}")))

    def hang(self, point: int = 1) -> None:
        """It is hung, and nothing flowed."""
        self.do(lambda step: scanning.tell(step, links.HungZero(point, 1)))

    def fuel(self, litres: int = 20, point: int = 1) -> str:
        """A whole fuelling that ends now."""
        self.lift(point)
        return self.sale(litres * 1_000, point=point)

    def holder(self, sale: str) -> list[tuple[str, int]]:
        """(member, delay) of the active link of a sale."""
        rows = self.rows(
            "SELECT m.id, l.delay_s FROM link l JOIN member m ON m.ref = l.member_ref"
            f" WHERE l.sale = '{sale}' AND l.active = 1"
        )
        return [(row["id"], row["delay_s"]) for row in rows]

    def signs(self) -> list[str]:
        """The rules that saw something."""
        return sorted({row["rule"] for row in self.rows("SELECT rule FROM fraud_alert")})


def open_island() -> Iterator[Island]:
    """A station with the keys of phone codes and two members; whatever happened, the books add up."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = Island(folder, plan=Plan(settle="tender", watched=True))
    made.rules(EARN)
    made.member(M1, op=1, mask="张**", tier="gold")
    made.member(M2, op=2, mask="李*")
    made.pipeline.handle(key_set(1, ("01", public_ed25519(PHONE), "dynamic")))
    made.begin()
    yield made
    report = verify(made.store.path)
    made.close()
    shutil.rmtree(folder)
    assert report.findings == (), report.findings
