"""What the public may know of a station, as a GeoJSON Feature (RFC 7946), and when it is published again.

Pure. Knows the message and its pace, no connection; what stands in it the station says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sync.messages import checked
from sync.shapes import COUNT, CURRENCY, DAY, NAME, STATION, Items, Members, OrNull, Position, Shape, Text, Truth, Word

EVERY_S = 60.0
"""At most one profile in so long, however often something changes or the connection is made anew."""

BUSY = ("quiet", "some", "busy")
_LINE = Text(0, 255)
_PRICE = Members({"grade": Text(), "name": Text(), "product": NAME, "unit_price_milli": COUNT})
_OFFER = Members(
    {"offer": NAME, "name": Text(), "kind": NAME, "members_only": Truth(), "from": OrNull(DAY), "until": OrNull(DAY)}
)
_PROPERTIES = Members(
    {
        "name": _LINE,
        "address": OrNull(_LINE),
        "timezone": Text(1, 64),
        "opening_hours": OrNull(_LINE),
        "services": Items(NAME, 64),
        "currency": CURRENCY,
        "exponent": COUNT,
        "prices": Items(_PRICE, 64),
        "offers": Items(_OFFER, 256),
        "fuelling_points": Members({"total": COUNT, "open": COUNT}),
        "busy": OrNull(Word(BUSY)),
    }
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A station on the map, retained. ``feature``: the Feature; unit prices in 1/1000 per litre, null = unknown."""

    feature: Mapping[str, Any]

    TYPE: ClassVar[str] = "fc.profile.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "type": Word(("Feature",)),
            "id": STATION,
            "geometry": OrNull(Members({"type": Word(("Point",)), "coordinates": Position()})),
            "properties": _PROPERTIES,
        }
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return dict(self.feature)

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        return cls(checked(cls.SHAPE, data, cls.TYPE))


class ProfileTurn:
    """Says when a profile is to be published: after every connect and every change, at most once in ``EVERY_S``."""

    def __init__(self) -> None:
        self._told: Mapping[str, Any] | None = None
        self._at: float | None = None

    def connected(self) -> None:
        """A new connection: whoever keeps the retained message may have lost it."""
        self._told = None

    def is_due(self, now: float, feature: Mapping[str, Any] | None) -> bool:
        """Whether to publish this feature now; ``now``: monotonic seconds."""
        return feature is not None and feature != self._told and (self._at is None or now >= self._at + EVERY_S)

    def published(self, now: float, feature: Mapping[str, Any]) -> None:
        """It was handed to the broker."""
        self._told, self._at = feature, now
