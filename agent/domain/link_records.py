"""What linking remembers and says: readers, claims, pending links, sales as linking sees them, events and effects.

Records only: no decision is made here. Knows no table, no driver and no command; member ids are opaque hex text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.answers import Outcome, Tone, tone_of
from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.domain.link_windows import Windows
from agent.domain.sale import SaleKind, SaleState


@dataclass(frozen=True, slots=True)
class Reader:
    """A code reader and the fuelling points it may serve: one means fixed, several mean roaming.

    ``claims``: a handheld, which keeps the sale that it works on; a plain reader has nobody who goes on working.
    """

    id: str
    points: tuple[int, ...]
    claims: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A terminal works on a sale. ``until_mono_ms`` ``None``: without end, while the sale is being paid there."""

    sale: str
    terminal: str
    person: str | None
    until_mono_ms: int | None


class PendingState(StrEnum):
    """Where a scan without a sale waits."""

    AWAIT_POINT = "AWAIT_POINT"
    AWAIT_FUELLING = "AWAIT_FUELLING"
    LIVE = "LIVE"


class End(StrEnum):
    """How a pending link ended; MOVED: a second scan of the same code took it to another point."""

    LINKED = "linked"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    MOVED = "moved"


class Role(StrEnum):
    """Who asks for a correction or a late link."""

    ATTENDANT = "attendant"
    SUPERVISOR = "supervisor"
    HEAD_OFFICE = "head_office"


@dataclass(frozen=True, slots=True)
class Credential:
    """One accepted scan: who was scanned, how strongly, by whom.

    ``code``: identity of a one-time code or ``None``; ``shown``: what the record of its link names a signed code or a
    chip's message by.
    """

    scan_id: str
    reader: str
    attendant: str | None
    member: str
    level: AuthLevel
    code: str | None = None
    clock_suspect: bool = False
    member_known: bool = True
    shown: str | None = None

    @property
    def by(self) -> str:
        """The attendant, or the reader where no session is open."""
        return self.reader if self.attendant is None else self.attendant


@dataclass(frozen=True, slots=True)
class Pending:
    """A scan that has no sale yet; its id is the scan's. LIVE is fixed to (point, nozzle, start totalizer text)."""

    who: Credential
    state: PendingState
    made: Now
    until_mono_ms: int
    point: int | None = None
    nozzle: int | None = None
    start: str | None = None
    codes: tuple[str, ...] = ()
    note: str | None = None

    @property
    def id(self) -> str:
        """The id of the scan that made it."""
        return self.who.scan_id


@dataclass(frozen=True, slots=True)
class Live:
    """A fuelling in progress at a point; ``flow``: volume was seen."""

    point: int
    nozzle: int | None
    start: str | None
    flow: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """The active link of a sale. ``number`` counts that sale's links from 1; ``corrects`` names the one replaced."""

    number: int
    who: Credential
    made: Now
    by: str
    delay_s: int
    corrects: int | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownSale:
    """A sale as linking needs it; ``lapsed``: a later sale of its nozzle was Cleared first."""

    id: str
    point: int
    nozzle: int
    ended_ms: int
    ended_mono_ms: int
    state: SaleState = SaleState.PAYABLE
    link: Link | None = None
    links: int = 0
    corrections: int = 0
    lapsed: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A point or sale named before the scan that it is for; ``live``: the fuelling running there, nothing else."""

    reader: str
    point: int | None
    sale: str | None
    until_mono_ms: int
    live: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A pending link that is over, kept a while so that its code and scan id are recognised."""

    scan_id: str
    how: End
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One tile: a live fuelling, an unlinked sale (``sale`` set, ``age_s`` since hang-up) or a free point."""

    kind: str
    point: int
    sale: str | None = None
    age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell a reader or person. ``member``: whose mask to show (for ALREADY_LINKED: the first one's)."""

    to: str
    outcome: Outcome
    member: str | None = None
    point: int | None = None
    sale: str | None = None
    choices: tuple[Choice, ...] = ()
    repeat: bool = False
    terminal: str | None = None
    """Which terminal has the sale, for IN_USE and BEING_PAID."""

    @property
    def tone(self) -> Tone:
        """The tone of this outcome."""
        return tone_of(self.outcome)


@dataclass(frozen=True, slots=True)
class Recent:
    """The last text of a reader, as a digest: memory only, never stored."""

    digest: str
    mono_ms: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class MemberScanned:
    """A text was judged: ``who`` for an accepted code, ``refused`` for any other; exactly one of them is set.

    ``spent``: the replay table has its one-time code. Linking still knows the codes of what is open; only a code that
    it has forgotten is refused by that. ``point`` or ``sale``: what the attendant had tapped for this very scan.
    """

    scan_id: str
    reader: str
    text_digest: str | None
    who: Credential | None = None
    refused: Outcome | None = None
    spent: bool = False
    point: int | None = None
    sale: str | None = None


@dataclass(frozen=True, slots=True)
class ControlScanned:
    """A printed control barcode: ``point`` for ``FP:n``, ``None`` for ``CANCEL``."""

    reader: str
    point: int | None
    text_digest: str | None = None


