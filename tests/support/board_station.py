"""A till with handhelds: the real pipeline on a real database in a thread of its own, and the real web server before it.

The clock is the test's; every try of a handheld lets a second pass, so that its own limits are never in the way.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.board.limits import Rate
from agent.board.server import Patience
from agent.board.shell import Board
from agent.domain.identity import IndexKind, blind_index
from agent.domain.pins import hash_pin
from agent.inbox import Asked, Inbox, Item, Person
from agent.live import LiveBoard
from agent.settings import Settings
from agent.settings.model import BoardSettings, ReaderSettings, StaffSettings
from agent.supervisor import Heart
from tests.support import template
from tests.support.handheld import Handheld
from tests.support.head_office_says import INDEX_KEY
from tests.support.processes import eventually
from tests.support.till import Till
from tests.support.tls_files import TlsFiles, make

CARD = "9156000012345677"
GENEROUS = Patience(
    connections=64,
    from_one_address=64,
    new=Rate(10_000, 10_000),
    accept_s=0.02,
    handshake_s=60,
    request_s=60,
    idle_s=120,
    send_s=60,
    answer_s=60,
)
"""No limit is in a test's way, however busy the machine is."""

WITHIN_S = 60.0


class BoardStation(Till):
    """``handheld()`` makes a device, ``pair()`` one that may ask already. Close it."""

    def __init__(
        self, directory: Path, tls: TlsFiles | None = None, patience: Patience = GENEROUS, handhelds: int = 4
    ) -> None:
        self.tls = tls
        self.patience = patience
        self._handhelds = handhelds
        self.gate = threading.RLock()
        self.moving = threading.Lock()
        super().__init__(directory)
        self.member(indexes=[blind_index(INDEX_KEY, IndexKind.CARD, CARD).hex()], mask="张**", tier="gold")

    def start(self) -> None:
        """Start pipeline and web server on the database as it is."""
        if self.settings.board is None:
            self.settings = with_board(self.settings, self.tls, self._handhelds)
        super().start()
        self.inbox: Inbox[Item] = Inbox()
        self.live: LiveBoard = self.pipeline._live
        assert self.settings.board is not None
        self.board = Board(
            settings=self.settings,
            wanted=self.settings.board,
            live=self.live,
            inbox=self.inbox,
            clock=self.clock,
            patience=self.patience,
        )
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._pipeline, name="test-pipeline", daemon=True),
            threading.Thread(target=lambda: self.board.shell(Heart(self._stop)), name="test-board", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.board.port, 20, "the web server listens")

    def _pipeline(self) -> None:
        while not self._stop.is_set():
            item = self.inbox.get(0.02)
            if item is not None:
                with self.gate:
                    self.pipeline.handle(item)

    def end(self) -> None:
        """Both threads end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(WITHIN_S)
            assert not thread.is_alive(), thread.name

    def restart(self, seconds: float = 0.0) -> None:
        """See Till."""
        self.end()
        super().restart(seconds)

    def close(self) -> None:
        """See Till."""
        self.end()
        super().close()

    def do(self, act: Callable[[Any], Any]) -> Any:
        """See Till; the pipeline's thread waits meanwhile."""
        with self.gate:
            return super().do(act)

    def wait(self, seconds: float) -> None:
        """See Till."""
        with self.gate:
            with self.moving:  # a clock that runs by itself moves it as well
                self.clock.now_s += seconds
            super().wait(0)

    def member(self, *args: Any, **more: Any) -> None:
        """See Till."""
        with self.gate:
            super().member(*args, **more)

    def pass_time(self) -> None:
        """A second passes between two requests."""
        with self.moving:
            self.clock.now_s += 1

    def ask(self, op: str, *, role: str = "supervisor", person: str = "wang", **args: Any) -> dict[str, Any]:
        """Ask as a person at the command line."""
        asked = Asked(op, args, Person(person, role))
        self.inbox.put(asked)
        answer = asked.reply.wait(WITHIN_S)
        assert answer is not None
        return answer

    def handheld(self) -> Handheld:
        """A device that nobody knows yet."""
        port = self.board.port
        assert port is not None
        ca = None if self.tls is None else self.tls.ca
        return Handheld(port, ca, now_s=lambda: self.clock.wall_ms() // 1000, before=self.pass_time)

    def pair(self, name: str = "H01", kind: str = "page") -> Handheld:
        """A device that is paired."""
        device = self.handheld()
        told = device.pair(self.ask("device.pair", name=name)["data"]["code"], kind)
        assert (told.status, device.name) == (200, name)
        return device

    def links(self) -> list[tuple[str, str]]:
        """(sale, by) of every link, oldest first."""
        return [(row["sale"], row["by"]) for row in self.rows("SELECT sale, by FROM link ORDER BY id")]

    def outcomes(self) -> list[str]:
        """What scans came to, in order."""
        return [row["outcome"] for row in self.rows("SELECT outcome FROM scan_event ORDER BY id")]


def with_board(settings: Settings, tls: TlsFiles | None, handhelds: int) -> Settings:
    """The same station with H01, H02 and so on, which serve every point, and a web server at a free port."""
    points = tuple(point.id for point in settings.fuelling_point)
    readers = tuple(
        ReaderSettings(id=f"H{n:02d}", kind="handheld", fuelling_points=points) for n in range(1, handhelds + 1)
    )
    kept = tuple(reader for reader in settings.reader if reader.kind != "handheld")
    board = BoardSettings(listen="127.0.0.1:0")
    if tls is not None:
        board = board.model_copy(update={"certificate_file": tls.certificate, "key_file": tls.key})
    return settings.model_copy(update={"board": board, "reader": (*kept, *readers)})


@contextmanager
def attended_station() -> Iterator[BoardStation]:
    """An English-speaking station with TLS and one person (7, PIN 2580), whose clock runs by itself."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = BoardStation(folder, make(folder))
    li_lei = StaffSettings(id="7", name="Li Lei", pin_hash=hash_pin("2580", bytes(16)))
    spoken = made.settings.station.model_copy(update={"language": "en"})
    made.settings = made.settings.model_copy(update={"staff": (li_lei,), "station": spoken})
    made.restart()
    ends = threading.Event()

    def run() -> None:
        while not ends.wait(0.02):  # faster than the page asks, slower than codes and sales run out
            with made.moving:
                made.clock.now_s += 0.05

    clock = threading.Thread(target=run)
    clock.start()
    try:
        yield made
    finally:
        ends.set()
        clock.join()
        made.close()
        shutil.rmtree(folder)
