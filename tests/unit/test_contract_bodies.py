"""What stations ask and head office answers, real requests and real answers, is what the published contract says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.inbox import Asked, Person
from headoffice.documents import publish_rules
from headoffice.requests import KINDS
from sync import bodies
from sync.leasing import LeaseClaims
from sync.notices import Req, Res
from sync.signing import PinnedKeys, open_signed
from tests.support.contract import CONTRACT, valid
from tests.support.lending_office import INSTALL, Line, Office
from tests.support.processes import RULES
from tests.support.till import MEMBER

SCHEMAS = CONTRACT["components"]["schemas"]
SALE = "01M7YHZ9MS000000000000002D"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A station that head office knows, and a member with points."""
    office = Office(tmp_path)
    office.member()
    opened = office.station()
    opened.drain()
    yield opened
    office.close()


def _fits(name: str, body: Any) -> bool:
    return valid(SCHEMAS[name], body)


def _answer(line: Line, name: str, body: dict[str, Any]) -> Res:
    """Ask as the contract says and read the answer as it says."""
    kind = name.partition(".")[0]
    assert _fits(f"body.{name}.request", body)
    res = line.ask(Req(f"{name}-{len(str(body))}", kind, body))
    assert (res.status, res.reason) == ("ok", None)
    assert _fits(f"body.{name}.answer", dict(res.body)), res.body
    return res


def test_every_kind_that_is_answered_is_published() -> None:
    """The kinds of the contract are those that head office answers, and each has a request and an answer."""
    assert set(bodies.KINDS) == set(KINDS)
    assert {name for name, _ in bodies.schemas()} <= set(SCHEMAS)


def test_points_are_asked_for_and_answered_as_published(line: Line) -> None:
    """Reserve, confirm, release, lease and coupon; what is lent verifies and has the claims of a lease [W-42] [W-50]."""
    who = {"incarnation": line.till.store.incarnation, "install_id": INSTALL}
    kept = _answer(line, "reserve", {**who, "member": MEMBER, "points": 100, "sale": SALE}).body
    _answer(line, "confirm", {"reservation": kept["reservation"]})
    lent = _answer(line, "lease", {**who, "kind": "points", "subject": MEMBER, "amount": 200}).body
    _answer(line, "release", {"reservation": lent["reservation"]})
    _answer(line, "coupon", {**who, "code": "C-1", "sale": SALE})
    _answer(line, "release", {"reservation": None, "coupon": "C-1", "sale": SALE})
    claims = open_signed(lent["lease"], PinnedKeys.from_jwks(line.keys.pinned), None)
    assert _fits("claims.lease", claims)
    assert LeaseClaims.from_claims(claims).amount == lent["points"] == 200


def test_members_and_documents_are_asked_for_and_answered_as_published(line: Line, tmp_path: Path) -> None:
    """Pages, the manifest's name, a part of a bucket, and a document by its hash [W-40] [W-42]."""
    _answer(line, "members", {"have_op": 0})
    _answer(line, "members.manifest", {"have_op": 0, "manifest": True})
    _answer(line, "members.bucket", {"bucket": 0, "part": 0})
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    done = publish_rules(line.database, file, line.till.clock.wall_ms())
    assert _answer(line, "document", {"hash": done.hash, "kind": "rules"}).body["hash"] == done.hash


def test_what_a_station_asks_by_itself_fits(line: Line) -> None:
    """The request that waits for head office while a customer waits has the published body [W-50]."""
    sale = line.till.fuelled()
    args = {"sale": sale, "points": 2_000, "lock": True}
    line.till.pipeline.handle(Asked("sales.quote", args, Person("wang", "attendant")))
    (req,) = line.open()
    assert _fits(f"body.{req.kind}.request", req.body)
    assert not _fits(f"body.{req.kind}.request", {**req.body, "points": 0})
