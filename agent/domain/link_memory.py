"""The link desk as plain data that survives a restart, and back: what is kept, and how windows go on afterwards.

Texts and their digests are never part of it. Knows no file and no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from typing import Any

from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.domain.link_records import (
    Chosen,
    Credential,
    End,
    Ended,
    KnownSale,
    Link,
    LinkDesk,
    Live,
    Pending,
    PendingState,
    Reader,
)
from agent.domain.link_windows import Windows
from agent.domain.sale import SaleState

TRUSTED_CLOCKS = frozenset({"ntp", "rtc"})
"""Clock qualities by which the time a machine was off may be counted."""


class LinkMemoryDamaged(ValueError):
    """The stored link state cannot be read: a value is missing or of the wrong kind.

    Example scenarios: a row edited by hand; a newer version's data read by an older one. Sales are not affected: open
    the desk empty, and customers scan again.
    """


def durable(desk: LinkDesk) -> dict[str, Any]:
    """Return the desk as dicts, lists, strings, integers, booleans and None, ready for JSON; ``restore`` reads it."""
    return {
        "boot": desk.boot,
        "seen": plain(desk.seen),
        "pending": [plain(item) for item in desk.pending.values()],
        "live": [plain(item) for item in desk.live.values()],
        "sales": [plain(item) for item in desk.sales.values()],
        "chosen": [plain(item) for item in desk.chosen.values()],
        "ended": [plain(item) for item in desk.ended],
    }


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Return the field names of a record, looked up once: the desk is written in the commit that answers a scan."""
    return tuple(entry.name for entry in fields(kind)) if is_dataclass(kind) else ()


def plain(value: object) -> Any:
    """Return one entry of the desk as dicts, lists, strings, integers, booleans and None."""
    kind: Any = type(value)
    if value is None or kind is int or kind is str or kind is bool:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return {name: plain(getattr(value, name)) for name in _names(kind)}


def restore(
    data: Mapping[str, Any], *, readers: tuple[Reader, ...], windows: Windows, now: Now, clock: str, boot: str
) -> LinkDesk:
    """Return the desk as it was, its windows moved to this boot's monotonic time.

    In the same boot that time went on by itself. After another boot the time off is counted by wall time if ``clock``
    is ``ntp`` or ``rtc``; by any other clock every waiting link is over (the next step ends it as expired) while
    finished sales keep the rest of their windows. Raises LinkMemoryDamaged.
    """
    try:
        seen = _now(data["seen"])
        pending = [_pending(item) for item in data["pending"]]
        live = [Live(**item) for item in data["live"]]
        sales = [_sale(item) for item in data["sales"]]
        chosen = [Chosen(**item) for item in data["chosen"]]
        ended = tuple(Ended(item["scan_id"], End(item["how"]), tuple(item["codes"])) for item in data["ended"])
        same_boot = data["boot"] == boot
    except (KeyError, TypeError, ValueError) as error:
        raise LinkMemoryDamaged(f"stored link state cannot be read ({error!r}); start with an empty desk") from error
    trusted = same_boot or clock in TRUSTED_CLOCKS
    shift = 0 if same_boot else _shift(seen, now, trusted=trusted)
    known = {reader.id for reader in readers}
    return LinkDesk(
        readers={reader.id: reader for reader in readers},
        windows=windows,
        boot=boot,
        seen=now,
        pending={item.id: _resumed(item, shift, now, trusted=trusted) for item in pending},
        live={item.point: item for item in live},
        sales={item.id: _moved_sale(item, shift) for item in sales},
        chosen={
            item.reader: replace(item, until_mono_ms=item.until_mono_ms + shift)
            for item in chosen
            if trusted and item.reader in known
        },
        ended=ended,
    )


def _shift(seen: Now, now: Now, *, trusted: bool) -> int:
    """Return what to add to old monotonic times so that the time off counts as passed."""
    off_ms = max(0, now.wall_ms - seen.wall_ms) if trusted else 0
    return now.mono_ms - off_ms - seen.mono_ms


def _resumed(pending: Pending, shift: int, now: Now, *, trusted: bool) -> Pending:
    until = pending.until_mono_ms + shift if trusted else now.mono_ms - 1
    return replace(pending, made=_moved_now(pending.made, shift), until_mono_ms=until)


def _moved_sale(sale: KnownSale, shift: int) -> KnownSale:
    link = None if sale.link is None else replace(sale.link, made=_moved_now(sale.link.made, shift))
    return replace(sale, ended_mono_ms=sale.ended_mono_ms + shift, link=link)


def _moved_now(instant: Now, shift: int) -> Now:
    return Now(instant.wall_ms, instant.mono_ms + shift)


def _now(data: Mapping[str, Any]) -> Now:
    return Now(int(data["wall_ms"]), int(data["mono_ms"]))


def _credential(data: Mapping[str, Any]) -> Credential:
    return Credential(**{**data, "level": AuthLevel(data["level"])})


def _pending(data: Mapping[str, Any]) -> Pending:
    state = PendingState(data["state"])
    who, made, codes = _credential(data["who"]), _now(data["made"]), tuple(data["codes"])
    return Pending(**{**data, "who": who, "state": state, "made": made, "codes": codes})


def _sale(data: Mapping[str, Any]) -> KnownSale:
    link = data["link"]
    if link is not None:
        who, made = _credential(link["who"]), _now(link["made"])
        link = Link(**{**link, "who": who, "made": made, "codes": tuple(link["codes"])})
    return KnownSale(**{**data, "state": SaleState(data["state"]), "link": link})
