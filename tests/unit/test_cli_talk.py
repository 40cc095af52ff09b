"""What all commands share: how numbers look, where the daemon is found, how an error ends, how tables look in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import show, talk


@pytest.mark.parametrize(
    ("minor", "exponent", "text"),
    [
        (None, 2, "-"),
        (0, 2, "0.00"),
        (7, 2, "0.07"),
        (-5, 2, "-0.05"),
        (123_456, 2, "1234.56"),
        (50, 0, "50"),
        (5, 3, "0.005"),
    ],
)
def test_money_is_shown_with_the_decimals_of_its_currency(minor: int | None, exponent: int, text: str) -> None:
    """Unknown is a dash, never zero."""
    assert talk.money(minor, exponent) == text


@pytest.mark.parametrize(
    ("volume_ml", "places", "text"),
    [
        (None, 2, "-"),
        (0, 2, "0.00"),
        (20_004, 2, "20.00"),
        (20_005, 2, "20.01"),
        (20_005, 3, "20.005"),
        (18_400_499, 0, "18400"),
    ],
)
def test_litres_are_rounded_half_up(volume_ml: int | None, places: int, text: str) -> None:
    """Two decimals for sales, three for detail, none for tanks."""
    assert talk.litres(volume_ml, places) == text


@pytest.mark.parametrize(
    ("milli", "text"), [(None, "-"), (7_850, "7.85"), (7_855, "7.855"), (8_000, "8.00"), (5, "0.005")]
)
def test_a_price_shows_its_third_decimal_only_where_it_has_one(milli: int | None, text: str) -> None:
    """Two decimals are what people expect."""
    assert talk.price(milli) == text


@pytest.mark.parametrize(
    ("mdegc", "text"), [(18_560, "18.5"), (0, "0.0"), (-50, "0.0"), (-500, "-0.5"), (-18_500, "-18.5")]
)
def test_degrees_below_zero_are_those_of_the_tank(mdegc: int, text: str) -> None:
    """Minus half a degree is not minus one and a half."""
    assert talk.degrees(mdegc) == text


def test_an_unknown_time_is_a_dash() -> None:
    """A moment that never was is not midnight."""
    assert talk.clock_time(None) == "-"
    assert len(talk.clock_time("2026-11-22T06:00:00.000Z")) == len("11-22 06:00:00")


def test_the_socket_is_named_configured_or_installed(tmp_path: Path) -> None:
    """An option beats the configuration, which beats the default."""
    config = tmp_path / "station.toml"
    config.write_text('[control]\nsocket = "/run/here.sock"\n', encoding="utf-8")
    bare = tmp_path / "bare.toml"
    bare.write_text("[station]\n", encoding="utf-8")
    odd = tmp_path / "odd.toml"
    odd.write_text("control = 1\n", encoding="utf-8")
    assert talk.socket_path(config, Path("/given")) == Path("/given")
    assert talk.socket_path(config, None) == Path("/run/here.sock")
    assert talk.socket_path(bare, None) == talk.socket_path(odd, None) == Path(talk.DEFAULT_SOCKET)


@pytest.mark.parametrize("content", [None, b"control = [", b"\xff\xfe"])
def test_a_configuration_that_cannot_be_used_ends_with_two(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, not TOML, not text: one line of what, one of what to do."""
    config = tmp_path / "station.toml"
    if content is not None:
        config.write_bytes(content)
    with pytest.raises(SystemExit) as caught:
        talk.socket_path(config, None)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("forecourt: ")
    assert "config" in lines[1]


def test_tables_are_plain_aligned_text_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """No frames, no colours: columns a program can cut; unknown is empty."""
    talk.print_table("Grades", ["grade", "price"], [["92", "7.85"], ["diesel", None]])
    assert capsys.readouterr().out == "grade   price\n92      7.85\ndiesel\n"


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is an answer, too."""
    talk.print_table("Alerts", ["alert"], [])
    assert capsys.readouterr().out == "Alerts: none\n"


def test_tanks_show_what_is_known_and_a_dash_for_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """A tank that was never read is there, without numbers."""
    known = {
        "tank": 1,
        "grade": "92",
        "capacity_ml": 30_000_000,
        "quality": "good",
        "volume_ml": 18_400_000,
        "age_s": 3,
    }
    known |= {"water_height_um": 4_000, "temperature_mdegc": -500, "delivery_in_progress": True}
    known |= {"stock_ml": 18_300_000, "reference_ml": None}
    unknown = {
        "tank": 2,
        "grade": "95",
        "capacity_ml": 20_000_000,
        "quality": "no_reading",
        "volume_ml": None,
        "age_s": None,
    }
    show.tanks([known, unknown])
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split() == [
        "1",
        "92",
        "18400",
        "61",
        "%",
        "18300",
        "unknown",
        "4",
        "mm",
        "-0.5",
        "C",
        "delivery",
        "good",
        "3",
        "s",
    ]
    assert second.split() == ["2", "95", "-", "-", "unknown", "unknown", "-", "-", "no_reading", "-"]
