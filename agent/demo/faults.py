"""The names that ``--fault`` takes: the simulator's own faults, and those of processes, links, clocks and records.

Only the catalogue, so that it is quick to import; what a fault does is in ``agent.demo.troubles`` and ``planted``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from drivers.simulator.faults import SIMULATOR_FAULTS


class Kind(Enum):
    """Who carries a fault out: the simulator, the demo while it runs, a proxy on the wire, or the demo at the end."""

    SIMULATOR = "simulator"
    PROCESS = "process"
    LINK = "link"
    CLOCK = "clock"
    PLANTED = "planted"


@dataclass(frozen=True, slots=True)
class DemoFault:
    """One name. ``planted`` ones are frauds: the demo must find them and end with exit code 1."""

    name: str
    kind: Kind
    description: str


_OWN = (
    DemoFault("agent-killed", Kind.PROCESS, "SIGKILL to the agent in mid-fuelling, three times"),
    DemoFault("agent-stopped", Kind.PROCESS, "the agent is frozen for three seconds, twice"),
    DemoFault("head-office-killed", Kind.PROCESS, "SIGKILL to the head office, three times"),
    DemoFault("head-office-away", Kind.PROCESS, "the head office is down for a third of the time"),
    DemoFault("broker-killed", Kind.PROCESS, "SIGKILL to the broker, three times; it comes back on the same port"),
    DemoFault("broker-away", Kind.PROCESS, "the broker is down for a third of the time"),
    DemoFault("two-agents", Kind.PROCESS, "a second agent on the same database must end with code 2 within 2 s"),
    DemoFault("link-half-open", Kind.LINK, "connections between agent and broker go deaf, then are cut, three times"),
    DemoFault("slow-link", Kind.LINK, "every byte between agent and broker takes 400 ms"),
    DemoFault("clock-back", Kind.CLOCK, "the agent's wall clock falls back one hour, and is right again later"),
    DemoFault("clock-forward", Kind.CLOCK, "the agent's wall clock jumps two hours ahead, and is right again later"),
    DemoFault("drop-record", Kind.PLANTED, "planted: one sale disappears from head office's database"),
    DemoFault("double-record", Kind.PLANTED, "planted: one sale is in head office's database twice"),
)

FAULTS: Mapping[str, DemoFault] = MappingProxyType(
    {
        **{name: DemoFault(name, Kind.SIMULATOR, fault.description) for name, fault in SIMULATOR_FAULTS.items()},
        **{fault.name: fault for fault in _OWN},
    }
)
"""Every fault by name."""


def described() -> str:
    """Return the catalogue as aligned lines for people."""
    width = max(len(name) for name in FAULTS)
    return "\n".join(f"  {name:<{width}}  {FAULTS[name].description}" for name in sorted(FAULTS))
