"""docs/asyncapi.yaml as the AsyncAPI Initiative's own parser reads it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sync.asyncapi import CHANNELS

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "docs" / "asyncapi.yaml"
NEWER_EXISTS = "asyncapi-latest-version"


@pytest.fixture(scope="module", autouse=True)
def _fetched() -> None:
    """The parser is there, at its pinned version."""
    subprocess.run([ROOT / ".ci" / "peers", "contract"], check=True, timeout=600)


def _parsed(document: Path) -> Any:
    command = ["node", "tests/peers/contract/parse.js", str(ROOT / "build/contract/node_modules"), str(document)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout)


@pytest.mark.long
def test_the_published_contract_is_taken_without_a_word(tmp_path: Path) -> None:
    """Errors, warnings and hints: none but that there is a newer version of AsyncAPI; a broken document is refused."""
    told = _parsed(PUBLISHED)
    assert [one for one in told["found"] if one["code"] != NEWER_EXISTS] == []
    assert told["channels"] == len(CHANNELS)
    assert sorted(told["messages"]) == sorted(channel.type for channel in CHANNELS)
    broken = tmp_path / "broken.yaml"
    text = PUBLISHED.read_text(encoding="utf-8")
    broken.write_text(text.replace("#/components/messages/hello", "#/components/messages/nobody"), encoding="utf-8")
    assert _parsed(broken)["channels"] is None
