"""The TLS gauge and a console's past: deliveries, history, charts, ranges, pages, and replies that take minutes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from drivers.commands import ConfirmUnits, ReadDeliveries
from drivers.errors import FrameRejected
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    GaugeDeliveries,
    GaugeHistory,
    Quality,
    TankChart,
)
from drivers.veeder_root import display
from drivers.veeder_root.charts import step_of
from drivers.veeder_root.units import units_of
from tests.support.tls_console import NOT_KNOWN, ConsolePort, f, gauge, inventory, of, reply, run, tank

VALUES = (8000, 7900, 0, 15, 13000, 12900, 0, 16, 700, 1200)


def record(day: int, values: tuple[float, ...] = VALUES, hour: int = 8) -> str:
    """A 202 record of November ``day``."""
    return f"2611{day:02d}{hour:02d}152611{day:02d}0930{len(values):02X}" + "".join(f(value) for value in values)


def listed(*records: str) -> bytes:
    """A reply to 202: tank 1 has these, tank 2 none."""
    return reply("i20200", f"011{len(records):02d}{''.join(records)}02200")


def console(**answers: bytes) -> ConsolePort:
    """A console with deliveries, history and charts."""
    port = ConsolePort()
    chart = f"010008{f(0)}{f(0)}{f(500)}{f(2500)}{f(1000)}{f(9000)}{f(2000)}{f(20000)}"
    port.answers |= {
        "i61000": reply("i61000", "01050205"),
        "i20200": listed(record(20), record(18)),
        "i11100": reply("i11100", "0200050102261120091002000501012611200930"),
        "i11200": reply("i11200", ""),
        "i20600": reply("i20600", "010126112009100005" + "0200"),
        "i2110141200000": reply("i21101", chart),
        "i2110241200000": reply("i21102", "02" + chart[2:]),
    }
    port.answers |= answers
    return port


def test_deliveries_are_told_in_our_units_with_the_consoles_own_identity() -> None:
    """Both sides of each, newest first as listed; the same list is told once per connection."""
    port, device = console(), gauge()
    lists = of(GaugeDeliveries, run(device, port, 2000))
    assert [(level.gauge_index, len(level.deliveries), level.full, level.delay_min) for level in lists] == [
        (1, 2, False, 5),
        (2, 0, False, 5),
    ]
    newest = lists[0].deliveries[0]
    assert newest.key == f"2611200815:{f(8000)}:{f(700)}"
    assert (newest.start, newest.end) == ("2026-11-20T08:15", "2026-11-20T09:30")
    assert (newest.start_volume_ml, newest.end_volume_ml, newest.end_tc_volume_ml) == (
        8_000_000,
        13_000_000,
        12_900_000,
    )
    assert (newest.start_height_um, newest.end_height_um, newest.end_temperature_mdegc) == (700_000, 1_200_000, 16_000)
    assert newest.raw == record(20)
    assert port.asked.count("i20200") >= 2
    device.reset()
    assert of(GaugeDeliveries, run(device, port, 60)) == lists


def test_a_record_with_eight_floats_has_no_heights_and_a_broken_one_tells_nothing() -> None:
    """The number of floats is honoured; a list that ends inside a record is refused as a whole."""
    short = of(GaugeDeliveries, run(gauge(), console(i20200=listed(record(20, VALUES[:8]))), 60))[0].deliveries[0]
    assert (short.start_height_um, short.end_volume_ml) == (None, 13_000_000)
    cut = reply("i20200", "01102" + record(20) + record(18)[:-8])
    assert of(GaugeDeliveries, run(gauge(), console(i20200=cut), 60)) == []


def test_a_list_of_ten_may_have_lost_older_ones() -> None:
    """The console keeps ten per tank."""
    port = console(i20200=listed(*(record(day) for day in range(20, 10, -1))))
    assert [level.full for level in of(GaugeDeliveries, run(gauge(), port, 60))] == [True, False]


def test_deliveries_are_read_again_soon_after_one_has_ended() -> None:
    """A minute after the delivery delay of the tank, long before the next regular reading."""
    port, device = console(), gauge()
    port.volumes(5000, 6000, status=1)
    run(device, port, 60)
    port.volumes(5100, 6000)
    before, ended = port.asked.count("i20200"), port.now
    while port.asked.count("i20200") == before:
        run(device, port, 5)
    assert 300 <= port.now - ended <= 420


def test_nothing_of_the_past_is_told_while_units_are_unconfirmed() -> None:
    """Numbers in unknown units are no numbers; after the confirmation they are told."""
    port, device = console(), gauge(units=1)
    readings = run(device, port, 60)
    assert [*of(GaugeDeliveries, readings), *of(TankChart, readings)] == []
    device.submit(ConfirmUnits("c", "tanks"))
    assert len(of(GaugeDeliveries, run(device, port, 60))) == 2


def test_the_history_is_read_once_per_connection_and_each_entry_stands_once() -> None:
    """111 and 206 tell the same alarm: one entry; what cleared is another one."""
    port, device = console(), gauge()
    (history,) = of(GaugeHistory, run(device, port, 4000))
    assert [(e.category, e.number, e.device, e.state, e.time) for e in history.events] == [
        (2, 5, 1, "cleared", "2611200930"),
        (2, 5, 1, "occurred", "2611200910"),
    ]
    assert history.events[0].local_time == "2026-11-20T09:30"
    assert history.events[0].text == "low_product_alarm"
    device.reset()
    assert of(GaugeHistory, run(device, port, 60)) == [history]


def test_a_console_without_history_tells_none() -> None:
    """Refused in every form is no empty history."""
    refused = dict.fromkeys(("i11100", "i11200", "i20600"), NOT_KNOWN)
    assert of(GaugeHistory, run(gauge(), console(**refused), 60)) == []


def test_charts_come_from_the_best_function_that_the_console_knows() -> None:
    """211 in steps of ours, else 63B, else the twenty volumes with the diameter."""
    port = console()
    charts = of(TankChart, run(gauge(), port, 60))
    assert [(chart.gauge_index, chart.source) for chart in charts] == [(1, "211"), (2, "211")]
    assert charts[0].points == ((0, 0), (500_000, 2_500_000), (1_000_000, 9_000_000), (2_000_000, 20_000_000))
    assert charts[0].diameter_um == 2_000_000
    points = "".join(f(height) + f(volume) for height, volume in ((1500, 16000), (500, 2500)))
    for tank_number in (1, 2):
        port.answers[f"i2110{tank_number}41200000"] = NOT_KNOWN
    port.answers["i63B00"] = reply("i63B00", f"010{f(2000)}{f(20000)}02{points}")
    (multi,) = of(TankChart, run(gauge(), port, 60))
    assert (multi.source, multi.points) == ("63B", ((500_000, 2_500_000), (1_500_000, 16_000_000)))
    assert multi.full_volume_ml == 20_000_000
    port.answers["i63B00"] = NOT_KNOWN
    port.answers["i60600"] = reply("i60600", "01" + "".join(f(1000 * n) for n in range(20, 0, -1)))
    (twenty,) = of(TankChart, run(gauge(), port, 60))
    assert (twenty.source, len(twenty.points), twenty.points[0]) == ("606", 20, (100_000, 1_000_000))
    assert of(TankChart, run(gauge(charts=False), port, 60)) == []


def test_a_chart_that_cannot_be_used_says_why() -> None:
    """Falling volumes and missing values are doubts, not points that somebody would use."""
    falling = f"010006{f(0)}{f(0)}{f(500)}{f(2500)}{f(1000)}{f(2400)}"
    chart = of(TankChart, run(gauge(), console(i2110141200000=reply("i21101", falling)), 60))[0]
    assert chart.doubts == ("volumes fall or a height stands twice",)
    unread = f"010006{f(0)}{f(0)}{f(500)}????????{f(1000)}{f(2400)}"
    chart = of(TankChart, run(gauge(), console(i2110141200000=reply("i21101", unread)), 60))[0]
    assert chart.doubts == ("points without a reading",)


def test_the_step_of_a_chart_grows_on_a_slow_line() -> None:
    """A chart may hold a line up for half a minute; without a height unit there is no step."""
    metric, us = units_of(2), units_of(1)
    assert step_of(metric, 2_500_000, 10 / 9600) == f(10)
    assert step_of(metric, 2_500_000, 10 / 300) == f(50)
    assert step_of(us, None, 10 / 9600) == f(0.25)
    assert step_of(us, None, 10 / 300) == f(4)
    assert step_of(units_of(3), 2_500_000, 10 / 9600) == ""


class RangeConsole:
    """Answers 20F from a list of deliveries, newest first, at most fifty at a time."""

    def __init__(self, days: int) -> None:
        self.all = [(f"26{1 + n // 28:02d}{1 + n % 28:02d}0815", n) for n in range(days)][::-1]
        self.asked: list[str] = []

    def __call__(self, question: str) -> bytes | None:
        if not question.startswith("i20F01"):
            return None
        self.asked.append(question)
        since, until, most = question[8:18], question[18:28], int(question[28:])
        found = [(start, n) for start, n in self.all if since <= start <= until][:most]
        text = "".join(
            f"{start}{start[:6]}0930{len(VALUES):02X}" + "".join(f(v) for v in (8000 + n, *VALUES[1:]))
            for start, n in found
        )
        return reply("i20F01", f"011{len(found):03d}{text}")


def asked_range(port: ConsolePort, since: str = "2026-01-01T00:00", seconds: float = 60) -> tuple[Any, Any]:
    """What a range command comes to: (lists told for it, its results)."""
    device = gauge()
    run(device, port, 60)
    device.submit(ReadDeliveries("r", "gauge:tanks", 1, since))
    readings = run(device, port, seconds)
    return of(GaugeDeliveries, readings), [r for r in of(CommandResult, readings) if r.command_id == "r"]


@pytest.mark.parametrize(("count", "pages"), [(3, 1), (50, 2), (120, 3)])
def test_a_range_is_read_page_by_page_and_each_delivery_told_once(count: int, pages: int) -> None:
    """Fifty at a time, from the newest to the time asked for, whatever their number."""
    port = console()
    port.script = script = RangeConsole(count)
    lists, results = asked_range(port)
    assert [result.outcome for result in results] == [CommandOutcome.APPLIED]
    assert len({one.key for one in lists[0].deliveries}) == len(lists[0].deliveries) == count
    assert len(script.asked) == pages
    assert not lists[0].full


def test_a_range_that_a_console_does_not_know_is_refused() -> None:
    """Nothing is told but that."""
    lists, results = asked_range(console())
    assert (lists, [result.outcome for result in results]) == ([], [CommandOutcome.REFUSED])


def test_ranges_of_several_tanks_follow_each_other_and_end_with_the_port() -> None:
    """Two at once are read one after the other; a lost port ends what is left, and nothing is asked later."""
    port, device = console(), gauge()
    port.script = RangeConsole(3)
    run(device, port, 60)
    for name in ("a", "b"):
        device.submit(ReadDeliveries(name, "gauge:tanks", 1, "2026-01-01T00:00"))
    ends = {r.command_id: r.outcome for r in of(CommandResult, run(device, port, 30))}
    assert ends == {"a": CommandOutcome.APPLIED, "b": CommandOutcome.APPLIED}
    port.script = lambda question: b"" if question.startswith("i20F") else None
    for name in ("c", "d"):
        device.submit(ReadDeliveries(name, "gauge:tanks", 1, "2026-01-01T00:00"))
    device.turn(port)
    ends = {r.command_id: r.outcome for r in of(CommandResult, device.reset())}
    assert ends == {"c": CommandOutcome.UNKNOWN, "d": CommandOutcome.UNKNOWN}


def test_a_range_before_the_console_is_known_can_be_asked_again() -> None:
    """It ends as unknown, not as refused."""
    device, port = gauge(), console()
    device.submit(ReadDeliveries("r", "gauge:tanks", 1, "2026-01-01T00:00"))
    assert [r.outcome for r in of(CommandResult, device.turn(port))] == [CommandOutcome.UNKNOWN]


def test_a_function_that_stays_unanswered_does_not_take_the_gauge_away() -> None:
    """A console that is silent on one function of the past goes on being read."""
    for silent in ("202", "111", "211", "206"):
        port, device = console(), gauge()
        port.script = lambda question, silent=silent: b"" if question[1:4] == silent else None  # type: ignore[misc]
        readings = run(device, port, 300)
        assert [status.online for status in of(DeviceStatus, readings)] == [True]
        assert tank(readings).quality is Quality.GOOD


class SlowPort(ConsolePort):
    """A console whose characters come one by one at 300 baud."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self._coming = [(at + n / 30, data[n : n + 1]) for at, data in self._coming for n in range(len(data))]


