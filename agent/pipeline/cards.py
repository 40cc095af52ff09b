"""A card laid on a reader: what it proves, whose it is, and that its counter only rises.

Ids, messages and keys live only inside ``tapped``; what is kept is the keyed index of an id, a counter, an outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agent.crypto import Aes
from agent.domain import identity, linking
from agent.domain import link_records as links
from agent.domain.answers import Outcome
from agent.domain.codes import ndef, sun
from agent.domain.codes.card_keys import card_id
from agent.domain.identity import AuthLevel, IndexKind
from agent.failpoints import failpoint
from agent.logs import get_logger
from agent.pipeline import card_keys, codes, watching
from agent.pipeline.step import Step
from drivers.readings import CardTap

_log = get_logger("cards")

_AES = Aes()
_SUSPECT_CLOCKS = ("floor", "unknown")
_OF_THE_CARD = (Outcome.UID_MISMATCH, Outcome.COUNTER_REPLAYED)
"""Only a message with a true signature may say something against a card (R12)."""


def tapped(step: Step, tap: CardTap, index_key: bytes, *, attendant: str | None) -> links.MemberScanned:
    """Return the event that a tap is for linking. An accepted counter stands in the open transaction, so before any
    answer; the same card within seconds is the same event, whatever its counter.
    """
    judged = _Tap(step, tap, index_key, step.new_id(), attendant).judged()
    digest = identity.text_digest(f"{judged.card} {judged.refused or ''}")
    return links.MemberScanned(judged.scan_id, tap.reader, digest, judged.who, judged.refused)


@dataclass(frozen=True, slots=True)
class _Judged:
    scan_id: str
    card: str
    who: links.Credential | None = None
    refused: Outcome | None = None


@dataclass(frozen=True)
class _Tap:
    """One tap with what is needed to judge it."""

    step: Step
    tap: CardTap
    index_key: bytes
    scan_id: str
    attendant: str | None

    def judged(self) -> _Judged:
        """Return what the tap comes to, and write what must be kept of it."""
        try:
            link = None if self.tap.ndef is None else ndef.first_uri(self.tap.ndef)
        except ndef.NdefError:
            return self._refused(Outcome.MALFORMED)
        profiles = [section.profile() for section in self.step.settings.loyalty.sun]
        profile = None if link is None else sun.profile_of(link, profiles)
        if link is not None and profile is not None:
            return self._signed(link, profile)
        if self._signs():
            return self._refused(Outcome.MALFORMED)  # a card that signs shows no signature: a copy of its id
        return self._by_uid()

    # --- cards that sign --------------------------------------------------------------------------------------------

    def _signed(self, link: str, profile: sun.Profile) -> _Judged:
        keys = self.step.keys.cards
        if keys is None:
            return self._unknown()
        refused_keys = frozenset() if self.step.settings.station.mode == "training" else sun.PUBLISHED
        scheme = sun.Scheme(profile, keys.meta_read, refused_keys)
        checked = sun.check(link, self.tap.uid, scheme, self._key_of, _AES)
        if checked.outcome is sun.Outcome.UNKNOWN_CARD:
            return self._unknown()
        outcome = Outcome(checked.outcome.value) if checked.outcome is not sun.Outcome.ACCEPTED else None
        if checked.uid is None or outcome is Outcome.KEY_REFUSED:
            return self._refused(outcome or Outcome.MALFORMED)
        row = self._row(checked.uid)
        assert row is not None, "a card with a key has a row"
        who = self._credential(checked.uid, row, checked.counter)
        if outcome is None:
            self._count(row["card_id"], checked, who)
        elif not self._is_told_again(checked, row, who):
            return self._against(row["card_id"], outcome, who)
        return _Judged(self.scan_id, row["card_id"].hex(), who)

    def _key_of(self, uid: str) -> sun.CardKey | None:
        row = self._row(uid)
        key = None if row is None else card_keys.opened(self.step, row)
        if row is None or key is None:
            return None
        return sun.CardKey(key, row["counter"], bool(row["random_uid"]))

    def _row(self, uid: str) -> dict[str, Any] | None:
        """The card of an id, ``None`` where none is known, or this station has no keys of cards."""
        keys = self.step.keys.cards
        return None if keys is None else self.step.tx.cards.by_id(card_id(keys.transport, uid))

    def _credential(self, uid: str, row: dict[str, Any], counter: int | None) -> links.Credential:
        member = self.step.tx.members.by_ref(row["member_ref"])
        assert member is not None, "a card with a key has a member"
        shown = None if counter is None else f"{codes.SUN}{self._index(uid).hex()}:{counter}"
        return links.Credential(
            self.scan_id,
            self.tap.reader,
            self.attendant,
            member["id"],
            AuthLevel.SUN,
            code=shown,
            # a card that head office has still to clear is believed as little as a clock that nobody set: it earns only
            clock_suspect=self._clock_suspect or bool(row["held"]),
            member_known=bool(member["known"]),
            shown=shown,
        )

    def _count(self, card: bytes, checked: sun.Checked, who: links.Credential) -> None:
        """Write the counter into the transaction of whatever the tap comes to."""
        assert checked.counter is not None
        step = self.step
        risen = step.tx.cards.accept(card, checked.counter, at_ms=step.stamp.wall_ms, scan=self.scan_id)
        assert risen, "a counter that was judged to be new is new"
        failpoint("card.counted")
        step.passed.append("card")
        if checked.last is not None:
            watching.after_counter(step, who.member, checked.counter - checked.last)
        self._tell(card, "ACCEPTED", checked.counter)

    def _is_told_again(self, checked: sun.Checked, row: dict[str, Any], who: links.Credential) -> bool:
        """Whether this is the very tap that linking took before this process began, which may have died before its
        answer. In one process every tap was answered: the same message again is a copy.
        """
        is_last = checked.outcome is sun.Outcome.COUNTER_REPLAYED and checked.counter == checked.last
        earlier = is_last and row["seen_ms"] < self.step.live.started_ms
        return earlier and linking.is_repeat(self.step.memory.desk, who, self.step.now)

    def _against(self, card: bytes, outcome: Outcome, who: links.Credential) -> _Judged:
        """A true message at the wrong place or time: somebody has copied it. The card earns only from now on."""
        if outcome in _OF_THE_CARD:
            self.step.tx.cards.hold(card)
            refusal = watching.Refusal(outcome, self.tap.reader, self.attendant, who.member, who.code)
            watching.after_refusal(self.step, refusal)
        self._tell(card, outcome.value, None)
        return _Judged(self.scan_id, card.hex(), refused=outcome)

    # --- cards that do not ------------------------------------------------------------------------------------------

    def _unknown(self) -> _Judged:
        """A card that signs and cannot be judged here: by its id only where the chain wants that."""
        if self.step.settings.loyalty.sun_fallback and not self._signs():
            return self._by_uid()
        return self._refused(Outcome.UNKNOWN_CARD)

    def _by_uid(self) -> _Judged:
        """Whose id the reader saw, where this station takes an id for a name; a random one names nobody."""
        index = self._index_of_reader
        if index is None or not self.step.settings.loyalty.uid_cards:
            return self._refused(Outcome.UNKNOWN_CARD)
        member = self.step.tx.members.by_index(index)
        if member is None:
            return self._refused(Outcome.UNKNOWN_CARD)
        who = links.Credential(
            self.scan_id,
            self.tap.reader,
            self.attendant,
            member["id"],
            AuthLevel.UID,
            clock_suspect=self._clock_suspect,
            member_known=bool(member["known"]),
        )
        return _Judged(self.scan_id, index.hex(), who)

    @cached_property
    def _index_of_reader(self) -> bytes | None:
        """The keyed index of the id that the reader saw, ``None`` where it saw none or one that changes."""
        uid = self.tap.uid
        return None if not uid or sun.is_random(uid) else self._index(uid.hex().upper())

    def _signs(self) -> bool:
        """Whether the id that the reader saw is that of a card whose key is here."""
        row = self._row(self.tap.uid.hex().upper()) if self.tap.uid else None
        return row is not None and row["sealed_key"] is not None

    # --- both -------------------------------------------------------------------------------------------------------

    @property
    def _clock_suspect(self) -> bool:
        return self.step.stamp.clock in _SUSPECT_CLOCKS

    def _index(self, uid: str) -> bytes:
        return identity.blind_index(self.index_key, IndexKind.UID, uid)

    def _refused(self, outcome: Outcome) -> _Judged:
        return _Judged(self.scan_id, (self.tap.uid or self.tap.ndef or b"").hex(), refused=outcome)

    def _tell(self, card: bytes, outcome: str, counter: int | None) -> None:
        told = {"card": card.hex()[:8], "outcome": outcome, "counter": counter, "reader": self.tap.reader}
        self.step.after.append(lambda: _log.info("card judged", **told))
