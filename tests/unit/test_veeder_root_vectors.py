"""The TLS codec and parsers against the recorded and published vectors, byte by byte."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import WiringError
from drivers.veeder_root import display
from drivers.veeder_root.codec import Kind, Rejected, ReplyDecoder, encode
from drivers.veeder_root.fields import console_time, float32
from drivers.veeder_root.tables import parse
from drivers.veeder_root.units import units_of

captured = pytest.mark.proves("real-capture", "veeder-root")
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "veeder_root.json").read_text())["vectors"]

INVENTORY_FIELDS = [
    "volume",
    "tc_volume",
    "ullage",
    "height",
    "water_height",
    "temperature",
    "water_volume",
    "full_volume",
    "net_volume",
    "tc_net_volume",
    "mass",
    "density",
    "tc_density",
]
DELIVERY_FIELDS = [
    "start_volume",
    "start_tc_volume",
    "start_water_height",
    "start_temperature",
    "end_volume",
    "end_tc_volume",
    "end_water_height",
    "end_temperature",
    "start_height",
    "end_height",
]
RANGE_FIELDS = ["start_mass", "start_density", "start_tc_density", "end_mass", "end_density", "end_tc_density"]
SUPPLY_FIELDS = [
    "days_of_supply",
    "inventory",
    "ullage_95",
    "avg_sun",
    "avg_mon",
    "avg_tue",
    "avg_wed",
    "avg_thu",
    "avg_fri",
    "avg_sat",
]
ROW_FIELDS = [
    "opening_volume",
    "deliveries",
    "metered_sales",
    "manual_adjustments",
    "calculated_inventory",
    "physical_inventory",
    "water_height",
    "variance",
]


def new_decoder(**settings: Any) -> Any:
    return ReplyDecoder(**settings)


def parsed(code: str, data: str) -> Any:
    return parse(code, data)


def of_kind(kind: Any) -> Any:
    """The vectors of a kind; those recorded from a real console say that they prove it."""
    return [
        pytest.param(vector, id=vector["name"], marks=captured if "field capture" in vector["standing"] else ())
        for vector in VECTORS
        if vector["kind"] == kind
    ]


def plain(value: Any) -> Any:
    """Fractions as the exact floats of the vector file."""
    if isinstance(value, Fraction):
        assert Fraction(float(value)) == value
        return float(value)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def named(names: Any, values: Any) -> Any:
    return dict(zip(names, plain(values), strict=False))


def inventory(records: Any, function: Any) -> Any:
    names = list(INVENTORY_FIELDS)
    names[2] = "user_ullage" if function == "21A" else "ullage"
    return {
        "tanks": [
            {"tank": r.tank, "reading": None}
            if r.status is None
            else {
                "tank": r.tank,
                "product_code": r.product_code,
                "status": r.status,
                "nn": len(r.values),
                "fields": named(names, r.values),
            }
            for r in records
        ]
    }


def deliveries(records: Any, function: Any) -> Any:
    names = DELIVERY_FIELDS + RANGE_FIELDS
    return {
        "tanks": [
            {
                "tank": tank.tank,
                "product_code": tank.product_code,
                "deliveries": [
                    {"start": d.start, "end": d.end, "nn": len(d.values), "fields": named(names, d.values)}
                    for d in tank.records
                ],
            }
            for tank in records
        ]
    }


def described(function: str, answer: Any) -> Any:
    records = answer.records
    keys: Any
    rows: Any
    if function == "101":
        return {"alarms": [{"category": r.category, "type": r.number, "device": r.device} for r in records]}
    if function == "111":
        keys = ("category", "sensor_category", "type", "device", "state", "time")
        rows = [(r.category, r.sensor_category, r.number, r.device, r.state, r.time) for r in records]
        return {"events": [dict(zip(keys, row, strict=True)) for row in rows]}
    if function == "113":
        keys = ("category", "sensor_category", "type", "device", "time")
        rows = [(r.category, r.sensor_category, r.number, r.device, r.time) for r in records[4:]]
        return {
            "station_header": [r.text for r in records[:4]],
            "alarms": [dict(zip(keys, row, strict=True)) for row in rows],
        }
    if function in ("201", "21A", "231"):
        return inventory(records, function)
    if function in ("202", "20C", "20F"):
        return deliveries(records, function)
    if function == "205":
        return {"tanks": [{"tank": r.tank, "alarms": list(r.numbers)} for r in records]}
    if function == "206":
        rows = [{"tank": r.tank, "history": [{"time": t, "alarm": a} for t, a in r.events]} for r in records]
        return {"tanks": rows}
    if function == "211":
        return {"tanks": [{"tank": r.tank, "points": plain(r.points)} for r in records]}
    if function == "63B":
        keys = ("tank", "security", "diameter", "full_volume", "points")
        rows = [(r.tank, r.secured, plain(r.diameter), plain(r.full_volume), plain(r.points)) for r in records]
        return {"tanks": [dict(zip(keys, row, strict=True)) for row in rows]}
    if function == "281":
        group = records[0]
        tanks = [{"tank": tank, "product_code": "1"} for tank in group.tanks]
        return {"products": [{"tanks": tanks, "nn": len(group.values), "fields": named(SUPPLY_FIELDS, group.values)}]}
    if function == "C01":
        keys = ("product", "tanks", "open", "close", "fields")
        rows = [(r.product, list(r.tanks), r.open, r.close, named(ROW_FIELDS, r.values)) for r in records]
        return {"rows": [dict(zip(keys, row, strict=True)) for row in rows]}
    if function == "501":
        return {"time": records[0].text}
    if function in ("517", "505"):
        return {"units": records[0].system, "language": records[0].language}
    if function in ("504", "536"):
        assert records[0].code not in repr(records[0])
        told = {"security_code": records[0].code, "enabled": records[0].enabled}
        return {name: value for name, value in told.items() if value}
    if function == "50E":
        return {"reference_temperature": plain(records[0].values[0])}
    if function == "602":
        return {"tanks": [{"tank": r.tank, "label": r.text} for r in records]}
    if function == "606":
        return {"tanks": [{"tank": r.tank, "volumes": plain(r.values)} for r in records]}
    if function == "610":
        return {"tanks": [{"tank": r.tank, "delay_min": int(r.values[0])} for r in records]}
    return {"tanks": [{"tank": r.tank, "value": plain(r.values[0])} for r in records]}


def decoder_of(vector: Any) -> Any:
    end = bytes.fromhex(vector.get("end_of_message", "03"))
    return new_decoder(seven_bit=vector.get("data_bits") == 7, end_of_message=end)


def assert_reply(event: Any, expect: Any) -> None:
    if expect.get("error") == "9999":
        assert event.kind is Kind.NOT_KNOWN
        return
    assert event.kind is Kind.COMPUTER
    assert (event.function, event.device) == (expect["function"], expect["device"])
    answer = parsed(event.function, event.data)
    assert answer.clock == expect["console_clock"]
    rest = {k: v for k, v in expect.items() if k not in ("function", "device", "echo_letter", "console_clock")}
    assert described(event.function, answer) == rest


@pytest.mark.proves("vectors", "veeder-root")
@pytest.mark.parametrize("vector", of_kind("reply"))
def test_a_recorded_reply_is_decoded_exactly(vector: Any) -> None:
    """Each computer-format reply gives one frame with exactly the published fields."""
    (event,) = decoder_of(vector).feed(bytes.fromhex(vector["bytes"]))
    assert_reply(event, vector["expect"])


@pytest.mark.proves("every-split", "veeder-root")
@pytest.mark.proves("vectors", "veeder-root")
@pytest.mark.parametrize("vector", of_kind("stream"))
def test_a_recorded_stream_gives_its_frames_at_any_cut(vector: Any) -> None:
    """Noise, parity bits and unusual ends do not matter, and neither does where the bytes are cut."""
    data = bytes.fromhex(vector["bytes"])
    for cut in range(len(data) + 1):
        decoder = decoder_of(vector)
        events = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
        assert len(events) == len(vector["expect"])
        for event, expect in zip(events, vector["expect"], strict=True):
            assert_reply(event, expect)


@pytest.mark.proves("vectors", "veeder-root")
@pytest.mark.parametrize("vector", of_kind("reject"))
def test_a_wrong_reply_is_refused_with_its_reason(vector: Any) -> None:
    """A flipped bit or a foreign echo gives a refusal and no data."""
    decoder = decoder_of(vector)
    decoder.reset(vector["expect"].get("request", ""))
    events = decoder.feed(bytes.fromhex(vector["bytes"])) or decoder.idle()
    assert events == [Rejected(vector["expect"]["rejected"])]


@pytest.mark.proves("vectors", "veeder-root")
@pytest.mark.parametrize("vector", of_kind("display"))
def test_a_display_page_is_read_from_the_right(vector: Any) -> None:
    """Pages of a console and of a server without SOH give the same kind of rows."""
    decoder = decoder_of(vector)
    (event,) = decoder.feed(bytes.fromhex(vector["bytes"])) or decoder.idle()
    assert event.kind is Kind.DISPLAY
    assert event.function == vector["expect"]["function"]
    if event.function == "201":
        rows = [
            {"tank": row.record.tank, "label": row.label, **row_values(row)} for row in display.inventory(event.data)
        ]
    else:
        rows = [
            {"tank": row.tank, "label": row.label, "status": list(row.status)}
            for row in display.tank_alarms(event.data)
        ]
    assert rows == vector["expect"]["rows"]


def row_values(row: Any) -> Any:
    names = ("volume", "tc_volume", "ullage", "height", "water_height", "temperature")
    return {name: float(value) for name, value in zip(names, row.record.values, strict=True)}


@pytest.mark.proves("vectors", "veeder-root")
@pytest.mark.parametrize("vector", of_kind("command"))
def test_a_question_has_the_recorded_bytes(vector: Any) -> None:
    """The encoder gives exactly the bytes of each question, in both formats and with a security code."""
    expect = vector["expect"]
    data = ""
    if "step" in expect:
        data = "3F000000"
    if "from" in expect:
        data = f"00{expect['from']}{expect['to']}{expect['max']:03d}"
    question = encode(
        expect["function"],
        expect["tank"],
        display=expect.get("format") == "display",
        data=data,
        security_code=expect.get("security_code", ""),
        terminator=expect["terminator"],
    )
    assert question == bytes.fromhex(vector["bytes"])


def test_the_set_function_of_the_vectors_cannot_be_asked_for() -> None:
    """There is no way to name a letter, and a code outside the table produces no byte."""
    for code in ("s501", "S50", "001", "003", "051", "s50", "50s", ""):
        with pytest.raises(WiringError):
            encode(code)


@pytest.mark.parametrize("vector", of_kind("float"))
def test_a_float_field_is_exact(vector: Any) -> None:
    """Eight hex digits give the exact value of the single-precision number, infinity gives no reading."""
    assert plain(float32(vector["bytes"])) == vector["expect"]


@pytest.mark.proves("vectors", "veeder-root")
@pytest.mark.parametrize("vector", of_kind("unit"))
def test_units_are_converted_once_and_exactly(vector: Any) -> None:
    """A field of a US or metric console becomes the published integer."""
    units = units_of(1 if vector["name"].endswith("-us") else 2)
    ((name, expected),) = vector["expect"].items()
    assert getattr(units, name)(float32(vector["bytes"])) == expected


@pytest.mark.parametrize("vector", of_kind("clock"))
def test_the_console_clock_is_read_or_left_out(vector: Any) -> None:
    """Two-digit years fall on both sides of 1980; ten zeros are no date."""
    assert (console_time(vector["inputs"]) or None) == vector["expect"]
