"""What the field tools print: documented JSON, and the same for people. Texts of codes are masked.

Knows readings and pieces. Opens nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from agent.cli.talk import degrees, litres, print_table
from agent.domain.redaction import redact
from agent.field.decoding import Told, as_json, decode, field_json
from agent.field.diagnosis import Finding
from agent.field.reading import Request, Result
from agent.field.recording import Chunk, Recording, Side
from agent.field.scan import Found
from drivers.dissection import FieldKit, Piece
from drivers.readings import (
    CardTap,
    CodeScan,
    FuellingPointReading,
    GaugeAlarms,
    GaugeLimits,
    GaugeUnits,
    TankReading,
    TotalizerReading,
)

UNIT_SYSTEMS = {1: "US", 2: "metric", 3: "Imperial"}
FLUSH_S = 0.3
SHOWN_CHARACTERS = 4

_CONTROL_CODE = re.compile(r"FP:[0-9]{1,3}|CANCEL")


def masked(text: str) -> str:
    """A scanned text as the house shows it: member codes, long numbers and whatever else it may be hidden."""
    shown = redact(text)
    if shown != text or _CONTROL_CODE.fullmatch(text):
        return shown
    return text[:SHOWN_CHARACTERS] + "*" * (len(text) - SHOWN_CHARACTERS)


def reading_json(request: Request, result: Result, places: tuple[int, int, int] | None) -> dict[str, Any]:
    """The documented form of a reading, or of the finding that there is none."""
    head: dict[str, Any] = {
        "ok": result.finding is None,
        "protocol": request.protocol,
        "port": request.port,
        "serial": result.serial,
        "address": request.address,
    }
    if result.finding is not None:
        return {**head, **_finding(result.finding)}
    body = {"dispenser": _dispenser, "tank-gauge": _gauge, "code-reader": _scan}[result.kind](result, places)
    frames = [] if result.kind == "code-reader" else [_frame(piece) for piece in result.told]
    habits = {key: value for key, value in result.options.items() if not _is_pace(key) and key != "security_code"}
    return {**head, "options": habits, **body, "unchecked": result.unchecked, "as_reported": frames}


def _is_pace(key: str) -> bool:
    """Whether an option only says how long to wait or how much to read: this command takes less of both."""
    return key.endswith("_s") or key in ("tries", "charts")


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "cause": finding.cause,
        "message": finding.message,
        "hint": finding.hint,
        "evidence": finding.evidence,
    }


def _frame(piece: Piece) -> dict[str, Any]:
    fields = [field_json(field) for field in piece.fields if not field.framing]
    return {"kind": piece.kind, "check": piece.check, "problem": piece.problem or None, "fields": fields}


def _dispenser(result: Result, places: tuple[int, int, int] | None) -> dict[str, Any]:
    level = [reading for reading in result.readings if isinstance(reading, FuellingPointReading)][-1]
    totals = [reading for reading in result.readings if isinstance(reading, TotalizerReading)]
    volume_places, amount_places, price_places = places or (None, None, None)
    return {
        "state": level.state.value,
        "nozzle": level.nozzle,
        "nozzle_out": level.nozzle_out,
        "volume_raw": level.volume_ml,
        "amount_raw": level.amount_minor,
        "unit_price_raw": level.unit_price_milli,
        "volume_ml": _scaled(level.volume_ml, volume_places),
        "amount": _decimal(level.amount_minor, amount_places),
        "unit_price_milli": _scaled(level.unit_price_milli, price_places),
        "identity": level.identity or None,
        "device_alarms": list(level.device_alarms),
        "totals": [
            {
                "nozzle": total.nozzle,
                "volume_raw": total.raw,
                "amount_raw": total.amount_raw,
                "volume_ml": _scaled(total.raw * total.unit_ml, volume_places),
            }
            for total in totals
        ],
    }


def _scaled(raw: int | None, places: int | None) -> int | None:
    """Digits of the wire in thousandths of their unit."""
    return None if raw is None or places is None else raw * int(10 ** (3 - places))


def _decimal(raw: int | None, places: int | None) -> str | None:
    if raw is None or places is None:
        return None
    digits = f"{raw:0{places + 1}d}"
    return f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}" if places else digits


def _gauge(result: Result, _places: object) -> dict[str, Any]:
    units = next((reading for reading in result.readings if isinstance(reading, GaugeUnits)), None)
    alarms = [alarm for reading in result.readings if isinstance(reading, GaugeAlarms) for alarm in reading.alarms]
    labels = {reading.gauge_index: reading.label for reading in result.readings if isinstance(reading, GaugeLimits)}
    newest = {reading.gauge_index: reading for reading in result.readings if isinstance(reading, TankReading)}
    return {
        "unit_system": UNIT_SYSTEMS.get(units.unit_system) if units else None,
        "tanks": [_tank(reading, labels.get(number, "")) for number, reading in sorted(newest.items())],
        "alarms": [
            {"category": alarm.category, "number": alarm.number, "device": alarm.device, "text": alarm.text}
            for alarm in alarms
        ],
    }


def _tank(reading: TankReading, label: str) -> dict[str, Any]:
    return {
        "tank": reading.gauge_index,
        "label": label or None,
        "quality": reading.quality.value,
        "volume_ml": reading.volume_ml,
        "tc_volume_ml": reading.tc_volume_ml,
        "ullage_ml": reading.ullage_ml,
        "height_um": reading.height_um,
        "water_height_um": reading.water_height_um,
        "water_volume_ml": reading.water_volume_ml,
        "temperature_mdegc": reading.temperature_mdegc,
        "delivery_in_progress": reading.delivery_in_progress,
        "product_code": reading.product_code or None,
        "console_time": reading.console_time or None,
        "doubts": list(reading.doubts),
    }


def _scan(result: Result, _places: object) -> dict[str, Any]:
    tap = next((reading for reading in result.readings if isinstance(reading, CardTap)), None)
    if tap is not None:
        size = {"uid_bytes": None if tap.uid is None else len(tap.uid), "message": tap.ndef is not None}
        return {"card": size}
    scan = next(reading for reading in result.readings if isinstance(reading, CodeScan))
    return {
        "code": {"text": masked(scan.text), "characters": len(scan.text), "symbology": scan.symbology},
    }


def reading(value: dict[str, Any]) -> None:
    """Print a reading for people."""
    where = "" if value["address"] is None else f" address 0x{value['address']:02X}"
    print(f"{value['protocol']} at {value['port']}{where}, {value['serial']}")
    if value["options"]:
        print("answered with " + ", ".join(f"{key} = {one!r}" for key, one in sorted(value["options"].items())))
    if "state" in value:
        _show_dispenser(value)
    elif "tanks" in value:
        _show_gauge(value)
    elif "card" in value:
        size = value["card"]["uid_bytes"]
        told = "no uid" if size is None else f"uid of {size} bytes"
        print(f"card seen: {told}, {'with' if value['card']['message'] else 'without'} a message")
    else:
        code = value["code"]
        print(f"code {code['text']} ({code['characters']} characters, symbology {code['symbology'] or 'not told'})")


def _show_dispenser(value: dict[str, Any]) -> None:
    nozzle = "none" if value["nozzle"] is None else value["nozzle"]
    out = {True: "out", False: "in", None: "unknown"}[value["nozzle_out"]]
    print(f"state {value['state']}, nozzle {nozzle} ({out})")
    rows = [
        ["volume", value["volume_raw"], litres(value["volume_ml"])],
        ["amount", value["amount_raw"], value["amount"] or "-"],
        ["unit price", value["unit_price_raw"], litres(value["unit_price_milli"], 3)],
        *([f"total of nozzle {one['nozzle']}", one["volume_raw"], litres(one["volume_ml"])] for one in value["totals"]),
    ]
    print_table("Display", ["value", "digits", "with decimals"], rows)
    if not value["totals"]:
        print("totals were not told")
    if value["identity"]:
        print(f"identity {value['identity']} (maker, type, program)")
    for alarm in value["device_alarms"]:
        print(f"alarm: {alarm}")


def _show_gauge(value: dict[str, Any]) -> None:
    print(f"units {value['unit_system'] or 'not told'}")
    if value["unchecked"]:
        print("the console sends no checksum: these values are unchecked, and the agent will not use them")
    rows = [
        [
            tank["tank"],
            tank["label"] or tank["product_code"],
            litres(tank["volume_ml"]),
            _millimetres(tank["height_um"]),
            _millimetres(tank["water_height_um"]),
            "-" if tank["temperature_mdegc"] is None else degrees(tank["temperature_mdegc"]),
            litres(tank["ullage_ml"]),
            ", ".join([tank["quality"], *tank["doubts"]]),
        ]
        for tank in value["tanks"]
    ]
    if rows:
        columns = ["tank", "product", "litres", "height mm", "water mm", "C", "ullage", "quality"]
        print_table("Tanks", columns, rows)
    _show_reported(value["as_reported"])
    for alarm in value["alarms"]:
        print(f"alarm: {alarm['text'] or alarm['number']} at device {alarm['device']}")


def _show_reported(frames: list[dict[str, Any]]) -> None:
    """The inventory in the console's own numbers and units."""
    for frame in frames:
        names = {field["name"] for field in frame["fields"]}
        if {"tank", "volume"} <= names:
            words: list[str] = []
            for field in frame["fields"]:
                if field["name"] == "tank" and words:
                    print("  as reported: " + ", ".join(words))
                    words = []
                if field["name"] == "tank" or (words and field["name"] != "number_of_floats"):
                    words.append(f"{field['name']} {field['meaning'] or field['value']}")
            print("  as reported: " + ", ".join(words))
        for field in frame["fields"]:
            if field["name"] == "row":
                print(f"  as reported: {field['meaning']}")


