"""What `forecourt-hq` says of a file that it is to read and cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import template
from tests.support.headoffice_command import HeadOfficeCommand

COMMANDS = {
    "rules": ("rules", "publish"),
    "members": ("members", "import"),
    "cards": ("codes", "printed-cards", "--out", "cards", "--members"),
    "config": ("bundle", "SH-0001", "--config"),
    "password": ("bundle", "SH-0001", "--password-file"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the path once, the reason in words and a hint: no number of the system, no traceback."""
    command = HeadOfficeCommand(tmp_path, monkeypatch, capsys)
    command("keys")
    template.head_office(tmp_path / "database.sqlite").close()
    (tmp_path / "folder.csv").mkdir()
    for name, words in (("gone.csv", "No such file or directory"), ("folder.csv", "Is a directory")):
        path = tmp_path / name
        told = command(*COMMANDS[case], str(path), code=2)
        assert f"cannot read {path}: {words}" in told
        assert told.count(str(path)) == 1
        assert "Errno" not in told
        assert "name a" in told
