"""Damaged frames by the million through every codec, and whole sales on a wire that damages frames: started by hand.

``python -m tests.soak.mutated_frames --count 1000000 --sales 200 [--protocol dart] [--seed 7]``. Exit code 1: something wrong
was accepted; the seed printed brings it back.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.support.mutated_sales import sale_on_a_damaging_wire
from tests.support.mutation import judge
from tests.support.rigs import every
from tests.support.rigs.base import Subject
from tests.support.rigs.kinds import DispenserSubject

SHOWN = 10


def main(arguments: Sequence[str]) -> int:
    """Run and print one line for each protocol and kind of run."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.mutated_frames", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="damaged frames for each protocol")
    parser.add_argument("--sales", type=int, default=200, help="sales on a damaging wire for each dispenser")
    parser.add_argument("--protocol", action="append", default=[], help="only this one (may be repeated)")
    parser.add_argument("--seed", type=int, default=1, help="of the frames, and of the first sale")
    chosen = parser.parse_args(arguments)
    subjects = [every.subject(name) for name in chosen.protocol] or every.built_in()
    wrong = sum(frames(subject, chosen.count, chosen.seed) for subject in subjects)
    wrong += sum(sales(s, chosen.sales, chosen.seed) for s in subjects if isinstance(s, DispenserSubject))
    return 1 if wrong else 0


def frames(subject: Subject, count: int, seed: int) -> int:
    """How many frames were accepted wrongly."""
    if subject.wording is None:
        print(f"{subject}: frames carry no check, nothing to damage", flush=True)
        return 0
    began_s = time.process_time()
    tally = judge(subject.wording, count, seed)
    print(f"{subject}: seed {seed}, {count} frames in {time.process_time() - began_s:.0f} s: {tally}", flush=True)
    for what, mutant in tally.wrong[:SHOWN]:
        print(f"  accepted after {what}: {mutant.hex()}", flush=True)
    return len(tally.wrong)


def sales(dispenser: DispenserSubject, count: int, first_seed: int) -> int:
    """How many bundles told what did not happen."""
    bundles = torn = released = wrong = 0
    for seed in range(first_seed, first_seed + count):
        told = sale_on_a_damaging_wire(dispenser, seed)
        bundles, torn, wrong = bundles + told.bundles, torn + told.torn, wrong + len(told.wrong)
        released += told.released
        for bundle in told.wrong:
            print(f"  seed {seed}: {bundle}", flush=True)
    print(f"{dispenser}: {count} sales, {released} released, {bundles} bundles, {torn} torn, {wrong} wrong", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
