"""Lanfeng and Zhengxing: every worked example byte for byte, and what is theirs alone: control, display, stored sales."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import application
from drivers import registry
from drivers.asked import AskedPoint
from drivers.commands import Acknowledge, Authorise, Preset, ReadHeldSale, ReadSale, SetPrices
from drivers.config import LineConfig, PointConfig
from drivers.errors import WiringError
from drivers.lanfeng import codec as lanfeng
from drivers.readings import CommandOutcome, CommandResult, CompletedSale, FuellingPointReading, HeldSale, PointState
from drivers.simulator import lanfeng_pump, zhengxing_pump
from drivers.zhengxing import codec as zhengxing
from tests.support.rigs.attendant import Attendant
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.lanfeng import SUBJECT as LANFENG
from tests.support.rigs.simulated import LINE, SingleHoses
from tests.support.rigs.zhengxing import SUBJECT as ZHENGXING

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "lanfeng_zhengxing.json").read_text(encoding="utf-8"))
SUBJECTS = [LANFENG, ZHENGXING]
L, Z = lanfeng.Code, zhengxing.Code

LANFENG_QUESTIONS = {
    "status-request": (1, lanfeng.Request(L.STATUS)),
    "take-control": (1, lanfeng.Request(L.TAKE_CONTROL)),
    "authorise": (1, lanfeng.Request(L.AUTHORISE)),
    "preset-amount-200.00": (2, lanfeng.Request(L.PRESET_AMOUNT, 20_000)),
    "preset-volume-20.00": (1, lanfeng.Request(L.PRESET_VOLUME, 2_000)),
    "price-7.25": (1, lanfeng.Request(L.PRICE, 725)),
    "stop": (1, lanfeng.Request(L.STOP)),
    "amount-total-request": (1, lanfeng.Request(L.AMOUNT_TOTAL)),
    "volume-total-request": (1, lanfeng.Request(L.VOLUME_TOTAL)),
}
ZHENGXING_QUESTIONS = {
    "status-request": zhengxing.Request(Z.STATUS),
    "oldest-sale-request": zhengxing.Request(Z.OLDEST_SALE),
    "acknowledge-1": zhengxing.Request(Z.REMOVE_SALE, bytes.fromhex("0001")),
    "authorise": zhengxing.Request(Z.AUTHORISE),
    "stop": zhengxing.Request(Z.STOP),
    "mode-AA": zhengxing.Request(Z.MODE, zhengxing.HOST_CONTROL),
    "price-7.25": zhengxing.price(725),
    "preset-amount-200.00": zhengxing.preset(Z.PRESET_AMOUNT, 20_000, 1),
    "preset-volume-20.00": zhengxing.preset(Z.PRESET_VOLUME, 2_000, 2),
    "totals-request": zhengxing.Request(Z.TOTALS),
    "live-request": zhengxing.Request(Z.LIVE),
}


def frame(protocol: str, name: str) -> dict[str, Any]:
    """One worked example."""
    (found,) = [vector for vector in VECTORS[protocol]["frames"] if vector["name"] == name]
    return dict(found)


def replies(protocol: str) -> list[str]:
    """Names of the worked answers."""
    return [vector["name"] for vector in VECTORS[protocol]["frames"] if "expected" in vector]


def test_every_worked_example_is_a_question_or_an_answer_here() -> None:
    """No example of the sheet is left out."""
    for protocol, questions in (("lanfeng", LANFENG_QUESTIONS), ("zhengxing", ZHENGXING_QUESTIONS)):
        names = {vector["name"] for vector in VECTORS[protocol]["frames"]}
        assert names == set(questions) | set(replies(protocol))


@pytest.mark.proves("vectors", "lanfeng")
@pytest.mark.parametrize("name", LANFENG_QUESTIONS)
def test_lanfeng_questions_are_built_byte_for_byte(name: str) -> None:
    """Panel, command, digits and check as published."""
    panel, request = LANFENG_QUESTIONS[name]
    assert lanfeng.encode(panel, request).hex().upper() == frame("lanfeng", name)["bytes"]


@pytest.mark.proves("vectors", "zhengxing")
@pytest.mark.parametrize("name", ZHENGXING_QUESTIONS)
def test_zhengxing_questions_are_built_byte_for_byte(name: str) -> None:
    """Command, panel, data and check as published."""
    assert zhengxing.encode(1, ZHENGXING_QUESTIONS[name]).hex().upper() == frame("zhengxing", name)["bytes"]


@pytest.mark.proves("vectors", "lanfeng")
@pytest.mark.parametrize("name", replies("lanfeng"))
def test_lanfeng_answers_tell_what_is_published(name: str) -> None:
    """Price, amount, volume, state, control and totals."""
    vector = frame("lanfeng", name)
    (reply,) = lanfeng.Decoder().feed(bytes.fromhex(vector["bytes"]))
    told: dict[str, Any] = {"panel": reply.panel}
    if "total" in vector["expected"]:
        told |= {"total": lanfeng.total(reply)}
    else:
        status = lanfeng.status(reply)
        states = {0x41: "IDLE", 0xC1: "CALLING", 0xC2: "FUELLING"}
        told |= {"unit_price": status.unit_price, "amount": status.amount, "volume": status.volume}
        told |= {"state": states[status.state], "host_control": bool(status.state & 0x40)}
    assert told == vector["expected"]


def record_of(reply: zhengxing.Reply) -> dict[str, Any]:
    """A stored sale in the words of the examples."""
    told = zhengxing.record(reply)
    values = {"amount": told.amount, "volume": told.volume, "unit_price": told.unit_price, "sequence": told.sequence}
    return {"panel": reply.panel, **values}


TOLD: dict[str, Callable[[zhengxing.Reply], dict[str, Any]]] = {
    "reply-totals": lambda r: {
        "panel": r.panel,
        "amount_total": zhengxing.totals(r)[0],
        "volume_total": zhengxing.totals(r)[1],
    },
    "reply-live": lambda r: dict(zip(("volume", "amount"), zhengxing.live(r), strict=True)),
    "reply-sale-0001": record_of,
    "reply-acknowledged": lambda r: {"sale_waiting": bool((r.status or 0) & zhengxing.SALE_WAITS)},
    "reply-price-ok": lambda r: {"accepted": r.raw[4] == zhengxing.DONE},
}


@pytest.mark.proves("vectors", "zhengxing")
@pytest.mark.parametrize("name", replies("zhengxing"))
def test_zhengxing_answers_tell_what_is_published(name: str) -> None:
    """Status, totals, live values, the stored sale and verdicts."""
    vector = frame("zhengxing", name)
    (reply,) = zhengxing.Decoder().feed(bytes.fromhex(vector["bytes"]))
    if name in TOLD:
        assert TOLD[name](reply) == vector["expected"]
        return
    status = reply.status or 0
    assert {"sale_waiting": bool(status & 0x10), "nozzle_up": bool(status & 0x80), "state": "IDLE"} == vector[
        "expected"
    ]
    assert status & 0x0F == 3


@pytest.mark.proves("vectors", "zhengxing")
def test_an_acknowledgement_whose_answer_is_lost_leaves_one_sale() -> None:
    """The published dialogue: the status says that nothing waits, so the pump has forgotten what we kept."""
    (dialogue,) = VECTORS["zhengxing"]["dialogues"]
    attendant = Attendant(ZHENGXING)
    attendant.release(1)
    attendant.fuel(1_200)
    attendant.hang_up()
    rig = attendant.rig
    assert rig.run(ReadHeldSale("held", 1)) is CommandOutcome.APPLIED
    token = rig.of(HeldSale)[-1].token
    rig.port.fault(lambda _reply: [], lambda request: request[1] == 0x17)
    assert rig.run(Acknowledge("ack", 1, token)) is CommandOutcome.APPLIED
    asked = [step["bytes"][:4] for step in dialogue["steps"] if step.get("from") == "agent"]
    sent = [data.hex().upper()[:4] for _, data in rig.port.sent if data[2] == 1]
    assert [name for name in sent if name == "FC17"] == ["FC17"]
    assert asked == ["FC15", "FC17", "FC0D"]
    before = len(rig.of(HeldSale))
    assert rig.run(ReadHeldSale("again", 1)) is CommandOutcome.APPLIED
    assert len(rig.of(HeldSale)) == before + dialogue["expected_sales"] - 1


def test_an_acknowledgement_that_did_not_arrive_is_not_called_done() -> None:
    """The pump still tells the same sale: whoever asked must ask again, and then it is gone."""
    attendant = Attendant(ZHENGXING)
    attendant.release(1)
    attendant.fuel(1_200)
    attendant.hang_up()
    rig = attendant.rig
    rig.run(ReadHeldSale("held", 1))
    token = rig.of(HeldSale)[-1].token
    honest, rig.port.peer = rig.port.peer, lambda data: b"" if data[1] == 0x17 else rig.answer(data)
    assert rig.run(Acknowledge("lost", 1, token)) is CommandOutcome.UNKNOWN
    rig.port.peer = honest
    assert rig.run(Acknowledge("again", 1, token)) is CommandOutcome.APPLIED


def test_a_stored_sale_forbids_the_next_fuelling() -> None:
    """While the pump holds a sale that nobody has acknowledged it is not let go, nor is AUTHORISE sent."""
    attendant = Attendant(ZHENGXING)
    attendant.release(1)
    attendant.fuel(1_200)
    attendant.hang_up()
    attendant.lift(1)
    told = ZHENGXING.heard(attendant.rig, 1).count("AUTHORIZE")
    assert attendant.rig.run(Authorise("early", 1, (1,))) is CommandOutcome.REFUSED
    assert ZHENGXING.heard(attendant.rig, 1).count("AUTHORIZE") == told


def test_sales_made_while_nobody_looked_come_oldest_first() -> None:
    """Three sales in the pump's memory are told one by one, each with its own token."""
    rig = VirtualRig(ZHENGXING)
    bus = rig.forecourt.bus(LINE)
    assert isinstance(bus, zhengxing_pump.ZhengxingBus)
    pump = bus.pumps[0]
    assert isinstance(pump, zhengxing_pump.ZhengxingPump)
    for units in (300, 300, 500):
        pump.head.lift(1)
        pump.authorise()
        pump.head.deliver(units)
        pump.head.hang_up()
    attendant = Attendant(ZHENGXING, rig)
    assert attendant.account() is CommandOutcome.APPLIED
    held = rig.of(HeldSale)
    assert [sale.volume_ml for sale in held] == [3_000, 3_000, 5_000]
    assert len({sale.token for sale in held}) == 3


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_without_experimental_nothing_but_reading_happens(subject: SingleHoses) -> None:
    """Authorise, prices and the pump's memory are left alone, and the reason says what to write; totals are read."""
    config = subject.line_config()
    rig = VirtualRig(subject)
    rig.line = registry.make_line(
        LineConfig(config.id, config.port, config.protocol, points=config.points), rig._open, rig.port.monotonic
    )
    rig.online()
    subject.head(rig, 1).lift(1)
    rig.turns(2)
    assert rig.run(Authorise("a", 1, (1,))) is CommandOutcome.REFUSED
    assert rig.run(SetPrices("p", 1, ((1, 8_000),))) is CommandOutcome.REFUSED
    assert rig.run(ReadSale("s", 1, (1,))) is CommandOutcome.APPLIED
    reasons = [result.detail for result in rig.of(CommandResult) if result.command_id in {"a", "p"}]
    assert all("experimental = true" in reason for reason in reasons)
    assert rig.of(CompletedSale)[-1].after[0].raw == subject.totals(rig, 1)[1]
    assert set(subject.heard(rig)) <= subject.changes_nothing


