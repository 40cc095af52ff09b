"""How long to wait before the next try. Pure: the randomness comes in as a number from 0 to 1."""

from __future__ import annotations

_MAX_DOUBLINGS = 32  # past this every cap is reached; keeps the power small


def connect_delay_s(attempt: int, low_s: float, cap_s: float, share: float) -> float:
    """Full jitter (W-12): from ``low_s`` to ``low_s * 2**attempt``, at most ``cap_s``. ``attempt`` counts from 0."""
    top = min(cap_s, low_s * float(1 << min(attempt + 1, _MAX_DOUBLINGS)))
    return min(low_s, top) + share * max(0.0, top - low_s)