def _millimetres(height_um: int | None) -> str:
    return "-" if height_um is None else f"{height_um // 1000}.{height_um % 1000 // 100}"


def scan_json(protocol: str, port: str, found: Sequence[Found], finding: Finding | None) -> dict[str, Any]:
    """The documented form of a search."""
    value: dict[str, Any] = {
        "ok": finding is None,
        "protocol": protocol,
        "port": port,
        "found": [{"address": one.address, "serial": one.serial, "answer": one.answer} for one in found],
    }
    return value if finding is None else {**value, **_finding(finding)}


def scan(value: dict[str, Any]) -> None:
    """Print who answered."""
    if value["found"]:
        rows = [
            ["-" if one["address"] is None else f"0x{one['address']:02X}", one["serial"], one["answer"]]
            for one in value["found"]
        ]
        print_table("Devices", ["address", "line", "answer"], rows)


def decode_json(protocol: str, told: Sequence[Told], recording: Recording | None) -> dict[str, Any]:
    """The documented form of decoded bytes."""
    events = [] if recording is None else recording.events
    return {
        "protocol": protocol,
        "frames": [as_json(one) for one in told],
        "events": [{"t_us": one.t_us, "dir": one.side, "event": one.name, "detail": one.detail} for one in events],
        "cut": recording is not None and recording.cut,
    }


