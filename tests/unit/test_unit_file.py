"""The systemd unit and its companions: what the daemon may touch, that it comes back, and that systemd understands it."""

from __future__ import annotations

import configparser
import json
import subprocess
from pathlib import Path

import pytest

from agent.settings.model import ControlSettings, StoreSettings

SYSTEMD = Path(__file__).parents[2] / "systemd"
TEXT = (SYSTEMD / "forecourt.service").read_text(encoding="utf-8")
LIMIT_TENTHS = 13


def unit_with(folder: Path, *changes: tuple[str, str]) -> Path:
    """The unit with a command that exists here, and with ``changes``."""
    lines = [line if not line.startswith("ExecStart=") else "ExecStart=/bin/true" for line in TEXT.splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("Documentation=")) + "\n"
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    file = folder / "forecourt.service"
    file.write_text(text, encoding="utf-8")
    return file


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says."""
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def within_limit(unit: Path) -> bool:
    """Whether systemd finds the unit closed enough."""
    limits = ("security", "--offline=yes", f"--threshold={LIMIT_TENTHS}", "--no-pager")
    return analyzed(*limits, str(unit)).returncode == 0


def test_the_unit_is_closed(tmp_path: Path) -> None:
    """Exposure is 1.3 of 10 or less; the same unit with one door open is not."""
    assert within_limit(unit_with(tmp_path))
    assert not within_limit(unit_with(tmp_path, ("NoNewPrivileges=yes", "NoNewPrivileges=no")))


def test_only_what_the_daemon_needs_is_open(tmp_path: Path) -> None:
    """The points that systemd still counts are serial ports, the network and callers that are known by number."""
    report = analyzed("security", "--offline=yes", "--json=short", "--no-pager", str(unit_with(tmp_path)))
    open_points = {row["json_field"] for row in json.loads(report.stdout) if row["exposure"]}
    assert open_points == {
        "RootDirectoryOrRootImage",
        "PrivateDevices",
        "RestrictAddressFamilies_AF_UNIX",
        "RestrictAddressFamilies_AF_INET_INET6",
        "PrivateNetwork",
        "PrivateUsers",
        "DeviceAllow",
        "IPAddressDeny",
    }


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """No complaint about the unit; a misspelt key is one."""
    good = analyzed("verify", "--man=no", str(unit_with(tmp_path)))
    assert (good.returncode, good.stdout + good.stderr) == (0, "")
    bad = analyzed("verify", "--man=no", str(unit_with(tmp_path, ("PrivateTmp=yes", "PrivateTemp=yes"))))
    assert "PrivateTemp" in bad.stderr


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "Restart=always",
        "RestartSec=5",
        "StartLimitIntervalSec=0",
        "User=forecourt",
        "StateDirectory=forecourt forecourt-mark",
        "LoadCredential=index-key:/etc/forecourt/secrets/index-key",
        "LoadCredential=pinned-keys:/etc/forecourt/secrets/pinned-keys",
        "LoadCredential=card-keys:/etc/forecourt/secrets/card-keys",
        "LoadCredential=field-key:/etc/forecourt/secrets/field-key",
        "LoadCredential=product-uuid:/sys/class/dmi/id/product_uuid",
        "DevicePolicy=closed",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
    ],
)
def test_the_unit_says(line: str) -> None:
    """An unattended station is started again for ever, as its own user, with secrets from credentials and no network."""
    assert line in TEXT.splitlines()


def test_callers_of_the_control_socket_keep_their_numbers() -> None:
    """With a user namespace of its own the daemon would see everybody as nobody."""
    assert not [line for line in TEXT.splitlines() if line.startswith("PrivateUsers=")]


def test_the_folders_are_those_of_the_defaults() -> None:
    """Database, high-water file and socket lie where the unit lets the daemon write."""
    unit = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(TEXT)
    service = unit["Service"]
    states = [Path("/var/lib") / name for name in service["StateDirectory"].split()]
    assert [StoreSettings().path.parent, StoreSettings().mark.parent] == states
    assert ControlSettings().socket.parent == Path("/run") / service["RuntimeDirectory"]


def test_rules_for_devices_come_after_those_that_find_serial_numbers() -> None:
    """Rules are read by name: a rule before 60-serial.rules would find no ID_SERIAL_SHORT."""
    rules = sorted([*(path.name for path in SYSTEMD.glob("*.rules")), "60-serial.rules"])
    assert rules[0] == "60-serial.rules"
    assert len(rules) == 3


def test_the_shipped_list_of_addresses_allows_nobody() -> None:
    """Who may be talked to beside this machine is decided at the station."""
    lines = (SYSTEMD / "10-addresses.conf").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["[Service]"]
