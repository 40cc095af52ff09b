"""Damaged frames by the thousand: what a decoder makes of each, judged by a second, independent reading of the same bytes.

Knows no protocol: a rig brings valid frames, the driver's decoder and an oracle that computes the protocol's check itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

EVERY = 64
"""After so many mutants the intact frames are decoded again: a decoder that has gone deaf accepts nothing wrong either."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How one protocol's frames look, said twice.

    ``samples``: whole valid frames as a device sends them. ``decode``: the driver's own decoder on a fresh stream; a key
    (any hashable value that holds all of the frame's meaning) for each frame it accepts. ``oracle``: written without the driver's code, the keys
    of every frame that stands anywhere in the bytes with a right check; it may be slow.
    """

    samples: tuple[bytes, ...]
    decode: Callable[[bytes], list[Hashable]]
    oracle: Callable[[bytes], set[Hashable]]


@dataclass(slots=True)
class Tally:
    """What became of the mutants. ``intact``: the original frame survived whole inside its mutant (bytes before or behind
    it); ``by_chance``: another frame, and its check is right; ``wrong``: accepted though the oracle finds no such frame.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))


def judge(wording: Wording, count: int, seed: int) -> Tally:
    """Put ``count`` mutants through the decoder. Raises ``AssertionError`` when an intact frame is not understood."""
    rng = random.Random(seed)
    keys = {sample: _understood(wording, sample) for sample in wording.samples}
    tally = Tally()
    for number in range(count):
        sample = rng.choice(wording.samples)
        what, mutant = mutate(rng, sample, wording.samples)
        accepted = wording.decode(mutant)
        new = [key for key in accepted if key != keys[sample]]
        if not accepted:
            tally.counts["rejected"] += 1
        elif not new:
            intact = sample in mutant or keys[sample] in wording.oracle(mutant)
            tally.counts["intact" if intact else "wrong"] += 1
            if not intact:
                tally.wrong.append((what, mutant))
        elif set(new) <= wording.oracle(mutant):
            tally.counts["by_chance"] += 1
        else:
            tally.counts["wrong"] += 1
            tally.wrong.append((what, mutant))
        if number % EVERY == 0:
            assert wording.decode(sample) == [keys[sample]]
    return tally


def mutate(rng: random.Random, frame: bytes, others: tuple[bytes, ...] = ()) -> tuple[str, bytes]:
    """One damaged frame, never equal to ``frame``, and what was done to it: one error, or two in one mutant of four."""
    while True:
        what, data = _once(rng, frame, others)
        if rng.randrange(4) == 0:
            second, data = _once(rng, data, others)
            what = f"{what}, {second}"
        if data != frame:
            return what, data


def _understood(wording: Wording, sample: bytes) -> Hashable:
    found = wording.decode(sample)
    assert len(found) == 1, f"the decoder finds {len(found)} frames in {sample.hex()}"
    assert found[0] in wording.oracle(sample), f"the oracle does not find {found[0]!r} in {sample.hex()}"
    return found[0]


def _once(rng: random.Random, frame: bytes, others: tuple[bytes, ...]) -> tuple[str, bytes]:
    if not frame:
        return "one byte of noise", rng.randbytes(1)
    data = bytearray(frame)
    at = rng.randrange(len(data))
    what = rng.choice(("flip", "flip", "flip", "replace", "drop", "double", "swap", "insert", "cut", "splice"))
    if what == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif what == "replace":
        data[at] = rng.randrange(256)
    elif what == "drop":
        del data[at]
    elif what == "double":
        data.insert(at, data[at])
    elif what == "swap":
        other = rng.randrange(len(data))
        data[at], data[other] = data[other], data[at]
    elif what == "insert":
        data.insert(at, rng.randrange(256))
    elif what == "cut":
        data = data[:at] if rng.randrange(2) else data[at:]
    else:
        tail = rng.choice(others or (frame,))
        data = data[:at] + tail[rng.randrange(len(tail)) :]
    return what, bytes(data)


def substrings(data: bytes, shortest: int, longest: int) -> Iterator[bytes]:
    """Every run of ``data`` between the two lengths: what an oracle looks at."""
    for start in range(len(data)):
        for end in range(start + shortest, min(len(data), start + longest) + 1):
            yield data[start:end]
