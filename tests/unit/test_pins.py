"""PINs of staff: the ones that are tried first are refused, and a hash is good for one PIN only."""

from __future__ import annotations

import pytest

from agent.domain import pins

SALT = bytes(range(16))


@pytest.mark.parametrize("pin", ["4711", "20483", "135791357999"])
def test_a_usual_pin_is_taken(pin: str) -> None:
    """Four to twelve digits without a pattern may be used."""
    assert pins.pin_problem(pin) is None


@pytest.mark.parametrize(
    "pin", ["", "123", "1234567890123", "0000", "1234", "4321", "9012", "1212", "471471", "47a1", "４７１１", " 4711"]
)
def test_a_pin_that_is_guessed_first_is_refused(pin: str) -> None:
    """Short ones, other characters, equal or consecutive digits and repeated halves are refused."""
    assert pins.pin_problem(pin) is not None


def test_a_hash_knows_its_pin_and_no_other() -> None:
    """The stored text says its own cost, differs with the salt and fits exactly one PIN."""
    text = pins.hash_pin("4711", SALT)
    assert text.startswith("scrypt$ln=14,r=8,p=1$")
    assert pins.hash_problem(text) is None
    assert text != pins.hash_pin("4711", bytes(16))
    assert pins.is_pin("4711", text)
    assert not pins.is_pin("4712", text)
    assert not pins.is_pin("４７１１", text)


def test_a_hash_made_with_another_cost_still_fits() -> None:
    """The cost is read from the text, so a hash of yesterday's cost is good tomorrow."""
    cheap = "scrypt$ln=4,r=8,p=1$000102030405060708090a0b0c0d0e0f$" + pins._Hash(4, 8, 1, SALT, b"").of("4711").hex()
    assert pins.hash_problem(cheap) is None
    assert pins.is_pin("4711", cheap)


@pytest.mark.parametrize(
    "text",
    [
        "4711",
        "",
        "scrypt$ln=14,r=8,p=1$00$00",
        "scrypt$ln=30,r=8,p=1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$ln=14,r=99,p=1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$ln=0,r=8,p=1$" + "0" * 32 + "$" + "0" * 64,
    ],
)
def test_what_is_no_hash_is_said(text: str) -> None:
    """A PIN in plain text, a cut-off hash and one that would take minutes are named as such."""
    assert pins.hash_problem(text) is not None
