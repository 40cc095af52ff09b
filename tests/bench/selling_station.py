"""A station without a link, a process of its own: what a sale takes while others use the machine.

Called with the station file. Sells from when it says so until its input ends; then prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from tests.bench.drained_station import GIVE_WAY_S, Station


def main(config: Path) -> None:
    """Sell as the draining station does."""
    sys.setswitchinterval(GIVE_WAY_S)
    station = Station(config)
    over = threading.Event()
    threading.Thread(target=_wait, args=(over,), daemon=True).start()
    print("selling", flush=True)
    sold_ms: list[float] = []
    while not over.is_set():
        sold_ms += [took for took in [station.turn()] if took is not None]
    station.store.close()
    print(json.dumps({"sold_ms": sold_ms}), flush=True)


def _wait(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
