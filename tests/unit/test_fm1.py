"""FM1 member codes: the vectors, every boundary of time, and every way in which a token must be refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.domain.codes import base45, fm1, token
from agent.domain.codes.fm1 import Instant, Outcome, Trust
from agent.domain.codes.keyset import EMPTY, KeySetError, check_successor, parse
from agent.domain.identity import Kind, classify, clean

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "member_code.json").read_text("utf-8"))
DOCUMENT: dict[str, Any] = {
    "type": "fc.keyset.v1",
    "version": 17,
    "keys": [{name: key[name] for name in key if name != "test_seed"} for key in VECTORS["key_set"]],
    "revoked_cards": VECTORS["revoked_printed"],
}
KEYS = parse(DOCUMENT, testing=True)
NOW_S = 1_795_305_600
SEEDS = {bytes.fromhex(key["kid"]): bytes.fromhex(key["test_seed"]) for key in VECTORS["key_set"]}
CLAIMS = token.Claims(token.EDDSA, b"\x01", 0x001620C519E2A71A, NOW_S + 120, bytes.fromhex("A1B2C3D4"))
PRINTED = replace(CLAIMS, kid=b"\x02", exp_s=1_881_705_600, cti=b"\x00\x00\x00\x01")
CODES = [code for code in VECTORS["codes"] if code["text"].startswith("FM1:")]
OTHER_CODES = [code for code in VECTORS["codes"] if code not in CODES]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 as the station checks it."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def sign(claims: token.Claims, seed: bytes | None = None) -> str:
    """The text of a code, signed with the key it names."""
    key = Ed25519PrivateKey.from_private_bytes(SEEDS[claims.kid] if seed is None else seed)
    return fm1.issue(claims, key.sign)


def outcome(claims: token.Claims, now_s: int = NOW_S, trust: Trust = Trust.NORMAL) -> Outcome:
    """What a well signed code comes to."""
    return fm1.check(sign(claims), KEYS, Instant(now_s, trust), verify).outcome


@pytest.mark.parametrize("vector", VECTORS["base45"], ids=lambda vector: vector["name"])
def test_base45_as_published(vector: dict[str, str]) -> None:
    """Both directions give the published values."""
    assert base45.encode(bytes.fromhex(vector["bytes"])) == vector["text"]
    assert base45.decode(vector["text"]) == bytes.fromhex(vector["bytes"])


@pytest.mark.parametrize("vector", VECTORS["base45_invalid"], ids=lambda vector: vector["name"])
def test_base45_refuses_what_no_bytes_give(vector: dict[str, str]) -> None:
    """A text outside the format is an error, not some bytes."""
    with pytest.raises(base45.Base45Error):
        base45.decode(vector["text"])


@pytest.mark.parametrize("vector", CODES, ids=lambda vector: vector["name"])
def test_a_code_comes_to_the_outcome_of_its_vector(vector: dict[str, Any]) -> None:
    """Outcome, claims, level and the mark of a doubtful clock."""
    cleaned = clean(vector["text"])
    assert cleaned is not None
    clock = vector.get("clock", {"quality": "ntp"})
    trust = {"ntp": Trust.NORMAL, "rtc": Trust.STALE}[clock["quality"]]
    checked = fm1.check(cleaned[0], KEYS, Instant(vector["now"], trust), verify)
    wanted = vector["expect"]
    assert checked.outcome == wanted["outcome"]
    if "sub" in wanted:
        assert checked.claims is not None
        assert checked.claims.replay_key == tuple(wanted[name].lower() for name in ("kid", "sub", "cti"))
        assert (checked.claims.exp_s, checked.purpose) == (wanted["exp"], wanted["purpose"])
    assert checked.level == wanted.get("auth_level")
    assert checked.clock_suspect == wanted.get("clock_suspect", False)


def test_the_golden_code_is_made_byte_for_byte() -> None:
    """Signature, bytes and text of the reference vector."""
    golden = CODES[0]
    assert CLAIMS.signed().hex().upper() == golden["parts"]["sig_structure"]
    assert sign(CLAIMS) == golden["text"]
    assert token.decode(bytes.fromhex(golden["bytes"])).claims == CLAIMS


@pytest.mark.parametrize(("trust", "last_s"), [(Trust.NORMAL, 59), (Trust.STALE, 299), (Trust.FLOOR, 59)], ids=str)
def test_a_code_ends_after_its_leeway(trust: Trust, last_s: int) -> None:
    """The last second is good, the next one is not, whatever the clock is worth."""
    assert outcome(CLAIMS, CLAIMS.exp_s + last_s, trust) is Outcome.ACCEPTED
    assert outcome(CLAIMS, CLAIMS.exp_s + last_s + 1, trust) is Outcome.EXPIRED


def test_a_code_may_not_live_longer_than_its_purpose_allows() -> None:
    """A phone code ends at most 120 s and the leeway from now; a clock that is only a lower bound cannot tell."""
    longest = replace(CLAIMS, exp_s=NOW_S + 180)
    too_long = replace(CLAIMS, exp_s=NOW_S + 181)
    assert outcome(longest) is Outcome.ACCEPTED
    assert outcome(too_long) is Outcome.TTL_TOO_LONG
    assert outcome(too_long, trust=Trust.STALE) is Outcome.ACCEPTED
    assert outcome(replace(CLAIMS, exp_s=NOW_S + 420), trust=Trust.STALE) is Outcome.ACCEPTED
    assert outcome(replace(CLAIMS, exp_s=NOW_S + 421), trust=Trust.STALE) is Outcome.TTL_TOO_LONG
    assert outcome(replace(CLAIMS, exp_s=NOW_S + 10_000), trust=Trust.FLOOR) is Outcome.ACCEPTED
    assert outcome(replace(PRINTED, exp_s=NOW_S + 94_694_460)) is Outcome.ACCEPTED
    assert outcome(replace(PRINTED, exp_s=NOW_S + 94_694_461)) is Outcome.TTL_TOO_LONG


def test_a_key_holds_between_its_dates() -> None:
    """One second outside the dates with their leeway, or a revocation, and no code of the key is believed."""
    key = KEYS.keys[b"\x01"]
    first, last = key.not_before_s - 60, key.not_after_s + 59
    assert outcome(replace(CLAIMS, exp_s=first + 100), first) is Outcome.ACCEPTED
    assert outcome(replace(CLAIMS, exp_s=first + 100), first - 1) is Outcome.KEY_NOT_VALID
    assert outcome(replace(CLAIMS, exp_s=first + 100), first - 1, Trust.FLOOR) is Outcome.ACCEPTED
    assert outcome(replace(CLAIMS, exp_s=last + 100), last) is Outcome.ACCEPTED
    assert outcome(replace(CLAIMS, exp_s=last + 100), last + 1) is Outcome.KEY_NOT_VALID
    revoked = {**DOCUMENT, "keys": [{**DOCUMENT["keys"][0], "status": "revoked"}]}
    checked = fm1.check(sign(CLAIMS), parse(revoked, testing=True), Instant(NOW_S), verify)
    assert (checked.outcome, checked.level) == (Outcome.KEY_NOT_VALID, None)


def test_a_key_that_is_not_here_is_no_forgery() -> None:
    """Before the first key set, or before a rotation has arrived, the answer is that it cannot be checked yet."""
    checked = fm1.check(sign(CLAIMS), EMPTY, Instant(NOW_S), verify)
    assert (checked.outcome, checked.claims, checked.purpose) == (Outcome.UNKNOWN_KEY, CLAIMS, None)


def test_a_foreign_signature_and_a_foreign_algorithm_are_refused() -> None:
    """Signed by somebody else, or naming another algorithm than the key's."""
    assert fm1.check(sign(CLAIMS, bytes(32)), KEYS, Instant(NOW_S), verify).outcome is Outcome.BAD_SIGNATURE
    assert outcome(replace(CLAIMS, alg=-7)) is Outcome.MALFORMED


