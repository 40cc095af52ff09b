"""The judge of damaged frames: it finds a decoder that is too kind and one that is deaf, and counts chance apart."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from tests.soak import mutated_frames
from tests.support.mutation import Wording, judge, substrings

COUNT = 2_000
SAMPLES = (b"\x02A1\x70\x03", b"\x02B2\x70\x03")


def oracle(data: bytes) -> set[Hashable]:
    """STX, two characters, their XOR, ETX."""
    return {f[1:3] for f in substrings(data, 5, 5) if f[0] == 2 and f[4] == 3 and f[1] ^ f[2] == f[3]}


def honest(data: bytes) -> list[Hashable]:
    """The frames from left to right."""
    frames = (data[at : at + 5] for at in range(len(data) - 4))
    return [f[1:3] for f in frames if f[0] == 2 and f[4] == 3 and f[1] ^ f[2] == f[3]]


def kind(data: bytes) -> list[Hashable]:
    """Forgets the check."""
    frames = (data[at : at + 5] for at in range(len(data) - 4))
    return [f[1:3] for f in frames if f[0] == 2 and f[4] == 3]


def test_an_honest_decoder_accepts_nothing_wrong() -> None:
    """What it accepts besides the intact frame has a right check, and is counted as chance."""
    tally = judge(Wording(SAMPLES, honest, oracle), COUNT, seed=1)
    assert tally.wrong == []
    assert sum(tally.counts.values()) == COUNT
    assert min(tally.counts[name] for name in ("rejected", "intact", "by_chance")) > 0


def test_a_decoder_without_its_check_is_caught() -> None:
    """With the damage and the bytes that show it."""
    tally = judge(Wording(SAMPLES, kind, oracle), COUNT, seed=1)
    assert tally.counts["wrong"] == len(tally.wrong) > 0


def test_a_decoder_that_repairs_is_caught() -> None:
    """The original out of a damaged frame is as wrong as any other: nobody can know it."""

    def repairs(data: bytes) -> list[Hashable]:
        return [b"A1"] if b"A" in data else [b"B2"] if b"B" in data else []

    assert judge(Wording(SAMPLES, repairs, oracle), COUNT, seed=1).counts["wrong"] > 0


def test_a_deaf_decoder_is_caught() -> None:
    """It accepts nothing wrong, and nothing else."""
    with pytest.raises(AssertionError, match="finds 0 frames"):
        judge(Wording(SAMPLES, lambda _data: [], oracle), COUNT, seed=1)


def test_an_oracle_that_contradicts_the_decoder_is_caught() -> None:
    """One of the two is wrong about a valid frame."""
    with pytest.raises(AssertionError, match="oracle does not find"):
        judge(Wording(SAMPLES, honest, lambda _data: set()), COUNT, seed=1)


def test_the_same_seed_gives_the_same_mutants() -> None:
    """A finding can be brought back."""
    first, second = (judge(Wording(SAMPLES, honest, oracle), COUNT, seed=9) for _ in range(2))
    assert first.counts == second.counts


def test_the_long_run_says_its_seed_and_what_it_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A short one of a built-in dispenser: frames, one sale, nothing wrong."""
    assert mutated_frames.main(["--count", "500", "--sales", "1", "--protocol", "dart", "--seed", "11"]) == 0
    frames, sales = capsys.readouterr().out.splitlines()
    assert frames.startswith("dart: seed 11, 500 frames")
    assert "rejected" in frames
    assert "0 wrong" in sales
