"""SUN messages: the vectors with all their intermediate values, strict text, and every way to be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from agent.domain.codes import ndef, sun
from agent.domain.codes.sun import CardKey, Outcome, Profile, Scheme

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "nfc_sun.json").read_text("utf-8"))
SUN = {vector["name"]: vector for vector in VECTORS["sun"]}
TAP = SUN["diversified-next-tap"]
UID = bytes.fromhex("04782E21801D80")
KEY = bytes.fromhex("A8DD63A3B89D54B37CA802473FDA9175")


class TestAes:
    """AES by the library that the station uses."""

    __test__ = False

    def cbc_decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """See Aes."""
        machine = Cipher(algorithms.AES128(key), modes.CBC(iv)).decryptor()
        return machine.update(data) + machine.finalize()

    def ecb_encrypt(self, key: bytes, block: bytes) -> bytes:
        """See Aes."""
        machine = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
        return machine.update(block) + machine.finalize()

    def cmac(self, key: bytes, message: bytes) -> bytes:
        """See Aes."""
        machine = CMAC(algorithms.AES128(key))
        machine.update(message)
        return machine.finalize()


AES = TestAes()


def checked(
    vector: dict[str, Any], text: str | None = None, refused: frozenset[bytes] = sun.KNOWN_TO_ALL, **card: Any
) -> sun.Checked:
    """What a vector's tap comes to."""
    keys = {uid: bytes.fromhex(key) for uid, key in vector["k_file_read"].items()}

    def card_of(uid: str) -> CardKey | None:
        return CardKey(keys[uid], vector.get("last_counter"), **card) if uid in keys else None

    return sun.check(
        vector["text"] if text is None else text,
        bytes.fromhex(vector["rf_uid"]) if "rf_uid" in vector else None,
        Scheme(Profile(**vector["profile"]), bytes.fromhex(vector["k_meta_read"]), refused),
        card_of,
        AES,
    )


@pytest.mark.parametrize("vector", VECTORS["sun"], ids=lambda vector: vector["name"])
def test_a_tap_comes_to_the_outcome_of_its_vector(vector: dict[str, Any]) -> None:
    """Outcome, uid, counters and file data; the published key of zeros is let through for this test alone."""
    found = checked(vector, refused=frozenset())
    wanted = vector["expect"]
    assert found.outcome == wanted["outcome"]
    assert found.uid == wanted.get("uid")
    assert (found.counter, found.last) == (wanted.get("counter"), wanted.get("last", _last(vector, wanted)))
    assert found.file_data == (bytes.fromhex(wanted["file_data"]) if "file_data" in wanted else None)


def _last(vector: dict[str, Any], wanted: dict[str, Any]) -> int | None:
    return vector.get("last_counter") if wanted["outcome"] == "ACCEPTED" else None


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS["sun"] if "intermediate" in vector], ids=lambda vector: vector["name"]
)
def test_every_step_of_the_arithmetic(vector: dict[str, Any]) -> None:
    """The text under the MAC, what the chip encrypted and the MAC itself are the published ones."""
    message = sun.parts(vector["text"], Profile(**vector["profile"]))
    assert isinstance(message, sun.Message)
    steps = vector["intermediate"]
    assert message.signed.decode() == steps["mac_input"]
    assert sun.read(message, bytes.fromhex(vector["k_meta_read"]), AES) is not None
    plain = AES.cbc_decrypt(bytes.fromhex(vector["k_meta_read"]), bytes(16), message.picc)
    assert plain.hex().upper() == steps["picc_data"]
    key = bytes.fromhex(vector["k_file_read"][vector["expect"]["uid"]])
    assert AES.cmac(key, bytes.fromhex(steps["sv2"])).hex().upper() == steps["k_ses_mac"]
    mac = sun.mac_of(AES, key, plain[1:11], message.signed)
    assert mac == bytes.fromhex(steps["full_cmac"])[1::2] == message.mac


def test_a_counter_mirrored_as_text_and_a_diversified_key() -> None:
    """The plain form's MAC, and head office's way from a master to a card's key."""
    (plain,), (way,) = VECTORS["plain_mirror"], VECTORS["key_diversification"]
    counter = int(plain["counter_text"], 16).to_bytes(3, "little")
    mac = sun.mac_of(AES, bytes.fromhex(plain["k_file_read"]), bytes.fromhex(plain["uid"]) + counter, b"")
    assert mac.hex().upper() == plain["mac"]
    seed = bytes.fromhex(way["m"])
    key = sun.diversified(AES, bytes.fromhex(way["master_key"]), seed[:7], seed[7:10], seed[10:])
    assert key.hex().upper() == way["diversified_key"]
    for size in (15, 32):
        with pytest.raises(ValueError, match="choose 16 to 31"):
            sun.diversified(AES, bytes(16), bytes(7), bytes(3), bytes(size - 10))


def test_keys_that_anybody_knows_are_refused() -> None:
    """A key of zeros, and those that the caller lists, prove nothing."""
    assert checked(SUN["an12196-plain-picc"]).outcome is Outcome.KEY_REFUSED
    found = checked(TAP, refused=frozenset({KEY}))
    assert (found.outcome, found.uid) == (Outcome.KEY_REFUSED, UID.hex().upper())


@pytest.mark.parametrize(
    ("last", "outcome"),
    [(None, Outcome.ACCEPTED), (5, Outcome.ACCEPTED), (6, Outcome.COUNTER_REPLAYED), (7, Outcome.COUNTER_REPLAYED)],
)
def test_a_counter_only_rises(last: int | None, outcome: Outcome) -> None:
    """Counter 6 is good after 5 and never again."""
    assert checked({**TAP, "last_counter": last}).outcome is outcome