def test_a_withdrawn_card_is_refused_and_its_neighbour_is_not() -> None:
    """Only printed cards are withdrawn, each by key and serial."""
    assert outcome(replace(PRINTED, cti=bytes.fromhex("0000BEEF"))) is Outcome.REVOKED
    assert outcome(replace(PRINTED, cti=bytes.fromhex("0000BEEE"))) is Outcome.ACCEPTED
    assert outcome(replace(CLAIMS, cti=bytes.fromhex("0000BEEF"))) is Outcome.ACCEPTED


@pytest.mark.parametrize("tags", [(18,), (61, 18)], ids=str)
def test_permitted_tags_change_no_claim(tags: tuple[int, ...]) -> None:
    """Both tagged forms of common libraries are the same code, with the same replay key."""
    signature = token.decode(bytes.fromhex(CODES[0]["bytes"])).signature
    text = fm1.PREFIX + base45.encode(CLAIMS.token(signature, tags))
    checked = fm1.check(text, KEYS, Instant(NOW_S), verify)
    assert checked.claims is not None
    assert (checked.outcome, checked.claims.replay_key) == (Outcome.ACCEPTED, CLAIMS.replay_key)


@pytest.mark.parametrize("tags", [(61,), (18, 61), (18, 18), (61, 18, 18), (17,)], ids=str)
def test_other_tags_are_refused(tags: tuple[int, ...]) -> None:
    """Tags are not signed, so only three forms exist."""
    with pytest.raises(token.TokenError):
        token.decode(CLAIMS.token(bytes(64), tags))


