"""The simulated attendant: takes the money for every unpaid sale through the control socket, as a till would.

Knows the control interface only. A daemon that is away is asked again; nothing is remembered that it could not tell.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from agent.clock import Clock
from agent.control import ControlError, ask

LOOK_S = 0.15
"""Real seconds between two looks at the list of unpaid sales."""
ANSWER_S = 5.0
MAX_OPEN = 500
"""The longest list the daemon gives: far more than a station ever has unpaid."""
LINKED_MS = (2_000, 4_000)
"""Simulated time from seeing a linked sale to the money."""
UNLINKED_MS = (4_000, 7_000)
"""Most customers have found their card by then; later, the next one at the pump would show a card for this sale."""
_KINDS = (("wechat", 42), ("alipay", 28), ("cash", 14), ("card", 10), ("unionpay", 6))
SPLIT_PER_MILLE = 80
DRIVE_OFF_PER_MILLE = 15
METER_TEST_PER_MILLE = 10


@dataclass(frozen=True, slots=True)
class Payment:
    """How one sale will be paid. ``linked_ms``, ``unlinked_ms``: patience in simulated time.

    ``share_pct``: what the first of two kinds pays.
    """

    kinds: tuple[str, ...]
    purpose: str | None
    share_pct: int
    linked_ms: int
    unlinked_ms: int

    def tenders(self, sale: dict[str, Any], net_minor: int) -> list[dict[str, Any]]:
        """Return the tenders to send for a sale; the last one takes what is left."""
        if self.purpose is not None and sale["member"] is None:
            return [{"kind": self.purpose, "amount_minor": None, "ref": None}]
        first = net_minor * self.share_pct // 100
        if len(self.kinds) == 1 or not 0 < first < net_minor:
            return [{"kind": self.kinds[0], "amount_minor": None, "ref": None}]
        return [
            {"kind": self.kinds[0], "amount_minor": first, "ref": None},
            {"kind": self.kinds[1], "amount_minor": None, "ref": None},
        ]


def payment(seed: int, sale: dict[str, Any]) -> Payment:
    """Return how a sale is paid, decided by the seed and the pump: a second try pays the same way."""
    rng = Random(f"pay:{seed}:{sale['fuelling_point']}:{sale['nozzle']}:{sale['totalizer_end']}:{sale['volume_ml']}")
    names, weights = [kind for kind, _ in _KINDS], [weight for _, weight in _KINDS]
    kinds = [rng.choices(names, weights)[0]]
    if rng.randrange(1000) < SPLIT_PER_MILLE:
        kinds.append(rng.choice([name for name in names if name != kinds[0]]))
    drawn = rng.randrange(1000)
    purpose = None
    if drawn < DRIVE_OFF_PER_MILLE:
        purpose = "drive-off"
    elif drawn < DRIVE_OFF_PER_MILLE + METER_TEST_PER_MILLE:
        purpose = "meter-test"
    return Payment(tuple(kinds), purpose, rng.randint(20, 80), rng.randint(*LINKED_MS), rng.randint(*UNLINKED_MS))


class Attendant:
    """One attendant; ``run`` is a thread's target, ``look_once`` one walk over the forecourt."""

    def __init__(self, socket: Path, clock: Clock, seed: int) -> None:
        self._socket = socket
        self._clock = clock
        self._seed = seed
        self._first_seen_ms: dict[tuple[str, bool], int] = {}
        self.refusals: list[str] = []

    def run(self, stop: threading.Event) -> None:
        """Take money until told to stop."""
        while not stop.wait(LOOK_S):
            self.look_once()

    def look_once(self) -> None:
        """Settle what is due."""
        try:
            unpaid = ask(self._socket, "sales", {"state": "Payable", "limit": MAX_OPEN}, timeout_s=ANSWER_S)
        except (ControlError, ValueError):
            return  # the daemon is away: the next look asks again
        self._confirm_meters()
        now_ms = self._clock.mono_ms()
        keys = {(sale["sale"], sale["member"] is not None): sale for sale in unpaid}
        self._first_seen_ms = {key: self._first_seen_ms.get(key, now_ms) for key in keys}
        for key, sale in keys.items():
            how = payment(self._seed, sale)
            waits_ms = how.linked_ms if key[1] else how.unlinked_ms
            if now_ms - self._first_seen_ms[key] >= waits_ms:
                self._settle(sale, how)

    def _confirm_meters(self) -> None:
        """As the supervisor would after looking at meter and seal: a replaced meter counts from where it stands."""
        try:
            for point in ask(self._socket, "pumps", timeout_s=ANSWER_S):
                for nozzle in point["meter_resets"]:
                    args = {"fuelling_point": point["fuelling_point"], "nozzle": nozzle}
                    ask(self._socket, "pumps.confirm-meter", args, timeout_s=ANSWER_S)
        except (ControlError, ValueError):
            return  # refused or away: the next look asks again

    def _settle(self, sale: dict[str, Any], how: Payment) -> None:
        try:
            net = 0
            if len(how.kinds) > 1:
                net = ask(self._socket, "sales.quote", {"sale": sale["sale"]}, timeout_s=ANSWER_S)["net_minor"]
            tenders = how.tenders(sale, net)
            ask(self._socket, "sales.settle", {"sale": sale["sale"], "tenders": tenders}, timeout_s=ANSWER_S)
        except ControlError as failure:
            if failure.exit_code != 3:  # 3: away; anything else is an answer, and it is "no"
                self.refusals = [*self.refusals[-19:], f"sale {sale['sale']}: {failure}"]
        except ValueError:
            return  # the daemon died in the middle of its answer: the next look tells what came of it
