"""``python -m agent.demo.forecourt SEED KEYS ...``: the simulated forecourt, whose members carry phones and chips.

The rest of the words are those of ``drivers.simulator``. KEYS: head office's folder of keys.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.clock import clock_from_environment
from agent.demo.people import people
from agent.demo.wallets import DemoWallet
from drivers.simulator.__main__ import main

if __name__ == "__main__":
    seed, keys, *words = sys.argv[1:]
    sys.exit(main(words, DemoWallet(people(int(seed)), Path(keys), clock_from_environment())))
