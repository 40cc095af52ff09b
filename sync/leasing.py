"""What head office signs when it lends points or budget to one incarnation of a station (W-42, W-50, W-52).

Pure. Knows the claims of a lease; knows no signature (``sync.signing``) and not what may be spent of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sync.messages import MessageError, checked
from sync.shapes import INCARNATION, MEMBER_ID, NAME, POSITIVE, STATION, TIME, ULID, Members, OrNull, Shape, Word

POINTS, BUDGET = "points", "budget"


@dataclass(frozen=True, slots=True)
class LeaseClaims:
    """A lease: who may spend how much of what. ``amount``: points, or minor units of a campaign's budget.

    ``lease`` is unique for ever, so the same text twice is one lease. ``sale``: whose customer waits for it, None
    for one that is kept. ``expires``: from then on nothing new is spent from it; what was spent counts all the same.
    """

    lease: str
    kind: str
    subject: str
    amount: int
    station: str
    incarnation: str
    sale: str | None
    expires: str
    not_before: str
    not_after: str

    SHAPE: ClassVar[Shape] = Members(
        {
            "lease": NAME,
            "kind": Word((POINTS, BUDGET)),
            "subject": NAME,
            "amount": POSITIVE,
            "station": STATION,
            "incarnation": INCARNATION,
            "sale": OrNull(ULID),
            "expires": TIME,
            "not_before": TIME,
            "not_after": TIME,
        }
    )

    def to_claims(self) -> dict[str, Any]:
        """The claims to sign."""
        return {
            "lease": self.lease,
            "kind": self.kind,
            "subject": self.subject,
            "amount": self.amount,
            "station": self.station,
            "incarnation": self.incarnation,
            "sale": self.sale,
            "expires": self.expires,
            "not_before": self.not_before,
            "not_after": self.not_after,
        }

    @classmethod
    def from_claims(cls, claims: object) -> Self:
        """Read verified claims. Raises MessageError."""
        found = checked(cls.SHAPE, claims, "lease")
        if found["kind"] == POINTS and MEMBER_ID.defect(found["subject"]) is not None:
            raise MessageError("lease: subject is no member")
        return cls(**{name: found[name] for name in cls.__slots__})
