"""Points, campaigns and liability of a whole station: what the commands tell is what happened, recounted from its rows."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.answers import Answers
from agent.cli import application
from agent.domain.campaigns import NOT_ELIGIBLE
from agent.domain.rules.conditions import holdout_bucket
from agent.inbox import FromHeadOffice, Inbox
from agent.live import LiveBoard
from agent.reports.campaigns import report
from agent.reports.questions import Reports
from sync import ports
from tests.support import template
from tests.support.answering import answering
from tests.support.head_office_says import INDEX_KEY, member_of, members_of
from tests.support.quiet import quiet_log
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants, rows
from tests.support.station_plans import by_hand

DAY_MS = 86_400_000
EARN = {"id": "earn", "name": "Points", "kind": "EARN", "points": 1, "per_minor": 100}
PAY = {"id": "pay", "kind": "POINTS_AS_MONEY"}


def rules(version: int, *offers: dict[str, Any], effective_from: str = "2020-01-01T00:00:00+08:00") -> FromHeadOffice:
    """A rule set as it arrives."""
    document = {
        "version": version,
        "effective_from": effective_from,
        "program": {
            "currency": "CNY",
            "exponent": 2,
            "validity_months": 1,
            "pending_hours": 24,
            "pending_weak_hours": 24,
        },
        "tier": [{"id": "silver", "name": "Silver", "threshold": 60_000}],
        "offer": [EARN, PAY, *offers],
    }
    body = json.dumps(document).encode()
    return FromHeadOffice(ports.DocumentArrived("rules", version, sha256(body).digest(), body))


def litre_off(off_milli: int, holdout_bp: int) -> dict[str, Any]:
    """A discount per litre that a part of the members never gets."""
    return {"id": "litre-off", "kind": "PER_LITRE", "off_milli": off_milli, "when": {"holdout_bp": holdout_bp}}


WELCOME = {"id": "welcome", "kind": "BONUS_POINTS", "points": 50, "when": {"first_fill": True}}
BIG = {"id": "big", "kind": "AMOUNT_OFF", "off_minor": 500, "when": {"min_amount_minor": 20_000}}


class Stood:
    """A clock that stands."""

    def __init__(self, wall_ms: int) -> None:
        self._wall_ms = wall_ms

    def wall_ms(self) -> int:
        """See Clock."""
        return self._wall_ms

    def mono_ms(self) -> int:
        """See Clock."""
        return 0

    def quality(self) -> str:
        """See Clock."""
        return "ntp"

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        raise AssertionError(f"a report waits {seconds} s")


class Stage:
    """The station as it was at one moment of the story: its database and its time, for any number of questions."""

    def __init__(self, station: VirtualStation, name: str) -> None:
        path = station.directory / f"{name}.db"
        with closing(sqlite3.connect(station.settings.store.path)) as here, closing(sqlite3.connect(path)) as copy:
            here.backup(copy)
        store = station.settings.store.model_copy(update={"path": path})
        self.settings = station.settings.model_copy(update={"store": store})
        self.clock = Stood(station.clock.wall_ms())
        self.cards = station.config.cards
        self.questions = Reports(self.settings, self.clock, INDEX_KEY).questions()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the database."""
        return rows(self.settings.store.path, sql)

    def ask(self, op: str, **args: Any) -> Any:
        """Ask as the command line does; through JSON, as it travels."""
        return json.loads(json.dumps(self.questions[op](args)))

    def campaigns(self, parts: int | None = None, **args: Any) -> dict[str, Any]:
        """The report, counted in as many parts as planned, or as told."""
        plan = self.ask("campaigns.plan", **args)
        plan["parts"] = parts or plan["parts"]
        asked = {key: plan[key] for key in ("from_ms", "to_ms", "cut_ms", "parts")}
        counted = [self.ask("campaigns.part", **asked, which=args.get("which"), part=n) for n in range(plan["parts"])]
        return report(plan, counted[::-1])

    def offer(self, name: str, **args: Any) -> dict[str, Any]:
        """One offer of the report."""
        offers: list[dict[str, Any]] = self.campaigns(**args)["offers"]
        (found,) = [offer for offer in offers if offer["offer"] == name]
        return found


