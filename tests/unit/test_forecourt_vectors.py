"""The worked examples of dispenser sale safety, each through a whole fuelling point that has just started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.domain.booking import AMOUNT_ESTIMATED, Fingerprint, Meter, Rules
from agent.domain.forecourt import durable, restore, step
from agent.domain.instant import Now
from agent.domain.point_events import Book, CloseFuelling, Effect, Event, Send
from agent.domain.point_state import ControlMode, Durable, Fuelling, NozzleConfig, Origin, Point, PointConfig
from agent.domain.sale import Totalizer
from drivers.commands import Acknowledge, Authorise, ReadSale
from drivers.readings import CompletedSale, FuellingPointReading, HeldSale, PointState, TotalizerReading

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "dispenser_sale_safety.json").read_text(encoding="utf-8"))
SCENARIOS = VECTORS["scenarios"]
WALL = 1_760_000_000_000


def started(stored: dict[str, Any]) -> Point:
    """The point as the database of the scenario leaves it."""
    total, price = Totalizer(stored["epoch"], int(stored["totalizer"])), stored["unit_price_milli"]
    last, live = stored.get("last_sale"), stored.get("last_live", {})
    old = Fingerprint(1, last["volume_ml"], last["amount_minor"], price) if last else None
    meter = Meter(
        nozzle=1,
        total=total,
        unit_ml=stored["totalizer_unit_ml"],
        modulus=int(stored["modulus"]),
        amount_raw=int(stored["amount_total"]) if "amount_total" in stored else None,
        amount_modulus=int(stored["modulus"]) if "amount_total" in stored else None,
        unit_price_milli=price,
        last_sale=old,
    )
    fuelling = None
    if stored.get("open_fuelling"):
        fuelling = Fuelling(
            nozzle=1,
            start=total,
            unit_price_milli=price,
            opened_ms=WALL - 60_000,
            lifted_ms=WALL - 60_000,
            boot="a",
            origin=Origin.AUTO,
            live_volume_ml=live.get("volume_ml"),
            live_amount_minor=live.get("amount_minor"),
        )
    rules = Rules(max_delta_ml=stored.get("max_delta_ml", 20_000_000))
    config = PointConfig(1, ControlMode.AUTO, (NozzleConfig(1, "92", 1, price),), "b", rules)
    written = durable(Point(config, Durable(meters=(meter,), open=fuelling, last_held=old)))
    return restore(config, json.loads(json.dumps(written)), "b")


class Run:
    """The start of the scenario: the level, the read-out, and what came of it."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.point, self.ms = started(scenario["stored"]), 0
        self.device, self.stored = scenario["device"], scenario["stored"]
        self.effects: list[Effect] = []
        held = self.device["held_sale"]
        self.level = FuellingPointReading(
            1,
            PointState(self.device["state"]),
            nozzle=1,
            nozzle_out=self.device["state"] == "Fuelling",
            volume_ml=0 if held is None else held["volume_ml"],
            amount_minor=None if held is None else held["amount_minor"],
            unit_price_milli=self.stored["unit_price_milli"],
        )

    def event(self, event: Event) -> list[Effect]:
        self.ms += 1_000
        result = step(self.point, event, Now(WALL + self.ms, self.ms))
        self.point = result.point
        self.effects += result.effects
        return list(result.effects)

    def answer(self) -> list[Effect]:
        """The bundle, where one was asked for."""
        read = self.point.volatile.read
        if read is None:
            return []
        totals: tuple[TotalizerReading, ...] = ()
        if self.device["totalizer"] is not None:
            amount = self.device.get("amount_total")
            modulus = int(self.stored["modulus"])
            reading = TotalizerReading(
                fuelling_point=1,
                nozzle=1,
                raw=int(self.device["totalizer"]),
                unit_ml=self.stored["totalizer_unit_ml"],
                modulus=modulus,
                amount_raw=None if amount is None else int(amount),
                amount_modulus=None if amount is None else modulus,
            )
            totals = (reading,)
        shown = self.device["held_sale"]
        held = None if shown is None else HeldSale(1, 1, shown["volume_ml"], shown["amount_minor"], None, "")
        return self.event(CompletedSale(read.command_id, 1, totals, held, totals))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s["name"] for s in SCENARIOS])
def test_each_scenario_comes_out_as_written(scenario: dict[str, Any]) -> None:
    """Sales, verdict and order of effects after a start in the middle of it; nothing but reads before the commit."""
    run = Run(scenario)
    first = run.event(run.level)
    assert all(isinstance(e.command, ReadSale) for e in first if isinstance(e, Send))
    effects = run.answer()
    booked = [e.booking for e in effects if isinstance(e, Book)]
    assert [
        {
            "kind": b.kind.value,
            "totalizer_start": str(b.start),
            "totalizer_end": str(b.end),
            "epoch_end": b.end.epoch if b.end else None,
            "volume_ml": b.volume_ml,
            "amount_minor": b.amount_minor,
            "amount_estimated": AMOUNT_ESTIMATED in b.flags,
        }
        for b in booked
    ] == scenario["expected"]
    sent = [e.command for e in run.effects if isinstance(e, Send)]
    assert not any(isinstance(command, Authorise) for command in sent)
    known, result = run.point.durable, scenario.get("result")
    permitted = [e for e in effects if isinstance(e, Send) and isinstance(e.command, Acknowledge)]
    assert bool(permitted) == (result is None), "the pump may forget what is accounted for, and nothing else"
    if booked and permitted:
        books = [e for e in effects if isinstance(e, Book)]
        assert effects.index(books[-1]) < effects.index(permitted[0])
    if result == "METER_RESET":
        assert known.resets == (1,)
    elif result == "SALE_PENDING":
        assert known.pending is not None
        assert known.pending.volume_ml == scenario["device"]["held_sale"]["volume_ml"]
    elif result == "ADOPTED":
        assert known.open is not None
        assert str(known.open.start) == f"{scenario['stored']['epoch']}:{scenario['stored']['totalizer']}"
    else:
        assert known.open is None
        closed = [e.reason for e in effects if isinstance(e, CloseFuelling)]
        assert closed == (["booked"] if scenario["stored"].get("open_fuelling") else [])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s["name"] for s in SCENARIOS])
def test_each_scenario_told_twice_books_once(scenario: dict[str, Any]) -> None:
    """Killed right behind the commit, the next start finds the same device and books nothing more."""
    run = Run(scenario)
    run.event(run.level)
    run.answer()
    run.point = restore(run.point.config, json.loads(json.dumps(durable(run.point))), "c")
    run.event(run.level)
    assert not [e for e in run.answer() if isinstance(e, Book)]
