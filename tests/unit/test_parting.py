"""Sales that are two years old: when they lose their member, to whom, and what cannot be asked of them any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.retention import DAY_MS
from agent.inbox import Ticked
from agent.pipeline.retention import months_ms
from agent.store.verify import verify
from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.till import EARN, MEMBER, OTHER, Till

TERM_S = months_ms(24) // 1000
DAY_S = DAY_MS // 1000


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A station whose members earn points."""
    with quiet_log():
        template.copy_to(tmp_path)
        opened = Till(tmp_path)
        opened.rules(EARN)
        for op, member in enumerate((MEMBER, OTHER), 1):
            opened.member(member, op=op)
        yield opened
        assert not verify(opened.store.path).findings
        opened.close()


def sold(till: Till, member: str = MEMBER) -> str:
    """A settled sale of a member."""
    sale = till.sale()
    till.link(sale, member)
    till.settle(sale)
    return sale


def night(till: Till, *, delivered: bool = True) -> None:
    """Head office acknowledges everything, then a night's deletion runs to its end."""
    if delivered:
        till.do(lambda step: step.tx.delivery.acknowledge("L", *till.store.heads()["L"]))
    till.pipeline.handle(Ticked("minute"))
    for _ in range(8):
        till.wait(1)


def member_of(till: Till, sale: str) -> str:
    """The id that the link of a sale names."""
    return str(till.one(f"SELECT m.id FROM link l JOIN member m ON m.ref = l.member_ref WHERE l.sale = '{sale}'"))


def test_a_member_has_one_pseudonym_a_month_and_another_the_next(till: Till) -> None:
    """Sales of one month stay together, those of two months do not; two members are never one."""
    first, second, others = sold(till), sold(till), sold(till, OTHER)
    till.clock.now_s += 35 * DAY_S
    later = sold(till)
    night(till)
    till.clock.now_s += TERM_S + 2 * DAY_S
    night(till)
    ids = [member_of(till, sale) for sale in (first, second, others, later)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(int(name, 16) >> 63 for name in ids)
    last = till.one(f"SELECT substr(business_day, 1, 7) FROM sale WHERE id = '{later}'")
    assert [row["month"] for row in till.rows("SELECT month FROM pseudonym")] == [last]


def test_the_term_counts_from_the_delivery(till: Till) -> None:
    """A sale that head office got a year late keeps its member a year longer; undelivered ones keep it for good."""
    sale = sold(till)
    till.clock.now_s += 365 * DAY_S
    night(till, delivered=False)
    till.clock.now_s += TERM_S - 365 * DAY_S + DAY_S
    night(till)
    assert member_of(till, sale) == MEMBER
    till.clock.now_s += TERM_S + DAY_S
    night(till)
    assert member_of(till, sale) != MEMBER


def test_a_sale_without_its_member_is_not_corrected_here(till: Till) -> None:
    """Refund, void and another member are refused with the way out; what it cost can still be shown."""
    sale = sold(till)
    night(till)
    till.clock.now_s += TERM_S + DAY_S
    night(till)
    for op in ("sales.refund", "sales.void", "sales.unlink"):
        answer = till.ask(op, sale=sale, reason="late", amount_minor=100)
        assert not answer["ok"]
        assert "head office" in answer["hint"]
    assert till.one(f"SELECT facts IS NULL FROM priced WHERE sale = '{sale}'") == 1


def test_what_a_member_holds_does_not_change_with_the_sale(till: Till) -> None:
    """Points earned two years ago are still the member's, and nobody's else."""
    sold(till)
    held = (
        "SELECT sum(p.points) FROM posting p JOIN member m ON m.ref = p.member_ref WHERE account = 'member:available'"
    )
    before = till.one(f"{held} AND m.id = '{MEMBER}'")
    night(till)
    till.clock.now_s += TERM_S + DAY_S
    night(till)
    assert (before, till.one(f"{held} AND m.id = '{MEMBER}'"), till.one(held)) == (157, 157, 157)