def test_a_console_at_300_baud_is_read_to_the_end_in_short_turns() -> None:
    """A reply of minutes is one reply; no turn lasts longer than the thread may be silent."""
    port = SlowPort()
    port.answers |= console(i20200=listed(*(record(day) for day in range(20, 10, -1)))).answers
    device = gauge(alarms_s=3600, poll_s=3600)
    longest, began = 0.0, port.now
    readings: list[Any] = []
    while port.now < began + 900:
        before = port.now
        readings += device.turn(port)
        longest = max(longest, port.now - before)
        port.now += max(0.001, min(device.due_in_s(), 5.0))
    assert len(of(GaugeDeliveries, readings)[0].deliveries) == 10
    assert [status.online for status in of(DeviceStatus, readings)] == [True]
    assert 5 < longest <= 9


def test_a_reply_that_dries_up_between_turns_is_cut_off_not_waited_for() -> None:
    """Half a reply and then nothing is a truncated frame, counted, and asked again."""
    port, device = SlowPort(), gauge(alarms_s=3600)
    port.answers |= console().answers
    whole = listed(*(record(day) for day in range(20, 10, -1)))
    tries: list[int] = []

    def half(question: str) -> bytes | None:
        if question != "i20200":
            return None
        tries.append(1)
        return whole[: len(whole) // 2] if len(tries) == 1 else whole

    port.script = half
    readings = run(device, port, 600)
    assert len(tries) >= 2
    assert len(of(GaugeDeliveries, readings)[0].deliveries) == 10
    assert device.counters() == {"frames_rejected.truncated": 1}


PAGE = """\x01\r\nI20200\r\nNOV 21, 2026  3:30 PM\r\n\r\nSTATION\r\n\r\n
T 1:SUPER
INCREASE   DATE / TIME             LITRES TC LITRES WATER  TEMP DEG C  HEIGHT
      END: NOV 20, 2026  9:30 AM    13000    12900   0.0  16.00   1200.0
    START: NOV 20, 2026  8:15 AM     8000     7900   0.0  15.00    700.0
   AMOUNT:                           5000     5000
TANK 2:DIESEL
    START: DEC 31, 2025 11:55 PM     1000      990   0.0  15.00    100.0
      END: JAN 1, 2026 12:20 AM      9000     8900   0.0  16.00    900.0
    START: 20/11/26 08:15            1000      990   0.0  15.00    100.0
      END: 20/11/26 09:15            2000     1990   0.0  16.00    200.0
\x03"""


def test_a_page_of_deliveries_is_read_in_either_order() -> None:
    """END first or START first, AMOUNT ignored; a time counts where its month is a word."""
    one, two = display.deliveries(PAGE)
    assert [(r.start, r.end) for r in one.records] == [("2611200815", "2611200930")]
    assert [float(v) for v in one.records[0].values if v is not None] == [
        8000,
        7900,
        0,
        15,
        13000,
        12900,
        0,
        16,
        700,
        1200,
    ]
    assert [(r.start, r.end) for r in two.records] == [("2512312355", "2601010020"), ("", "")]
    assert display.console_clock(PAGE.strip("\x01")) == "2611211530"


def test_a_console_that_prints_its_deliveries_is_read_with_quality_display() -> None:
    """9999 in computer format, a page in the other one; keys are the printed lines, so the next reading knows them."""
    page = PAGE.replace("\n", "\r\n").encode()
    port = console(i20200=NOT_KNOWN, I20200=page)
    lists = of(GaugeDeliveries, run(gauge(), port, 60))
    assert [(level.gauge_index, level.quality, len(level.deliveries)) for level in lists] == [
        (1, Quality.DISPLAY, 1),
        (2, Quality.DISPLAY, 2),
    ]
    assert lists[0].console_time == "2026-11-21T15:30"
    assert len({one.key for level in lists for one in level.deliveries}) == 3


@pytest.mark.parametrize("text", ["", "I20200", "nothing of the kind\r\nat all", "T 1:\r\nEND: x 1 2 3 4 y"])
def test_a_page_without_deliveries_is_refused_or_empty(text: str) -> None:
    """No tank named is no page; a line that is no row is no delivery."""
    if text.startswith("T 1"):
        assert display.deliveries(text)[0].records == ()
        return
    with pytest.raises(FrameRejected):
        display.deliveries(text)


def test_reading_the_past_sends_inquiries_only() -> None:
    """Every question of a day with every command is an inquiry of the table."""
    port, device = console(), gauge(security_code="123456")
    port.answers = {f"123456{question}": answer for question, answer in port.answers.items()}
    port.volumes(5000, 6000)
    port.answers["123456i20100"] = reply("i20100", inventory(1, 5000) + inventory(2, 6000))
    port.script = RangeConsole(60)
    run(device, port, 60)
    device.submit(ReadDeliveries("r", "gauge:tanks", 1, "2026-01-01T00:00"))
    run(device, port, 3 * 3_600)
    assert len(port.asked) > 500
    assert all(re.fullmatch(r"123456[iI][0-9A-Z]{3}[0-9]{2}[0-9A-F]*", question) for question in port.asked)
