"""A member has another id from now on: the same desk of linking, in which the new one stands for the old one.

Pure; no decision is made here. What waits and what was answered goes on as if it had been the new id all along.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain.link_records import Credential, KnownSale, LinkDesk, Pending, Recent


def renamed(desk: LinkDesk, old: str, new: str) -> LinkDesk:
    """Return the desk with ``new`` wherever ``old`` was; the same desk where it was nowhere."""
    if not _names(desk, old):
        return desk

    def who(found: Credential) -> Credential:
        return replace(found, member=new) if found.member == old else found

    def waiting(found: Pending) -> Pending:
        return replace(found, who=who(found.who)) if found.who.member == old else found

    def linked(found: KnownSale) -> KnownSale:
        if found.link is None or found.link.who.member != old:
            return found
        return replace(found, link=replace(found.link, who=who(found.link.who)))

    def answered(found: Recent) -> Recent:
        return replace(found, answer=replace(found.answer, member=new)) if found.answer.member == old else found

    return replace(
        desk,
        pending={key: waiting(found) for key, found in desk.pending.items()},
        sales={key: linked(found) for key, found in desk.sales.items()},
        recent={key: answered(found) for key, found in desk.recent.items()},
    )


def _names(desk: LinkDesk, member: str) -> bool:
    waits = any(found.who.member == member for found in desk.pending.values())
    linked = any(found.link is not None and found.link.who.member == member for found in desk.sales.values())
    return waits or linked or any(found.answer.member == member for found in desk.recent.values())