class Story:
    """A station where people fuel, pay, and make mistakes that are put right; ``stages`` are its moments."""

    def __init__(self, station: VirtualStation) -> None:
        self.station = station
        self.sales: list[str] = []
        self.stages: dict[str, Stage] = {}

    def sell(self, card: int | None, volume_ml: int = 10_000, tender: str = "cash") -> str:
        """A fuelling at point 1, linked to the member of a card and paid."""
        if card is not None:
            self.station.scan("reader-1", self.station.config.cards[card - 1])
        self.station.fuel(1, volume_ml)
        sale = str(self.station.sales()[-1]["id"])
        self.do("sales.settle", sale=sale, tenders=[{"kind": tender, "amount_minor": None, "ref": None}])
        self.sales.append(sale)
        return sale

    def do(self, op: str, **args: Any) -> None:
        """Something a supervisor does, which must work."""
        answer = self.station.ask(op, **args)
        assert answer["ok"], answer

    def days_pass(self, days: int) -> None:
        """The wall clock moves on; nobody comes meanwhile."""
        self.station.clock.offset_ms += days * DAY_MS
        self.station.run_for(2)

    def stage(self, name: str) -> None:
        """Keep this moment."""
        self.stages[name] = Stage(self.station, name)


def told(station: VirtualStation) -> dict[str, Stage]:
    """Nine sales under two rule versions, one refunded in part, one given back, one relinked, one linked late: the
    stage ``evening``. Then ``usable`` (2 days later), ``again`` (members 1 and 5 came once more, under other rules) and
    ``ended`` (2 months later).
    """
    story = Story(station)
    station.handle(rules(1, litre_off(100, 5_000), WELCOME, BIG))
    station.handle(members_of(station.config.cards))
    station.run_for(8)
    for card in (1, 2, 3, 4, 5):
        story.sell(card)
    story.sell(None)
    story.sell(None, tender="meter-test")
    refunded, given_back, relinked, late = story.sales[0], story.sales[1], story.sales[2], story.sales[5]
    story.do("sales.refund", sale=refunded, amount_minor=1_234, reason="spilled")
    story.do("sales.void", sale=given_back, reason="wrong pump")
    story.do("sales.link", sale=relinked, card=station.config.cards[5], reason="wrong card")
    story.do("sales.link", sale=late, card=station.config.cards[0], reason="forgot the card")
    station.handle(rules(2, litre_off(200, 5_000), BIG))
    station.run_for(2)
    story.sell(1, 30_000)
    story.sell(4)
    check_invariants(station)
    story.stage("evening")
    story.days_pass(2)
    story.stage("usable")
    station.handle(rules(3, litre_off(200, 0)))
    station.run_for(2)
    story.days_pass(3)
    story.sell(1)
    story.sell(5)
    story.stage("again")
    story.days_pass(60)
    story.stage("ended")
    return story.stages


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, Stage]]:
    """The moments of one story."""
    folder = template.new_folder()
    template.copy_to(folder)
    with quiet_log():
        station = VirtualStation(301, folder, by_hand(settle="tender", has_head_office=True))
        yield told(station)
        station.close()
    shutil.rmtree(folder)


@pytest.fixture
def evening(stages: dict[str, Stage]) -> Stage:
    """Just after the sales of the first day."""
    return stages["evening"]


def facts_of(evening: Stage, card: int) -> list[dict[str, Any]]:
    """A member's facts, oldest first."""
    found: list[dict[str, Any]] = evening.ask("points.history", member=member_of(card), limit=500)["facts"]
    return found[::-1]


def test_history_names_every_fact_and_sums_to_the_balance(evening: Stage) -> None:
    """Sale, refund, void, relink and late link, each with who, why and the rule version it was priced with."""
    named = {card: [fact["fact"] for fact in facts_of(evening, card)] for card in range(1, 7)}
    assert named == {
        1: ["sale", "refund", "late_link", "sale"],
        2: ["sale", "void"],
        3: ["sale", "relink"],
        4: ["sale", "sale"],
        5: ["sale"],
        6: ["relink"],
    }
    first = facts_of(evening, 1)
    assert [fact["rule_version"] for fact in first] == [1, 1, 1, 2]
    assert (first[1]["by"], first[1]["role"], first[1]["reason"]) == ("wang", "supervisor", "spilled")
    assert [fact["by"] for fact in first] == ["wang"] * 4
    for card in range(1, 7):
        running = 0
        for fact in facts_of(evening, card):
            running += fact["points"]
            assert fact["points"] == sum(leg["points"] for leg in fact["postings"])
            assert fact["balance_points"] == running
        assert running == evening.ask("points.show", member=member_of(card))["balance_points"]
    assert facts_of(evening, 2)[-1]["balance_points"] == facts_of(evening, 3)[-1]["balance_points"] == 0


