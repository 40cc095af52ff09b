"""Redaction: keys, patterns, nesting, and that no piece of a secret is left."""

import json
from pathlib import Path

import pytest

from agent.domain.redaction import DENIED_KEYS, redact, redact_mapping

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "member_code.json").read_text(encoding="utf-8"))
TOKENS = [code["text"] for code in VECTORS["codes"] if code["text"].startswith("FM1:") and len(code["text"]) > 20]
GOLDEN = TOKENS[0]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("scan FM1:MWG  A B", "scan FM1:[redacted]"),
        ("scan fm2:abc\nmore", "scan FM2:[redacted]"),
        ("call 13812345678 now", "call 138****5678 now"),
        ("+8613812345678", "138****5678"),
        ("+86 138 1234 5678.", "138****5678."),
        ("013812345678", "138****5678"),
        ("138-1234-5678", "138****5678"),
        ("138.1234.5678", "138****5678"),
        ("(138) 1234-5678", "(138****5678"),
        ("0086-13812345678", "138****5678"),
        ("socket://192.168.10.200:10001", "socket://192.168.10.200:10001"),
        ("１３８１２３４５６７８", "１３８****５６７８"),
        ("at 1795305600000 ms", "at 1795305600000 ms"),
        ("113812345678", "113812345678"),
        ("pay 134651829037465120!", "pay [digits:18]!"),
        ("1" * 40, "1111.."),
        ("14 digits 12345678901234", "14 digits [digits:14]"),
        ("13 digits 1234567890123", "13 digits 1234567890123"),
        (
            "https://x.cn/t?picc=" + "AB" * 16 + "&cmac=" + "CD" * 8 + " end",
            "https://x.cn/t?[redacted] end",
        ),
        ("https://x.cn/t?page=2", "https://x.cn/t?page=2"),
        ("key " + "0a" * 16, "key 0a0a.."),
        ("uuid 0123456789abcdef", "uuid 0123456789abcdef"),
        ("a -----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY----- b", "a [pem] b"),
        ("a -----BEGIN PRIVATE KEY-----\nMC4C", "a [pem]"),
        ("plate 粤B12345 seen", "plate 粤B***45 seen"),
        ("新能源 沪A·D12345", "新能源 沪A***45"),
        ("chip 04DE5F1EACC040 there", "chip ..C040 there"),
        ("nothing to hide: 38.217 L", "nothing to hide: 38.217 L"),
    ],
)
def test_patterns(given, shown):
    """Each pattern of the table, and what must not be touched."""
    assert redact(given) == shown


def test_denied_keys_drop_their_values_at_any_depth():
    """A value under a denied key goes whatever its type, in upper case and nested too."""
    given = {
        "event": "scan",
        "Text": "harmless",
        "k_idx": b"1234",
        "data": {"pin": 1234, "list": [{"token": "x"}, "13812345678"]},
        "code": None,
    }
    assert redact_mapping(given) == {
        "event": "scan",
        "Text": "[redacted]",
        "k_idx": "[redacted]",
        "data": {"pin": "[redacted]", "list": [{"token": "[redacted]"}, "138****5678"]},
        "code": None,
    }
    assert given["data"] == {"pin": 1234, "list": [{"token": "x"}, "13812345678"]}


def test_a_key_with_a_denied_word_in_it_is_denied():
    """A careless name for a number hides it all the same; names of numbers that are no secret stay readable."""
    assert redact_mapping({"customer_phone": "x", "auth_token": "x", "exit_code": 3, "thread_name": "t"}) == {
        "customer_phone": "[redacted]",
        "auth_token": "[redacted]",
        "exit_code": 3,
        "thread_name": "t",
    }


def test_integers_pass_by_key_and_are_masked_elsewhere():
    """Totals keep their value; a phone as an integer does not slip through."""
    passed = {"volume_ml": 13_812_345_678, "amount_minor": 1, "seq": 2, "totalizer_ml": 12_345_678_901_234}
    assert redact_mapping(passed) == passed
    assert redact_mapping({"n": 13_812_345_678, "small": 7, "flag": True, "share": 0.5}) == {
        "n": "138****5678",
        "small": 7,
        "flag": True,
        "share": 0.5,
    }


def test_hashes_pass_under_their_keys_only():
    """Long hex is kept where it is the point, and only if it is nothing but hex."""
    long_hex = "ab" * 32
    assert redact_mapping({"hash": long_hex, "head_hash": long_hex, "other": long_hex}) == {
        "hash": long_hex,
        "head_hash": long_hex,
        "other": "abab..",
    }
    assert redact_mapping({"hash": "FM1:secret"}) == {"hash": "FM1:[redacted]"}


def test_member_ids_are_shortened_and_bytes_never_shown():
    """An opaque id keeps four digits; bytes are only counted."""
    assert redact_mapping({"member": "001620c519e2a71a", "blob": b"secret"}) == {
        "member": "0016..",
        "blob": "[bytes:6]",
    }


def test_depth_is_bounded():
    """A value nested without end is hidden instead of followed."""
    value: dict[str, object] = {"leaf": "x"}
    for _ in range(50):
        value = {"deeper": value}
    assert "leaf" not in json.dumps(redact_mapping(value))


@pytest.mark.parametrize("token", TOKENS)
def test_no_piece_of_a_token_is_left(token):
    """No 6-character piece of any vector token survives, whatever stands around it."""
    shown = redact(f"reader R1 sent ]Q1{token} twice") + str(redact_mapping({"error": [f"x {token}"]}))
    body = token[4:]
    assert not [body[i : i + 6] for i in range(len(body) - 5) if body[i : i + 6] in shown]


def test_every_listed_key_is_denied():
    """The list of keys is complete."""
    assert {"text", "token", "phone", "name", "plate", "uid", "pin", "cookie", "url", "cmac"} <= DENIED_KEYS
    assert len(DENIED_KEYS) == 24
