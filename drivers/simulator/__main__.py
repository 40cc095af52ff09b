"""``python -m drivers.simulator``: the simulated forecourt as a process of its own.

SIGUSR2 is opening time where the configuration waits for it, SIGUSR1 (or ``--for`` seconds) closing time; SIGTERM or
SIGINT ends the process with exit code 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from datetime import datetime
from pathlib import Path

from drivers.simulator.config import ConfigError, ForecourtConfig, default_config, dump_config, load_config
from drivers.simulator.faults import SIMULATOR_FAULTS, UnknownFault, check_fault
from drivers.simulator.server import ForecourtServer
from drivers.simulator.wallet import Wallet

BAD_USAGE = 2
WATCH_S = 0.2
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}


def main(arguments: list[str] | None = None, wallet: Wallet | None = None) -> int:
    """Run until told to stop; returns the exit code. ``wallet``: what the members carry, plain cards by default."""
    options = _options(arguments)
    try:
        config = _config(options)
        for name in options.fault:
            check_fault(name)
    except (ConfigError, UnknownFault, ValueError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return BAD_USAGE
    if options.write_config:
        sys.stdout.write(dump_config(config))
        return 0
    # threads inherit the mask, so a signal waits for this thread and never interrupts a write
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    server = ForecourtServer(
        config, seed=options.seed, speed=options.speed, faults=tuple(options.fault), epoch=options.epoch, wallet=wallet
    ).start()
    closes_at_s = time.monotonic() + options.for_s if options.for_s else None
    while True:
        got = signal.sigtimedwait(SIGNALS, WATCH_S)
        if got is not None and got.si_signo == signal.SIGUSR2:
            server.let_in()
            continue
        if got is not None and got.si_signo != signal.SIGUSR1:
            break
        if got is not None or (closes_at_s is not None and time.monotonic() >= closes_at_s):
            closes_at_s = None
            server.close()
    server.stop()
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m drivers.simulator", description="A simulated forecourt on real wires."
    )
    parser.add_argument("--config", metavar="FILE", help="JSON configuration; without it the default station")
    parser.add_argument("--state", metavar="DIR", required=True, help="where ports, endpoints.json and the truth go")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--for", dest="for_s", type=float, metavar="S", help="closing time after S real seconds")
    parser.add_argument("--epoch", type=datetime.fromisoformat, help="wall time at the start, ISO 8601 with offset")
    parser.add_argument("--write-config", action="store_true", help="print the configuration as JSON and end")
    names = ", ".join(sorted(SIMULATOR_FAULTS))
    parser.add_argument(
        "--fault", action="extend", nargs="+", default=[], metavar="NAME", help=f"may be repeated; one of: {names}"
    )
    return parser.parse_args(arguments)


def _config(options: argparse.Namespace) -> ForecourtConfig:
    if options.speed <= 0:
        raise ConfigError(f"--speed {options.speed}: must be above 0")
    if options.epoch is not None and options.epoch.tzinfo is None:
        raise ConfigError(f"--epoch {options.epoch.isoformat()}: needs an offset such as +08:00")
    state = Path(options.state).resolve()
    config = default_config(state) if options.config is None else load_config(options.config)
    config = dataclasses.replace(config, state_dir=str(state))
    config.check()
    return config


if __name__ == "__main__":
    sys.exit(main())
