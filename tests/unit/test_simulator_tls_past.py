"""What the simulated console remembers, read by the driver's parsers: two writings of the same sheet must agree."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.simulator import tls_frames as tls
from drivers.simulator import tls_past as past
from drivers.simulator.config import ConsoleConfig, default_config
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank
from drivers.simulator.tls_console import TlsConsole
from drivers.veeder_root import display, layouts
from drivers.veeder_root.codec import Kind, Rejected, ReplyDecoder, encode
from drivers.veeder_root.tables import INQUIRIES, parse

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TANKS = default_config(".").tanks
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "veeder_root.json").read_text(encoding="utf-8"))[
    "vectors"
]


class Bench:
    """A console over the default tanks; time and deliveries by hand."""

    def __init__(self, **settings: Any) -> None:
        config = dataclasses.replace(ConsoleConfig(utc_offset_min=0), **settings)
        self.board = FaultBoard(1)
        self.tanks = {tank.number: Tank(tank) for tank in TANKS}
        self.console = TlsConsole(config, self.tanks, self.board, epoch=NOON)
        self.console.step(0)

    def minutes(self, count: float) -> None:
        self.console.step(self.console.now_ms + round(count * 60_000))

    def deliver(self, volume_ml: int = 1_000_000, tank: int = 1, minutes: float = 10) -> None:
        self.tanks[tank].delivering = True
        self.minutes(0)
        self.tanks[tank].volume_ml += volume_ml
        self.minutes(minutes)
        self.tanks[tank].delivering = False
        self.minutes(0)

    def raw(self, code: str, device: int = 0, data: str = "", *, display: bool = False) -> bytes:
        return self.console.receive(encode(code, device, data=data, display=display))

    def ask(self, code: str, device: int = 0, data: str = "") -> tuple[layouts.Record, ...]:
        """The records of a reply, through the driver's decoder and parser."""
        (event,) = ReplyDecoder().feed(self.raw(code, device, data))
        assert not isinstance(event, Rejected)
        assert event.kind is Kind.COMPUTER
        return parse(code, event.data).records


def test_every_function_it_knows_is_read_without_a_rest() -> None:
    """The driver's layouts take every reply of the simulator whole, in metric and in US units."""
    for units in (1, 2):
        bench = Bench(units=units, range_query=True)
        bench.deliver()
        answered = set()
        for code in INQUIRIES:
            data = {"211": "42480000", "20F": "00"}.get(code, "1121" if code == "C01" else "")
            reply = bench.raw(code, data=data)
            if reply != tls.NOT_KNOWN:
                bench.ask(code, data=data)
                answered.add(code)
        assert set(INQUIRIES) - answered == {"21A", "231", "281", "536", "C01"}


def test_deliveries_are_listed_newest_first_and_ten_at_the_most() -> None:
    """Twelve deliveries: 202 has the last ten, 20C the last, 20F all of a range."""
    bench = Bench(range_query=True)
    for _ in range(12):
        bench.deliver(100_000)
        bench.minutes(20)
    listed = next(r for r in bench.ask("202") if isinstance(r, layouts.Deliveries) and r.tank == 1)
    starts = [record.start for record in listed.records]
    assert len(starts) == 10
    assert starts == sorted(starts, reverse=True)
    (newest,) = (r for r in bench.ask("20C", 1) if isinstance(r, layouts.Deliveries))
    assert [record.start for record in newest.records] == starts[:1]
    (ranged,) = (r for r in bench.ask("20F", 1, "0026112112002611212359050") if isinstance(r, layouts.Deliveries))
    assert len(ranged.records) == 12
    (some,) = (r for r in bench.ask("20F", 1, f"00{starts[3]}2611212359050") if isinstance(r, layouts.Deliveries))
    assert [record.start for record in some.records] == starts[:4]


def test_a_delivery_that_resumes_inside_the_delay_is_lengthened() -> None:
    """The same start, a later end and more volume; past the delay it is another delivery."""
    bench = Bench(delivery_delay_min=5)
    bench.deliver(1_000_000)
    bench.minutes(3)
    bench.deliver(500_000)
    (listed,) = (r for r in bench.ask("202", 1) if isinstance(r, layouts.Deliveries))
    (one,) = listed.records
    assert (one.start, one.end) == ("2611211200", "2611211223")
    assert (one.value(4) or 0) - (one.value(0) or 0) == 1500
    bench.minutes(6)
    bench.deliver(500_000)
    (listed,) = (r for r in bench.ask("202", 1) if isinstance(r, layouts.Deliveries))
    assert len(listed.records) == 2


def test_alarms_leave_a_history_in_three_reports() -> None:
    """What came and what went with its time; warnings in the other list; 113 has what stands."""
    bench = Bench()
    bench.minutes(5)
    bench.board.inject("probe-out", 1, for_s=0)
    bench.minutes(5)
    bench.board.clear()
    bench.minutes(5)
    bench.tanks[2].volume_ml = 1_000_000
    bench.minutes(5)
    priority = [r for r in bench.ask("111") if isinstance(r, layouts.Alarm)]
    assert [(r.number, r.device, r.state, r.time) for r in priority] == [
        (5, 2, "occurred", "2611211220"),
        (9, 1, "cleared", "2611211215"),
        (9, 1, "occurred", "2611211210"),
    ]
    (warning,) = (r for r in bench.ask("112") if isinstance(r, layouts.Alarm))
    assert (warning.number, warning.device) == (11, 2)
    (tank,) = (r for r in bench.ask("206", 1) if isinstance(r, layouts.TankHistory))
    assert tank.events == (("2611211210", 9),)
    standing = [r for r in bench.ask("113") if isinstance(r, layouts.Alarm)]
    assert {(r.number, r.device) for r in standing} == {(5, 2), (11, 2)}


