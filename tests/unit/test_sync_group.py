"""The group feed: signed heads, member changes over gaps, documents by hash; and the signatures themselves."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from sync import group as g
from sync.messages import MessageError
from sync.notices import Req, Res
from sync.ports import DocumentArrived, HeadSeen, MembersPage, SyncTrouble
from sync.signing import (
    PinnedKeys,
    SignatureRefused,
    load_private_key,
    new_key,
    open_signed,
    private_jwk,
    public_jwks,
    sign,
)
from sync.subscriber import GroupFeed

KEY = new_key("ho-1")
PINNED = PinnedKeys.from_jwks(public_jwks(KEY))
FROM, UNTIL = "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"
NOW_MS = 1_795_248_000_000
RULES = b'{"offers": []}'


def _op(number: int, **extra: Any) -> dict[str, Any]:
    return {"op": number, "kind": "DEL", "member": "ab", **extra}


def _head(**changes: Any) -> g.HeadClaims:
    rules = g.DocumentRef(3, g.document_hash(RULES), FROM)
    claims = {"group": "east", "version": 5, "member_op": 0, "not_before": FROM, "not_after": UNTIL, "rules": rules}
    return g.HeadClaims(**{**claims, **changes})


def _signed(head: g.HeadClaims) -> str:
    return sign(head.to_claims(), KEY)


class Bench:
    """A connected feed with its own store of documents."""

    def __init__(self, have_op: int = 0, seen: g.HeadClaims | None = None) -> None:
        self.stored: set[tuple[str, bytes]] = set()
        ids: Iterator[int] = count(1)
        self.feed = GroupFeed(
            group="east",
            pinned=PINNED,
            have_op=have_op,
            has_document=lambda kind, digest: (kind, digest) in self.stored,
            new_id=lambda: f"r{next(ids)}",
            rng=Random(3),
            seen=seen,
        )
        self.feed.connected(0)


def test_changes_that_follow_on_are_delivered_once() -> None:
    """A delta from our op is delivered, its overlap and its repeat are not [W-40]."""
    feed = Bench().feed
    assert feed.delta(0, g.MembersDelta(0, (_op(2), _op(5)))) == [MembersPage(0, (_op(2), _op(5)))]
    assert feed.delta(0, g.MembersDelta(0, (_op(2), _op(5)))) == []
    assert feed.delta(0, g.MembersDelta(2, (_op(5), _op(9)))) == [MembersPage(5, (_op(9),))]
    assert feed.have_op == 9


def test_a_gap_is_filled_by_pages() -> None:
    """A delta beyond our op delivers nothing; pages are asked one after the other until no more [W-40]."""
    feed = Bench(have_op=3).feed
    assert feed.delta(0, g.MembersDelta(7, (_op(8),))) == [Req("r1", "members", {"have_op": 3})]
    assert feed.delta(0, g.MembersDelta(8, (_op(9),))) == []
    page = g.MembersAnswer(3, (_op(4), _op(7)), True).to_body()
    assert feed.answer(1, Res("r1", "ok", None, page)) == [
        MembersPage(3, (_op(4), _op(7))),
        Req("r2", "members", {"have_op": 7}),
    ]
    last = g.MembersAnswer(7, (_op(8), _op(9)), False).to_body()
    assert feed.answer(2, Res("r2", "ok", None, last)) == [MembersPage(7, (_op(8), _op(9)))]
    assert feed.answer(3, Res("r2", "ok", None, last)) == []
    assert feed.tick(1_000) == []


def test_an_unanswered_request_is_repeated_under_its_id() -> None:
    """The same req_id is sent again with growing pauses, and at once after a reconnect [W-40]."""
    feed = Bench().feed
    first = feed.delta(0, g.MembersDelta(7, (_op(8),)))
    assert feed.tick(9.9) == []
    assert feed.tick(12.6) == first
    assert feed.tick(32.5) == []
    assert feed.tick(37.7) == first
    feed.disconnected()
    assert feed.tick(1_000) == []
    assert feed.connected(1_001) == first


def test_a_refused_or_broken_answer_is_told_and_waits() -> None:
    """A refusal or nonsense is reported and not asked again for five minutes, then under a new id [W-40]."""
    feed = Bench().feed
    feed.delta(0, g.MembersDelta(7, (_op(8),)))
    trouble = SyncTrouble("members_refused", {"reason": "too_far_behind", "what": "members"})
    assert feed.answer(0, Res("r1", "refused", "too_far_behind", {})) == [trouble]
    assert feed.tick(299) == []
    assert feed.tick(301) == [Req("r2", "members", {"have_op": 0})]
    outputs = feed.answer(302, Res("r2", "ok", None, {"ops": 7}))
    assert [type(output) for output in outputs] == [SyncTrouble]
    assert feed.tick(303) == []


def test_a_good_head_is_told_and_its_documents_are_fetched_by_hash() -> None:
    """A new head leads to a document request; only bytes with the wanted hash are delivered [W-42]."""
    bench = Bench()
    head, jws = _head(), _signed(_head())
    req = Req("r1", "document", {"hash": g.document_hash(RULES).hex(), "kind": "rules"})
    assert bench.feed.head(0, jws, NOW_MS) == [HeadSeen(head, None, jws), req]
    assert bench.feed.head(0, jws, NOW_MS) == []
    forged = {**g.document_body(RULES), "body_base64": base64.b64encode(b"evil").decode()}
    assert isinstance(bench.feed.answer(1, Res("r1", "ok", None, forged))[0], SyncTrouble)
    again = bench.feed.tick(302)
    assert again == [Req("r2", "document", req.body)]
    arrived = DocumentArrived("rules", 3, g.document_hash(RULES), RULES)
    assert bench.feed.answer(303, Res("r2", "ok", None, g.document_body(RULES))) == [arrived]
    bench.stored.add(("rules", arrived.hash))
    assert bench.feed.tick(10_000) == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (_head(version=4), "version_back"),
        (_head(version=6, member_op=-1), "malformed"),
        (_head(version=6, rules=g.DocumentRef(2, bytes(32), FROM)), "version_back"),
        (_head(version=6, rules=g.DocumentRef(3, bytes(32), FROM)), "version_back"),
        (_head(version=5, member_op=9), "version_back"),
        (_head(group="west"), "wrong_group"),
        (_head(not_before=UNTIL), "not_yet_valid"),
        (_head(not_after=FROM), "expired"),
    ],
)
def test_a_head_that_goes_back_or_is_not_ours_is_refused(head: g.HeadClaims, reason: str) -> None:
    """Versions never go back; group and validity must fit; the refusal is told for the audit [W-42]."""
    jws = _signed(head)
    assert Bench(seen=_head()).feed.head(0, jws, NOW_MS) == [HeadSeen(None, reason, jws)]


def test_a_head_with_more_members_leads_to_a_request() -> None:
    """member_op above ours asks for pages; an answer without changes for our group ends it [W-40] [W-42]."""
    bench = Bench(have_op=2, seen=_head(rules=None))
    outputs = bench.feed.head(0, _signed(_head(version=6, member_op=9, rules=None)), NOW_MS)
    assert outputs[1:] == [Req("r1", "members", {"have_op": 2})]
    assert bench.feed.answer(1, Res("r1", "ok", None, g.MembersAnswer(2, (), False).to_body())) == []
    assert bench.feed.tick(10_000) == []


def test_a_signature_is_checked_against_pinned_keys_only() -> None:
    """Another key, another algorithm, a changed text or no validity time: refused with a reason [W-42]."""
    good = _signed(_head())
    assert open_signed(good, PINNED, NOW_MS)["group"] == "east"
    stranger = sign(_head().to_claims(), new_key("ho-2"))
    impostor = sign(_head().to_claims(), new_key("ho-1"))
    header, body, mark = good.split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "ho-1"}).encode()).decode().rstrip("=")
    cases = {
        stranger: "unknown_key",
        impostor: "bad_signature",
        f"{header}.{body[:-4]}AAAA.{mark}": "bad_signature",
        f"{unsigned}.{body}.": "malformed",
        "": "malformed",
        "a.b.c": "malformed",
        "\u00e9": "malformed",
        "x" * 70_000: "malformed",
    }
    for text, reason in cases.items():
        with pytest.raises(SignatureRefused) as caught:
            open_signed(text, PINNED, NOW_MS)
        assert caught.value.reason == reason
    assert open_signed(sign({"not_before": UNTIL, "not_after": UNTIL}, KEY), PINNED, None)["not_before"] == UNTIL


def test_keys_are_read_or_refused_with_a_reason() -> None:
    """A private key survives its file; a wrong kind of key or an empty set is an error that says so [W-42]."""
    again = load_private_key(private_jwk(KEY))
    assert open_signed(sign(_head().to_claims(), again), PINNED, NOW_MS)["version"] == 5
    assert '"d"' not in public_jwks(KEY)
    for bad in ("", "{}", '{"keys": []}', '{"keys": [{"kid": "a", "kty": "EC"}]}', '{"keys": [{"kid": "a"}]}'):
        with pytest.raises(ValueError, match="key"):
            PinnedKeys.from_jwks(bad)
    for bad in ("", "{}", public_jwks(KEY), json.dumps({**KEY.as_dict(private=False)})):
        with pytest.raises(ValueError, match="Ed25519"):
            load_private_key(bad)


def test_pages_hold_at_most_48_kib() -> None:
    """Changes are cut into pages that chain from op to op and stay within 48 KiB [W-40]."""
    ops = [_op(number, tags=["x" * 100] * 20) for number in range(1, 101)]
    cut = list(g.pages(0, ops))
    assert [op for _, page in cut for op in page] == ops
    assert [from_op for from_op, _ in cut] == [0, *(page[-1]["op"] for _, page in cut[:-1])]
    assert len(cut) > 3
    for from_op, page in cut:
        assert len(json.dumps(page, separators=(",", ":"))) <= g.MAX_PAGE_BYTES + 1
        assert g.MembersDelta.from_data(g.MembersDelta(from_op, page).to_data()).ops == page


@pytest.mark.parametrize(
    "op",
    [
        _op(0),
        _op(1, kind="DROP"),
        _op(1, member="not hex"),
        _op(1, kind="ALIAS"),
        _op(1, kind="PUT", indexes=[], tier="gold", tags=[]),
        _op(1, lots=[{"points": 1.5, "usable_from": None, "expires_on": None}]),
    ],
)
def test_a_malformed_change_is_refused(op: dict[str, Any]) -> None:
    """A change that lacks what its kind needs makes the whole message an error [W-40]."""
    assert g.op_defect(op) is not None
    with pytest.raises(MessageError):
        g.MembersDelta.from_data({"from_op": 0, "ops": [op]})


def test_changes_out_of_order_are_refused() -> None:
    """The ops rise strictly from from_op, or nothing is taken [W-40]."""
    for from_op, ops in ((0, [_op(2), _op(2)]), (5, [_op(5)]), (0, [_op(3), _op(1)])):
        with pytest.raises(MessageError, match="rising"):
            g.MembersDelta.from_data({"from_op": from_op, "ops": ops})
