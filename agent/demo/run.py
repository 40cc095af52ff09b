"""``forecourt demo`` from beginning to end: processes up, customers, faults, closing time, count, exit code.

The main thread shows and takes signals; the attendant, the watch over the processes and every fault have threads.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

from agent.demo.attendant import Attendant
from agent.demo.closing import Count
from agent.demo.ending import Ending
from agent.demo.options import DemoOptions, DemoRefused
from agent.demo.places import Places, prepare
from agent.demo.processes import WATCH_S
from agent.demo.screen import Screen, screen_for
from agent.demo.stage import NotReady, Stage
from agent.demo.summary import summary
from agent.demo.troubles import Troubles

OPENS_BY_S = 20.0
"""Customers come then even to a station that is not ready: a fault may be what keeps it so."""
SHOW_S = 0.25
JOIN_S = 12.0


class _Wish:
    """What the person at the keyboard wants: the first signal is closing time, the second ends everything at once."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.at_once = threading.Event()

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told)

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        if self.closing.is_set():
            self.at_once.set()
        self.closing.set()

    def going_on(self) -> bool:
        return not self.at_once.is_set()

    def open(self) -> bool:
        return not self.closing.is_set()


def run_demo(options: DemoOptions) -> int:
    """Run the demo and return its exit code: 0 nothing lost or doubled, 1 not verified, 2 it cannot be run here."""
    try:
        places = prepare(options)
    except DemoRefused as failure:
        return _refused(failure)
    wish = _Wish()
    wish.listen()
    guardian = _guardian(places)
    stage = Stage(options, places)
    screen = screen_for(options, places)
    try:
        screen.say(f"everything is in {places.root}")
        counted = _play(stage, screen, wish)
    except DemoRefused as failure:
        return _refused(failure)
    except NotReady as failure:
        _complain(str(failure), failure.hint)
        return 1
    finally:
        screen.close()
        stage.down(politely=wish.going_on())
        assert guardian.stdin is not None
        guardian.stdin.close()
        guardian.wait()
    if counted is None:
        _complain("ended before the count", "a second Ctrl-C ends the demo without counting")
        return 1
    return _report(options, places, counted)


def _play(stage: Stage, screen: Screen, wish: _Wish) -> Count | None:
    """Run until closing time, then drain, stop and count; ``None`` if somebody wanted out before that."""
    stage.up(wish.open)
    stop = threading.Event()
    attendant = Attendant(stage.places.socket, stage.clock, stage.options.seed)
    troubles = Troubles(
        stage.options, stage.places, stage.fleet, stage.proxy, (stage.agent_command, stage.agent_environment)
    )
    threads = [
        threading.Thread(target=_watch, args=(stage, stop), name="demo-watch", daemon=True),
        threading.Thread(target=attendant.run, args=(stop,), name="demo-attendant", daemon=True),
    ]
    for thread in threads:
        thread.start()
    troubles.start()
    started_s = time.monotonic()
    ends_s = None if stage.options.duration_s is None else started_s + stage.options.duration_s
    is_open = False
    while wish.open() and (ends_s is None or time.monotonic() < ends_s) and stage.fleet.given_up is None:
        if not is_open and time.monotonic() - started_s > OPENS_BY_S:
            stage.let_in()
            is_open = True
        is_open = is_open or stage.opened()
        screen.show()
        wish.closing.wait(SHOW_S)
    wish.closing.set()
    ending = Ending(stage, lambda: _shown(screen, wish))
    screen.say("closing time: no new customers, the rest is recorded, settled and delivered")
    troubles.end()
    ending.close_the_pumps()
    ending.drain()
    ending.stop_the_agent()
    stop.set()
    for thread in threads:
        thread.join(JOIN_S)
    if stage.fleet.given_up is not None:
        ending.problems.append(stage.fleet.given_up)
    ending.problems += [*troubles.problems, *(f"the attendant was refused: {text}" for text in attendant.refusals)]
    stage.down(politely=wish.going_on())
    return ending.counted() if wish.going_on() else None


def _shown(screen: Screen, wish: _Wish) -> bool:
    screen.show()
    return wish.going_on()


def _watch(stage: Stage, stop: threading.Event) -> None:
    while not stop.wait(WATCH_S):
        stage.fleet.watch_once()


def _guardian(places: Places) -> subprocess.Popen[bytes]:
    """Start the process that cleans up if this one is killed; it holds no log and no port."""
    return subprocess.Popen(
        [sys.executable, "-m", "agent.demo.guardian", str(places.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _report(options: DemoOptions, places: Places, counted: Count) -> int:
    if options.as_json:
        sys.stdout.write(json.dumps(counted.as_json(), ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(summary(counted, places) + "\n")
    sys.stdout.flush()
    for problem in counted.problems:
        sys.stderr.write(f"forecourt demo: {problem}\n")
    return 1 if counted.problems else 0


def _refused(failure: DemoRefused) -> int:
    _complain(str(failure), failure.hint)
    return 2


def _complain(message: str, hint: str) -> None:
    sys.stderr.write(f"forecourt: {message}\n" + (f"  {hint}\n" if hint else ""))
