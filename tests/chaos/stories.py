"""What may happen to a station and its head office, as steps drawn from a seed; and the story told to its end.

Every step has chance of its own, so that a story with steps left out is still the same story otherwise.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.chaos.office import OfficeStore
from tests.chaos.pc import CARDS
from tests.chaos.world import World
from tests.support import template

STEPS = 26
PC_FAILPOINTS = (
    "sale.before_commit",
    "store.inside_commit",
    "sale.after_commit",
    "sale.after_release",
    "link.before_commit",
    "link.after_commit",
    "tender.before_commit",
    "tender.after_commit",
    "sync.before_publish",
    "sync.after_puback",
    "sync.before_ack_applied",
    "sync.after_ack_applied",
    "rebirth.ended",
    "rebirth.before_commit",
    "rebirth.after_commit",
    "rebirth.ends_noted",
)
OFFICE_FAILPOINTS = ("hq.before_commit", "hq.after_commit")
FAILPOINTS = (*PC_FAILPOINTS, *OFFICE_FAILPOINTS)
PAUSES_S = (1, 3, 8)
CLOCK_JUMPS_MS = (-86_400_000, -3_600_000, 3_600_000, 7_200_000, 400 * 86_400_000)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, with its own chance."""

    rule: str
    seed: int


def draw(seed: int) -> tuple[Step, ...]:
    """The story of a seed."""
    rng = Random(f"chaos:{seed}")
    names = list(RULES)
    weights = [RULES[name][0] for name in names]
    return tuple(Step(rng.choices(names, weights)[0], rng.getrandbits(32)) for _ in range(STEPS))


@dataclass(frozen=True, slots=True)
class Told:
    """How a story ended. ``complaints``: what does not hold; ``deaths``: where processes died; ``lives``: incarnations."""

    complaints: tuple[str, ...]
    deaths: tuple[str, ...]
    lives: int


def tell(seed: int, steps: Sequence[Step] | None = None, store: OfficeStore | None = None) -> Told:
    """Let a story happen, make everything well again, and look."""
    with opened(seed, store) as world:
        for step in draw(seed) if steps is None else steps:
            happen(world, step.rule, Random(step.seed), Random(step.seed + 1).choice(PAUSES_S))
        found = world.complaints()
        lives = sum(len(pc.rows("SELECT 1 FROM incarnation")) for pc in world.pcs)
        return Told(tuple(found), tuple(world.deaths), lives)


def happen(world: World, name: str, chance: Random, pause_s: int) -> None:
    """One step, and the time behind it; the world notes it before, so that one that fails is told as well."""
    world.happened.append(f"{world.now_s:8.1f} {name}")
    RULES[name][1](world, chance)
    world.seconds(pause_s)


@contextmanager
def opened(seed: int, store: OfficeStore | None = None) -> Iterator[World]:
    """A world in a folder that is gone afterwards. ``store``: head office's database, if it is not to lie there."""
    folder = template.new_folder()
    world = World(seed, folder, store)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(folder)


# --- the rules ------------------------------------------------------------------------------------------------------


def _sell(world: World, rng: Random) -> None:
    card = rng.choice((*CARDS, None))
    if card is not None:
        world.scan(card)
    nozzle = rng.choice(sorted(world.pump.prices))
    world.fuel(nozzle, 10 * rng.randrange(50, 3_000), hangs_up=bool(rng.randrange(5)))


def _hang(world: World, _rng: Random) -> None:
    world.pump.hang()


def _kill(world: World, rng: Random) -> None:
    world.kill(rng.randrange(len(world.pcs)), "killed")


def _crash(world: World, rng: Random) -> None:
    name = rng.choice(PC_FAILPOINTS)
    world.arm(name, rng.choice((1, 1, 2, 3)))
    world.happened[-1] += f" {name}"


def _office_crash(world: World, rng: Random) -> None:
    name = rng.choice(OFFICE_FAILPOINTS)
    world.arm(name, rng.choice((1, 1, 2, 3)))
    world.happened[-1] += f" {name}"


