"""What the sections without devices must hold: link windows, card layouts, the way to head office, where data lies.

The rules themselves live in the domain; here they become faults with the key a person must change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any

from agent.domain.identity import CardLayout, layout_problems
from agent.settings import model
from agent.settings.fraud import FraudSettings
from drivers.places import Path

Report = Callable[[Path, str, str], None]

_WINDOW_KEYS = {
    "choose_s": "choose",
    "before_s": "link_before",
    "after_s": "link_after",
    "change_s": "change",
    "settle_s": "settle_after",
    "late_h": "late",
}
"""Names of the windows where they are judged, and in the file."""

_SECOND_MS = 1_000
_HOUR_MS = 3_600_000
_LATITUDE, _LONGITUDE = 90, 180
_DEGREES = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,7})?")
_MAX_PORT = 65_535


def check(values: Mapping[str, Any], report: Report) -> None:
    """Report what is wrong with the sections that were read; a section that was refused is ``None`` or missing."""
    checks: dict[str, Callable[[Any, Report], None]] = {
        "station": _position,
        "store": _store,
        "sales": _windows,
        "loyalty": _cards,
        "head_office": _head_office,
        "board": _board,
        "fraud": _fraud,
    }
    for section, look in checks.items():
        if values.get(section) is not None:
            look(values[section], report)
    if values.get("backup") is not None:
        _backup(values["backup"], values.get("store") or model.StoreSettings(), report)


def _position(station: model.StationSettings, report: Report) -> None:
    if station.position is None:
        return
    for which, limit in enumerate((_LATITUDE, _LONGITUDE)):
        text = station.position[which]
        if not _DEGREES.fullmatch(text) or abs(int(text.partition(".")[0])) > limit:
            hint = 'write ["latitude", "longitude"] in decimal degrees, such as ["31.2304", "121.4737"]'
            report(("station", "position", which), f"{text!r} is not from -{limit} to {limit} degrees", hint)


def _store(store: model.StoreSettings, report: Report) -> None:
    if PurePath(store.mark).parent == PurePath(store.path).parent:
        problem = "lies in the folder of the database, so a restored copy would bring it along"
        report(("store", "mark"), problem, "put it into a folder of its own, such as /var/lib/forecourt-mark/mark.json")


def _backup(backup: model.BackupSettings, store: model.StoreSettings, report: Report) -> None:
    mark = PurePath(store.mark).parent
    for key, folder in (("folder", backup.folder), ("copy_to", backup.copy_to)):
        if folder is None:
            continue
        if not folder.is_absolute():
            report(("backup", key), "is not an absolute path", "write it from / on")
        elif mark == folder or folder in mark.parents:
            problem = "holds the high-water file, which must never come back with a backup"
            report(("backup", key), problem, "name another folder, or move [store] mark")
    if backup.folder == PurePath(store.path).parent:
        problem = "is the folder of the database"
        report(("backup", "folder"), problem, "name a folder of its own, such as /var/lib/forecourt/backups")
    if backup.copy_to == backup.folder:
        report(("backup", "copy_to"), "is the folder itself", "name a second place, such as a USB disk or a share")


def _windows(sales: model.SalesSettings, report: Report) -> None:
    lengths = {key: getattr(sales, key) for key in _WINDOW_KEYS.values()}
    uneven = [key for key, length in lengths.items() if length % (_HOUR_MS if key == "late" else _SECOND_MS)]
    for key in uneven:
        unit = "hours" if key == "late" else "seconds"
        report(("sales", key), f"is not a whole number of {unit}", f"write whole {unit}")
    for problem in sales.windows().problems():
        named = [name for name in _WINDOW_KEYS if re.search(rf"\b{name}\b", problem)]
        if any(_WINDOW_KEYS[name] in uneven for name in named):
            continue
        shown = problem.removeprefix("link window ")
        for name in named:
            shown = re.sub(rf"\b{name}\b", _WINDOW_KEYS[name], shown)
        key = _WINDOW_KEYS[named[0]] if named else "settle"
        report(("sales", key), shown, "choose a window above zero, and late not shorter than link_after")


def _cards(loyalty: model.LoyaltySettings, report: Report) -> None:
    layouts = [CardLayout(card.prefix, card.length, card.check) for card in loyalty.card]
    told: set[str] = set()
    for number in range(len(layouts)):
        for problem in layout_problems(layouts[: number + 1]):
            if problem not in told:
                report(
                    ("loyalty", "card", number), problem, "every number must mean one thing: change prefix or length"
                )
                told.add(problem)


_RISING = (("velocity_info", "velocity_alert"), ("velocity_alert", "velocity_hold"), ("late_after", "late_info"))
"""Thresholds of [fraud] of which the first may not be above the second."""


def _fraud(fraud: FraudSettings, report: Report) -> None:
    for low, high in _RISING:
        if getattr(fraud, low) > getattr(fraud, high):
            report(("fraud", high), f"is below {low}", f"write at least what {low} says: the milder sign comes first")


def _head_office(link: model.HeadOfficeSettings, report: Report) -> None:
    scheme, _, rest = link.broker.partition("://")
    _, _, port = rest.partition(":")
    if port and not 1 <= int(port) <= _MAX_PORT:
        report(("head_office", "broker"), f"{port} is no port", f"write a port from 1 to {_MAX_PORT}")
    files = {"ca_file": link.ca_file, "certificate_file": link.certificate_file, "key_file": link.key_file}
    if scheme == "mqtts" and link.ca_file is None:
        hint = "name the certificate of the broker's authority with ca_file"
        report(("head_office", "ca_file"), "is missing: an mqtts broker could not be recognised", hint)
    if scheme == "mqtt":
        for key, file in files.items():
            if file is not None:
                report(("head_office", key), "has no effect with mqtt://", "write mqtts:// for TLS, or remove it")
        return
    for one, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        if files[one] is not None and files[other] is None:
            report(("head_office", one), f"is useless without {other}", f"name {other} too, or remove it")


def _board(board: model.BoardSettings, report: Report) -> None:
    host, port = board.address
    if port > _MAX_PORT:
        report(("board", "listen"), f"{port} is no port", f"write a port from 1 to {_MAX_PORT}")
    files = {"certificate_file": board.certificate_file, "key_file": board.key_file}
    if all(file is None for file in files.values()) and not _is_loopback(host):
        problem = "is reached from other machines, and without a certificate everybody there can listen"
        report(("board", "listen"), problem, "name certificate_file and key_file, or listen at 127.0.0.1")
    elif not board.networks and not _is_loopback(host):
        problem = "is missing: nobody but this machine could come"
        report(("board", "networks"), problem, 'name the network of the handhelds, such as ["192.168.10.0/24"]')
    for one, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        if files[one] is not None and files[other] is None:
            report(("board", one), f"is useless without {other}", f"name {other} too, or remove it")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
