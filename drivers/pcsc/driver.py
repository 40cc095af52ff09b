"""A PC/SC reader as a code reader: the loop on a line, what is told of it, and that it takes no commands.

Loop + port -> CardTap. Knows no meaning of what a card says. Keeps no log and never shows an id or a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.commands import Command
from drivers.config import LineConfig, SerialSettings
from drivers.device import CodeReaderCapabilities, Device
from drivers.errors import PortLost, WiringError
from drivers.pcsc.loop import Cards, Loop
from drivers.port import PCSC, Port
from drivers.readings import CommandOutcome, Reading
from drivers.registry import DriverSpec, OptionProblem
from drivers.unheard import Unheard

CAPABILITIES = CodeReaderCapabilities(nfc=True)
PORT_HINT = 'write port = "pcsc:", or with several readers a part of the reader\'s name after it'


class PcscReader:
    """One reader; online while the PC/SC service lists it."""

    capabilities = CAPABILITIES

    def __init__(self, config: LineConfig) -> None:
        self.device_id = f"reader:{config.reader}"
        self._loop = Loop(config.reader, config.port.removeprefix(PCSC).strip())
        self._commands = Unheard(self.device_id)

    def turn(self, port: Port) -> Sequence[Reading]:
        """One step of the loop: at most a quarter of a second of waiting, and the talk with a card just laid down."""
        if self._commands:
            return self._commands.end(CommandOutcome.REFUSED, "a card reader takes no commands")
        if not isinstance(port, Cards):
            raise PortLost("this port leads to no PC/SC service", hint=PORT_HINT)
        return self._loop.step(port, port.monotonic())

    def due_in_s(self) -> float:
        """Return 0: the wait for a card is the turn itself."""
        return 0.0

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        self._commands.submit(command)

    def reset(self) -> Sequence[Reading]:
        """The service is gone or new: a card that still lies there is read again."""
        self._loop.forget()
        return self._commands.end(CommandOutcome.UNKNOWN, "the PC/SC service was lost")

    def counters(self) -> Mapping[str, int]:
        """Cards that were laid down and could not be read, by reason, since the process began."""
        return dict(self._loop.counts)


def check_options(options: Mapping[str, object]) -> list[OptionProblem]:
    """Return every option as a problem: a PC/SC reader has none."""
    return [(key, "unknown option", "a PC/SC reader has no options; remove it") for key in options]


def make_devices(config: LineConfig) -> list[Device]:
    """Return the one reader of ``config``; raises ``WiringError`` without a reader id or with another kind of port."""
    if not config.reader:
        raise WiringError(f"line {config.id!r} has no reader", hint="give the line the id of its reader")
    if not config.port.startswith(PCSC):
        raise WiringError(f"port {config.port!r} is no PC/SC reader", hint=PORT_HINT)
    return [PcscReader(config)]


SPEC = DriverSpec(
    protocol="pcsc",
    kind="code-reader",
    serial_defaults=SerialSettings(),
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
)
