"""The command of head office in the process of a test: its words in, what it printed out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headoffice.cli import entry


class HeadOfficeCommand:
    """``forecourt-hq`` on a state folder; it returns what was printed, and fails where the exit code is another."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("FORECOURT_HQ_STATE", str(state))

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._monkeypatch.setattr(sys, "argv", ["forecourt-hq", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry()
        told = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, told
        return told.out or told.err
