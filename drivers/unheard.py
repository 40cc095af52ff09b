"""Commands to a device that takes none: kept in order, bounded, and each ended with an answer.

Knows no protocol; a code reader only listens or reads cards.
"""

from __future__ import annotations

from collections import deque

from drivers.commands import Command, GaugeCommand
from drivers.errors import DeviceRefused
from drivers.readings import CommandOutcome, CommandResult, Reading

MAX_COMMANDS = 16
"""Every one is refused in the next turn; more waiting is a fault of whoever sends them."""


class Unheard:
    """The commands waiting to be refused; true where there are any. ``device_id``: whose they are."""

    def __init__(self, device_id: str) -> None:
        self._device_id = device_id
        self._waiting: deque[Command] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        if len(self._waiting) >= MAX_COMMANDS:
            raise DeviceRefused(f"{self._device_id} has {MAX_COMMANDS} commands waiting", hint="send it no commands")
        self._waiting.append(command)

    def end(self, outcome: CommandOutcome, detail: str) -> list[Reading]:
        """End all with ``outcome``, in the order in which they came."""
        results: list[Reading] = []
        while self._waiting:
            command = self._waiting.popleft()
            point = 0 if isinstance(command, GaugeCommand) else command.fuelling_point
            results.append(CommandResult(command.command_id, point, outcome, detail))
        return results
