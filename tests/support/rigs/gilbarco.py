"""The contract suite's knowledge of Two-Wire: four pumps on one loop of the simulator."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable

from drivers.config import LineConfig
from drivers.gilbarco.codec import Decoder, GradeTotals, Reply, Totals, Transaction
from tests.support.mutation import Wording
from tests.support.rigs.base import Rig
from tests.support.rigs.simulated import FAULTS, SimulatedDispenser

DIGIT, WORD = rb"[\xe0-\xe9]", rb"[\xe0-\xef]"
SALE = re.compile(
    rb"(?=(\xff\xf1\xf8" + WORD + rb"\xe0[^\xf0\xff]{3}\xf6(" + DIGIT + rb")([\xf4\xf5])\xf7(" + DIGIT + rb"{4})\xf9("
    rb"" + DIGIT + rb"{6})\xfa(" + DIGIT + rb"{6})\xfb" + WORD + rb"\xf0))"
)
GRADE = rb"\xf6" + DIGIT + rb"\xf9" + DIGIT + rb"{8}\xfa" + DIGIT + rb"{8}\xf4" + DIGIT + rb"{4}\xf5" + DIGIT + rb"{4}"
TOTALS = re.compile(rb"(?=(\xff((?:" + GRADE + rb"){1,10})\xfb" + WORD + rb"\xf0))")


class GilbarcoSubject(SimulatedDispenser):
    """Pumps 1, 2, ..."""

    protocol = "gilbarco"
    first_address = 1
    totals_modulus = 10**8
    options = {"money_after": "500ms"}  # noqa: RUF012 - the suite's fuellings are short
    faults = (*FAULTS, "swapped-digits")
    forgets = frozenset({"AUTHORISE"})
    changes_nothing = frozenset({"TRANSACTION", "TOTALS", "MONEY", "DATA_NEXT", "NOZZLE_QUERY"})

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        config = super().line_config(port, control=control, points=points)
        made = tuple(dataclasses.replace(point, volume_decimals=3) for point in config.points)
        return dataclasses.replace(config, points=made)

    @property
    def wording(self) -> Wording:
        samples = (
            "FF F1 F8 EB E0 E0 E0 E0 F6 E0 F4 F7 E0 E5 E2 E7 F9 E0 E4 E3 E2 E1 E0 FA E7 E4 E9 E8 E0 E0 FB EA F0",
            "FF F6 E0 F9 E7 E6 E5 E4 E3 E2 E1 E0 FA E1 E6 E0 E5 E9 E8 E0 E0 F4 E0 E5 E2 E7 F5 E0 E0 E0 E0 FB ED F0",
        )
        return Wording(tuple(bytes.fromhex(sample) for sample in samples), decode, oracle)

    def totals(self, rig: Rig, point: int) -> dict[int, int]:
        return {nozzle: raw % 10**8 for nozzle, raw in super().totals(rig, point).items()}

    def is_poll(self, data: bytes, point: int) -> bool:
        return data == bytes((point,))


def decode(data: bytes) -> list[Hashable]:
    """The answers that the driver accepts from pump 1: a sale as its numbers, totals as numbers by grade."""
    found: list[Hashable] = []
    for form in (Reply.TRANSACTION, Reply.TOTALS):
        for answer in Decoder(form, 1).feed(data):
            if isinstance(answer, Transaction):
                sale = answer
                found.append((sale.grade, sale.level, sale.unit_price, sale.volume, sale.money))
            else:
                found.append(answer)
    return found


def oracle(data: bytes) -> set[Hashable]:
    """Every sale of pump 1 and every totals answer whose low nibbles from FF to the check add up to a multiple of 16."""
    found: set[Hashable] = set()
    for match in SALE.finditer(data):
        if adds_up(match[1]):
            grade, level, price, volume, money = match.groups()[1:]
            found.add((grade[0] - 0xDF, level[0] - 0xF3, number(price), number(volume), number(money)))
    for match in TOTALS.finditer(data):
        rows = [match[2][at : at + 30] for at in range(0, len(match[2]), 30)]
        if adds_up(match[1]) and len({row[1] for row in rows}) == len(rows):
            found.add(totals_of(rows))
    return found


def totals_of(rows: list[bytes]) -> Hashable:
    """The driver's own record, filled in by another hand."""
    return Totals(
        tuple(
            GradeTotals(row[1] - 0xDF, number(row[3:11]), number(row[12:20]), number(row[21:25]), number(row[26:30]))
            for row in rows
        )
    )


def adds_up(frame: bytes) -> bool:
    """The check: the sum of all low nibbles, its own word included."""
    return sum(int(digit, 16) for digit in frame.hex()[1:-2:2]) % 16 == 0


def number(words: bytes) -> int:
    """Digits, least significant first."""
    return int(words.hex()[::-1][::2])


SUBJECT = GilbarcoSubject()
