"""One fuelling point behind registers, as ``asked.AskedPoint`` wants it: what to read, what came of it, what is wrong.

Knows the map, the wire's handle and the level. Commands are in ``orders.py``. A point that is only watched (control
mode monitor) has a handle that cannot write.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.asked import Ask, Ending, Heard, Steps
from drivers.commands import Command
from drivers.config import PointConfig
from drivers.errors import DriverError, WiringError
from drivers.modbus import orders, plan
from drivers.modbus.codec import ReadRequest, Reply, Request, WriteRequest
from drivers.modbus.levels import capabilities, make_level
from drivers.modbus.link import SILENT, ReadingWire, WritingWire, refusal
from drivers.modbus.model import Role
from drivers.modbus.options import Options
from drivers.modbus.registers import Registers, read_request, write_request
from drivers.modbus.values import decode
from drivers.port import Port
from drivers.readings import FuellingPointReading, Reading


class RegisterPoint:
    """The words of one point; see ``asked.Speech`` for each method."""

    def __init__(self, config: PointConfig, wire: ReadingWire, options: Options) -> None:
        self.config = config
        self.map = options.map
        self.capabilities = capabilities(options.map)
        self.registers = Registers(options.map, shortest_s=options.poll_interval_s)
        self.level = make_level(config, self.registers, options)
        self.memory = orders.Memory()
        self.out: list[Reading] = []
        self.now_s = 0.0
        self._wire = wire
        self._identities = _identities(self.registers)
        self._settings_left = list(options.map.setup.writes)
        self._quiet_until_s = 0.0
        self._trouble: DriverError | None = None
        self._unset = ""
        self._unlisted_told = 0

    @property
    def writes(self) -> bool:
        """Whether this point may be told anything."""
        return isinstance(self._wire, WritingWire)

    def exchange(self, port: Port, question: Request, *, probe: bool) -> Reply | Heard:
        """One telegram. A refused read and a stranger's identity are no answer; a refused write is one."""
        if port.monotonic() < self._quiet_until_s:
            port.pause(self._quiet_until_s - port.monotonic())
        if isinstance(question, WriteRequest):
            assert isinstance(self._wire, WritingWire), "orders look before they write"
            answer = self._wire.write(port, question)
        else:
            answer = self._wire.read(port, question, probe=probe)
        self.now_s = port.monotonic()
        if isinstance(answer, Heard):
            self._trouble = None
            return answer
        if isinstance(question, WriteRequest):
            return Heard.NOTHING if answer.exception in SILENT else answer
        self._trouble = self._objection(question, answer)
        if self._trouble is None:
            return answer
        return Heard.NOTHING if answer.exception in SILENT else Heard.NOISE

    def say(self, port: Port, word: Request) -> None:
        """Never called: a Modbus device answers every telegram, so no step only says something."""
        raise AssertionError(f"{word} on {port} wants an answer")

    def look(self) -> Steps[Request, Reply, None]:
        """Settings first, one per look; then what is due."""
        if self._settings_left:
            yield from self._set()
            return
        for block in self.registers.due(self.now_s):
            ask: Ask[Request, Reply] = Ask(read_request(block))
            yield ask
            if ask.reply is None:
                return
            self.registers.take(block, ask.reply.values)
        self.settled()

    def settled(self) -> None:
        """All registers of a look have come."""
        self.registers.settled()
        self.out += self.level.apply(self.now_s)

    def reading(self) -> FuellingPointReading | None:
        """The level; none before the settings of the map stand."""
        return None if self._settings_left else self.level.reading()

    def steps(self, command: Command) -> Steps[Request, Reply, Ending]:
        """As ``Speech.steps``."""
        return orders.steps(self, command)

    def take(self) -> list[Reading]:
        """As ``Speech.take``."""
        taken, self.out = self.out, []
        return taken

    def gap(self) -> None:
        """As ``Speech.gap``; the device may be another one when it comes back, so its settings are read again."""
        self._wire.forget()
        self.registers.forget()
        self.level.gap()
        self.memory.accounted = False
        self._settings_left = list(self.map.setup.writes)

    def take_counts(self) -> Mapping[str, int]:
        """As ``Speech.take_counts``; ``unlisted_states``: numbers in the state register that the map does not know."""
        counted = self._wire.take_counts()
        fresh = self.level.unlisted_states - self._unlisted_told
        if fresh:
            self._unlisted_told += fresh
            counted["unlisted_states"] = fresh
        return counted

    def trouble(self, heard: Heard | None) -> tuple[str, str]:
        """As ``Speech.trouble``."""
        who = f"the device at unit {self._wire.unit}"
        if self._trouble is not None:
            return str(self._trouble), self._trouble.hint
        if heard is Heard.NOISE:
            return f"{who} cannot be understood", "check baud rate, parity, the two wires and the transport"
        if heard is Heard.NOTHING:
            return f"{who} does not answer", "check that it is switched on, its unit address and its cable"
        if self._unset:
            return f"{who}: {self._unset}", "look at the device: it does not work as its map says"
        return f"{who} answers but does not tell its state", "check the map: state or totalizer are no valid values"

    def _set(self) -> Steps[Request, Reply, None]:
        """Make the next setting of the map stand: read, write only what differs, read again."""
        setting = self._settings_left[0]
        wanted = plan.write_request(setting.write)
        block = plan.read_back(setting.write)
        shown = yield from orders.sent(read_request(block))
        if shown is None:
            return
        if shown.values != wanted.words:
            if not self.writes:
                self._unset = f"setting {wanted.address} differs and a watched device is not written to"
                return
            reply = yield from orders.sent(write_request(wanted))
            self._quiet_until_s = self.now_s + self.map.setup.pause_ms / 1000
            again = yield from orders.sent(read_request(block))
            if reply is None or again is None or (setting.verify and again.values != wanted.words):
                self._unset = f"setting {wanted.address} was not taken"
                return
        self._unset = ""
        del self._settings_left[0]

    def _objection(self, question: ReadRequest, answer: Reply) -> DriverError | None:
        """Why an answer to a read is none: an exception, or another device than the map is for."""
        what = f"unit {self._wire.unit}, function {int(question.function)}, address {question.address}"
        if answer.exception:
            return refusal(answer.exception, what)
        for part in self._identities.get(question, ()):
            field = self.map.fields[part.field]
            told = decode(field, answer.values[part.offset : part.offset + part.count])
            expected = (self._wire.unit,) if field.expect_unit else field.expect
            if told.raw not in expected:
                return WiringError(
                    f"unit {self._wire.unit}: {field.name} is {told.raw}, map {self.map.id} expects {expected[0]}",
                    hint="this is another device or another version of its registers: choose the map that fits",
                )
        return None


def _identities(registers: Registers) -> dict[ReadRequest, list[plan.Part]]:
    """Which parts of which reads say who the device is."""
    names = {field.name for field in registers.map.by_role(Role.IDENTITY) if field.expect or field.expect_unit}
    blocks = {read_request(block): block for block in registers.blocks()}
    return {
        request: [part for part in block.parts if part.field in names]
        for request, block in blocks.items()
        if any(part.field in names for part in block.parts)
    }
