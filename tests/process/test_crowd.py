"""Many MQTT connections on one thread against a real broker: up, messages, cut off, a broker that dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync.client import Will
from sync.crowd import Crowd, CrowdDown, CrowdEvent, CrowdMessage, CrowdUp
from tests.support.broker import Mosquitto

DEADLINE_S = 60.0
MEMBERS = 150
"""More than may connect at once."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


class Watched:
    """A crowd and everything it told."""

    def __init__(self, port: int) -> None:
        self.crowd = Crowd("127.0.0.1", port)
        self.seen: list[CrowdEvent] = []

    def connect(self, *members: int) -> None:
        """Connect members, no more at once than there is room for."""
        for member in members:
            self.until(lambda: self.crowd.has_room)
            will = Will(f"will/{member}", b"lost")
            self.crowd.connect(member, time.monotonic(), f"m{member}", (f"to/{member}", "will/#"), will)

    def until(self, found: Callable[[], bool]) -> None:
        """Poll until it is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not found():
            assert time.monotonic() < deadline, f"not in time; seen {self.seen[-10:]}"
            self.seen += self.crowd.poll(time.monotonic(), 0.05)

    def heard(self) -> list[CrowdMessage]:
        """What came."""
        return [event for event in self.seen if isinstance(event, CrowdMessage)]

    def downs(self) -> list[int]:
        """Who went down, in order."""
        return [event.member for event in self.seen if isinstance(event, CrowdDown)]

    def ups(self) -> set[int]:
        """Who came up."""
        return {event.member for event in self.seen if isinstance(event, CrowdUp)}


def test_a_crowd_connects_and_everybody_hears_only_what_is_theirs(broker: Mosquitto) -> None:
    """More members than handshakes at once, one selector, a message to each."""
    watched = Watched(broker.port)
    watched.connect(*range(MEMBERS))
    watched.until(lambda: watched.ups() == set(range(MEMBERS)))
    for member in range(MEMBERS):
        watched.crowd.publish(member, f"to/{(member + 1) % MEMBERS}", str(member).encode())
    watched.until(lambda: len(watched.heard()) >= MEMBERS)
    assert {(event.member, int(event.payload)) for event in watched.heard()} == {
        ((member + 1) % MEMBERS, member) for member in range(MEMBERS)
    }
    watched.crowd.close()


def test_a_member_that_is_cut_off_leaves_its_will_and_may_come_back(broker: Mosquitto) -> None:
    """No word of goodbye: the broker says so for it; the others go on."""
    watched = Watched(broker.port)
    watched.connect(1, 2)
    watched.until(lambda: watched.ups() == {1, 2})
    watched.crowd.drop(1)
    watched.until(lambda: CrowdMessage(2, "will/1", b"lost") in watched.seen)
    watched.crowd.publish(1, "to/2", b"to nobody")
    watched.seen.clear()
    watched.connect(1)
    watched.until(lambda: 1 in watched.ups())
    watched.crowd.publish(1, "to/2", b"back")
    watched.until(lambda: CrowdMessage(2, "to/2", b"back") in watched.seen)
    watched.crowd.close()


def test_a_broker_that_dies_is_told_of_every_member(broker: Mosquitto) -> None:
    """Each connection is down once; an attempt while nobody listens is down at once as well."""
    watched = Watched(broker.port)
    watched.connect(1, 2, 3)
    watched.until(lambda: watched.ups() == {1, 2, 3})
    broker.kill()
    watched.until(lambda: len(watched.downs()) == 3)
    assert sorted(watched.downs()) == [1, 2, 3]
    watched.connect(4)
    watched.until(lambda: 4 in watched.downs())
    watched.crowd.close()