def lanfeng_pump_of(rig: VirtualRig) -> lanfeng_pump.LanfengPump:
    """Panel 1 of a rig."""
    bus = rig.forecourt.bus(LINE)
    assert isinstance(bus, lanfeng_pump.LanfengBus)
    pump = bus.pumps[0]
    assert isinstance(pump, lanfeng_pump.LanfengPump)
    return pump


def test_control_is_taken_only_when_everything_is_accounted_for() -> None:
    """Before that the head hears questions; then A0, and a head that has started again is taken anew."""
    attendant = Attendant(LANFENG)
    rig = attendant.rig
    rig.turns(5)
    pump = lanfeng_pump_of(rig)
    assert not pump.controlled
    assert attendant.account() is CommandOutcome.APPLIED
    assert pump.controlled
    pump.head.restart()
    rig.until(lambda: attendant.level().restarts == 1)
    assert rig.run(SetPrices("p", 1, ((1, 7_850),))) is CommandOutcome.APPLIED
    assert pump.controlled


def test_totals_without_their_command_are_believed_when_told_twice() -> None:
    """Whether heads repeat the command there is not known: both kinds are read, and one damaged answer is not."""
    attendant = Attendant(LANFENG)
    pump = lanfeng_pump_of(attendant.rig)
    pump.echoes_totals = False
    raw = pump.head.totals[1]
    assert attendant.read().after[0].raw == raw
    questions = [data for _, data in attendant.rig.port.sent if data[0] == 1 and data[2] == 0xAD]
    assert len(questions) == 4  # twice before the held sale, twice after it


