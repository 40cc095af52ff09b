"""Stored sales explained: the verdicts of then, given again from the kept facts and rules; what was changed is found."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.cli import application
from agent.inbox import FromHeadOffice
from agent.store.explained import as_json
from sync import ports
from tests.scenario.conftest import MakeStation
from tests.support.head_office_says import member_of
from tests.support.station import VirtualStation
from tests.support.station_plans import by_hand

CASH = [{"kind": "cash", "amount_minor": None, "ref": None}]


@pytest.fixture
def station(make_station: MakeStation) -> VirtualStation:
    """A station with a till, rules and members."""
    made = make_station(81, by_hand(settle="tender", has_head_office=True))
    made.publish_rules_and_members()
    made.run_for(8)
    return made


def sell(station: VirtualStation, *, card: int | None = None) -> str:
    """Ten litres for a member or for nobody; returns the sale, not yet settled."""
    known = {row["id"] for row in station.sales()}
    station.fuel(1, 10_000)
    (sale,) = [str(row["id"]) for row in station.sales() if row["id"] not in known]
    if card is not None:
        assert station.ask("sales.link", sale=sale, card=station.config.cards[card - 1])["ok"]
    return sale


def settled(station: VirtualStation, *, card: int | None = None) -> str:
    """A sale that was paid in cash."""
    sale = sell(station, card=card)
    assert station.ask("sales.settle", sale=sale, tenders=CASH)["ok"]
    return sale


def explained(station: VirtualStation, sale: str) -> dict[str, Any]:
    """What the database says of a sale."""
    return as_json(station.settings.store.path, sale, "en")


def changed(station: VirtualStation, statement: str, *values: Any) -> Path:
    """A copy of the database in which somebody changed a row."""
    copy = station.settings.store.path.with_name("changed.db")
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(station.settings.store.path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        assert target.execute(statement, values).rowcount >= 1
        target.commit()
    return copy


def run(database: Path, *words: str) -> Result:
    """The command on a file."""
    return CliRunner().invoke(application(), ["rules", "explain", *words, "--database", str(database)])


def test_a_members_sale_is_priced_again_with_the_same_answer(station: VirtualStation) -> None:
    """Version, hash, verdicts and sums of then, and the same once more, although counts and rules have moved on."""
    sale = settled(station, card=1)
    settled(station, card=1)
    told = explained(station, sale)
    assert (told["same"], told["rule_version"], len(told["rule_hash"])) == (True, 1, 64)
    (one,) = told["priced"]
    assert (one["what"], one["differences"], one["why_not"]) == ("settlement", [], None)
    verdicts = {offer["offer"]: (offer["verdict"], offer["value_minor"], offer["points"]) for offer in one["offers"]}
    assert verdicts == {"earn": ("APPLIED", 0, one["net_minor"] // 100), "litre-off": ("APPLIED", 100, 0)}
    assert [offer["text"] for offer in one["offers"]][1] == "每升减 0.10: 1.00 off."


def test_a_sale_of_nobody_and_one_without_rules_are_explained(make_station: MakeStation) -> None:
    """Before any rule set came, the empty version 0 priced it."""
    station = make_station(82, by_hand(settle="tender"))
    station.run_for(8)
    told = explained(station, settled(station))
    assert (told["same"], told["rule_version"], told["priced"][0]["offers"]) == (True, 0, [])


def test_a_sale_given_back_stays_explained(station: VirtualStation) -> None:
    """A part refund and a void are told beside the price that was paid; the answer is still the same."""
    sale = settled(station, card=1)
    assert station.ask("sales.refund", sale=sale, amount_minor=100, reason="spilt")["ok"]
    assert explained(station, sale)["same"]
    station.run_for(1)
    assert station.ask("sales.void", sale=sale, reason="pump fault")["ok"]
    told = explained(station, sale)
    assert (told["same"], told["voided"]) == (True, True)
    assert [(item["what"], item["reason"]) for item in told["corrections"]] == [
        ("refund", "spilt"),
        ("void", "pump fault"),
    ]


def test_a_relinked_sale_is_explained_for_both_members(station: VirtualStation) -> None:
    """The settlement as the first member paid it, and what the second member's points came from."""
    sale = settled(station, card=1)
    assert station.ask("sales.link", sale=sale, card=station.config.cards[1], reason="wrong member")["ok"]
    told = explained(station, sale)
    assert [(one["what"], one["same"]) for one in told["priced"]] == [("settlement", True), ("link", True)]
    first, second = told["priced"]
    assert first["mask"] != second["mask"]
    assert (second["net_minor"], second["points_earned"]) == (None, first["points_earned"])


def test_a_late_link_is_explained_beside_the_sale_of_nobody(station: VirtualStation) -> None:
    """Paid without a member, points granted later: each from its own facts."""
    sale = settled(station)
    assert station.ask("sales.link", sale=sale, card=station.config.cards[0], reason="forgot the card")["ok"]
    told = explained(station, sale)
    assert [(one["what"], one["same"], one["mask"] is None) for one in told["priced"]] == [
        ("settlement", True, True), ("late-link", True, False),
    ]  # fmt: skip
    assert told["priced"][0]["points_earned"] == 0 < told["priced"][1]["points_earned"]


