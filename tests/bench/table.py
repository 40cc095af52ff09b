"""One row of the table of measurements: our figure beside the limit or peer of the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """``ratio`` is ours to the peer's; ``met`` whether the target is reached."""

    id: str
    what: str
    ours: float
    unit: str
    peer: float | None
    peer_name: str
    ratio: float | None
    target: str
    met: bool
    note: str = ""
