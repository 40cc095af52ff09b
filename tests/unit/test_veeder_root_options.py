"""Options of a TLS line: names, times, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.errors import WiringError
from drivers.veeder_root.options import HELP, Options, check_options, parse_options, warn_options


def test_nothing_given_is_the_sheet() -> None:
    """Defaults are those of the protocol sheet."""
    assert parse_options({}) == Options()
    assert (Options().poll_s, Options().retry_ladder, Options().terminator) == (30.0, (5.0, 10.0, 30.0, 60.0), "CRLF")


def secret_file(tmp_path: Path, text: str, mode: int = 0o640) -> str:
    """A file with a security code."""
    file = tmp_path / "console-code"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_security_code_comes_from_a_file_of_its_own(tmp_path: Path, mode: int) -> None:
    """One line, spaces kept, no warning; the code is in no text of the options."""
    name = secret_file(tmp_path, "12 45 \n", mode)
    found = parse_options({"security_code_file": name})
    assert found.security_code == "12 45 "
    assert "12 45" not in repr(found)
    assert warn_options({"security_code_file": name}) == []


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("123456", 0o644, "open to others"),
        ("123456", 0o660, "open to others"),
        ("12345", 0o600, "six"),
        ("S23456", 0o600, "begin with S"),
    ],
)
def test_a_file_that_others_read_or_that_holds_no_code_is_refused(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    """What is wrong, what to do, and never what stands in it."""
    ((key, problem, hint),) = check_options({"security_code_file": secret_file(tmp_path, text, mode)})
    assert key == "security_code_file"
    assert said in problem
    assert hint
    assert text not in problem + hint


def test_a_missing_file_and_a_code_given_twice_are_told(tmp_path: Path) -> None:
    """Both are faults of the station file."""
    ((_, problem, _),) = check_options({"security_code_file": str(tmp_path / "none")})
    assert "cannot be read" in problem
    given = {"security_code": "123456", "security_code_file": secret_file(tmp_path, "123456")}
    assert [(key, "twice" in problem) for key, problem, _ in check_options(given)] == [("security_code", True)]


def test_a_bare_name_is_a_credential_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd hands it over in a folder; without one the name means nothing."""
    secret_file(tmp_path, "123456")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert check_options({"security_code_file": "console-code"})[0][0] == "security_code_file"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert parse_options({"security_code_file": "console-code"}).security_code == "123456"


def test_a_code_in_the_station_file_works_and_is_warned_of() -> None:
    """It stays usable; the warning says what to write instead and not the code."""
    ((key, problem, hint),) = registry.spec("veeder-root").warn_options({"security_code": "123456"})
    assert key == "security_code"
    assert "security_code_file" in hint
    assert "123456" not in problem + hint
    assert check_options({"security_code": "123456"}) == []


def test_times_are_numbers_or_text() -> None:
    """Seconds as numbers, or text with a unit."""
    found = parse_options({"poll_s": "500ms", "delivery_poll_s": 2, "setup_s": "1h", "retry_ladder": ["200ms", 1.5]})
    assert (found.poll_s, found.delivery_poll_s, found.setup_s) == (0.5, 2.0, 3600.0)
    assert found.retry_ladder == (0.2, 1.5)


def test_all_other_options_are_taken_over() -> None:
    """Every option of the help text can be set."""
    given = {
        "terminator": "",
        "end_of_message": "0D0A",
        "security_code": "123456",
        "units": 2,
        "units_3": {"height": "mm", "temperature": "F"},
        "time_scale": 5,
        "tries": 2,
        "retry_pauses": [0.5],
    }
    found = parse_options(given)
    assert found.end_of_message == b"\r\n"
    assert (found.height_3, found.temperature_3, found.units, found.time_scale) == ("mm", "F", 2, 5)
    assert (found.terminator, found.tries, found.retry_pauses) == ("", 2, (0.5,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("poll_s", "soon"),
        ("poll_s", 0),
        ("poll_s", True),
        ("poll_s", None),
        ("poll_s", float("nan")),
        ("retry_ladder", []),
        ("retry_ladder", 5),
        ("retry_ladder", [5, "x"]),
        ("tries", 0),
        ("tries", 2.5),
        ("terminator", "LF"),
        ("end_of_message", "3"),
        ("security_code", 123456),
        ("security_code", "12345"),
        ("security_code", "S12345"),
        ("units", 4),
        ("units_3", {"height": "in"}),
        ("units_3", {"height": "cm", "temperature": "C"}),
        ("time_scale", 0),
        ("poll", 5),
    ],
)
def test_a_wrong_option_is_named_with_a_way_out(key: Any, value: Any) -> None:
    """Key, problem and hint are all there, and the same mistake stops the driver from being built."""
    ((found, problem, hint),) = check_options({key: value})
    assert found == key
    assert problem
    assert hint
    with pytest.raises(WiringError):
        parse_options({key: value})


def test_all_problems_are_reported_at_once() -> None:
    """Three mistakes give three reports."""
    assert len(check_options({"pol_s": 1, "tries": 0, "units": "US"})) == 3


def test_the_security_code_is_never_shown() -> None:
    """Neither the options nor a complaint about the code repeats it."""
    assert "S3CR3T" not in repr(check_options({"security_code": "S3CR3T"}))
    assert "123456" not in repr(parse_options({"security_code": "123456"}))


def test_every_option_is_explained() -> None:
    """The help names exactly what can be set."""
    assert all(HELP.values())
    assert set(HELP) >= {"poll_s", "time_scale", "retry_ladder", "security_code", "units_3"}
