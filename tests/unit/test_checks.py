"""Checksums and packed decimals against published values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.checks import bcd_to_int, crc16_arc, crc16_modbus, int_to_bcd
from drivers.errors import FrameRejected

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "dart.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["crc"], ids=lambda vector: vector["name"])
def test_crc16_arc_gives_the_published_values(vector: dict[str, str]) -> None:
    """The check value, the residue and the worked example."""
    assert f"{crc16_arc(bytes.fromhex(vector['bytes'])):04X}" == vector["crc"]


def test_crc16_modbus_gives_its_check_value_and_a_published_frame() -> None:
    """As ARC with another start; on the wire the low byte comes first."""
    assert crc16_modbus(b"123456789") == 0x4B37
    assert crc16_modbus(bytes.fromhex("010301020002")) == 0x3764
    assert crc16_modbus(bytes.fromhex("0103010200026437")) == 0


def test_packed_decimals_both_ways() -> None:
    """Digits travel most significant first, padded with zeros."""
    assert int_to_bcd(1175, 3) == bytes.fromhex("001175")
    assert bcd_to_int(bytes.fromhex("001175")) == 1175
    assert (int_to_bcd(0, 0), bcd_to_int(b"")) == (b"", 0)


@pytest.mark.parametrize("data", ["0A", "A0", "12F4"])
def test_nibble_above_nine_is_rejected(data: str) -> None:
    """A nibble that is no digit raises FrameRejected with reason bcd."""
    with pytest.raises(FrameRejected) as caught:
        bcd_to_int(bytes.fromhex(data))
    assert caught.value.reason == "bcd"


@pytest.mark.parametrize(("value", "size"), [(-1, 2), (10_000, 2), (1, 0)])
def test_number_that_does_not_fit_is_rejected(value: int, size: int) -> None:
    """Too many digits and negative numbers are never cut to size."""
    with pytest.raises(FrameRejected):
        int_to_bcd(value, size)