def test_two_published_events_are_the_published_206_reply() -> None:
    """The console's own writing of the two events of the sheet gives its bytes."""
    events = [
        past.Happening(datetime(1995, 12, 20, 11, 59, tzinfo=UTC), 1, 8, past.OCCURRED),
        past.Happening(datetime(1995, 12, 22, 15, 31, tzinfo=UTC), 1, 5, past.OCCURRED),
    ]
    want = next(v for v in VECTORS if v["name"] == "206-two-events")
    assert tls.reply("i20601", "9601221507" + "01" + past.occurrences(events, 1)) == bytes.fromhex(want["bytes"])


def test_charts_agree_with_the_tank_in_every_form() -> None:
    """211, 63B, 605 and 606 tell the volumes of the same cylinder."""
    bench = Bench()
    (chart,) = (r for r in bench.ask("211", 1, "42480000") if isinstance(r, layouts.Chart))
    assert len(chart.points) == 51
    assert [*chart.points[0], *chart.points[-1]] == [0, 0, 2500, 30000]
    (multi,) = (r for r in bench.ask("63B", 1) if isinstance(r, layouts.Chart))
    heights = [height for height, _ in multi.points]
    assert len(heights) == 50
    assert heights == sorted(heights, key=lambda height: -(height or 0))
    (four,) = (r for r in bench.ask("605", 1) if isinstance(r, layouts.TankValues))
    (twenty,) = (r for r in bench.ask("606", 1) if isinstance(r, layouts.TankValues))
    assert four.values[0] == twenty.values[0] == 30000
    assert four.values[2] == twenty.values[10] == 15000


@pytest.mark.parametrize("step", ["00000000", "3DCCCCCD", "7FC00000"])
def test_a_chart_in_steps_that_are_too_short_is_refused(step: str) -> None:
    """Zero, a tenth of a millimetre, no number."""
    assert Bench().raw("211", 1, step) == tls.NOT_KNOWN


def test_a_page_of_deliveries_is_read_by_the_driver() -> None:
    """Times to the minute and volumes of both sides, tanks without a delivery named."""
    bench = Bench()
    bench.deliver(1_000_000)
    (event,) = ReplyDecoder().feed(bench.raw("202", display=True))
    assert not isinstance(event, Rejected)
    lists = display.deliveries(event.data)
    assert [(r.tank, len(r.records)) for r in lists] == [(1, 1), (2, 0), (3, 0)]
    (one,) = lists[0].records
    assert (one.start, one.end) == ("2611211200", "2611211210")
    assert [float(value or 0) for value in (one.value(0), one.value(4))] == [18400, 19400]
    assert display.console_clock(event.data) == "2611211210"


def test_newer_models_know_ranges_and_any_model_may_refuse() -> None:
    """20F is for those that have it; a function that is switched off is not known."""
    assert Bench().raw("20F", 1, "00") == tls.NOT_KNOWN
    assert Bench(refuses=("202",)).raw("202") == tls.NOT_KNOWN


def test_a_cut_reply_and_a_wrong_checksum_are_refused_by_the_driver() -> None:
    """Each fault spoils as many replies as it has, then the console speaks well again."""
    for fault, reason in (("gauge-reply-cut", "truncated"), ("gauge-bad-checksum", "checksum")):
        bench = Bench()
        bench.board.inject(fault, times=1)
        decoder = ReplyDecoder()
        assert [*decoder.feed(bench.raw("201")), *decoder.idle()] == [Rejected(reason)]
        assert len(bench.ask("201")) == 3


def test_question_marks_are_no_reading_and_a_lost_clock_is_in_1988() -> None:
    """Faults of a tank and of the console's battery."""
    bench = Bench()
    bench.board.inject("gauge-question-marks", 1, for_s=0)
    (record,) = bench.ask("201", 1)
    assert isinstance(record, layouts.Inventory)
    assert record.status is None
    bench.board.inject("gauge-wrong-century", for_s=0)
    assert bench.console.clock().year == 1988


def test_only_inquiries_can_be_encoded_whatever_is_asked() -> None:
    """Every code, tank, format and allowed data gives i or I before the code; none gives a set function."""
    for code, inquiry in INQUIRIES.items():
        for data in ("", "00", "42480000", "0026010100002611212359050", "1121", "S50100", "s"):
            if not inquiry.question.fullmatch(data):
                continue
            for device in (0, 1, 99):
                for is_display in (False, True):
                    for security in ("", "123456", "i50100"):
                        question = encode(code, device, data=data, display=is_display, security_code=security)
                        assert re.fullmatch(rb"\x01(.{6})?[iI]" + code.encode() + rb"[0-9]{2}[0-9A-F]*\r\n", question)
                        assert tls.QuestionReader(security_code=security).feed(question)[0].letter in "iI"
