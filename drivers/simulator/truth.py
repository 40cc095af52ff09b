"""What really happened: the simulator's own account, independent of anything the station's agent says.

``truth.jsonl`` gets one line per fact, flushed at once; ``truth.json`` sums up and is replaced as a whole, so that
both can
be read at any moment. One run writes one pair of files. Without a directory everything stays in memory.
"""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path
from typing import Any, TextIO

# about a week of a busy station; the file has everything
MAX_RECORDS = 200_000


class Truth:
    """Appends facts and keeps the sums. ``records`` holds the newest facts as they were written, oldest first."""

    def __init__(self, directory: Path | None = None) -> None:
        self.records: deque[dict[str, Any]] = deque(maxlen=MAX_RECORDS)
        self.nozzles: dict[tuple[int, int], dict[str, int]] = {}
        self.sales = 0
        self.volume_ml = 0
        self.amount_minor = 0
        self.zero_lifts = 0
        self.scans = 0
        self._directory = directory
        self._file: TextIO | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = (directory / "truth.jsonl").open("w", encoding="utf-8")

    def nozzle(self, point: int, nozzle: int, totalizer: int) -> None:
        """A nozzle exists and its counter stands at ``totalizer`` (10 ml units)."""
        self.nozzles[(point, nozzle)] = {
            "totalizer_start": totalizer,
            "totalizer": totalizer,
            "sales": 0,
            "volume_ml": 0,
            "amount_minor": 0,
        }
        self.add("meter", 0, point=point, nozzle=nozzle, old=None, new=totalizer)

    def add(self, kind: str, t_ms: int, **fields: object) -> None:
        """Any other fact: one line."""
        record = {"kind": kind, "t_ms": t_ms, **fields}
        self.records.append(record)
        if self._file is not None:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()

    def sale(
        self,
        t_ms: int,
        *,
        point: int,
        nozzle: int,
        volume_ml: int,
        amount_minor: int,
        totalizer_end: int,
        **more: object,
    ) -> None:
        """A fuelling is over: the line, then the sums."""
        self.sales += 1
        self.volume_ml += volume_ml
        self.amount_minor += amount_minor
        sums = self.nozzles[(point, nozzle)]
        sums["totalizer"] = totalizer_end
        sums["sales"] += 1
        sums["volume_ml"] += volume_ml
        sums["amount_minor"] += amount_minor
        self.add(
            "sale",
            t_ms,
            n=self.sales,
            point=point,
            nozzle=nozzle,
            volume_ml=volume_ml,
            amount_minor=amount_minor,
            totalizer_end=totalizer_end,
            **more,
        )

    def meter(self, t_ms: int, point: int, nozzle: int, old: int, new: int) -> None:
        """A counter was exchanged or set."""
        self.nozzles[(point, nozzle)]["totalizer"] = new
        self.add("meter", t_ms, point=point, nozzle=nozzle, old=old, new=new)

    def summary(self) -> dict[str, Any]:
        """The sums as they go to ``truth.json``."""
        return {
            "sales": self.sales,
            "volume_ml": self.volume_ml,
            "amount_minor": self.amount_minor,
            "zero_lifts": self.zero_lifts,
            "scans": self.scans,
            "nozzles": [{"point": p, "nozzle": n, **sums} for (p, n), sums in sorted(self.nozzles.items())],
        }

    def write_summary(self, **more: object) -> None:
        """Replace ``truth.json``; ``more`` is added at the top level."""
        if self._directory is not None:
            write_atomically(self._directory / "truth.json", {**self.summary(), **more})

    def close(self) -> None:
        """No more facts."""
        if self._file is not None:
            self._file.close()
            self._file = None


def write_atomically(path: Path, data: object) -> None:
    """JSON beside ``path``, then renamed onto it: a reader sees the old one or the new one, never half."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)  # noqa: PTH105 - os.replace is what promises to be atomic
