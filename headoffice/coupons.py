"""Issues coupons: signed texts that a station checks offline by its pinned key. What a coupon gives, the rule set says.

Knows claims and the published rules. Keeps no list: a code is random, and stations tell which were used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from agent.domain.coupons import Claims, CouponError, claims_of
from agent.domain.rules.load import parse
from agent.domain.rules.model import Kind
from headoffice.documents import RULES
from headoffice.errors import DocumentProblem, UsageError
from headoffice.keys import Keys
from headoffice.store import documents as store
from headoffice.store.database import Database
from sync.messages import format_time

CODE_DIGITS = 16
"""Of Crockford's alphabet, 80 bits: nobody guesses one, and two are never the same."""

MAX_COUNT = 10_000
DAY_MS = 86_400_000
ZONES_DAYS = 2
"""A last local day ends everywhere within two days of its beginning in UTC."""

NEVER = "9999-12-31T00:00:00.000Z"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to issue: ``count`` coupons for each member, or, without members, for whoever presents them."""

    offer: str
    members: Sequence[str] = ()
    station: str | None = None
    expires_on: date | None = None
    balance_minor: int | None = None
    count: int = 1


def issue(
    database: Database, keys: Keys, wanted: Wanted, *, now_ms: int, pick: Callable[[str], str]
) -> Iterator[tuple[Claims, str]]:
    """Yield claims and signed text of each coupon; ``pick`` takes a random character of a text.

    Raises DocumentProblem where the published rules have no such coupon, UsageError for claims that cannot be.
    """
    _check(database, wanted.offer)
    valid = {"not_before": format_time(now_ms - DAY_MS), "not_after": _not_after(wanted.expires_on)}
    for member in wanted.members or (None,):
        for _ in range(wanted.count):
            code = "".join(pick(_ALPHABET) for _ in range(CODE_DIGITS))
            claims = Claims(code, wanted.offer, member, wanted.station, wanted.expires_on, wanted.balance_minor)
            try:
                claims_of(claims.record())
            except CouponError as error:
                raise UsageError(str(error), hint="nothing was issued") from error
            yield claims, keys.sign({**claims.record(), **valid})


def _check(database: Database, offer: str) -> None:
    with database.read() as connection:
        published = store.newest(connection, RULES)
    if published is None:
        raise DocumentProblem("no rule set is published", hint="forecourt-hq rules publish FILE comes first")
    kinds = {entry.id: entry.kind for entry in parse(json.loads(published.body), kept=True).offers}
    if kinds.get(offer) is not Kind.COUPON:
        known = ", ".join(sorted(name for name, kind in kinds.items() if kind is Kind.COUPON)) or "none"
        raise DocumentProblem(
            f"rules version {published.version} have no coupon {offer!r}", hint=f"coupons there: {known}"
        )


def _not_after(expires_on: date | None) -> str:
    """Return until when the text is good: past its last local day in every zone; the rules end it on the day itself."""
    if expires_on is None:
        return NEVER
    end = datetime.combine(expires_on, time(), UTC) + timedelta(days=ZONES_DAYS)
    return f"{end:%Y-%m-%dT%H:%M:%S}.000Z"
