"""What verify finds of points, leases, coupons and held quotes: one flipped row in each, named by what it belongs to."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.pipeline import leasing
from agent.store.verify import verify
from tests.support import template
from tests.support.till import OFFERS, Till, lend, token

FLIPS = [
    ("UPDATE lease SET granted = granted + 1 WHERE id = 'L1'", "lease L1", "granted"),
    ("UPDATE lease SET spent = spent - 1 WHERE id = 'L1'", "lease L1", "its moves sum to"),
    ("UPDATE lease SET state = 'closed' WHERE id = 'L1'", "lease L1", "its records say received"),
    ("UPDATE lease SET state = 'open' WHERE id = 'B0'", "lease B0", "its records say closed_out"),
    ("UPDATE lease_move SET amount = amount + 1 WHERE lease = 'B1'", "lease B1", "its move says"),
    ("DELETE FROM lease_move WHERE lease = 'B1' AND amount < 0", "lease B1", "its move says 0"),
    ("UPDATE coupon_use SET value_minor = 999 WHERE code = 'C-1'", "coupon C-1", "differs from the record"),
    ("UPDATE coupon_use SET returned_ms = 1 WHERE code = 'C-1'", "coupon C-1", "differs from the record"),
    ("UPDATE coupon_use SET used = 0 WHERE code = 'C-1'", "coupon C-1", "says otherwise"),
    ("UPDATE coupon_use SET left_minor = left_minor + 1 WHERE code = 'C-2'", "coupon C-2", "left on it"),
    ("DELETE FROM coupon_use WHERE code = 'C-1'", "coupon C-1", "has no row"),
    (
        "UPDATE coupon_use SET sale = (SELECT max(id) FROM sale) WHERE code = 'C-1'",
        "coupon C-1",
        "in no journal record",
    ),
    (
        "UPDATE settlement SET points_redeemed = points_redeemed + 100 WHERE points_redeemed > 0",
        "settlement of",
        "its postings sum to",
    ),
    (
        "UPDATE settlement SET points_earned = points_earned - 1 WHERE points_earned > 0",
        "settlement of",
        "its postings sum to",
    ),
    ("UPDATE lot SET expires_on = '2030-01-31' WHERE source = 'sale'", "lot ", "its record says"),
    ("UPDATE lot SET usable_from_ms = 0 WHERE source = 'sale'", "lot ", "its record says"),
    ("DELETE FROM lot WHERE source = 'head_office'", "lot base:2026-09-30", "no row"),
    ("UPDATE posting SET points = points + 1 WHERE account = 'member:available'", "ledger ", "sum to"),
    ("UPDATE use_count SET uses = uses + 1 WHERE offer = 'camp' AND subject > 0", "use count of camp", "its sales say"),
    ("DELETE FROM use_count WHERE offer = 'camp' AND subject > 0", "use count of camp", "has no row"),
    ("UPDATE sale SET state = 'Payable' WHERE state = 'Locked'", "quote of", "not Locked"),
    ("DELETE FROM held; DELETE FROM quote", "sale ", "no quote holds it"),
    ("UPDATE held SET amount = 9999 WHERE key = 'B1'", "lease B1", "quotes hold 9999"),
]
"""What is done to the database, the place that is named, and a part of what is said."""


@pytest.fixture(scope="module")
def sound() -> Iterator[Path]:
    """A database in which everything has happened once: paid with points and coupons, given back, held."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder)
    till.rules(*OFFERS)
    till.member(lots=[(5_230, None, "2026-09-30")])
    lend(till, "B0", "budget", 100)
    till.settle(till.fuelled())
    lend(till, "L1", "points", 3_000)
    lend(till, "B1", "budget", 2_000)
    till.do(lambda step: leasing.close_out(step, "B0"))
    till.settle(till.fuelled(), points=1_000, coupons=[token("C-1", "ten")])
    back = till.fuelled()
    till.settle(back, points=500)
    till.ask("sales.void", sale=back, reason="wrong pump")
    till.settle(till.fuelled(800), coupons=[token("C-2", "ten", balance_minor=900)])
    till.quote(till.fuelled(), points=500, lock=True)
    till.close()
    assert verify(folder / "station.db").findings == ()
    yield folder / "station.db"
    shutil.rmtree(folder)


@pytest.mark.parametrize(("flip", "where", "said"), FLIPS, ids=[flip[0][:44] for flip in FLIPS])
def test_a_flipped_row_is_found_and_named(sound: Path, tmp_path: Path, flip: str, where: str, said: str) -> None:
    """Every balance, sum and state can be rebuilt from the journal: what differs is named with both values."""
    copy = tmp_path / "station.db"
    with closing(sqlite3.connect(sound)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA ignore_check_constraints = 1")
        target.executescript(flip)
        target.commit()
    found = verify(copy).findings
    assert any(item.where.startswith(where) and said in item.problem for item in found), found