def test_a_held_quote_is_explained_by_what_was_told_then(station: VirtualStation) -> None:
    """Between quote and payment the member fuelled again; fuel booked as own use gets nothing, and says why."""
    sale, other = sell(station, card=1), sell(station, card=1)
    assert station.ask("sales.quote", sale=sale, lock=True)["ok"]
    assert station.ask("sales.settle", sale=other, tenders=[{"kind": "own-use", "amount_minor": None, "ref": None}])[
        "ok"
    ]
    assert station.ask("sales.settle", sale=sale, tenders=CASH)["ok"]
    assert (explained(station, sale)["same"], explained(station, other)["same"]) == (True, True)
    assert {offer["detail"] for offer in explained(station, other)["priced"][0]["offers"]} == {"purpose"}


def test_a_changed_verdict_is_found(station: VirtualStation) -> None:
    """Somebody raised a discount in the settlement: the facts say otherwise, the command ends with 1."""
    sale = settled(station, card=1)
    lines = json.loads(station.rows("SELECT lines FROM settlement")[0]["lines"])
    lines[1]["value_minor"] = 999
    copy = changed(station, "UPDATE settlement SET lines = ?", json.dumps(lines))
    found = as_json(copy, sale, "en")
    assert found["same"] is False
    assert found["priced"][0]["differences"] == [{"where": "litre-off value_minor", "stored": 999, "again": 100}]
    done = run(copy, sale)
    assert done.exit_code == 1
    assert "  DIFFERENT litre-off value_minor: stored 999, now 100" in done.output.splitlines()


CHANGES = {
    "UPDATE document SET body = replace(body, '100', '200')": "rules",
    "DELETE FROM document": "rules",
    "UPDATE settlement SET discount_minor = discount_minor + 1, net_minor = net_minor - 1": "discount_minor",
    "UPDATE settlement SET points_earned = 1": "points_earned",
    "UPDATE settlement SET points_redeemed = 1": "points_redeemed",
    "UPDATE settlement SET lines = '[]'": "earn",
    "UPDATE priced SET facts = replace(facts, '10000', '20000')": "discount_minor",
    "UPDATE priced SET facts = replace(facts, '\"92\"', '\"95\"')": None,
}


def test_other_rules_or_sums_are_found(station: VirtualStation) -> None:
    """Rules of another hash, no rules, or sums that do not follow are differences; a fact no offer asks about is none."""
    sale = settled(station, card=1)
    found = {
        statement: [
            one["where"] for one in as_json(changed(station, statement), sale, "en")["priced"][0]["differences"]
        ]
        for statement in CHANGES
    }
    assert {statement: next(iter(where), None) for statement, where in found.items()} == CHANGES


def test_facts_that_are_gone_or_unreadable_are_said(station: VirtualStation) -> None:
    """The stored verdicts still stand; that they cannot be given again is no failure of the check."""
    sale = settled(station, card=1)
    for facts in (None, "{", '{"sale": 1}'):
        copy = changed(station, "UPDATE priced SET facts = ?", facts)
        told = as_json(copy, sale, "en")
        assert told["same"] is None
        assert told["priced"][0]["why_not"]
        assert [offer["verdict"] for offer in told["priced"][0]["offers"]] == ["APPLIED", "APPLIED"]
        assert told["priced"][0]["text"][0].startswith("Charged 78.50")
        assert run(copy, sale).exit_code == 0


def test_a_sale_priced_before_facts_were_kept_is_explained_by_its_verdicts(station: VirtualStation) -> None:
    """Rows of an earlier version have verdicts and sentences only."""
    sale = settled(station, card=1)
    told = as_json(changed(station, "DELETE FROM priced"), sale, "en")
    assert (told["same"], len(told["priced"]), len(told["priced"][0]["offers"])) == (None, 1, 2)


def test_what_the_rules_were_told_of_a_member_goes_with_the_member(station: VirtualStation) -> None:
    """Head office deletes a member: the kept facts of their sales go at once, verdicts and ledger stay."""
    sale = settled(station, card=1)
    other = settled(station, card=2)
    gone = {"op": 1_000, "kind": "DEL", "member": member_of(1)}
    station.handle(FromHeadOffice(ports.MembersPage(len(station.config.cards), (gone,))))
    assert explained(station, sale)["same"] is None
    assert explained(station, other)["same"] is True


def test_the_command_reads_like_an_explanation(station: VirtualStation) -> None:
    """Plain text for people, in Chinese on request; JSON for programs; an unsettled sale is pointed to its quote."""
    sale, database = settled(station, card=1), station.settings.store.path
    lines = run(database, sale, "--language", "zh-CN").output.splitlines()
    assert lines[0] == f"sale {sale}  Cleared"
    assert lines[-1] == "  priced again from the kept facts and rules: the same answer"
    assert any(line.startswith("  APPLIED   OK ") and line.endswith("每升减 0.10:优惠 1.00。") for line in lines)
    assert json.loads(run(database, sale[-8:].lower(), "--json").output)["sale"] == sale
    open_sale = sell(station)
    refused = run(database, open_sale)
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[1] == f"  forecourt sales quote {open_sale} tells what it costs now"
    assert run(database, "0NOSALE").exit_code == 1
    assert run(database, sale, "--language", "fr").exit_code == 2
