"""What the service manager hands to the daemon: secrets and the hardware's UUID as credentials, the boot id as a variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.backup.errors import BackupError
from agent.backup.plan import own_pairs
from agent.daemon import BOOT_ID_NAME, boot_id
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
