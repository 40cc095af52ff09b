"""Which files a bundle becomes on an installed station. Pure: a bundle in, texts with their places out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sync.bundle import Bundle

FOLDER = PurePosixPath("/etc/forecourt")
CONFIGURATION = FOLDER / "station.toml"
SECRETS = FOLDER / "secrets"
DROP_IN = PurePosixPath("/etc/systemd/system/forecourt.service.d/10-addresses.conf")
"""The addresses the unit may reach: everything else is denied."""

OPEN_FILES = {"ca.pem": FOLDER / "tls" / "ca.pem", "station.pem": FOLDER / "tls" / "station.pem"}
"""What anybody on the machine may read; every other file of a bundle is for root and the group ``forecourt``."""

RECIPIENTS = "backup-recipients"
FIELD_KEY = SECRETS / "field-key"
"""Made here and known to nobody else; it is in no bundle and in no backup."""

_KEYS = (("ca.pem", "ca_file"), ("station.pem", "certificate_file"), ("station.key", "key_file"))


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file to be there afterwards. ``secret``: only root and the group ``forecourt`` may read it."""

    path: PurePosixPath
    text: str = field(repr=False)
    secret: bool = True


def field_key(key: bytes) -> PlannedFile:
    """Return the file of the key that closes fields of the database. One that is there already must stay."""
    return PlannedFile(FIELD_KEY, f"1:{key.hex()}\n")


def place(name: str) -> PurePosixPath:
    """Return where the file ``name`` of a bundle belongs."""
    if name == "station.key":
        return FOLDER / "tls" / name
    return OPEN_FILES.get(name, SECRETS / name)


def plan(bundle: Bundle) -> tuple[PlannedFile, ...]:
    """Return every file of the station; station.toml comes last, so that it stands only when the rest does."""
    files = [PlannedFile(place(name), text, name not in OPEN_FILES) for name, text in sorted(bundle.files.items())]
    text = bundle.configuration if bundle.configuration is not None else skeleton(bundle)
    return (*files, PlannedFile(CONFIGURATION, text))


def skeleton(bundle: Bundle) -> str:
    """Return a station.toml with all that head office knows; wires, points, tanks and prices are still to be added."""
    station = "\n".join(f"{key} = {_quoted(value)}" for key, value in bundle.station.items() if value)
    lines = [f"broker = {_quoted(bundle.broker)}"]
    lines += [f"{key} = {_quoted(str(place(name)))}" for name, key in _KEYS if name in bundle.files]
    if "broker-password" in bundle.files:
        lines.append(f"password_file = {_quoted(str(place('broker-password')))}")
    lines.append(
        "# keys_file, index_key_file, card_keys_file, [privacy] field_key_file: the unit hands them over as credentials"
    )
    if RECIPIENTS in bundle.files:
        lines += ["", "[backup]", f"recipients_file = {_quoted(str(place(RECIPIENTS)))}"]
    return _SKELETON.format(made_at=bundle.made_at, station=station, head_office="\n".join(lines))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_SKELETON = """\
# Written by `forecourt init` from the bundle of {made_at}.
# Still to be added: [[line]], [[fuelling_point]], [[tank]], [[reader]], [grade.*]. The annotated example beside this
# file, station.example.toml, explains every key. Then:  forecourt check-config /etc/forecourt/station.toml

[station]
{station}

[head_office]
{head_office}
"""
