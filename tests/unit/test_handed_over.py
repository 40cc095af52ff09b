"""What the service manager hands to the daemon: secrets and the hardware's UUID as credentials, the boot id as a variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import keyring
from agent.backup.errors import BackupError
from agent.backup.plan import own_pairs
from agent.crypto import FieldKeys
from agent.daemon import BOOT_ID_NAME, boot_id
from agent.domain.codes.card_keys import CardKeys
from agent.keyring import SecretMissing, secret
from agent.uplink import install_id
from tests.support.station_file import loaded

WIRED, UUID = "52:54:00:12:34:56", "4c4c4544-0042-3510-8052-b4c04f4a5931"


def interface(system: Path, name: str, address: str, *, real: bool = True, assign: str = "0") -> Path:
    """A network interface as the kernel shows it."""
    folder = system / "class/net" / name
    folder.mkdir(parents=True)
    (folder / "address").write_text(f"{address}\n", encoding="ascii")
    (folder / "addr_assign_type").write_text(f"{assign}\n", encoding="ascii")
    if real:
        (folder / "device").mkdir()
    return folder


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A PC with one wired interface and no readable UUID."""
    interface(tmp_path / "sys", "eno1", WIRED)
    interface(tmp_path / "sys", "lo", "00:00:00:00:00:00", real=False)
    return tmp_path / "sys"


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the credentials."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_bridges_radios_and_borrowed_addresses_do_not_rename_the_machine(system: Path) -> None:
    """Only wired hardware with an address of its own counts."""
    before = install_id(system)
    interface(system, "docker0", "02:42:ac:11:00:01", real=False, assign="1")
    interface(system, "eth9", "52:54:00:aa:bb:cc", assign="3")
    (interface(system, "wlan0", "52:54:00:aa:bb:dd") / "wireless").mkdir()
    assert install_id(system) == before
    interface(system, "eno2", "52:54:00:12:34:57")
    assert install_id(system) != before


def test_the_uuid_comes_as_a_credential_to_whom_the_kernel_does_not_show_it(system: Path, credentials: Path) -> None:
    """Root by hand and the service name the machine alike; without any UUID it is named otherwise."""
    without = install_id(system)
    (credentials / "product-uuid").write_text(f"{UUID}\n", encoding="ascii")
    handed_over = install_id(system)
    (credentials / "product-uuid").write_text("\n", encoding="ascii")
    (system / "class/dmi/id").mkdir(parents=True)
    (system / "class/dmi/id/product_uuid").write_text(f"{UUID}\n", encoding="ascii")
    assert install_id(system) == handed_over != without
    assert len(handed_over) == 32


def test_a_credential_is_a_secret_that_no_file_is_named_for(tmp_path: Path, credentials: Path) -> None:
    """A named file wins; what stands in for a file that is not there is told as missing."""
    (credentials / "index-key").write_text("ab\n", encoding="ascii")
    assert secret(None, "index-key") == "ab"
    (tmp_path / "other").write_text("cd\n", encoding="ascii")
    assert secret(tmp_path / "other", "index-key") == "cd"
    (credentials / "index-key").write_text("\n", encoding="ascii")
    with pytest.raises(SecretMissing, match="the index-key is empty or missing"):
        secret(None, "index-key")


def test_a_station_does_without_the_keys_of_fields_and_cards(tmp_path: Path, credentials: Path) -> None:
    """Where the unit hands over nothing there are none; what is there is used; a named file has to be there."""
    settings = loaded(tmp_path)
    assert keyring.load(settings) == keyring.Keyring()
    for name in ("field-key", "card-keys"):
        (credentials / name).write_text("\n", encoding="ascii")
    assert keyring.load(settings).mark() == ""
    (credentials / "field-key").write_text(f"1:{'ab' * 32}\n2:{'cd' * 32}\n", encoding="ascii")
    (credentials / "card-keys").write_text(CardKeys(bytes(32), bytes(16)).text(), encoding="ascii")
    held = keyring.load(settings)
    assert held.field is not None
    assert held.field.version == 2
    assert held.mark() != ""
    assert "ab" * 8 not in repr(held)
    privacy = settings.privacy.model_copy(update={"field_key_file": tmp_path / "nowhere"})
    with pytest.raises(SecretMissing, match="cannot be read"):
        keyring.load(settings.model_copy(update={"privacy": privacy}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("field-key", "ab" * 32),
        ("field-key", "1:abcd"),
        ("field-key", f"0:{'ab' * 32}"),
        ("card-keys", "{}"),
        ("card-keys", '{"transport": "ab", "meta_read": "cd"}'),
    ],
)
def test_a_key_that_is_none_keeps_the_station_from_starting(
    tmp_path: Path, credentials: Path, name: str, text: str
) -> None:
    """It says which file and what to do, and shows nothing of it."""
    (credentials / name).write_text(text, encoding="ascii")
    with pytest.raises(SecretMissing) as missing:
        keyring.load(loaded(tmp_path))
    assert missing.value.hint
    assert "abab" not in str(missing.value)


def test_a_closed_field_opens_at_its_own_place_alone() -> None:
    """Another place, another key, a changed or a cut value: none opens; an older version does."""
    old, both = FieldKeys({1: bytes(32)}), FieldKeys({1: bytes(32), 7: bytes(range(32))})
    sealed = old.seal("card|sealed_key|ab", b"value", bytes(12))
    assert (both.open("card|sealed_key|ab", sealed), both.version) == (b"value", 7)
    assert both.seal("x", b"value", bytes(12))[0] == 7
    changed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    for keys, place, value in (
        (both, "card|sealed_key|ac", sealed),
        (both, "card|sealed_key|ab", changed),
        (both, "card|sealed_key|ab", sealed[:20]),
        (both, "card|sealed_key|ab", b"\x07" + sealed[1:]),
        (both, "card|sealed_key|ab", b""),
        (FieldKeys({1: bytes(range(32))}), "card|sealed_key|ab", sealed),
    ):
        with pytest.raises(ValueError, match=r"tag is wrong|no field key"):
            keys.open(place, value)


def test_an_empty_identity_is_no_identity(tmp_path: Path, credentials: Path) -> None:
    """A station without a key of its own for backups runs all the same; a key that is none is told."""
    (credentials / "backup-identity").write_text("\n", encoding="ascii")
    assert own_pairs(loaded(tmp_path)) == ()
    (credentials / "backup-identity").write_text("no key\n", encoding="ascii")
    with pytest.raises(BackupError):
        own_pairs(loaded(tmp_path))


def test_a_boot_has_one_name_however_it_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own, written as systemd writes it; the one handed over wins."""
    monkeypatch.delenv(BOOT_ID_NAME, raising=False)
    assert len(boot_id()) == 32
    assert boot_id() == boot_id()
    monkeypatch.setenv(BOOT_ID_NAME, "0" * 32)
    assert boot_id() == "0" * 32
