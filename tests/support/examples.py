"""How often a property is tried: a fifth of it by ``make test``, all of it by ``make prove``, which CI runs as well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

ALL = os.environ.get("FORECOURT_LONG") == "1"
FEW_OF = 5
LEAST = 3


def tries(most: int) -> int:
    """How many examples this run takes of ``most``."""
    return most if ALL else max(LEAST, most // FEW_OF)


def some(things: Sequence[T]) -> Sequence[T]:
    """What this run takes of a list whose every member ``make prove`` tries: every third, or all."""
    return things if ALL else things[::3]
