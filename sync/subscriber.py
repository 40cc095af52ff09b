"""The down side of a group at a station: heads, member changes, buckets and documents; asks for what is missing.

Sans-IO: time, ids and randomness come in, requests to publish and events come out. Bounded: at most MAX_OUTSTANDING
requests, each repeated with its own req_id until it is answered. Knows no MQTT and no database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from sync.delivery import JITTER
from sync.filling import Filling, MemberCache
from sync.group import (
    BucketPart,
    DocumentRef,
    HeadClaims,
    ManifestTold,
    MembersAnswer,
    MembersDelta,
    read_document,
)
from sync.messages import MessageError
from sync.notices import Req, Res
from sync.ports import DocumentArrived, HeadSeen, LinkEvent, ManifestArrived, MembersFar, MembersPage, SyncTrouble
from sync.signing import PinnedKeys, SignatureRefused, open_signed

MAX_OUTSTANDING = 6  # pages, a bucket, the manifest's name, and documents; a head names three
MEMBERS, BUCKET, MANIFEST = "members", "bucket", "manifest"
RETRY_S = 10.0  # first repeat of an unanswered request, doubling ...
MAX_RETRY_S = 300.0  # ... to here
REFUSED_PAUSE_S = 300.0  # a refused request is asked again, with a new id, no sooner
ASKED_AGAIN_S = 60.0  # a manifest that the cache still waits for
MANIFEST_S = 5.0  # a manifest that head office is still making
LOOK_S = 1.0  # how often it is looked what the cache has and wants
MAX_REMEMBERED_PAUSES = 64  # refused wishes remembered at once; the oldest is forgotten first

FeedOutput = Req | LinkEvent


@dataclass(slots=True)
class _Wish:
    """One outstanding request: ``name`` is what it is for, ``ref`` the document, None for what is about members."""

    req: Req
    name: str
    ref: DocumentRef | None
    retry_s: float
    due: float


class GroupFeed:
    """What one station knows of its group. ``have_op``: the member cache's op; ``seen``: newest head accepted before.

    ``has_document(kind, digest)`` tells what is stored; ``new_id()`` gives request ids that are unique for ever;
    ``cache``: what is missing of the members, ``None`` where only pages are followed.
    """

    def __init__(
        self,
        *,
        group: str,
        pinned: PinnedKeys,
        have_op: int,
        has_document: Callable[[str, bytes], bool],
        new_id: Callable[[], str],
        rng: Random,
        seen: HeadClaims | None = None,
        cache: MemberCache | None = None,
    ) -> None:
        """See the class."""
        self._group = group
        self._pinned = pinned
        self._have_op = have_op
        self._has_document = has_document
        self._new_id = new_id
        self._rng = rng
        self._seen = seen
        self._wishes: dict[str, _Wish] = {}
        self._paused: dict[str, float] = {}
        self._want_op = have_op if seen is None else max(have_op, seen.member_op)
        self._want_at_ask = 0
        self._stored: set[str] = set()
        self._connected = False
        self._cache = cache
        self._filling = None if cache is None else Filling(cache)
        self._vouched: bytes | None = None
        self._look_at = 0.0

    @property
    def have_op(self) -> int:
        """The op of the newest member change delivered."""
        return self._have_op

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do; None if nothing is outstanding."""
        if not self._connected:
            return None
        return min((wish.due for wish in self._wishes.values()), default=min(self._paused.values(), default=None))

    def connected(self, now: float) -> list[FeedOutput]:
        """A new connection: repeat what is outstanding at once and ask for what the newest head wants."""
        self._connected = True
        for wish in self._wishes.values():
            wish.retry_s = RETRY_S
            wish.due = now
        return self.tick(now)

    def disconnected(self) -> None:
        """Nothing can be asked until the next connection."""
        self._connected = False

    def tick(self, now: float) -> list[FeedOutput]:
        """Repeat overdue requests and ask for what is missing."""
        if not self._connected:
            return []
        outputs: list[FeedOutput] = []
        self._paused = {name: until for name, until in self._paused.items() if now < until}
        for wish in self._wishes.values():
            if now >= wish.due:
                wish.due = now + wish.retry_s * (1 + JITTER * self._rng.random())
                wish.retry_s = min(wish.retry_s * 2, MAX_RETRY_S)
                outputs.append(wish.req)
        self._look(now)
        return outputs + self._ask_missing(now)

    def stored(self) -> None:
        """Something was stored: a bucket that waited for it may be asked for."""
        self._look_at = 0.0
        if self._filling is not None:
            self._filling.look()

    def delta(self, now: float, delta: MembersDelta) -> list[FeedOutput]:
        """Member changes were told to the group: apply what follows on, ask for pages over a gap (W-40)."""
        if delta.ops:
            self._want_op = max(self._want_op, delta.ops[-1]["op"])
        return self._take(delta) + self._ask_missing(now)

    def head(self, now: float, jws: str, now_ms: int | None) -> list[FeedOutput]:
        """A signed head came in (W-42). ``now_ms``: Unix time, None while the clock is unknown."""
        try:
            head = HeadClaims.from_claims(open_signed(jws, self._pinned, now_ms))
        except SignatureRefused as error:
            return [HeadSeen(None, error.reason, jws)]
        except MessageError:
            return [HeadSeen(None, "malformed", jws)]
        if head.group != self._group:
            return [HeadSeen(None, "wrong_group", jws)]
        if head.goes_back(self._seen):
            return [HeadSeen(None, "version_back", jws)]
        if head == self._seen:
            return self._ask_missing(now)
        self._seen = head
        self._stored.clear()
        self._want_op = max(self._want_op, head.member_op)
        return [HeadSeen(head, None, jws), *self._ask_missing(now)]

    def answer(self, now: float, res: Res) -> list[FeedOutput]:
        """An answer to one of our requests; others, and second answers, are ignored."""
        wish = next((one for one in self._wishes.values() if one.req.req_id == res.req_id), None)
        if wish is None:
            return []
        del self._wishes[wish.name]
        if res.status != "ok":
            self._failed(now, wish.name)
            kind = "members_refused" if wish.ref is None else "document_refused"
            return [SyncTrouble(kind, {"reason": res.reason or res.status, "what": wish.name})]
        try:
            outputs = self._read(now, wish, res.body)
        except MessageError as error:
            self._failed(now, wish.name)
            return [SyncTrouble("bad_answer", {"what": wish.name, "detail": str(error)})]
        return outputs + self._ask_missing(now)

    def _failed(self, now: float, name: str) -> None:
        self._pause(now, name)
        if name == BUCKET and self._filling is not None:
            self._filling.give_up()

    def _read(self, now: float, wish: _Wish, body: Mapping[str, object]) -> list[FeedOutput]:
        if wish.ref is not None:
            return self._document(now, wish.name, wish.ref, body)
        if wish.name == MANIFEST:
            self._vouched = ManifestTold.from_body(body).hash
            self._pause(now, MANIFEST, MANIFEST_S if self._vouched is None else ASKED_AGAIN_S)
            return []
        if wish.name == BUCKET:
            assert self._filling is not None, "only then it was asked for"
            whole = self._filling.took(now, BucketPart.from_body(body))
            return [] if whole is None else [whole]
        return self._members(now, body)

    def _members(self, now: float, body: Mapping[str, object]) -> list[FeedOutput]:
        page = MembersAnswer.from_body(body)
        if page.ops:
            self._want_op = max(self._want_op, page.ops[-1]["op"] + (1 if page.more else 0))
        before = self._have_op
        outputs = self._take(page)
        if page.far and self._cache is not None:
            self._pause(now, MEMBERS)
            return [*outputs, MembersFar()]
        if self._have_op == before:
            self._pause(now, MEMBERS)
        if not page.more and page.from_op <= self._have_op and self._want_op == self._want_at_ask:
            self._want_op = self._have_op  # the newest op may belong to another group: nothing is missing
        return outputs

    def _document(self, now: float, name: str, ref: DocumentRef, body: Mapping[str, object]) -> list[FeedOutput]:
        content = read_document(body, ref.hash)
        self._pause(now, name)  # time for the pipeline to store it; asked again only if it did not
        if name.startswith(f"{MANIFEST}:"):
            self._vouched = None
            return [ManifestArrived(ref.hash, content)]
        return [DocumentArrived(name.partition(":")[0], ref.version, ref.hash, content)]

    def _take(self, told: MembersDelta | MembersAnswer) -> list[FeedOutput]:
        if told.from_op > self._have_op:
            return []
        news = tuple(op for op in told.ops if _op_of(op) > self._have_op)
        if not news:
            return []
        page = MembersPage(self._have_op, news, told.index_versions)
        self._have_op = _op_of(news[-1])
        return [page]

    def _ask_missing(self, now: float) -> list[FeedOutput]:
        if not self._connected:
            return []
        outputs: list[FeedOutput] = []
        if self._want_op > self._have_op and self._may_ask(MEMBERS):
            self._want_at_ask = self._want_op
            outputs.append(self._ask(now, MEMBERS, self._req({"have_op": self._have_op}), None))
        if self._wants_manifest() and self._may_ask(MANIFEST):
            outputs.append(self._ask(now, MANIFEST, self._req({"have_op": self._have_op, "manifest": True}), None))
        part = self._filling.next_part(now) if self._filling is not None and self._may_ask(BUCKET) else None
        if part is not None:
            outputs.append(self._ask(now, BUCKET, self._req({"bucket": part[0], "part": part[1]}), None))
        for kind, ref in self._documents():
            name = f"{kind}:{ref.hash.hex()}"
            if name in self._stored or not self._may_ask(name):
                continue
            if self._has_document(kind, ref.hash):
                self._stored.add(name)
                continue
            body = {"hash": ref.hash.hex(), "kind": kind}
            outputs.append(self._ask(now, name, Req(self._new_id(), "document", body), ref))
        return outputs

    def _look(self, now: float) -> None:
        """See what the cache has by now: it may have gone on by a manifest, to where only pages are missing."""
        if self._cache is None or now < self._look_at:
            return
        self._look_at = now + LOOK_S
        stored = self._cache.member_op()
        if stored > self._have_op:
            self._have_op = stored
            self._want_op = max(self._want_op, stored)
            self._paused.pop(MEMBERS, None)

    def _wants_manifest(self) -> bool:
        return self._cache is not None and self._vouched is None and self._cache.manifest_wanted()

    def _documents(self) -> list[tuple[str, DocumentRef]]:
        """Return (kind, reference) of what the head vouches for and this station wants."""
        if self._seen is None:
            return []
        found = list(self._seen.documents())
        manifest = self._seen.manifest_hash
        if manifest is not None and manifest == self._vouched:
            found.append((MANIFEST, DocumentRef(1, manifest)))
        return found

    def _req(self, body: Mapping[str, object]) -> Req:
        return Req(self._new_id(), MEMBERS, body)

    def _may_ask(self, name: str) -> bool:
        return name not in self._wishes and name not in self._paused and len(self._wishes) < MAX_OUTSTANDING

    def _ask(self, now: float, name: str, req: Req, ref: DocumentRef | None) -> Req:
        due = now + RETRY_S * (1 + JITTER * self._rng.random())
        self._wishes[name] = _Wish(req, name, ref, 2 * RETRY_S, due)
        return req

    def _pause(self, now: float, name: str, pause_s: float = REFUSED_PAUSE_S) -> None:
        self._paused[name] = now + pause_s
        while len(self._paused) > MAX_REMEMBERED_PAUSES:
            del self._paused[next(iter(self._paused))]


def _op_of(op: Mapping[str, object]) -> int:
    number = op["op"]
    assert isinstance(number, int), "checked when the message was read"
    return number
