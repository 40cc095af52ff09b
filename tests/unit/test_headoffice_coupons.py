"""Coupons that head office issues: signed, for an offer that is published, taken by a station that never heard of them."""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headoffice.cli.app import app
from headoffice.keys import make_keys
from sync.signing import PinnedKeys
from tests.support import template
from tests.support.station import EPOCH_MS
from tests.support.till import EARN, MEMBER, TEN, Till

OFFERS = [TEN, EARN]
RULES = {
    "version": 1,
    "effective_from": "2020-01-01T00:00:00+08:00",
    "program": {"currency": "CNY", "exponent": 2},
    "offer": OFFERS,
}


def hq(state: Path, *words: str) -> Result:
    """Run a command of head office."""
    return CliRunner().invoke(app, [*words, "--state", str(state)])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A head office with keys and a published rule set."""
    make_keys(tmp_path / "hq" / "keys")
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES), encoding="utf-8")
    assert hq(tmp_path / "hq", "rules", "publish", str(file)).exit_code == 0
    return tmp_path / "hq"


def test_an_issued_coupon_is_taken_offline_by_its_signature(state: Path) -> None:
    """The station has the public key and nothing else; holder, station and last day hold as they were issued."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder, pinned=PinnedKeys.from_jwks((state / "keys" / "pinned.jwks.json").read_text(encoding="utf-8")))
    till.clock.offset_ms = int(time.time() * 1000) - EPOCH_MS  # both ends live today
    today = datetime.fromtimestamp(till.clock.wall_ms() / 1000, till.settings.station.tz).date()
    last = (today + timedelta(days=1)).isoformat()  # whatever the hour, a sale of now is before its end
    options = ["--offer", "ten", "--member", MEMBER, "--station", "SIM-0001", "--expires", last, "--count", "2"]
    made = json.loads(hq(state, "coupons", "issue", *options, "--json").stdout)
    assert len({coupon["code"] for coupon in made}) == 2
    till.rules(*OFFERS)
    till.member()
    settled = till.settle(till.fuelled(), coupons=[coupon["token"] for coupon in made][:1])
    assert settled["discount_minor"] == 1_000
    till.clock.now_s += 49 * 3_600
    assert "COUPON_EXPIRED" in till.settle(till.fuelled(), coupons=[made[1]["token"]])["error"]
    till.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--offer", "earn"], "no coupon 'earn'"),
        (["--offer", "ten", "--member", "wang"], "member cannot be 'wang'"),
        (["--offer", "ten", "--expires", "tomorrow"], "is no day"),
    ],
)
def test_a_coupon_that_no_station_would_take_is_not_issued(state: Path, options: list[str], said: str) -> None:
    """An offer that is no coupon, a holder that is no member and a day that is none are refused."""
    refused = hq(state, "coupons", "issue", *options)
    assert said in str(refused.exception)
