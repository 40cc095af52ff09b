"""What kind of station a scenario wants, and the station.toml that fits its simulated forecourt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.domain.fraud import Rule
from agent.settings import Settings, load
from agent.settings.model import StoreSettings
from drivers.simulator.config import CustomerConfig, ForecourtConfig

STATION = "SIM-0001"

RULES: dict[str, Any] = {
    "version": 1,
    "effective_from": "2020-01-01T00:00:00+08:00",
    "program": {"currency": "CNY", "exponent": 2, "validity_months": 12},
    "group": [{"id": "litre", "mode": "BEST"}],
    "offer": [
        {"id": "earn", "name": "积分", "kind": "EARN", "points": 1, "per_minor": 100},
        {"id": "litre-off", "name": "每升减 0.10", "kind": "PER_LITRE", "off_milli": 100, "group": "litre"},
    ],
}


class Spoken(NamedTuple):
    """How a dispenser protocol stands in station.toml.

    ``first_address``: wire address of fuelling point 1, the others follow. ``options``: line options it needs here.
    ``amount_totals``: the options that make it tell amount totals, where it does not always. ``totals_modulus``: where
    its totals roll over. ``totals_at_once``: one answer tells those of all nozzles. ``hoses``: the most
    that a fuelling point has, ``None`` = as many as there are. ``totals_unit_ml``: millilitres of one count as it tells
    them. ``totals_question``: name and, where not every detail counts, detail of the request that asks for totals.
    ``name``: the protocol's name where the simulator calls its devices otherwise.
    """

    first_address: int
    options: Mapping[str, str] = MappingProxyType({})
    amount_totals: Mapping[str, str] = MappingProxyType({})
    totals_modulus: int = 10**10
    totals_at_once: bool = False
    hoses: int | None = None
    totals_unit_ml: int = 10
    totals_question: tuple[str, str | None] = ("TOTALS", None)
    name: str | None = None


SPOKEN = {
    "dart": Spoken(0x50, amount_totals={"amount_totals": "true"}),
    "gilbarco": Spoken(1, totals_modulus=10**8, totals_at_once=True),
    "modbus": Spoken(
        1,
        options={"map": '"reference-dispenser"'},
        totals_modulus=10**11,  # the map's register holds ten times as much: where the simulated head rolls over
        totals_at_once=True,
        hoses=1,
        totals_unit_ml=1,
        totals_question=("INQUIRY", "03 0 30"),
    ),
    "modbus-pulse": Spoken(
        1,
        options={"map": '"seneca-z10-d-in"', "values": '{ k_factor = "3666739.2" }'},
        totals_modulus=1,  # pulses end at no whole millilitre: its volumes are compared, not its counts
        totals_at_once=True,
        hoses=1,
        totals_question=("INQUIRY", None),
        name="modbus",
    ),
    "lanfeng": Spoken(1, options={"experimental": "true"}, totals_modulus=10**12, totals_at_once=True, hoses=1),
    "zhengxing": Spoken(1, options={"experimental": "true"}, totals_modulus=2**32, totals_at_once=True, hoses=1),
}
"""Every dispenser protocol that a scenario may choose by ``Plan.protocol``."""


@dataclass
class Plan:
    """What kind of station: who settles, how points are controlled, who comes, how often pumps are polled.

    ``protocol``: what all its dispensers speak.
    ``loyalty``: more keys of its section. ``redeem_a_day``: what points may pay a day, by default more than all have.
    ``has_mark``: the high-water file is written and looked at, as the daemon does. ``watched``: signs of misuse are
    looked for; elsewhere a handful of members fuels all day.
    """

    settle: str = "auto"
    control: str = "auto"
    customers: CustomerConfig | None = None
    poll_ms: int = 200
    islands: int = 2
    has_head_office: bool = True
    scans_arrive: bool = True
    amount_totals: bool = False
    settle_after: str = "30s"
    link_after: str = "600s"
    link_before: str = "180s"
    card_count: int = 12
    timezone: str = "Asia/Shanghai"
    telemetry_every: str = "5min"
    has_mark: bool = False
    protocol: str = "dart"
    pump_rollback: bool = False
    redeem_a_day: str = "100000"
    loyalty: str = ""
    uid_cards: bool = False
    sun_fallback: bool = False
    sun: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"picc": "p", "mac": "m"})
    mode: str = "live"
    watched: bool = False


def forecourt_config(config: ForecourtConfig, protocol: str) -> ForecourtConfig:
    """The same forecourt with all its dispensers speaking ``protocol``."""
    words = SPOKEN[protocol]
    before = words.first_address - 1
    lines = tuple(
        dataclasses.replace(
            line,
            protocol=protocol,
            points=tuple(
                dataclasses.replace(point, address=before + point.number, nozzles=point.nozzles[: words.hoses])
                for point in line.points
            ),
        )
        for line in config.lines
    )
    return dataclasses.replace(config, lines=lines)


def spoken(config: ForecourtConfig, point: int) -> Spoken:
    """How the protocol of a fuelling point stands in station.toml."""
    (protocol,) = [line.protocol for line in config.lines for one in line.points if one.number == point]
    return SPOKEN[protocol]


def station_settings(directory: Path, config: ForecourtConfig, plan: Plan) -> Settings:
    """The configuration that fits the simulated forecourt, read from a file as a station reads it."""
    file = directory / "station.toml"
    directory.mkdir(parents=True, exist_ok=True)
    file.write_text(_toml(config, plan), encoding="utf-8")
    store = StoreSettings(path=directory / "station.db", mark=directory / "mark.json")
    return load(file).model_copy(update={"store": store})


def _toml(config: ForecourtConfig, plan: Plan) -> str:
    parts = [
        f'[station]\nid = "{STATION}"\ntimezone = "{plan.timezone}"\nbusiness_day_starts = "00:00"\nlanguage = "en"\nmode = "{plan.mode}"',
        f'[sales]\nsettle = "{plan.settle}"\nsettle_after = "{plan.settle_after}"',
        f'link_after = "{plan.link_after}"\nlink_before = "{plan.link_before}"',
        f"[loyalty]\npump_rollback = {str(plan.pump_rollback).lower()}\n{plan.loyalty}",
        f"uid_cards = {str(plan.uid_cards).lower()}\nsun_fallback = {str(plan.sun_fallback).lower()}",
        f'[loyalty.levels]\nredeem_a_day = "{plan.redeem_a_day}"',
        "\n".join(["[[loyalty.sun]]", *(f'{key} = "{name}"' for key, name in plan.sun.items())]),
        f"[fraud]\noff = {[] if plan.watched else [rule.value for rule in Rule]}",
        f'[head_office]\ntelemetry_every = "{plan.telemetry_every}"',
    ]
    grades = {n.grade: n for point in config.points for n in point.nozzles}
    for code, nozzle in grades.items():
        price = f"{nozzle.unit_price_milli // 1000}.{nozzle.unit_price_milli % 1000:03d}"
        parts.append(f'[grade.{code}]\nname = "{code}"\nunit_price = "{price}"')
    for line in config.lines:
        words = SPOKEN[line.protocol]
        options = {"poll_interval": str(plan.poll_ms), **words.options}
        options |= words.amount_totals if plan.amount_totals else {}
        parts.append(
            f'[[line]]\nid = "{line.name}"\nport = "/dev/{line.name}"\nprotocol = "{words.name or line.protocol}"'
        )
        parts.append("\n".join(["[line.options]", *(f"{key} = {value}" for key, value in options.items())]))
    parts.append('[[line]]\nid = "gauge"\nport = "/dev/gauge"\nprotocol = "veeder-root"')
    for line in config.lines:
        for point in line.points:
            head = f'id = {point.number}\nline = "{line.name}"\naddress = {point.address}\ncontrol = "{plan.control}"'
            parts.append(f"[[fuelling_point]]\n{head}")
            parts += [
                f'[[fuelling_point.nozzle]]\nid = {n.number}\ngrade = "{n.grade}"\ntank = {n.tank}'
                for n in point.nozzles
            ]
    for tank in config.tanks:
        grade = next((n.grade for n in grades.values() if n.tank == tank.number), None)
        if grade is None:
            continue  # nobody sells from it
        head = f'id = {tank.number}\ngrade = "{grade}"\nline = "gauge"\ngauge_index = {tank.number}'
        parts.append(f"[[tank]]\n{head}\ncapacity_l = {tank.full_ml // 1000}")
    for reader in config.readers:
        head = f'id = "{reader.name}"\nport = "/dev/{reader.name}"\nfuelling_points = {list(reader.points)}'
        parts.append(f"[[reader]]\n{head}")
    return "\n\n".join(parts) + "\n"
