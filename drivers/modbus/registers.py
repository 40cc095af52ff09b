"""What the registers of one device said last, field by field, and which requests are to be sent now.

Knows a bound map and time as a number. Knows no wire and no meaning of a value.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.modbus import plan, values
from drivers.modbus.codec import Function, ReadRequest, WriteRequest
from drivers.modbus.model import RegisterMap, Role
from drivers.modbus.values import Key, Sample

RECORD_EVERY_S = 1.0
NOT_READ = Sample(reason="short")


class Registers:
    """The last values of one device. ``version`` counts the times that anything in them has changed.

    Most reads bring what is known already, and decoding is what costs; so it is done only for what is new.
    """

    def __init__(self, map_: RegisterMap, *, shortest_s: float | None = None) -> None:
        self.map = map_
        self.version = 0
        self._cycles = plan.cycles(map_)
        self._due_s = [0.0] * len(self._cycles)
        self._words: dict[Key, Sequence[int]] = {}
        self._replies: dict[tuple[int, int, int], Sequence[int]] = {}
        self._changed = False
        self._names = {role: fields[0].name for role in Role if (fields := map_.by_role(role))}
        self._samples: dict[Key, Sample] = {}
        self._record = self._apart()
        periods = [cycle.period_ms / 1000 for cycle in self._cycles] + [RECORD_EVERY_S] * (self._record is not None)
        self.period_s = min(periods) if shortest_s is None else shortest_s

    def _apart(self) -> plan.Block | None:
        """The read of the sale record, where no group brings it."""
        record = self.map.record
        inside = {part.field for c in self._cycles for turn in c.turns for block in turn.blocks for part in block.parts}
        return None if record is None or record.id_field in inside else plan.record(self.map)

    def due(self, now_s: float) -> list[plan.Block]:
        """The reads of this look, fastest first; that one is always among them."""
        found = [] if self._record is None else [self._record]
        for index, cycle in enumerate(self._cycles):
            if (index == 0 and not found) or now_s >= self._due_s[index]:
                self._due_s[index] = now_s + cycle.period_ms / 1000
                found += [block for turn in cycle.turns for block in turn.blocks]
        return found

    def blocks(self) -> list[plan.Block]:
        """Every read there is."""
        alone = [] if self._record is None else [self._record]
        return alone + [block for cycle in self._cycles for turn in cycle.turns for block in turn.blocks]

    def of_field(self, name: str) -> plan.Block:
        """The read that brings this field as it stands in a cycle, with all that is read in the same moment."""
        found = (block for block in self.blocks() if any(part.field == name for part in block.parts))
        return next(found, None) or plan.single(self.map, name)

    def take(self, block: plan.Block, words: Sequence[int]) -> None:
        """One reply. ``settled`` follows when all of a look have come."""
        place = (block.function, block.address, block.count)
        if self._replies.get(place) != words:
            self._replies[place] = words
            self._words.update(block.registers(words))
            self._changed = True

    def settled(self) -> None:
        """What has come is one state of the device: its values hold from now on."""
        if self._changed:
            self._changed = False
            self.version += 1
            self._samples = values.samples(self.map, self._words)

    def forget(self) -> None:
        """The device was out of sight: nothing read before is its state now."""
        self._due_s = [0.0] * len(self._cycles)
        self._words.clear()
        self._replies.clear()
        self._samples.clear()
        self._changed = True

    def field(self, name: str) -> Sample:
        """The last value of a field."""
        return self._samples.get((name, None), NOT_READ)

    def role(self, role: Role) -> Sample | None:
        """The last value with this role; ``None`` where the map has no such field."""
        name = self._names.get(role)
        return None if name is None else self.field(name)


def read_request(block: plan.Block) -> ReadRequest:
    """A planned read as a telegram."""
    return ReadRequest(Function(block.function), block.address, block.count)


def write_request(planned: plan.WriteRequest) -> WriteRequest:
    """A planned write as a telegram; a coil takes 0 or 1."""
    function = Function(planned.function)
    words = (int(bool(planned.words[0])),) if function is Function.WRITE_COIL else planned.words
    return WriteRequest(function, planned.address, words)
