"""The queue where all threads meet: order, the newest level in the oldest place, waiting producers, an orderly end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from agent.inbox import Inbox, Reply
from tests.support.processes import eventually


def drain(inbox: Inbox[str]) -> list[str]:
    """Everything that waits."""
    found = []
    while (item := inbox.get(0)) is not None:
        found.append(item)
    return found


def started(work: Callable[[], object]) -> threading.Thread:
    """A thread that does it."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_items_come_out_in_the_order_they_went_in() -> None:
    """First in, first out; an empty inbox gives nothing after its time."""
    inbox: Inbox[str] = Inbox()
    for text in "abc":
        assert inbox.put(text)
    assert len(inbox) == 3
    assert drain(inbox) == ["a", "b", "c"]
    assert inbox.get(0.01) is None


def test_the_newest_level_takes_the_place_of_the_one_that_waits() -> None:
    """Of several with one key only the last is left, where the first stood; other items are never touched."""
    inbox: Inbox[str] = Inbox()
    inbox.put_latest("point 1", "level 1")
    inbox.put("sale")
    inbox.put_latest("point 2", "other")
    inbox.put_latest("point 1", "level 2")
    inbox.put_latest("point 1", "level 3")
    assert drain(inbox) == ["level 3", "sale", "other"]


def test_a_level_taken_out_makes_room_for_a_new_one() -> None:
    """The key is free again once its item was taken."""
    inbox: Inbox[str] = Inbox()
    inbox.put_latest("k", "one")
    assert inbox.get(0) == "one"
    inbox.put_latest("k", "two")
    assert drain(inbox) == ["two"]


def test_a_full_inbox_makes_its_producer_wait_and_drops_nothing() -> None:
    """Money blocks until there is room; then it is there."""
    inbox: Inbox[str] = Inbox(capacity=2)
    inbox.put("a")
    inbox.put("b")
    passed = threading.Event()

    def produce() -> None:
        inbox.put("c")
        passed.set()

    thread = started(produce)
    assert not passed.wait(0.05)
    assert inbox.get(1) == "a"
    assert passed.wait(60)
    thread.join(60)
    assert drain(inbox) == ["b", "c"]


def test_a_level_that_waits_already_is_replaced_even_when_the_inbox_is_full() -> None:
    """Replacing needs no room, so a line thread does not wait for it."""
    inbox: Inbox[str] = Inbox(capacity=1)
    inbox.put_latest("k", "old")
    assert inbox.put_latest("k", "new")
    assert drain(inbox) == ["new"]


def test_closing_wakes_everybody_refuses_new_items_and_keeps_the_old() -> None:
    """A waiting producer is told that its item was not taken; what was taken can still be read."""
    inbox: Inbox[str] = Inbox(capacity=1)
    inbox.put("kept")
    told: list[bool] = []
    producers = [
        started(lambda: told.append(inbox.put("late"))),
        started(lambda: told.append(inbox.put_latest(1, "l"))),
    ]
    consumer_inbox: Inbox[str] = Inbox()
    woken: list[str | None] = []
    consumer = started(lambda: woken.append(consumer_inbox.get(60)))
    inbox.close()
    consumer_inbox.close()
    for thread in [*producers, consumer]:
        thread.join(60)
        assert not thread.is_alive()
    assert told == [False, False]
    assert woken == [None]
    assert inbox.put("later") is False
    assert inbox.put_latest("k", "later") is False
    assert drain(inbox) == ["kept"]


def test_many_producers_lose_nothing() -> None:
    """Four threads through a tiny queue: every item once, each producer's in its own order."""
    inbox: Inbox[tuple[int, int]] = Inbox(capacity=3)

    def produce(who: int) -> None:
        for number in range(200):
            inbox.put((who, number))

    producers = [started(partial(produce, who)) for who in range(4)]
    found: list[tuple[int, int]] = []
    eventually(lambda: _took(inbox, found) and len(found) == 800, 20, "all items")
    for thread in producers:
        thread.join(60)
    for who in range(4):
        assert [n for sender, n in found if sender == who] == list(range(200))


def _took(inbox: Inbox[tuple[int, int]], found: list[tuple[int, int]]) -> bool:
    while (item := inbox.get(0.01)) is not None:
        found.append(item)
    return True


@given(st.lists(st.tuples(st.sampled_from(["", "x", "y"]), st.integers()), max_size=30))
def test_coalescing_keeps_the_last_of_each_key_and_all_the_rest(items: list[tuple[str, int]]) -> None:
    """Against a plain model: a key keeps its first place and its last value."""
    inbox: Inbox[str] = Inbox()
    places: list[tuple[str, int]] = []
    for key, value in items:
        if not key:
            inbox.put(f"{value}")
            places.append((key, value))
            continue
        inbox.put_latest(key, f"{value}")
        at = next((n for n, (known, _) in enumerate(places) if known == key), None)
        if at is None:
            places.append((key, value))
        else:
            places[at] = (key, value)
    assert drain(inbox) == [f"{value}" for _, value in places]


def test_a_reply_is_given_once() -> None:
    """The first answer stands; nobody waits for ever."""
    reply = Reply()
    assert reply.wait(0.01) is None
    reply.give({"ok": True})
    reply.give({"ok": False})
    assert reply.wait(0) == {"ok": True}
