"""The forecourt in leaps: the shipped simulator's pumps, tanks, people and console, moved from event to event.

Knows when something happens by itself next. Knows no agent.
"""

from __future__ import annotations

from drivers.simulator.forecourt import Forecourt
from drivers.simulator.world import TICK_MS

TANKER_STEP_MS = 20_000
"""A delivery of some minutes is seen rising in a dozen steps."""


def next_ms(forecourt: Forecourt, flow_step_ms: int) -> int | None:
    """When the forecourt does something by itself next; ``None`` = nothing is to come."""
    world = forecourt.world
    now_ms = world.now_ms
    due: list[int] = []
    for queue in world.queues:
        at_ms = queue.next_ms(now_ms)
        if at_ms is not None:
            due.append(at_ms if at_ms > now_ms else now_ms + flow_step_ms)
    for tanker in world.tankers:
        if tanker.state == "waiting":
            due.append(max(now_ms + TICK_MS, tanker.config.start_s * 1_000))
        elif tanker.state == "running":
            left_ms = (tanker.config.volume_ml - tanker.given_ml) * 60_000 // tanker.config.rate_ml_per_min
            due.append(now_ms + max(TICK_MS, min(TANKER_STEP_MS, left_ms)))
    if any(head._later for head in world.heads.values()):
        due.append(now_ms + TICK_MS)
    return min(due, default=None)


def leap(forecourt: Forecourt, to_ms: int, flow_step_ms: int) -> None:
    """Everything up to ``to_ms`` happens; while nothing does, the forecourt's own clock stands at what happened last."""
    world, board = forecourt.world, forecourt.board
    if to_ms <= board.now_ms:
        return
    board.due(to_ms)
    forecourt.console.now_ms = to_ms
    moved = False
    while True:
        at_ms = next_ms(forecourt, flow_step_ms)
        if at_ms is None or at_ms > to_ms:
            break
        world.tick(at_ms - world.now_ms)
        moved = True
    if moved or not board.is_clear:
        # a fault may strike at any moment, and whoever waits for one must see it
        if world.now_ms < to_ms and not board.is_clear:
            world.tick(to_ms - world.now_ms)
        forecourt.console.step(to_ms)