def test_history_is_cut_by_number_and_by_day_and_its_balances_stay(stages: dict[str, Stage], evening: Stage) -> None:
    """The newest come first; what is left out is counted, not forgotten."""
    whole = evening.ask("points.history", member=member_of(1))
    assert whole["earlier_facts"] == 0
    cut = evening.ask("points.history", member=member_of(1), limit=1)
    assert (cut["facts"], cut["earlier_facts"]) == (whole["facts"][:1], 3)
    again = stages["again"]
    since = again.ask("points.history", member=member_of(1), since="2026-01-10")
    (fact,) = since["facts"]
    assert (fact["at"][:10], fact["rule_version"]) == ("2026-01-10", 3)
    assert fact["balance_points"] == since["balance_points"] == whole["balance_points"] + fact["points"]


def test_points_wait_become_usable_and_end(stages: dict[str, Stage], evening: Stage) -> None:
    """Earned points wait a day, are usable then, end with the month after, and the next sale finds a tier nearer."""
    waiting = evening.ask("points.show", member=member_of(4))
    assert waiting["waiting_points"] == waiting["balance_points"] > 0
    assert waiting["not_spendable"][0]["why"] == "WAITING"
    assert waiting["next_tier"]["growth_missing"] == 60_000 - waiting["growth"]
    usable = stages["usable"].ask("points.show", member=member_of(4))
    assert usable["usable_points"] == waiting["balance_points"]
    assert usable["not_spendable"] == [{"why": "NO_LEASE", "points": usable["balance_points"], "until": None}]
    assert [item["points"] for item in usable["ending"]] == [0, usable["balance_points"], usable["balance_points"]]
    ended = stages["ended"].ask("points.show", member=member_of(4))
    assert (ended["usable_points"], ended["ended_points"]) == (0, waiting["balance_points"])
    assert ended["not_spendable"][0]["why"] == "ENDED"


def recounted(evening: Stage, offer: str) -> dict[str, Any]:
    """An offer's counts from the rows one by one, in another way than the report does it."""
    query = """SELECT s.voided AS voided, t.purpose AS purpose, t.lines AS lines, t.member_ref AS member_ref FROM settlement t
               JOIN sale s ON s.id = t.sale"""
    counts = {"seen": 0, "eligible": 0, "APPLIED": 0, "CAPPED": 0, "value": 0, "given_back": 0}
    refused: dict[str, int] = {}
    for row in evening.rows(query):
        (line,) = [line for line in json.loads(row["lines"]) if line["offer"] == offer] or [None]
        if row["purpose"] or line is None:
            continue
        if row["voided"]:
            counts["given_back"] += line["verdict"] != "REJECTED"
            continue
        counts["seen"] += 1
        counts["eligible"] += line["code"] not in NOT_ELIGIBLE
        counts["value"] += line["value_minor"]
        if line["verdict"] == "REJECTED":
            refused[line["code"]] = refused.get(line["code"], 0) + 1
        else:
            counts[line["verdict"]] += 1
    return {**counts, "refused": refused}


def test_an_offer_is_counted_as_its_stored_verdicts_say(evening: Stage) -> None:
    """Own use and tests are not counted, sales given back apart, over two rule versions of the same offer."""
    for offer in evening.campaigns()["offers"]:
        counted = recounted(evening, offer["offer"])
        assert offer["refused"] == counted["refused"], offer["offer"]
        for key, name in (("seen", "seen"), ("eligible", "eligible"), ("applied", "APPLIED"), ("capped", "CAPPED")):
            assert offer[key] == counted[name], (offer["offer"], key)
        assert (offer["given_back"], offer["discount_minor"]) == (counted["given_back"], counted["value"])
    litre, welcome = evening.offer("litre-off"), evening.offer("welcome")
    assert litre["rule_versions"] == [1, 2]
    assert litre["seen"] == 7
    assert litre["refused"]["NOT_MEMBER"] == 1
    assert welcome["rule_versions"] == [1]
    assert evening.offer("big")["applied"] == 1


