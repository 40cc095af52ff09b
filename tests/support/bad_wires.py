"""Bad wires between a driver and its devices: each makes of (request, reply) what arrives, as (delay in s, bytes) parts.

Knows no protocol. Chance comes from a generator that the test seeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.mutation import mutate

Arriving = list[tuple[float, bytes]]
BadWire = Callable[[random.Random, bytes, bytes], Arriving]
ODDS = 3
"""One reply in so many is hit by what strikes now and then."""


def noise(rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """Strays before and behind, and sometimes one flipped bit."""
    data = bytearray(reply)
    if data and rng.randrange(ODDS) == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return [(0.0, rng.randbytes(rng.randrange(3)) + bytes(data) + rng.randbytes(rng.randrange(3)))]


def half_frames(rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """The beginning or the end of a reply is missing."""
    if not reply or rng.randrange(ODDS):
        return [(0.0, reply)]
    at = rng.randrange(len(reply))
    return [(0.0, reply[:at] if rng.randrange(2) else reply[at:])]


def echo(_rng: random.Random, request: bytes, reply: bytes) -> Arriving:
    """Everything the master says comes back first."""
    return [(0.0, request + reply)]


def extra_bytes(rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """A byte too many somewhere inside."""
    if not reply or rng.randrange(ODDS):
        return [(0.0, reply)]
    at = rng.randrange(len(reply))
    return [(0.0, reply[:at] + rng.randbytes(1) + reply[at:])]


def late_answers(rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """An answer comes a quarter of a second late, where somebody else may be asked by then."""
    return [(0.0 if rng.randrange(ODDS) else 0.25, reply)]


def one_byte_a_second(_rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """A reply drips."""
    return [(float(place), reply[place : place + 1]) for place in range(len(reply))]


def two_at_once(rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """A second device with the same address speaks at the same time: a zero bit wins."""
    shift = rng.randrange(1, 4)
    other = reply[shift:] + rng.randbytes(shift)
    return [(0.0, bytes(a & b for a, b in zip(reply, other, strict=False)))]


def mutants(rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
    """Every damage there is, to one reply in six."""
    if not reply or rng.randrange(2 * ODDS):
        return [(0.0, reply)]
    return [(0.0, mutate(rng, reply)[1])]


class AnswersOfOthers:
    """Now and then the answer that was given before comes in place of the right one: whole, and of another device or question."""

    def __init__(self) -> None:
        self._before = b""

    def __call__(self, rng: random.Random, _request: bytes, reply: bytes) -> Arriving:
        """As a ``BadWire``."""
        before, self._before = self._before, reply
        return [(0.0, before if before and rng.randrange(ODDS) == 0 else reply)]


def misheard(rng: random.Random, request: bytes) -> bytes:
    """What the device hears where one request in twelve is damaged."""
    return request if rng.randrange(4 * ODDS) else mutate(rng, request)[1]


EVERY: tuple[BadWire, ...] = (
    noise,
    half_frames,
    echo,
    extra_bytes,
    late_answers,
    one_byte_a_second,
    two_at_once,
    mutants,
)
