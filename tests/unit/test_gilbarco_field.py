"""Two-Wire for the field tools: bytes taken apart, a pump read and searched on a real pty, causes named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.device_show import reading_json
from agent.field.reading import Request, read
from agent.field.scan import scan
from agent.field.traffic import Traffic
from drivers.config import SerialSettings
from drivers.dissection import Piece
from drivers.gilbarco.dissect import dissect
from drivers.readings import FuellingPointReading, TotalizerReading
from drivers.simulator.config import CustomerConfig, default_config
from tests.support.rigs.simulated import LINE
from tests.support.simulated import running_forecourt
from tests.support.station_settings import forecourt_config

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "gilbarco.json").read_text())


def values(piece: Piece) -> dict[str, Any]:
    """The fields of interest."""
    return {field.name: field.value for field in piece.fields if not field.framing}


def one(hexadecimal: str, direction: Any = None) -> Piece:
    """The only piece of these bytes, every byte of it in one field."""
    data = bytes.fromhex(hexadecimal)
    (piece,) = dissect(data, direction)
    assert b"".join(field.raw for field in piece.fields) == piece.raw == data
    return piece


@pytest.mark.parametrize("vector", VECTORS["host_blocks"], ids=lambda vector: str(vector["name"]))
def test_blocks_to_a_pump(vector: dict[str, Any]) -> None:
    """Every published block is one piece to the device with a right check; from a device it is a problem."""
    piece = one(vector["bytes"])
    assert (piece.direction, piece.check, piece.problem) == ("to_device", "ok", "")
    assert piece.kind in vector["name"] or piece.kind == "nozzle query"
    assert "other side" in one(vector["bytes"], "from_device").problem


def test_answers_of_a_pump() -> None:
    """Every published reply shows its published numbers."""
    for reply in VECTORS["replies"]:
        piece = one(reply["bytes"], "from_device")
        expected = reply["expected"]
        assert piece.direction == "from_device"
        assert not piece.problem
        if piece.kind == "transaction":
            told = {name: expected[key] for name, key in NAMES.items()}
            assert values(piece).items() >= told.items()
        elif piece.kind == "totals":
            shown = [(field.name, field.value) for field in piece.fields if not field.framing]
            assert ("volume", expected[0]["volume_total"]) in shown
            assert ("money", expected[0]["money_total"]) in shown
            assert ("price", expected[0]["price_level1"]) in shown
        elif piece.kind == "nozzle":
            assert values(piece) == {"nozzle": int(expected["nozzle_out"]), "selected or last": expected["nozzle"]}
        else:
            assert values(piece) == {"running money": expected["money"]}


NAMES = {"address": "pump", "grade": "grade", "unit price": "unit_price", "volume": "volume", "money": "money"}


def test_both_sides_mixed_are_told_apart_by_what_was_asked() -> None:
    """The golden session as a tap hears it: each word is attributed to the side that said it."""
    steps = VECTORS["sessions"][0]["steps"]
    data = b"".join(bytes.fromhex(step["bytes"]) for step in steps)
    sides = {"agent": "to_device", "pump": "from_device"}
    expected = [sides[step["from"]] for step in steps]
    assert [piece.direction for piece in dissect(data)] == expected
    assert [piece.kind for piece in dissect(data)][:2] == ["STATUS", "status OFF"]


def test_a_wrong_check_is_shown_with_the_computed_one() -> None:
    """Given and computed words stand in the piece; nothing of the block counts."""
    block = VECTORS["host_blocks"][0]["bytes"]
    piece = one(block[:-4] + "E1F0")
    assert (piece.check, piece.check_given, piece.check_computed) == ("bad", "E1", "EE")
    assert "wrong" in piece.problem
    (cut, *_) = dissect(bytes.fromhex(block[:-2]))
    assert "without its end" in cut.problem


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real pty with four simulated pumps that nobody visits."""
    state = tmp_path_factory.mktemp("loop")
    config = dataclasses.replace(default_config(state), customers=CustomerConfig(opens_when_told=True), deliveries=())
    with running_forecourt(state, config=forecourt_config(config, "gilbarco")) as server:
        yield server.endpoints()["lines"][LINE]


def test_a_pump_is_read_without_a_station(loop: str) -> None:
    """State, totals in millilitres and digits; every byte we sent is a question that changes nothing."""
    request = Request("gilbarco", loop, address=2, nozzles=(1, 2), timeout_s=10)
    result = read(request, Traffic())
    level = [r for r in result.readings if isinstance(r, FuellingPointReading)][-1]
    assert (level.state.value, level.nozzle_out) == ("Idle", False)
    totals = [r for r in result.readings if isinstance(r, TotalizerReading)]
    assert [total.nozzle for total in totals] == [1, 2]
    sent = {piece.kind for piece in dissect(result.traffic.sent, "to_device")}
    assert sent <= {"STATUS", "TRANSACTION", "TOTALS"}
    told = reading_json(request, result, (3, 2, 3))["totals"]
    assert [one["volume_ml"] for one in told] == [total.raw * 10 for total in totals]


def test_pumps_are_found_by_their_numbers(loop: str) -> None:
    """The search asks each number for its last sale, which carries the number and a check."""
    found = scan("gilbarco", loop, SerialSettings(), Traffic())
    assert [(one.address, one.serial) for one in found] == [(number, "5760 8E1") for number in (1, 2, 3, 4)]