def decoded(value: dict[str, Any]) -> None:
    """Print pieces one after the other, a line for each field."""
    senders = {"to_device": "master -> device", "from_device": "device -> master", None: "direction unknown"}
    print(f"protocol {value['protocol']}")
    for frame in value["frames"]:
        check = f", check {frame['check']}" if frame["check"] != "none" else ""
        if frame["check_given"]:
            check += f" (given {frame['check_given']}, computed {frame['check_computed']})"
        print(f"{_stamp(frame['t_us'])}{frame['offset']:06X}  {frame['kind']}  {senders[frame['direction']]}{check}")
        if frame["problem"]:
            print(f"        ! {frame['problem']}")
        if frame["damaged_characters"]:
            print(f"        ! {frame['damaged_characters']} characters with parity or framing errors")
        for field in frame["fields"]:
            said = field["meaning"] or ("" if field["value"] is None else f"{field['value']}")
            print(f"  {field['offset']:06X}  {field['bytes']:<24} {field['name']:<20} {said}".rstrip())
    for event in value["events"]:
        print(f"{_stamp(event['t_us'])}{event['event']} {event['dir']} {event['detail']}".rstrip())
    if value["cut"]:
        print("the last line of the recording is incomplete: the power went while it was written")


def _stamp(t_us: int) -> str:
    return f"{t_us // 1_000_000}.{t_us // 1000 % 1000:03d} s  " if t_us else ""


class Live:
    """Prints pieces while they are recorded. A piece that is not complete waits for the next bytes of its side.

    ``hidden``: texts are codes of members and are masked.
    """

    def __init__(self, kit: FieldKit, *, hidden: bool) -> None:
        self._kit = kit
        self._hidden = hidden
        self._waiting: list[Chunk] = []
        self._side: Side = "?"
        self._at_s = 0.0

    def chunk(self, chunk: Chunk) -> None:
        """Take what came."""
        now_s = time.monotonic()
        if self._waiting and (chunk.side != self._side or now_s - self._at_s > FLUSH_S):
            self.flush()
        self._waiting.append(chunk)
        self._side, self._at_s = chunk.side, now_s
        told = decode(self._waiting, self._kit)
        if told and not told[-1].piece.problem:
            self._print(told)

    def flush(self) -> None:
        """Print what waits, complete or not."""
        if self._waiting:
            self._print(decode(self._waiting, self._kit))

    def _print(self, told: Sequence[Told]) -> None:
        self._waiting = []
        for one in told:
            words = one.piece.summary if not self._hidden else self._masked(one.piece)
            problem = f"  ! {one.piece.problem}" if one.piece.problem else ""
            print(f"{_stamp(one.t_us)}{one.side}  {words}{problem}", flush=True)

    @staticmethod
    def _masked(piece: Piece) -> str:
        text = next((str(field.value) for field in piece.fields if field.name == "text"), "")
        return f"{piece.kind}: {masked(text)}"