@pytest.mark.parametrize(
    "change",
    [
        {"member": 0},
        {"member": 2**63},
        {"exp_s": 0},
        {"exp_s": 2**32},
        {"kid": b""},
        {"kid": bytes(9)},
        {"cti": bytes(3)},
        {"cti": bytes(9)},
    ],
    ids=str,
)
def test_claims_outside_the_format_are_refused(change: dict[str, Any]) -> None:
    """No id of zero, no negative SQLite integer, no serial that could be guessed."""
    with pytest.raises(token.TokenError):
        replace(CLAIMS, **change)


@pytest.mark.parametrize("escape", ["\\\\", "\\000026", "]Q2\\000026"])
def test_a_text_with_the_escapes_of_an_eci_scanner_is_no_member_code(escape: str) -> None:
    """A code is pure alphanumeric mode: with a backslash before or in it, it is refused, whatever else it says."""
    text = sign(CLAIMS)
    assert classify(escape + text).kind is Kind.NOT_A_MEMBER_CODE
    inside = classify(text[:20] + escape + text[20:])
    assert inside.value is not None
    assert fm1.check(inside.value, KEYS, Instant(NOW_S), verify).outcome is Outcome.MALFORMED


def test_every_flipped_bit_is_refused_or_says_the_same() -> None:
    """Of all single-bit changes of three codes none is accepted with other claims or another replay key."""
    for claims in (CLAIMS, PRINTED):
        data = base45.decode(sign(claims).removeprefix(fm1.PREFIX))
        for place in range(len(data) * 8):
            changed = bytearray(data)
            changed[place // 8] ^= 1 << place % 8
            checked = fm1.check(fm1.PREFIX + base45.encode(bytes(changed)), KEYS, Instant(NOW_S), verify)
            assert checked.outcome is not Outcome.ACCEPTED or checked.claims == claims


def test_every_cut_and_every_addition_is_refused() -> None:
    """A token ends where it ends."""
    data = base45.decode(sign(CLAIMS).removeprefix(fm1.PREFIX))
    for size in range(len(data)):
        with pytest.raises(token.TokenError):
            token.decode(data[:size])
    for more in (b"\x00", data):
        with pytest.raises(token.TokenError):
            token.decode(data + more)


@pytest.mark.parametrize("vector", OTHER_CODES, ids=lambda vector: vector["name"])
def test_what_is_no_fm1_text_never_reads_as_one(vector: dict[str, Any]) -> None:
    """Handed in all the same, other texts are malformed."""
    assert fm1.check(vector["text"], KEYS, Instant(NOW_S), verify).outcome is Outcome.MALFORMED


def test_published_test_keys_are_refused_outside_tests() -> None:
    """Their seeds are printed for everybody to read."""
    with pytest.raises(KeySetError, match="published test vectors"):
        parse(DOCUMENT)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "fc.keyset.v2"}, "type is"),
        ({"version": True}, "version is no integer"),
        ({"note": "x"}, "unknown members note"),
        ({"keys": {}}, "keys is no list"),
        ({"keys": [DOCUMENT["keys"][0]] * 2}, "given twice"),
        ({"keys": [{**DOCUMENT["keys"][0], "alg": -19}]}, "needs an update"),
        ({"keys": [{**DOCUMENT["keys"][0], "public": "00"}]}, "public is no hexadecimal text of 32 to 32 bytes"),
        ({"keys": [{**DOCUMENT["keys"][0], "purpose": "any"}]}, "any"),
        ({"keys": [{**DOCUMENT["keys"][0], "not_after": 1}]}, "not_after is not behind"),
        ({"keys": [{**DOCUMENT["keys"][0], "extra": 1}]}, "unknown members extra"),
        ({"keys": [7]}, "is no object"),
        ({"revoked_cards": [{"kid": "02"}]}, "no object of kid and cti"),
        ({"revoked_cards": [{"kid": "02", "cti": "BEEF"}]}, "cti is no hexadecimal text of 4 to 8 bytes"),
    ],
    ids=str,
)
def test_a_damaged_key_set_is_refused_whole(change: dict[str, Any], says: str) -> None:
    """Nothing of a set is used that has one entry nobody understands."""
    with pytest.raises(KeySetError, match=says):
        parse({**DOCUMENT, **change}, testing=True)


def test_a_kid_is_never_used_again() -> None:
    """A set that gives a known id another key is refused, and so is an older one."""
    other = {**DOCUMENT, "keys": [{**DOCUMENT["keys"][0], "public": "11" * 32}]}
    with pytest.raises(KeySetError, match="kid 01 names another key"):
        check_successor(KEYS, parse(other, testing=True))
    with pytest.raises(KeySetError, match="version 16 is older than 17"):
        check_successor(KEYS, replace(KEYS, version=16))
    check_successor(KEYS, replace(KEYS, version=18))
    check_successor(EMPTY, KEYS)
