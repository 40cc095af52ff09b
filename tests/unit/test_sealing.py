"""A phone number sealed to head office: nobody else opens it, and damage is told without a word of it."""

from __future__ import annotations

import pytest

from headoffice.keys import CONTACT_FILE, load_keys, make_keys
from sync.sealing import SealRefused, load_sealing_key, new_sealing_key, open_sealed, seal
from sync.signing import PinnedKeys, new_key, private_jwk, public_jwks

NUMBER = "+8613812345678"


def test_what_a_station_seals_head_office_opens(tmp_path) -> None:
    """The key folder's public half reaches stations among the pinned keys; only the private half opens the text."""
    made = make_keys(tmp_path)
    pinned = PinnedKeys.from_jwks((tmp_path / "pinned.jwks.json").read_text(encoding="utf-8"))
    assert pinned.sealing is not None
    assert not pinned.sealing.is_private
    sealed = seal(NUMBER, pinned.sealing)
    assert NUMBER not in sealed
    assert sealed != seal(NUMBER, pinned.sealing)
    assert made.unseal is not None
    assert made.unseal(sealed) == NUMBER
    assert (tmp_path / CONTACT_FILE).stat().st_mode & 0o077 == 0


def test_an_older_key_folder_opens_nothing(tmp_path) -> None:
    """Without a contact key stations pin the signing key alone, as before, and seal nothing."""
    make_keys(tmp_path)
    (tmp_path / CONTACT_FILE).unlink()
    keys = load_keys(tmp_path)
    assert keys.unseal is None
    assert PinnedKeys.from_jwks(keys.pinned).sealing is None


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-4] + "AAAA", lambda _: "a.b.c", lambda _: "", lambda _: "ü" * 9]
)
def test_a_damaged_text_is_refused(damage) -> None:
    """A flipped letter, another text, nothing at all: SealRefused, which holds none of it."""
    key = new_sealing_key("c1")
    sealed = damage(seal(NUMBER, key))
    with pytest.raises(SealRefused) as refused:
        open_sealed(sealed, key)
    assert sealed[:9] == "" or sealed[:9] not in str(refused.value)


def test_another_key_opens_nothing() -> None:
    """A text for one head office is nothing for another; a signing key is no key to seal to."""
    sealed = seal(NUMBER, new_sealing_key("c1"))
    with pytest.raises(SealRefused):
        open_sealed(sealed, new_sealing_key("c1"))
    with pytest.raises(ValueError, match="X25519"):
        load_sealing_key(private_jwk(new_key("s1")))
    with pytest.raises(ValueError, match="no key"):
        PinnedKeys.from_jwks(public_jwks(new_sealing_key("c1")))
