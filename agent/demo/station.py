"""Writes the station.toml of the demo from what the simulator says stands on its forecourt and where its ports are.

Knows the configuration's shape. The result passes ``forecourt check-config`` without a word.
"""

from __future__ import annotations

import getpass
import json
from typing import Any

from agent.demo.places import Places
from drivers.simulator.config import ForecourtConfig, PumpConfig, TankConfig

STATION = "DEMO-0001"
GRADES = {"92": ("92号汽油", "petrol"), "95": ("95号汽油", "petrol"), "0": ("0号柴油", "diesel")}
UNPAID_MAX = 5
"""Customers of a rush hour come faster than one attendant walks; a pump waits for money only after five."""


def station_toml(
    config: ForecourtConfig, endpoints: dict[str, Any], places: Places, *, broker_port: int, speed: int
) -> str:
    """Return the text of station.toml."""
    keys = places.head_office / "keys"
    parts = [
        "# Written by `forecourt demo`: a station whose devices are simulated.",
        _section("[station]", id=STATION, name="示范加油站", timezone="Asia/Shanghai", currency="CNY"),
        _section("[store]", path=str(places.database), mark=str(places.mark), reserve="1 MB"),
        *(_dispensers(name, port) for name, port in endpoints["lines"].items()),
        _section("[[line]]", id="gauge", port=endpoints["gauge"]["tcp"], protocol="veeder-root"),
        # the world runs faster than the wire: the gauge is asked as often as its tanks change
        _section("[line.options]", poll_s="2s", delivery_poll_s="1s", alarms_s="4s", time_scale=speed),
        *(_point(line.name, point) for line in config.lines for point in line.points),
        *(_tank(tank, _grade_of(config, tank.number)) for tank in config.tanks),
        *(
            _section(
                "[[reader]]",
                id=reader.name,
                kind="pn532" if reader.kind == "pn532" else "serial-scanner",
                port=endpoints["readers"][reader.name],
                fuelling_points=list(reader.points),
            )
            for reader in config.readers
        ),
        *(
            _section(f"[grade.{code}]", name=name, product=product, unit_price=_decimal(_price_of(config, code)))
            for code, (name, product) in GRADES.items()
        ),
        _section("[sales]", settle="tender", unpaid_max=UNPAID_MAX),
        _section(
            "[head_office]",
            broker=f"mqtt://127.0.0.1:{broker_port}",
            keys_file=str(keys / "pinned.jwks.json"),
            index_key_file=str(keys / "index.key"),
            card_keys_file=str(keys / "cards.json"),
            reconnect_max="1s",
        ),
        _section("[privacy]", field_key_file=str(places.field_key)),
        _section("[control]", socket=str(places.socket), supervisors=[getpass.getuser()]),
    ]
    return "\n".join(parts)


def _dispensers(name: str, port: str) -> str:
    # a pseudo-terminal needs no long pauses, and customers in a hurry should not wait for them
    return "\n".join(
        [
            _section("[[line]]", id=name, port=port, protocol="dart"),
            _section("[line.options]", pause_frame="10ms"),
        ]
    )


def _section(header: str, **values: Any) -> str:
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([header, *lines, ""])


def _point(line: str, point: PumpConfig) -> str:
    head = _section("[[fuelling_point]]", id=point.number, line=line, address=point.address, control="auto")
    nozzles = (_section("[[fuelling_point.nozzle]]", id=n.number, grade=n.grade, tank=n.tank) for n in point.nozzles)
    return "\n".join([head, *nozzles])


def _tank(tank: TankConfig, grade: str) -> str:
    return _section(
        "[[tank]]",
        id=tank.number,
        grade=grade,
        line="gauge",
        gauge_index=tank.number,
        capacity_l=_decimal(tank.full_ml),
        maximum_l=_decimal(tank.max_volume_ml),
        high_l=_decimal(tank.high_product_ml),
        overfill_l=_decimal(tank.overfill_ml),
        delivery_needed_l=_decimal(max(tank.delivery_needed_ml, tank.low_product_ml + 1_000_000)),
        low_l=_decimal(tank.low_product_ml),
    )


def _grade_of(config: ForecourtConfig, tank: int) -> str:
    return next(n.grade for point in config.points for n in point.nozzles if n.tank == tank)


def _price_of(config: ForecourtConfig, grade: str) -> int:
    return next(n.unit_price_milli for point in config.points for n in point.nozzles if n.grade == grade)


def _decimal(thousandths: int) -> str:
    whole, part = divmod(thousandths, 1000)
    return f"{whole}.{part:03d}".rstrip("0").rstrip(".")