@dataclass(frozen=True, slots=True)
class PointChosen:
    """A tile was tapped: a point, a sale, or (``live``) the fuelling running at the point.

    ``pending`` names a waiting link that is to move to the point.
    """

    reader: str
    person: str | None
    point: int | None = None
    sale: str | None = None
    pending: str | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class LinkRequested:
    """A person links a sale to a member whose code or number was given (``sales link``); ``reason`` for late links."""

    sale: str
    who: Credential
    person: str
    role: Role = Role.SUPERVISOR
    reason: str = ""
    terminal: str = "cli"


@dataclass(frozen=True, slots=True)
class NozzleLifted:
    """A nozzle left its holster; ``start``: its totalizer as ``epoch:raw`` text, ``None`` where there is none."""

    point: int
    nozzle: int | None
    start: str | None


@dataclass(frozen=True, slots=True)
class FlowSeen:
    """Volume was seen at a point."""

    point: int


@dataclass(frozen=True, slots=True)
class HungZero:
    """The nozzle was hung and nothing was delivered."""

    point: int
    nozzle: int | None


@dataclass(frozen=True, slots=True)
class SaleBooked:
    """A sale is being stored now. ``recovered_count``: sales recovered together for this point, 1 in normal running."""

    sale: str
    point: int
    nozzle: int
    kind: SaleKind
    start: str | None
    ended_ms: int
    recovered_count: int = 1


@dataclass(frozen=True, slots=True)
class SaleStateChanged:
    """A sale was locked, put back or cleared; ``terminal`` and ``person``: where it is paid, where that is known."""

    sale: str
    state: SaleState
    terminal: str | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class CorrectionRequested:
    """Change the member of a linked sale (``who`` scanned now) or remove it (``who`` None)."""

    sale: str
    who: Credential | None
    person: str
    role: Role
    reason: str
    terminal: str = "cli"


@dataclass(frozen=True, slots=True)
class ClaimRequested:
    """A terminal wants to work on a sale, or still does."""

    sale: str
    terminal: str
    person: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A terminal lets a sale go; a supervisor may for another terminal."""

    sale: str
    terminal: str
    person: str | None = None
    role: Role = Role.ATTENDANT


@dataclass(frozen=True, slots=True)
class SaleRecalled:
    """A stored sale that the desk has forgotten, handed in before a late link or a correction of it."""

    sale: KnownSale


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed."""


LinkEvent = (
    MemberScanned
    | ControlScanned
    | PointChosen
    | LinkRequested
    | NozzleLifted
    | FlowSeen
    | HungZero
    | SaleBooked
    | SaleStateChanged
    | CorrectionRequested
    | ClaimRequested
    | ReleaseRequested
    | SaleRecalled
    | Ticked
)


@dataclass(frozen=True, slots=True)
class LinkSale:
    """Store a link. Where ``corrects`` is set it follows a CorrectLink, whose journal record covers both."""

    sale: str
    member: str
    level: AuthLevel
    by: str
    delay_s: int
    scan_id: str
    code: str | None
    number: int
    corrects: int | None = None
    clock_suspect: bool = False
    late: bool = False
    after_lock: bool = False


@dataclass(frozen=True, slots=True)
class CorrectLink:
    """Make the active link inactive and reverse its points; ``new_member`` None removes it.

    ``level``, ``clock_suspect``: how the new member was identified.
    """

    sale: str
    old_member: str
    new_member: str | None
    corrects: int
    by: str
    role: Role
    reason: str
    delay_s: int
    level: AuthLevel | None = None
    clock_suspect: bool = False


@dataclass(frozen=True, slots=True)
class PendingSaved:
    """Store or update a pending link."""

    pending: Pending


@dataclass(frozen=True, slots=True)
class PendingEnded:
    """A pending link is over. ``hint``: a sale on the unpaid list that may be the one it waited for."""

    id: str
    how: End
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimSaved:
    """Store or renew a claim."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class ClaimEnded:
    """Nobody has this sale any more."""

    sale: str


@dataclass(frozen=True, slots=True)
class SpendCode:
    """Mark a one-time code as spent, in the same commit."""

    code: str
    scan_id: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Something a person did that must be on record."""

    who: str
    role: Role
    action: str
    object: str
    reason: str
    result: str


LinkEffect = LinkSale | CorrectLink | PendingSaved | PendingEnded | ClaimSaved | ClaimEnded | SpendCode | Audit | Answer


@dataclass(frozen=True, slots=True)
class LinkDesk:
    """Everything linking knows. ``seen`` is the last instant it was stepped at, ``boot`` the boot its times belong to.

    Mappings are replaced, never changed: a desk that was handed out stays as it was.
    """

    readers: Mapping[str, Reader]
    windows: Windows
    boot: str
    seen: Now
    pending: Mapping[str, Pending] = field(default_factory=dict)
    live: Mapping[int, Live] = field(default_factory=dict)
    sales: Mapping[str, KnownSale] = field(default_factory=dict)
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    recent: Mapping[str, Recent] = field(default_factory=dict)
    ended: tuple[Ended, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)


def open_desk(readers: tuple[Reader, ...], windows: Windows, boot: str, now: Now) -> LinkDesk:
    """Return an empty desk; every reader id must be unique."""
    assert len({reader.id for reader in readers}) == len(readers)
    return LinkDesk({reader.id: reader for reader in readers}, windows, boot, now)
