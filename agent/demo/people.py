"""The members of the demo: invented names, phones, cards and tiers from one seed, as the file that head office imports.

Knows the import format. Nobody here exists; the phone numbers carry a subscriber part that counts from 0001.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from drivers.simulator.config import with_luhn
from drivers.simulator.wallet import CHIP

MEMBERS = 40
POINTS, TAP_POINTS = 4, (1, 2)
"""Fuelling points of the demo, and those where a chip can be laid on a reader."""

PHONE = "phone:"
UID_BYTES, KEY_BYTES = 7, 16
_SURNAMES = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何林罗高"
_GIVEN = (
    "伟",
    "芳",
    "娜",
    "敏",
    "静",
    "秀英",
    "丽",
    "强",
    "磊",
    "军",
    "洋",
    "勇",
    "艳",
    "杰",
    "娟",
    "涛",
    "明",
    "超",
    "霞",
    "平",
)
_TIERS = (("", 0, 50), ("silver", 420_000, 32), ("gold", 1_350_000, 18))
"""Tier, growth that belongs to it, share in per cent."""


@dataclass(frozen=True, slots=True)
class Person:
    """One member: 16 hex digits of id, an E.164 phone, a 16-digit card that starts with 9.

    ``shows``: what they carry to the pump: that number, or the name of a phone or of a chip, whose key is ``key``.
    """

    member: str
    name: str
    phone: str
    card: str
    tier: str
    growth: int
    birthday_md: str
    shows: str
    key: bytes = field(default=b"", repr=False)


def people(seed: int, count: int = MEMBERS) -> tuple[Person, ...]:
    """Return ``count`` members; the same seed gives the same ones."""
    rng = Random(f"people:{seed}")
    found = []
    for number in range(1, count + 1):
        tier, growth, _ = rng.choices(_TIERS, [share for _, _, share in _TIERS])[0]
        name = rng.choice(_SURNAMES) + rng.choice(_GIVEN)
        card = with_luhn(f"9{rng.randrange(10**9):09d}{number:05d}")
        shows, key = _carried(seed, number, card)
        found.append(
            Person(
                # 63 bits: signed codes carry no id with its top bit set
                member=f"{int(hashlib.sha256(f'demo:{seed}:{number}'.encode()).hexdigest()[:16], 16) >> 1:016x}",
                name=name,
                phone=f"+861990000{number:04d}",
                card=card,
                tier=tier,
                growth=growth,
                birthday_md=f"{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
                shows=shows,
                key=key,
            )
        )
    return tuple(found)


def _carried(seed: int, number: int, card: str) -> tuple[str, bytes]:
    """Return what a member shows and a chip's key. Members are dealt to the points in turn, so the kinds are as well:
    chips where they can be laid down, phones and card numbers everywhere.
    """
    point, turn = (number - 1) % POINTS + 1, (number - 1) // POINTS
    kinds = (CHIP, PHONE, "") if point in TAP_POINTS else (PHONE, "")
    kind = kinds[turn % len(kinds)]
    drawn = hashlib.sha256(f"chip:{seed}:{number}".encode()).digest()
    if kind == CHIP:
        uid = b"\x04" + drawn[: UID_BYTES - 1]
        return f"{CHIP}{uid.hex().upper()}", drawn[-KEY_BYTES:]
    return (f"{PHONE}{number}", b"") if kind == PHONE else (card, b"")


def write_members(path: Path, members: Sequence[Person]) -> None:
    """Write the JSONL file for ``forecourt-hq members import``."""
    rows = [
        {
            "member": person.member,
            "name": person.name,
            "phone": person.phone,
            "cards": [person.card],
            "growth": person.growth,
            "birthday_md": person.birthday_md,
            **({"tier": person.tier} if person.tier else {}),
            **({"card_uid": [person.shows.removeprefix(CHIP)], "card_key": [person.key.hex()]} if person.key else {}),
        }
        for person in members
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