def test_a_leap_of_the_counter_is_told() -> None:
    """More than 200 reads between two taps are accepted and told; 200 are not."""
    for counter, told in ((205, False), (206, True)):
        assert sun.Checked(Outcome.ACCEPTED, "04", counter, 5).jumped is told
    assert not sun.Checked(Outcome.COUNTER_REPLAYED, "04", 900, 5).jumped
    assert not checked(TAP).jumped


def test_another_uid_in_the_field_is_a_copy_unless_the_card_is_known_to_hide_it() -> None:
    """A random id is four bytes that begin with 08, and only a card recorded so may show one."""
    for shown, hides, outcome in (
        ("08112233", True, Outcome.ACCEPTED),
        ("08112233", False, Outcome.UID_MISMATCH),
        ("09112233", True, Outcome.UID_MISMATCH),
        ("0811223344", True, Outcome.UID_MISMATCH),
    ):
        assert checked({**TAP, "rf_uid": shown}, random_uid=hides).outcome is outcome
    assert checked({name: TAP[name] for name in TAP if name != "rf_uid"}).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://m.example.cn/n",
        TAP["text"].replace("p=4", "p=04"),
        TAP["text"].replace("p=4959C", "p=4959c"),
        TAP["text"].replace("m=3", "m=03"),
        TAP["text"].replace("m=3", "m=G"),
        TAP["text"] + "&m=3015945E1282B8FD",
        TAP["text"] + "&flag",
        TAP["text"].replace("p=", "q="),
        TAP["text"].replace("p=4", "p=%34"),
        TAP["text"] + "&会=1",
    ],
)
def test_a_text_of_another_form_is_malformed(text: str) -> None:
    """Lower case, wrong lengths, doubled names and escapes are no second way to write a message."""
    assert checked(TAP, text).outcome is Outcome.MALFORMED


def test_the_mac_may_stand_at_the_end_of_the_file_data() -> None:
    """Without a name of its own the last 16 characters are the MAC, and what is before them is under it."""
    vector = SUN["diversified-file-data"]
    picc = vector["text"].partition("p=")[2][:32]
    enc = vector["text"].partition("x=")[2][:32]
    mac = sun.mac_of(AES, KEY, UID + b"\x05\x00\x00", enc.encode()).hex().upper()
    one = {**vector, "text": f"https://m.example.cn/n?p={picc}&x={enc}{mac}", "profile": {"picc": "p", "enc": "x"}}
    assert checked(one).outcome is Outcome.ACCEPTED
    assert checked(one, one["text"][:-1]).outcome is Outcome.MALFORMED
    assert checked(one, f"https://m.example.cn/n?p={picc}&x={mac}").outcome is Outcome.MALFORMED
    assert checked({**one, "profile": {"picc": "p"}}).outcome is Outcome.MALFORMED


def test_every_flipped_bit_of_a_message_is_refused() -> None:
    """No change of a single bit of PICC data or MAC is accepted."""
    start = TAP["text"].index("p=") + 2
    digits = [*range(start, start + 32), *range(len(TAP["text"]) - 16, len(TAP["text"]))]
    for place in digits:
        for bit in range(4):
            changed = f"{int(TAP['text'][place], 16) ^ 1 << bit:X}"
            text = TAP["text"][:place] + changed + TAP["text"][place + 1 :]
            assert checked({**TAP, "last_counter": None}, text).outcome is not Outcome.ACCEPTED


def test_a_key_is_not_in_the_repr() -> None:
    """What is printed by mistake tells no key."""
    assert KEY.hex() not in repr(CardKey(KEY)).lower()
    assert "A8" not in repr(CardKey(KEY))


def test_the_link_of_an_ndef_file() -> None:
    """The published file gives its link, unchanged."""
    (vector,) = VECTORS["ndef"]
    assert ndef.first_uri(ndef.content(bytes.fromhex(vector["bytes"]))) == vector["expect"]["uri"]


def test_links_are_found_behind_other_records() -> None:
    """A text record with an id, then a long link record: the link is given."""
    text = bytes((0x99, 1, 3, 1)) + b"Tx" + b"abc"
    link = bytes((0x41, 1)) + (7).to_bytes(4, "big") + b"U\x03a.cn/x"
    assert ndef.first_uri(text + link) == "http://a.cn/x"
    assert ndef.first_uri(text) is None
    assert ndef.first_uri(b"") is None


@pytest.mark.parametrize(
    "message",
    [
        b"\xd1",
        b"\xd1\x01",
        b"\xd1\x01\x05U\x04abc",
        b"\xc1\x01\x00\x00",
        b"\xd1\x01\x00U",
        b"\xd1\x01\x02U\x63a",
        b"\xd1\x01\x03U\x04\xc3\xa4",
    ],
)
def test_an_ndef_message_that_lies_is_an_error(message: bytes) -> None:
    """Lengths beyond the end, an empty link, unknown prefixes and other characters."""
    with pytest.raises(ndef.NdefError):
        ndef.first_uri(message)


@pytest.mark.parametrize("file", [b"", b"\x00", b"\x00\x05abcd"])
def test_an_ndef_file_shorter_than_it_says_is_an_error(file: bytes) -> None:
    """NLEN beyond the file."""
    with pytest.raises(ndef.NdefError):
        ndef.content(file)