def _broker_away(world: World, _rng: Random) -> None:
    world.broker.up = False


def _broker_back(world: World, _rng: Random) -> None:
    world.broker.up = True


def _broker_ill(world: World, rng: Random) -> None:
    world.broker.lose, world.broker.duplicate, world.broker.delay = (rng.choice((0, 200, 500)) for _ in range(3))


def _broker_forgets(world: World, _rng: Random) -> None:
    world.broker.forget_session()
    if world.holder is not None:
        world.sessions[world.holder].again_s = world.now_s + 2.0
        world.holder = None


def _office_away(world: World, rng: Random) -> None:
    world.office_away_s = world.now_s + rng.choice((5, 40))


def _office_backup(world: World, _rng: Random) -> None:
    world.back_up_office()


def _office_restore(world: World, rng: Random) -> None:
    if world.office_backups:
        world.restore_office(rng.randint(1, world.office_backups))


def _backup(world: World, rng: Random) -> None:
    pc = rng.choice(world.pcs)
    if pc.path.exists():
        world.backups += 1
        pc.copy_to(world.folder / f"backup-{world.backups}")


def _restore(world: World, rng: Random) -> None:
    number, mark = rng.randrange(len(world.pcs)), rng.choice(("kept", "kept", "old", "gone"))
    if not world.backups:
        return
    world.happened[-1] += f" PC {number}, mark {mark}"
    world.kill(number, "restored")
    world.pcs[number].put_back(world.folder / f"backup-{rng.randint(1, world.backups)}", mark=mark)


def _lose_disk(world: World, rng: Random) -> None:
    number = rng.randrange(len(world.pcs))
    world.kill(number, "disk lost")
    world.pcs[number].lose_database()


def _clone(world: World, rng: Random) -> None:
    if len(world.pcs) > 1 or not world.pcs[0].path.exists():
        return
    pc = world.clone(rng.choice(("b" * 32, world.pcs[0].install)))
    world.happened[-1] += f" with hardware {pc.install[:2]}"
    if rng.randrange(2):
        world.wired = 1


def _rewire(world: World, rng: Random) -> None:
    world.wired = rng.randrange(len(world.pcs))
    world.happened[-1] += f" to PC {world.wired}"


def _switch(world: World, rng: Random) -> None:
    number = rng.randrange(len(world.pcs))
    if world.pcs[number].is_off:
        world.switch_on(number)
    else:
        world.switch_off(number)


def _clock(world: World, rng: Random) -> None:
    pc = rng.choice(world.pcs)
    pc.clock.offset_ms = 0 if pc.clock.offset_ms else rng.choice(CLOCK_JUMPS_MS)


def _wait(world: World, rng: Random) -> None:
    world.seconds(rng.choice((10, 30, 70)))


Rule = Callable[[World, Random], None]
RULES: dict[str, tuple[int, Rule]] = {
    "somebody fuels": (10, _sell),
    "the nozzle is hung up": (2, _hang),
    "time passes": (4, _wait),
    "the agent is killed": (2, _kill),
    "a crash is armed": (6, _crash),
    "a crash of head office is armed": (2, _office_crash),
    "the broker goes": (2, _broker_away),
    "the broker comes": (3, _broker_back),
    "the broker is ill": (3, _broker_ill),
    "the broker forgets": (2, _broker_forgets),
    "head office goes": (2, _office_away),
    "head office makes a backup": (2, _office_backup),
    "head office puts a backup back": (1, _office_restore),
    "a backup is made": (3, _backup),
    "a backup is put back": (2, _restore),
    "the disk is lost": (1, _lose_disk),
    "the PC is cloned": (1, _clone),
    "the pump is wired": (2, _rewire),
    "the power switch": (2, _switch),
    "the clock jumps": (1, _clock),
}
"""Every rule by its name, with its weight."""
