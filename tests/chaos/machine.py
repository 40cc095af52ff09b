"""The stories as a state machine: hypothesis chooses the steps and every chance in them, and makes what fails short.

Knows what a story is made of; what happens in a step and what must hold at the end is said elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.chaos import stories
from tests.chaos.world import World
from tests.support import template

WORLDS = st.integers(0, 1_000)
"""What a story cannot choose step by step: which messages an ill broker loses, which worker reads them."""

CHANCE = st.randoms(use_true_random=False)
"""Every choice in a step is one of hypothesis, so that it shrinks to the first that there is."""

PAUSES = st.sampled_from(stories.PAUSES_S)


class _Chaos(RuleBasedStateMachine):
    """A world in which steps happen, whatever they do; when they have, all is made well, and every fact is there once."""

    def __init__(self) -> None:
        super().__init__()
        self._ends = ExitStack()
        self._is_whole = False

    @initialize(seed=WORLDS)
    def the_world_begins(self, seed: int) -> None:
        """A station that sells, and a head office that knows it."""
        folder = template.new_folder()
        self._ends.callback(shutil.rmtree, folder)
        self.world = World(seed, folder)
        self._ends.callback(self.world.close)
        self._is_whole = True

    def happen(self, name: str, chance: Random, pause_s: int) -> None:
        """One step of a story. One that fails by itself is not asked how it ended."""
        self._is_whole = False
        stories.happen(self.world, name, chance, pause_s)
        note(self.world.happened[-1])
        self._is_whole = True

    @invariant()
    def nothing_is_doubled_or_wrongly_called_delivered(self) -> None:
        """What holds after every step, however ill everything is."""
        if self._is_whole:
            self._judge(self.world.complaints_so_far())

    def teardown(self) -> None:
        """The end of every story."""
        with self._ends:
            if self._is_whole:
                self._judge(self.world.complaints())

    def _judge(self, found: list[str]) -> None:
        self._is_whole = not found
        assert not found, "\n".join([*self.world.happened, *found])


def _step(name: str) -> Callable[..., None]:
    def step(self: _Chaos, chance: Random, pause_s: int) -> None:
        self.happen(name, chance, pause_s)

    step.__name__ = name.replace(" ", "_")
    decorated: Callable[..., None] = rule(chance=CHANCE, pause_s=PAUSES)(step)
    return decorated


def _steps() -> dict[str, Any]:
    """A rule for each step; hypothesis leaves some of them out of each story by itself, so none is weighed."""
    return {name.replace(" ", "_"): _step(name) for name in stories.RULES}


Chaos: type[RuleBasedStateMachine] = type("Chaos", (_Chaos,), {"__doc__": _Chaos.__doc__, **_steps()})
"""The machine that a test runs."""
