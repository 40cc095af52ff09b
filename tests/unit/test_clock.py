"""Where time comes from: the machine's clocks, the demo's faster one, and how good either is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from agent import clock as module
from agent.clock import ScaledClock, SystemClock, boottime_ms, clock_from_environment, read, system_quality


def test_the_system_clock_tells_unix_time_and_time_since_boot() -> None:
    """Both in milliseconds, the second never backwards."""
    clock = SystemClock()
    before, wall, now, after = time.time_ns() // 1_000_000, clock.wall_ms(), read(clock), time.time_ns() // 1_000_000
    assert before <= wall <= now.wall_ms <= after
    assert clock.mono_ms() <= boottime_ms()
    assert now.mono_ms <= clock.mono_ms()


def test_a_scaled_clock_runs_both_times_faster_from_one_base() -> None:
    """After ten real seconds at speed 7, seventy have passed, wall and monotonic alike."""
    base = boottime_ms() - 10_000
    clock = ScaledClock(7, base_wall_ms=1_000_000, base_mono_ms=base)
    wall, mono = clock.wall_ms() - 1_000_000, clock.mono_ms() - base
    assert 70_000 <= wall <= mono <= 7 * (boottime_ms() + 1 - base)
    assert clock.speed == 7


def test_a_scaled_clock_sleeps_shorter_in_real_time() -> None:
    """So many of its own seconds."""
    clock = ScaledClock(3_000, 0, boottime_ms())
    began_s = time.monotonic()
    clock.sleep(60)
    assert 0.02 <= time.monotonic() - began_s < 30


def test_the_offset_file_makes_the_wall_time_jump_and_nothing_else(tmp_path: Path) -> None:
    """A jump back of an hour; a missing, empty or damaged file is no jump."""
    offset = tmp_path / "offset"
    base = boottime_ms()
    clock = ScaledClock(1, base, base, offset)
    _between(clock, 0)
    for text, jump_ms in (("-3600000", -3_600_000), ("", 0), ("soon", 0)):
        offset.write_text(text, encoding="ascii")
        _between(clock, jump_ms)


def _between(clock: ScaledClock, jump_ms: int) -> None:
    """Both times are of one base: the wall time, without its jump, lies between two looks at the other one."""
    before, wall, after = clock.mono_ms(), clock.wall_ms() - jump_ms, clock.mono_ms()
    assert before <= wall <= after <= boottime_ms()


def test_a_clock_survives_the_environment_of_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child builds the same clock: all processes of a demo agree."""
    clock = ScaledClock(20, 5_000, boottime_ms(), tmp_path / "offset")
    for name, value in clock.as_environment().items():
        monkeypatch.setenv(name, value)
    child = clock_from_environment()
    assert isinstance(child, ScaledClock)
    before, told, after = clock.wall_ms(), child.wall_ms(), clock.wall_ms()
    assert before <= told <= after
    assert child.as_environment() == clock.as_environment()


def test_without_an_environment_it_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """A station never runs faster than the world."""
    monkeypatch.delenv(module.ENVIRONMENT_NAME, raising=False)
    assert isinstance(clock_from_environment(), SystemClock)


@pytest.mark.parametrize("text", ["fast", "scaled:5", "scaled:x:1:1", "scaled:5:-1:1", "scaled:٥:1:1", "real:1:1:1"])
def test_a_malformed_environment_is_an_error_that_names_the_form(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs with another clock than was meant."""
    monkeypatch.setenv(module.ENVIRONMENT_NAME, text)
    with pytest.raises(ValueError, match="scaled:SPEED:WALL_MS:MONO_MS"):
        clock_from_environment()


def test_the_clock_is_good_only_while_a_time_service_disciplines_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Synchronised within a day is ``ntp``; older, in the future or never is ``rtc``."""
    stamp = tmp_path / "synchronized"
    monkeypatch.setattr(module, "SYNCHRONISED_FILES", (tmp_path / "missing", stamp))
    now_s = time.time()
    assert system_quality(now_s) == "rtc"
    stamp.touch()
    os.utime(stamp, (now_s - 3_600, now_s - 3_600))
    assert system_quality(now_s) == "ntp"
    os.utime(stamp, (now_s - 90_000, now_s - 90_000))
    assert system_quality(now_s) == "rtc"
    os.utime(stamp, (now_s + 3_600, now_s + 3_600))
    assert system_quality(now_s) == "rtc"
    assert SystemClock().quality() == ScaledClock(2, 0, 0).quality()
