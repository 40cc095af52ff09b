"""The section [backup] and the key files it names: what is needed, what is refused, what stands when left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import age
from agent.backup.errors import BackupError
from agent.backup.plan import CREDENTIAL, own_pairs, plan_of, recipients_in
from agent.commissioning import plan as commissioned
from headoffice.keys import IDENTITY_FILE, RECIPIENTS_FILE, make_keys
from sync.bundle import Bundle
from tests.support.backed_up import KEYS, OWN
from tests.support.station_file import STATION, faults, loaded

BACKUP = '[backup]\nrecipients_file = "/etc/forecourt/r"\n'


def test_without_the_section_no_backups_are_made(tmp_path: Path) -> None:
    """Rather than plain ones."""
    assert loaded(tmp_path).backup is None


def test_only_the_keys_must_be_named(tmp_path: Path) -> None:
    """03:00, 14 days, 12 months, 26 hours."""
    found = loaded(tmp_path, STATION + BACKUP).backup
    assert found is not None
    assert (found.at, found.keep_days, found.keep_months, found.alert_after) == (180, 14, 12, 26 * 3_600_000)
    assert found.folder == Path("/var/lib/forecourt/backups")


@pytest.mark.parametrize(
    ("section", "key", "problem"),
    [
        ("[backup]\n", "backup.recipients_file", "missing"),
        (BACKUP + 'folder = "/var/lib/forecourt-mark"\n', "backup.folder", "high-water file"),
        (BACKUP + 'folder = "/var/lib"\n', "backup.folder", "high-water file"),
        (BACKUP + 'copy_to = "/var/lib/forecourt-mark"\n', "backup.copy_to", "high-water file"),
        (BACKUP + 'folder = "/var/lib/forecourt"\n', "backup.folder", "folder of the database"),
        (BACKUP + 'folder = "backups"\n', "backup.folder", "absolute"),
        (BACKUP + 'copy_to = "/var/lib/forecourt/backups"\n', "backup.copy_to", "the folder itself"),
        (BACKUP + "keep_days = 0\n", "backup.keep_days", "greater"),
        (BACKUP + 'at = "25:00"\n', "backup.at", "HH:MM"),
        (BACKUP + "plain = true\n", "backup.plain", "unknown key"),
    ],
)
def test_what_would_lose_or_leak_is_refused(tmp_path: Path, section: str, key: str, problem: str) -> None:
    """One fault, with its key: no backups for nobody, and the high-water file stays out of them (W-30)."""
    (fault,) = faults(tmp_path, STATION + section)
    assert (fault.key, problem in fault.problem) == (key, True), fault


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "holds no public key"), ("# only\n", "holds no public key"), ("age1nonsense\n", "line 1 is no public key")],
)
def test_a_recipients_file_without_a_key_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """A backup is never written for nobody."""
    file = tmp_path / "recipients"
    file.write_text(text)
    with pytest.raises(BackupError, match=problem):
        recipients_in(file)


def test_a_secret_key_in_the_wrong_file_is_not_told(tmp_path: Path) -> None:
    """Neither message shows it."""
    file = tmp_path / "recipients"
    file.write_text(KEYS.identity)
    with pytest.raises(BackupError) as failure:
        recipients_in(file)
    assert KEYS.identity[:20] not in f"{failure.value} {failure.value.hint}"
    assert KEYS.identity not in repr(failure.value)
    with pytest.raises(age.KeysRefused) as refused:
        age.identities(KEYS.identity[:-4])
    assert KEYS.identity[:20] not in str(refused.value)


def test_the_stations_own_identity_comes_from_a_file_or_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that is named goes first; with neither there is none."""
    recipients = tmp_path / "recipients"
    recipients.write_text(KEYS.recipient)
    text = f'{STATION}[backup]\nrecipients_file = "{recipients}"\n'
    plain = loaded(tmp_path, text)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert own_pairs(plain) == ()
    (tmp_path / CREDENTIAL).write_text(age.identity_file(OWN))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert own_pairs(plain) == (OWN,)
    (tmp_path / "named").write_text(age.identity_file(KEYS))
    named = loaded(tmp_path, f'{text}identity_file = "{tmp_path}/named"\n')
    assert own_pairs(named) == (KEYS,)
    assert named.backup is not None
    assert plan_of(named, named.backup, "1").recipients == (KEYS.recipient,)


def test_head_offices_keys_reach_a_new_station(tmp_path: Path) -> None:
    """Made once and never replaced; a bundle with the recipients makes a station whose backups they open."""
    make_keys(tmp_path)
    identity, public = (tmp_path / IDENTITY_FILE).read_text(), (tmp_path / RECIPIENTS_FILE).read_text()
    (pair,) = age.identities(identity)
    assert age.recipients(public) == (pair.recipient,)
    assert (tmp_path / IDENTITY_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / RECIPIENTS_FILE).unlink()
    make_keys(tmp_path)
    assert ((tmp_path / IDENTITY_FILE).read_text(), (tmp_path / RECIPIENTS_FILE).read_text()) == (identity, public)
    files = {"index-key": "ab" * 32, "pinned-keys": "{}", "backup-recipients": public}
    written = {file.path.name: file.text for file in commissioned(Bundle({"id": "S"}, "mqtt://b", "now", files, None))}
    assert written["backup-recipients"] == public
    assert 'recipients_file = "/etc/forecourt/secrets/backup-recipients"' in written["station.toml"]
