"""``python -m tests.chaos --seed 7``: one story again; ``--count 100``: many from there; what fails is made as short as possible."""

from __future__ import annotations

import argparse
import sys

from tests.chaos.stories import Step, draw, tell
from tests.support.quiet import quiet_log


def main() -> int:
    """Tell stories; 1 where one does not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first story")
    parser.add_argument("--count", type=int, default=1, help="how many stories")
    parser.add_argument("--whole", action="store_true", help="do not look for a shorter story that fails as well")
    words = parser.parse_args()
    failed = 0
    with quiet_log():
        for seed in range(words.seed, words.seed + words.count):
            found = _outcome(seed, draw(seed))
            if found:
                failed += 1
                steps = draw(seed) if words.whole else _shortest(seed)
                print(
                    f"seed {seed}:", *(f"  {step.rule}" for step in steps), *_outcome(seed, steps), sep="\n", flush=True
                )
    print(f"{words.count} stories, {failed} failed")
    return 1 if failed else 0


def _outcome(seed: int, steps: tuple[Step, ...]) -> list[str]:
    try:
        return list(tell(seed, steps).complaints)
    except AssertionError as failure:
        return [f"assertion: {failure}"]


def _shortest(seed: int) -> tuple[Step, ...]:
    """Leave out every step without which the story still fails."""
    steps = draw(seed)
    for place in range(len(steps) - 1, -1, -1):
        fewer = steps[:place] + steps[place + 1 :]
        if _outcome(seed, fewer):
            steps = fewer
    return steps


if __name__ == "__main__":
    sys.exit(main())