def test_an_unknown_state_keeps_the_last_one_and_is_told_in_the_end() -> None:
    """A state byte that the sheet does not list changes nothing but a counter, and an alarm after five."""
    attendant = Attendant(LANFENG)
    rig = attendant.rig

    def strange(data: bytes) -> bytes:
        answer = rig.answer(data)
        return lanfeng_pump.framed(answer[0], answer[1:10] + b"\x55") if data[0] == 1 and data[2] == 0xB8 else answer

    rig.port.peer = strange
    rig.until(lambda: attendant.level().device_alarms == ("unknown state 55",))
    assert attendant.level().state is PointState.IDLE
    assert rig.line.counters()["unknown_states"] >= 5


def test_our_own_frames_come_back_are_no_answer() -> None:
    """A wire that echoes: the total is what the pump says, never the zeros of our question."""
    attendant = Attendant(LANFENG)
    rig = attendant.rig
    rig.port.peer = lambda data: data + rig.answer(data)
    assert attendant.read().after[0].raw == lanfeng_pump_of(rig).head.totals[1]


def test_a_limit_travels_with_its_authorisation_only() -> None:
    """A preset is sent right before AUTHORISE; refused there, nothing is authorised; it never meets a second customer."""
    for subject, codes in ((LANFENG, "PRESET_VOLUME"), (ZHENGXING, "PRESET_VOLUME")):
        attendant = Attendant(subject)
        rig = attendant.rig
        assert rig.run(Preset("limit", 1, volume_ml=20_000)) is CommandOutcome.APPLIED
        assert codes not in subject.heard(rig, 1)
        attendant.release(1)
        assert subject.heard(rig, 1).index(codes) < subject.heard(rig, 1).index("AUTHORIZE")
        attendant.fuel(4_000)
        attendant.hang_up()
        assert attendant.sale()["volume_ml"] == 20_000
        attendant.release(1)
        attendant.fuel(4_000)
        attendant.hang_up()
        assert attendant.sale()["volume_ml"] == 40_000


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"address": 0}, "no panel"),
        ({"nozzles": (1, 2)}, "one hose"),
        ({"unit_price_decimals": 4}, "cannot be told exactly"),
        ({"currency_exponent": 0}, "cannot be told exactly"),
    ],
)
@pytest.mark.parametrize("protocol", ["lanfeng", "zhengxing"])
def test_an_impossible_point_is_refused_with_a_hint(protocol: str, change: dict[str, Any], problem: str) -> None:
    """Panel, hose and decimals are checked before any port is opened."""
    values: dict[str, Any] = {"address": 1, "nozzles": (1,), "unit_price_decimals": 2, **change}
    point = PointConfig(fuelling_point=1, **values)
    with pytest.raises(WiringError, match=problem) as caught:
        registry.spec(protocol).make_devices(LineConfig("l", "p", protocol, points=(point,)))
    assert caught.value.hint
    fine = PointConfig(1, 1, (1,), unit_price_decimals=2)
    (device,) = registry.spec(protocol).make_devices(LineConfig("l", "p", protocol, points=(fine,)))
    assert isinstance(device, AskedPoint)


def test_started_is_not_fuelling_before_the_display_moves() -> None:
    """The display may still show the sale before; it counts as flow once it has changed."""
    attendant = Attendant(LANFENG)
    attendant.release(1)
    attendant.fuel(1_000)
    attendant.hang_up()
    attendant.release(1)
    rig = attendant.rig
    rig.turns(2)
    assert attendant.level().state is PointState.STARTED
    attendant.head.deliver(100)
    rig.until(lambda: attendant.level().state is PointState.FUELLING)
    assert [r for r in rig.of(FuellingPointReading) if r.fuelling_point == 1][-1].volume_ml == 1_000


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_one_panel_is_read_without_a_station(subject: SingleHoses, tmp_path: Path) -> None:
    """`forecourt device read`: the panel's digits, its state and its totals, from a real wire."""
    with subject.plugged("pty", tmp_path) as plug:
        head = plug.stand.world.heads[2]
        told = CliRunner().invoke(
            application(),
            ["device", "read", "--protocol", subject.protocol, "--port", plug.port, "--address", "2", "--json"],
        )
        assert told.exit_code == 0, told.output
    (total,) = json.loads(told.output)["totals"]
    assert total["volume_raw"] == head.totals[1]
