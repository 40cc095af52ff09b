"""Protocol name -> driver, loaded only when a line asks for it; third parties add theirs by an entry point.

Knows names and shapes. Knows no byte of any protocol and opens no port.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Literal

from drivers.config import LineConfig, SerialSettings
from drivers.device import CodeReaderCapabilities, Device, DispenserCapabilities, TankGaugeCapabilities
from drivers.errors import WiringError
from drivers.port import Port, open_port

if TYPE_CHECKING:
    from drivers.dissection import FieldKit
    from drivers.line import Line

ENTRY_POINT_GROUP = "forecourt.drivers"

BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a package of somebody else may raise while it is imported: the station says which one, and others work on."""

OptionProblem = tuple[str, str, str]
"""(key, what is wrong with it, what to write instead)."""

Capabilities = DispenserCapabilities | TankGaugeCapabilities | CodeReaderCapabilities


def _no_warnings(_options: Mapping[str, object]) -> list[OptionProblem]:
    return []


@dataclass(frozen=True, slots=True)
class Decimals:
    """Digits after the point of what travels on the wire of a dispenser, where the station's file does not say."""

    volume: int = 2
    amount: int = 2
    unit_price: int = 3


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """What one protocol's driver offers. Each driver module exports one as ``SPEC``.

    ``check_options`` looks at ``LineConfig.options`` and returns every problem at once, an empty list when all is well.
    ``warn_options`` returns in the same form what works and should still be changed.
    ``make_devices`` builds the devices of one line (points, the gauge or the reader) without touching a port; raises
    ``WiringError`` when the line as a whole cannot work (two devices with one address, a wrong number of decimals).
    ``describe``: what a checked line is read by beyond its options, with its hash (a register map); empty = nothing. A
    change of it is audited.
    ``field_kit``: optional, ``"module:NAME"`` of a ``drivers.dissection.FieldKit`` for ``forecourt device``; a station
    that runs never loads it. ``one_nozzle``: a fuelling point of this protocol has exactly one nozzle.
    """

    protocol: str
    kind: Literal["dispenser", "tank-gauge", "code-reader"]
    serial_defaults: SerialSettings
    check_options: Callable[[Mapping[str, object]], list[OptionProblem]]
    make_devices: Callable[[LineConfig], list[Device]]
    capabilities: Capabilities
    warn_options: Callable[[Mapping[str, object]], list[OptionProblem]] = _no_warnings
    field_kit: str = ""
    describe: Callable[[LineConfig], str] = lambda _config: ""
    decimals: Decimals = Decimals()
    one_nozzle: bool = False


BUILT_IN: Mapping[str, str] = {
    "aoke-pd3": "drivers.pd3.driver:SPEC",
    "dart": "drivers.dart.driver:SPEC",
    "gilbarco": "drivers.gilbarco.driver:SPEC",
    "h-protocol": "drivers.h_protocol.driver:SPEC",
    "hid": "drivers.hid.driver:SPEC",
    "lanfeng": "drivers.lanfeng.driver:SPEC",
    "pcsc": "drivers.pcsc.driver:SPEC",
    "pn532": "drivers.pn532.driver:SPEC",
    "veeder-root": "drivers.veeder_root.driver:SPEC",
    "sens-pmp": "drivers.sens.driver:SPEC",
    "serial-scanner": "drivers.scanner.driver:SPEC",
    "modbus": "drivers.modbus.driver:SPEC",
    "modbus-gauge": "drivers.modbus.driver:GAUGE_SPEC",
    "zhengxing": "drivers.zhengxing.driver:SPEC",
}


def protocols() -> list[str]:
    """Names of all protocols that a line may use, sorted; loads no driver."""
    return sorted({*BUILT_IN, *_third_party()})


def spec(name: str) -> DriverSpec:
    """The driver of protocol ``name``. A built-in name wins over a third party's.

    Raises ``WiringError`` when no driver has that name, or a third party's cannot be loaded.
    """
    if name in BUILT_IN:
        module_name, _, attribute = BUILT_IN[name].partition(":")
        found: object = getattr(import_module(module_name), attribute)
    else:
        entry = _third_party().get(name)
        if entry is None:
            raise WiringError(f"there is no driver for protocol {name!r}", hint=_nearest(name))
        found = _load(entry)
    if not isinstance(found, DriverSpec):
        raise WiringError(
            f"the driver of protocol {name!r} is a {type(found).__name__}, not a DriverSpec",
            hint="let the entry point name a drivers.registry.DriverSpec object",
        )
    return found


def field_kit(driver: DriverSpec) -> FieldKit | None:
    """What ``driver`` brings for the field tools; ``None`` when it brings nothing.

    Raises ``WiringError`` when it names something that is not there or is no ``FieldKit``.
    """
    from drivers.dissection import FieldKit

    if not driver.field_kit:
        return None
    module_name, _, attribute = driver.field_kit.partition(":")
    try:
        found: object = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise WiringError(
            f"the field kit {driver.field_kit} of protocol {driver.protocol!r} cannot be loaded: {error}",
            hint="let DriverSpec.field_kit name a drivers.dissection.FieldKit as module:NAME",
        ) from error
    if not isinstance(found, FieldKit):
        raise WiringError(
            f"the field kit {driver.field_kit} of protocol {driver.protocol!r} is a {type(found).__name__}",
            hint="let DriverSpec.field_kit name a drivers.dissection.FieldKit as module:NAME",
        )
    return found


def make_line(
    config: LineConfig,
    open_port: Callable[[], Port] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Line:
    """The line of ``config`` with all its devices, port still closed (the first ``turn`` opens it).

    ``open_port`` replaces the real serial port or socket, ``monotonic`` the clock of its decisions (tests).
    Raises ``WiringError`` for an unknown protocol, wrong options or an impossible line.
    """
    from drivers.line import Line

    driver = spec(config.protocol)
    problems = driver.check_options(config.options)
    if problems:
        key, problem, hint = problems[0]
        raise WiringError(f"line {config.id!r}, option {key!r}: {problem}", hint=hint)
    return Line(config, driver.make_devices(config), open_port or _opener(config, driver.serial_defaults), monotonic)


def _opener(config: LineConfig, defaults: SerialSettings) -> Callable[[], Port]:
    def opener() -> Port:
        return open_port(config, defaults)

    return opener


def _third_party() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name not in BUILT_IN}


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except BROKEN as error:
        why = f"{type(error).__name__} {error}".strip()
        raise WiringError(
            f"the driver of protocol {entry.name!r} cannot be loaded from {entry.value}: {why}",
            hint="install the package that provides it, or remove its entry point",
        ) from error


def _nearest(name: str) -> str:
    known = protocols()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    if near:
        return f"did you mean {near[0]!r}? known: {', '.join(known)}"
    return f"known protocols: {', '.join(known)}"
