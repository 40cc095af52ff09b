"""Named places where a test may kill the process or crash the step: every one is listed here.

``FORECOURT_FAILPOINT=name:n`` kills this process with SIGKILL at the n-th time ``name`` is passed. In-process tests use
``armed``. Passing a failpoint that nobody armed costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

ENVIRONMENT_NAME = "FORECOURT_FAILPOINT"

NAMES: dict[str, str] = {
    "sale.totals_read": "the totals, the held sale and the totals again have arrived, nothing is written",
    "sale.before_commit": "everything of the step is written, the transaction is still open",
    "store.inside_commit": "inside the commit call, before SQLite is asked to commit",
    "sale.after_commit": "committed; the pump has not been told to forget",
    "sale.after_release": "the pump has been told to forget; nothing is published",
    "link.before_commit": "a link is written, the transaction is still open",
    "link.after_commit": "a link is committed, the reader has no answer",
    "board.after_commit": "what a handheld asked for is committed, it has no answer",
    "card.counted": "a card's counter is written, the transaction is still open",
    "card.after_commit": "a card's counter is committed with its link, the reader has no answer",
    "tender.before_commit": "a settlement is written, the transaction is still open",
    "tender.after_commit": "a settlement is committed, the person has no answer",
    "enrol.before_commit": "a member is enrolled, the transaction is still open",
    "enrol.after_commit": "a member is enrolled and committed, the person has no answer",
    "quote.before_commit": "a quote holds a price, the transaction is still open",
    "quote.after_commit": "a held quote is committed, the person has no answer",
    "lease.before_commit": "a lease is received or closed out, the transaction is still open",
    "lease.after_commit": "a lease is received or closed out, and committed",
    "refund.before_commit": "points, coupons and budgets are given back, the transaction is still open",
    "delivery.before_commit": "deliveries are journalled, the transaction is still open",
    "delivery.after_commit": "deliveries are journalled and committed",
    "shift.before_commit": "a shift is opened or closed with all its sums, the transaction is still open",
    "shift.after_commit": "an opened or closed shift is committed, the person has no answer",
    "rules.before_commit": "a rule set is activated, the transaction is still open",
    "rules.after_commit": "a rule set is active and committed",
    "command.begun": "a command is noted as begun and committed, nothing of it is done",
    "command.before_commit": "a command is done with its result, the transaction is still open",
    "command.after_commit": "a command is committed with its result, head office has not been told",
    "members.before_commit": "a bucket of members is written, the transaction is still open",
    "members.after_commit": "a bucket of members is committed, the next is not asked for",
    "sync.before_publish": "a batch is encoded and not handed to the broker",
    "sync.after_puback": "the broker has acknowledged, head office may know nothing",
    "sync.before_ack_applied": "head office's acknowledgement has arrived, rows are not marked",
    "sync.after_ack_applied": "rows are marked as delivered and committed",
    "rebirth.ended": "the end of the old incarnation is noted, the transaction is still open",
    "rebirth.before_commit": "a new incarnation is written with all that is sent again, the transaction is still open",
    "rebirth.after_commit": "a new incarnation is committed, the high-water file still names the old one",
    "rebirth.ends_noted": "the gaps are closed with what head office told, the transaction is still open",
    "backup.copied": "the plain copy is complete, it is not checked",
    "backup.sealed": "the encrypted file is complete under its temporary name",
    "backup.described": "the manifest is written, the encrypted file still has its temporary name",
    "backup.named": "the encrypted file has its name, the plain copy and older backups are not removed",
    "restore.unpacked": "the backup is unpacked beside the database, nothing is checked",
    "restore.checked": "what will be put in place is checked, the present database stands",
    "restore.decided": "the intent is on the disk: from here on the new database will be in place",
    "restore.moved": "one file of the replaced database is moved aside",
    "restore.placed": "the new database has its name, the intent still stands",
    "hq.before_commit": "head office has written a batch, the transaction is still open",
    "hq.after_commit": "head office has committed a batch, the acknowledgement is not sent",
}


class SimulatedCrash(BaseException):
    """Raised instead of killing the process when a failpoint is armed in-process; nothing may catch it."""


class _State:
    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.kill_at: tuple[str, int] | None = _from_environment()
        self.crash_at: tuple[str, int] | None = None


def _from_environment() -> tuple[str, int] | None:
    text = os.environ.get(ENVIRONMENT_NAME, "")
    if not text:
        return None
    name, _, count = text.partition(":")
    if name not in NAMES or not (count.isascii() and count.isdigit()) or int(count) < 1:
        known = ", ".join(sorted(NAMES))
        raise ValueError(f"{ENVIRONMENT_NAME}={text!r}: expected NAME:N with N >= 1 and NAME one of {known}")
    return name, int(count)


_state = _State()


def failpoint(name: str) -> None:
    """Pass the named place; does nothing unless a test armed it. ``name`` must be in ``NAMES``."""
    assert name in NAMES, name
    _state.hits[name] += 1
    passed = (name, _state.hits[name])
    if passed == _state.kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    if passed == _state.crash_at:
        raise SimulatedCrash(f"{name}:{passed[1]}")


def hits() -> Counter[str]:
    """Return how often each failpoint was passed in this process."""
    return Counter(_state.hits)


@contextmanager
def armed(name: str, n: int) -> Iterator[None]:
    """Raise ``SimulatedCrash`` at the n-th passing of ``name`` inside this context; counting starts anew."""
    assert name in NAMES, name
    assert n >= 1
    _state.hits[name] = 0
    _state.crash_at = (name, n)
    try:
        yield
    finally:
        _state.crash_at = None
