"""A random day from its first step to its end, on a station's folder of its own that is gone afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.support import template


class Walk(Protocol):
    """What a day can: its next step with everything compared, its end, and to be given up."""

    def step(self) -> None:
        """Do one thing and compare."""

    def finish(self) -> None:
        """The day is over."""

    def close(self) -> None:
        """Let the database go."""


def walked(begin: Callable[[Path], Walk], steps: int) -> None:
    """Live through ``steps`` of a day and its end."""
    folder = template.new_folder()
    template.copy_to(folder)
    try:
        walk = begin(folder)
        try:
            for _ in range(steps):
                walk.step()
            walk.finish()
        finally:
            walk.close()
    finally:
        shutil.rmtree(folder)
