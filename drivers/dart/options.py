"""Options of a DART line: names, defaults, limits and what each is for.

Knows no wire. Times are whole milliseconds, or text such as ``"35ms"`` or ``"2s"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers import options


@dataclass(frozen=True, slots=True)
class DartOptions:
    """Checked options of one line. Every time in seconds.

    ``reply_window_s``: from the end of our frame to the first byte of the answer.
    ``probe_window_s``: the same for a point that is offline, so that a dead one costs the others little. A point that
    was slower than that when it last answered gets twice its slowest answer; every eighth probe gets the full window.
    ``gap_in_frame_s``: silence that ends a broken frame; USB adapters hand bytes over in portions up to 16 ms apart.
    ``pause_frame_s`` / ``pause_ack_s``: quiet on the wire before our next frame / before our ACK.
    ``retries``: how often an unanswered block is sent again, with the same number.
    ``silent_polls`` / ``silent_time_s``: a point is offline after so many silent polls, or after so long.
    ``good_cycles``: answers in a row that bring it back.
    ``state_wait_s`` / ``state_polls``: how long, in how many polls at most, to wait for a state after a command.
    ``price_settle_s``: rest after new prices before they are checked.
    ``poll_interval_s``: shortest time between two turns of one point; 0 = as fast as the wire allows.
    ``ackpoll``: acknowledge and poll again in one frame while a point has more to say.
    ``amount_totals``: ask for the amount total of each nozzle as well.
    ``return_prices``: the heads answer RETURN PRICES (newer ones), so new prices can be read back.
    ``identity``: ask a head for its identity and its decimals when it comes online; other decimals than configured are
    then an alarm. Older heads may not answer.
    ``suspend``: how heads are halted: ``"none"`` (older ones cannot), ``"command"`` (CD1 0D and 0E) or
    ``"transaction"`` (CD14 and CD15); which heads have which is not known.
    ``s4_dialect``: Europump S4 heads: amount totals travel in transaction 66 [uncertain, per firmware].
    """

    reply_window_s: float = 0.120
    probe_window_s: float = 0.060
    gap_in_frame_s: float = 0.050
    pause_frame_s: float = 0.035
    pause_ack_s: float = 0.005
    retries: int = 3
    silent_polls: int = 5
    silent_time_s: float = 8.0
    good_cycles: int = 3
    state_wait_s: float = 2.0
    state_polls: int = 16
    price_settle_s: float = 1.0
    poll_interval_s: float = 0.0
    ackpoll: bool = False
    amount_totals: bool = False
    return_prices: bool = False
    identity: bool = False
    suspend: str = field(default="none", metadata={"words": ("none", "command", "transaction")})
    s4_dialect: bool = False


LIMITS: Mapping[str, tuple[int, int]] = {
    "reply_window": (10, 2_000),
    "probe_window": (10, 2_000),
    "gap_in_frame": (5, 500),
    "pause_frame": (0, 1_000),
    "pause_ack": (0, 500),
    "retries": (0, 10),
    "silent_polls": (1, 50),
    "silent_time": (1_000, 60_000),
    "good_cycles": (1, 20),
    "state_wait": (100, 30_000),
    "state_polls": (1, 200),
    "price_settle": (0, 30_000),
    "poll_interval": (0, 5_000),
}
"""Smallest and largest value of each number; times in milliseconds."""


def check(given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Every problem of ``given`` as (key, what is wrong, what to write instead); empty when all is well."""
    return options.check(DartOptions, LIMITS, given)


def read(given: Mapping[str, object]) -> DartOptions:
    """The checked options. Raises ``WiringError`` at the first problem."""
    return options.read(DartOptions, LIMITS, given)