def test_points_of_offers_are_those_that_stand_after_all_corrections(evening: Stage) -> None:
    """What EARN and bonus offers cost is what the ledger says was issued, refunds and changed members included."""
    offers = evening.campaigns()["offers"]
    (row,) = evening.rows("SELECT -sum(points) AS points FROM posting WHERE account = 'program:issued'")
    assert sum(offer["points"] for offer in offers) == row["points"]
    by_name = {offer["offer"]: offer["points"] for offer in offers}
    assert by_name["welcome"] == 50 * 4, "of members 1, 4, 5, and 6 in the place of 3"


def test_members_reached_are_those_whose_sale_is_still_theirs(evening: Stage) -> None:
    """Whose sale was given back or turned out to be another member's is not reached."""
    assert evening.offer("earn")["members_reached"] == 3, "members 1, 4 and 5"


def test_the_hold_out_group_is_compared_and_small_numbers_say_nothing(evening: Stage) -> None:
    """Groups are recomputed from the hash; each member counts once with all fuellings, refunds taken off."""
    found = evening.offer("litre-off")["holdout"]
    held = {card for card in range(1, 13) if holdout_bucket("litre-off", member_of(card)) < 5_000}
    query = """SELECT m.id AS id, count(*) AS fuellings, sum(t.net_minor - s.refunded_minor) AS net_minor
               FROM settlement t JOIN sale s ON s.id = t.sale JOIN member m ON m.ref = t.member_ref
               JOIN link l ON l.sale = s.id AND l.active = 1 AND l.member_ref = m.ref
               WHERE NOT s.voided GROUP BY m.id"""
    members = {row["id"]: row for row in evening.rows(query)}
    for name, cards in (("held_out", held), ("treated", set(range(1, 13)) - held)):
        here = [members[member_of(card)] for card in cards if member_of(card) in members]
        assert found[name]["members"] == len(here)
        for key in ("fuellings", "net_minor"):
            assert found[name][key] == sum(row[key] for row in here), (name, key)
    assert 0 < found["held_out"]["members"] < 3
    assert found["net_per_member_minor"]["says"] == "TOO_FEW"
    assert evening.offer("big")["holdout"] is None


def test_a_changed_share_leaves_out_whoever_was_in_both_groups(stages: dict[str, Stage], evening: Stage) -> None:
    """Held out under one version and not under the next: in neither group."""
    before, after = evening.offer("litre-off")["holdout"], stages["again"].offer("litre-off")["holdout"]
    assert after["shares_bp"] == [0, 5_000]
    assert (after["held_out"]["members"], after["members_left_out"]) == (0, before["held_out"]["members"])
    assert after["fuellings_per_100_members"]["held_out"] is None


def test_counting_in_parts_and_in_one_is_the_same(evening: Stage) -> None:
    """Parts hold each sale once: the bar on the screen changes no figure."""
    assert evening.campaigns(parts=5) == evening.campaigns(parts=1)


def test_a_period_holds_the_sales_of_its_local_days(stages: dict[str, Stage], evening: Stage) -> None:
    """Both days included; rule versions that ended before it are not in it."""
    again = stages["again"]
    assert again.campaigns(since="2026-01-10", until="2026-01-10")["sales"]["sales"] == 2
    assert again.campaigns(until="2026-01-05")["sales"]["sales"] == evening.campaigns()["sales"]["sales"] == 8
    later = again.campaigns(since="2026-01-08")["offers"]
    assert {offer["offer"]: offer["rule_versions"] for offer in later} == {"earn": [3], "litre-off": [3], "pay": [3]}


def test_one_campaign_is_found_by_its_offer_and_an_unknown_one_is_said(evening: Stage) -> None:
    """Asked by name only that one is told."""
    assert [offer["offer"] for offer in evening.campaigns(which="big")["offers"]] == ["big"]
    with pytest.raises(Exception, match="no offer and no campaign 'bigger'"):
        evening.ask("campaigns.plan", which="bigger")


def test_liability_is_the_sum_of_all_members_and_ages_by_month(stages: dict[str, Stage], evening: Stage) -> None:
    """Live points times cost; what a member sees and what the station owes are the same points."""
    members = [evening.ask("points.show", member=member_of(card)) for card in range(1, 7)]
    found = evening.ask("points.liability")
    assert found["points"] == found["own_points"] == sum(member["balance_points"] for member in members)
    assert found["ending"] == [{"month": "2026-02", "points": found["points"], "liability_minor": found["points"]}]
    dearer = evening.ask("points.liability", unit_cost_milli=7, breakage_bp=2_500)
    assert dearer["liability_minor"] == (found["points"] * 7 * 7_500 * 100 + 5_000_000) // 10_000_000
    period, offers = found["period"], evening.campaigns()
    assert period["points_issued"] == sum(offer["points"] for offer in offers["offers"])
    assert period["discount_minor"] == sum(offer["discount_minor"] for offer in offers["offers"])
    assert (period["sales"], period["given_back"]) == (offers["sales"]["sales"], 1)
    assert period["net_minor"] == offers["sales"]["net_minor"]
    yesterday = evening.ask("points.liability", at="2026-01-04")
    assert (yesterday["points"], yesterday["head_office_points"], yesterday["period"]["cost_share_bp"]) == (
        0,
        None,
        None,
    )
    later = stages["ended"].ask("points.liability")
    assert (later["points"], later["ended_points"] > found["points"]) == (0, True)


def test_a_member_is_found_by_card_number_and_no_answer_holds_it(evening: Stage) -> None:
    """The number is looked up by its keyed index; an unknown one is not repeated."""
    card = evening.cards[0]
    spaced = f"{card[:4]} {card[4:8]} {card[8:]}"
    for number in (card, spaced):
        shown = evening.ask("points.show", member=number)
        assert shown["member"] == member_of(1)
        assert card not in json.dumps(shown)
    with pytest.raises(Exception, match="no member has this number") as refused:
        evening.ask("points.show", member="9156000000009999")
    assert "9156" not in str(refused.value)


@contextmanager
def daemon(evening: Stage, path: Path) -> Iterator[Path]:
    """The station's answers behind a control socket."""
    answers = Answers(
        settings=evening.settings,
        live=LiveBoard(started_ms=0),
        inbox=Inbox(),
        clock=evening.clock,
        version="0",
        incarnation="x",
        index_key=INDEX_KEY,
    )
    with answering(path, answers.answer) as socket:
        yield socket


def run(*arguments: str | Path) -> Result:
    """The command in this process, as in a pipe."""
    return CliRunner().invoke(application(), [str(argument) for argument in arguments])


def test_the_commands_show_what_the_answers_hold(evening: Stage, tmp_path: Path) -> None:
    """Each screen tells its figures in words; bad usage ends with 2 and a sentence."""
    card = evening.cards[0]
    with daemon(evening, tmp_path / "control.sock") as socket:
        shown = {
            words: run(*words.split(), "--socket", socket)
            for words in (
                f"points show {card}",
                f"points history {member_of(1)} --limit 2",
                "points liability --unit-cost-milli 7 --breakage-bp 2500",
                "campaigns",
                "campaigns litre-off",
                f"members show {card}",
            )
        }
        for words, result in shown.items():
            assert result.exit_code == 0, (words, result.output)
            assert card not in result.output
        texts = [result.output for result in shown.values()]
        assert "not to be spent before" in texts[0]
        assert "more to Silver" in texts[0]
        assert "2 earlier ones" in texts[1]
        assert "25.00 % never spent" in texts[2]
        assert "too few members to say" in texts[4]
        assert json.loads(run("campaigns", "--json", "--socket", socket).output) == evening.campaigns()
        for words, code in (
            ("points show 77", 1),
            ("points history x --since tomorrow", 1),
            ("campaigns --since 2026-02-01 --until 2026-01-01", 2),
            ("campaigns --since soon", 2),
            ("points liability --breakage-bp 10001", 2),
        ):
            refused = run(*words.split(), "--socket", socket)
            assert (refused.exit_code, len(refused.stderr.splitlines())) == (code, 2), (words, refused.output)
