"""What a case or a script may say, and how a wrong one is told: every problem at once, each at its place."""

from __future__ import annotations

import json

import pytest

from agent.rehearsal.documents import TextRefused, read, rule_set
from agent.rehearsal.trying import try_all
from tests.support.loyalty import MEMBER, document
from tests.support.rehearsal import COUPON, EARN, GRADES, faults, joins, script_faults, sells, text, tried

FILL = {"grade": "92", "volume_ml": 38_217}
LITRE = {"id": "litre", "kind": "PER_LITRE", "off_milli": 300}


@pytest.mark.parametrize(
    ("line", "volume_ml", "amount_minor"),
    [
        ({"volume_ml": 38_217}, 38_217, 30_000),
        ({"amount_minor": 30_000}, 38_217, 30_000),
        ({"volume_ml": 10_100, "amount_minor": 7_935}, 10_100, 7_935),
        ({"volume_ml": 12_300, "unit_price_milli": 7_550}, 12_300, 9_287),
        ({"volume_ml": 0}, 0, 0),
    ],
)
def test_a_line_is_given_by_volume_or_by_amount(line, volume_ml, amount_minor):
    """The price gives what is missing, rounded half up; what is given is never changed."""
    (told,) = tried({"grade": "92", **line})["lines"]
    assert (told["volume_ml"], told["amount_minor"], told["product_group"]) == (volume_ml, amount_minor, "petrol")


def test_a_sale_may_have_several_lines():
    """Lines are given as tables; each may have its own price and product group."""
    lines = [{"grade": "92", "volume_ml": 10_000}, {"grade": "x", "amount_minor": 500, "unit_price_milli": 1_000}]
    told = tried({"line": lines}, LITRE, now=None)
    assert [line["amount_minor"] for line in told["lines"]] == [7_850, 500]
    assert told["lines"][1]["product_group"] is None


@pytest.mark.parametrize(
    ("now", "instant"),
    [
        ("2026-11-21T16:00:00+08:00", "2026-11-21T16:00:00+08:00"),
        ("2026-11-21T08:00:00Z", "2026-11-21T16:00:00+08:00"),
        ("2026-11-21T16:00", "2026-11-21T16:00:00+08:00"),
        ("2026-11-21 16:00:00.250", "2026-11-21T16:00:00.250+08:00"),
        ("2026-11-21", "2026-11-21T00:00:00+08:00"),
    ],
)
def test_moments(now, instant):
    """A time with its offset, or by the wall clock of the case's zone; a day alone is its midnight."""
    assert tried({**FILL, "now": now})["instant"] == instant
    assert tried(FILL, now=now)["instant"] == instant


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        ("soon", "now is 'soon', which is no time"),
        ("2026-03-29T02:30:00", "now is '2026-03-29T02:30:00', which the clocks leap over on that day"),
        ("2026-10-25T02:30:00", "now is '2026-10-25T02:30:00', which comes twice on that day: add the offset"),
    ],
)
def test_moments_that_are_not(now, problem):
    """A wall-clock time that does not exist, or twice, is told; with its offset the second is good."""
    case = {**FILL, "timezone": "Europe/Berlin"}
    assert faults({**case, "now": now}) == [problem]
    assert faults({**case, "now": "2026-10-25T02:30:00+01:00"}) == []


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ({"grade": "92"}, "volume_ml is missing, and so is amount_minor"),
        ({"grade": "95", "volume_ml": 1}, "unit_price_milli is missing"),
        ({"volume_ml": 1, "unit_price_milli": 1}, "grade is missing"),
        ({**FILL, "volume_ml": -1}, "volume_ml is -1"),
        ({**FILL, "volume_ml": 1.5}, "volume_ml is 1.5"),
        ({**FILL, "volume_ml": True}, "volume_ml is True"),
        ({"line": []}, "line has 0 lines"),
        ({"line": [FILL], "grade": "92"}, "grade is not known here"),
        ({**FILL, "timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus'"),
        ({**FILL, "tiers": "gold"}, "tiers is not known here"),
        ({**FILL, "member": {"tier": "platinum"}}, "member.tier names no tier of the rules: 'platinum'"),
        ({**FILL, "member": {"id": "li"}}, "member.id is 'li'"),
        ({**FILL, "member": {"birthday_md": "02-30"}}, "member.birthday_md is '02-30'"),
        ({**FILL, "member": {"birthday_md": "2-3"}}, "member.birthday_md is '2-3'"),
        ({**FILL, "level": "strong"}, "level is 'strong'"),
        ({**FILL, "purpose": "gift"}, "purpose is 'gift'"),
        ({**FILL, "coupon": [{"code": "C", "offer": "earn"}]}, "coupon[0].offer names no COUPON offer of the rules: 'earn'"),
        ({**FILL, "coupon": [{"code": "?", "offer": "ten"}]}, "coupon[0].code is '?'"),
        ({**FILL, "coupon": [{"code": "C", "offer": "ten"}] * 2}, "coupon is presented twice"),
        ({**FILL, "rollback": {"offer": "ten", "list_price_milli": 1}}, "rollback.offer names no PUMP_ROLLBACK offer of the rules: 'ten'"),
        ({**FILL, "budget": [{"campaign": "x", "remaining_minor": 1}]}, "budget[0].campaign is spent by no offer of the rules: 'x'"),
        ({**FILL, "used": [{"offer": "x", "window": "DAY"}]}, "used[0].offer names no offer of the rules: 'x'"),
        ({**FILL, "used": [{"offer": "earn"}]}, "used[0].window is missing"),
        ({**FILL, "expect": 1}, "expect is not a table"),
        ({**FILL, "now": 1}, "now is 1"),
        ({"case": []}, "case lists 0 cases"),
        ({"case": 5}, "case is not a list of tables"),
        ({"case": [5]}, "case[0] is not a table"),
        ({**FILL, "now": "9999-12-31"}, "now is '9999-12-31', which lies outside 1980 to 2199"),
        ({**FILL, "coupon": [{"code": f"C{n}", "offer": "ten"} for n in range(9)]}, "document 9 coupons on one sale: at most 8"),
        ({"case": [FILL], "expect": {}}, "expect belongs to one case"),
        ({"case": [{**FILL, "name": "a"}] * 2}, "case[1].name is given twice: 'a'"),
        ({**FILL, "currency": "USD"}, "document sale case is in USD with exponent 2, rule set 12 in CNY with exponent 2: publish rules in the station's currency"),
    ],
)  # fmt: skip
def test_a_wrong_case_is_told_at_its_place(case, problem):
    """Missing and unknown keys, impossible values and names that the rules do not have."""
    assert problem in faults(case, EARN, COUPON)


def test_a_problem_of_what_cases_share_is_told_once_where_it_stands():
    """A wrong zone around ten cases is one problem, of the document and not of each case."""
    cases = {"timezone": "Mars", "case": [FILL, {**FILL, "volume_ml": -1}, FILL]}
    assert faults(cases) == ["timezone is 'Mars'", "case[1].volume_ml is -1"]


def test_what_a_case_gives_itself_replaces_what_stands_around_it():
    """A whole table replaces a whole table; anonymous makes a case without the shared member."""
    rules = text(document(LITRE))
    shared = {"now": "2026-05-01", "grades": GRADES, "member": {"tier": "gold", "visits": 3}}
    cases = [{**FILL}, {**FILL, "member": {"id": "00000000000000aa"}}, {**FILL, "anonymous": True}]
    first, second, third = try_all(rules, text({**shared, "case": cases}), now=None, language="en")
    assert first.case.member is not None
    assert second.case.member is not None
    assert (first.case.member.tier, first.case.member.visits) == ("gold", 3)
    assert (second.case.member.tier, second.case.member.visits) == (None, 0)
    assert third.case.member is None
    assert [one.case.name for one in (first, second, third)] == ["case 1", "case 2", "case 3"]


def test_toml_and_json_say_the_same_and_toml_tells_lines():
    """The same document in both forms gives the same answer; times and days may stand without quotes in TOML."""
    toml = 'now = 2026-05-01T09:00:00\ngrade = "92"\nvolume_ml = 1000\nunit_price_milli = 7850\n'
    same = '{"now": "2026-05-01T09:00:00", "grade": "92", "volume_ml": 1000, "unit_price_milli": 7850}'
    rules = text(document(EARN))
    answers = [try_all(rules, read(case, "case"), now=None, language="en")[0].answer for case in (toml, same)]
    assert answers[0] == answers[1]
    with pytest.raises(TextRefused) as refused:
        try_all(rules, read(f"{toml}[member]\nvisits = -1\nage = 3\n", "case.toml"), now=None, language="en")
    assert [(fault.file, fault.line, fault.key) for fault in refused.value.faults] == [
        ("case.toml", 6, "member.visits"),
        ("case.toml", 7, "member.age"),
    ]
    assert str(refused.value.faults[0]) == "case.toml:6: member.visits: is -1"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a = ", "cannot be read: Invalid value"),
        ('{"a": 1', "cannot be read: Expecting"),
        ('{"a": 1, "a": 2}', "cannot be read: the key 'a' is given twice in one object"),
        ("{" * 100_000, "cannot be read: "),
    ],
)
def test_a_text_that_is_neither_toml_nor_json(content, problem):
    """What cannot be read at all is one problem."""
    with pytest.raises(TextRefused, match="document") as refused:
        read(content, "x")
    assert refused.value.faults[0].problem.startswith(problem)


def test_a_bad_rule_set_is_told_before_any_case():
    """The rules' own problems come with their lines."""
    with pytest.raises(TextRefused) as refused:
        rule_set(
            read('version = 1\neffective_from = "2026-01-01T00:00:00Z"\n\n[program]\ncurrency = "cny"\n', "rules.toml")
        )
    told = [str(fault) for fault in refused.value.faults]
    assert "rules.toml:4: program.exponent: is missing" in told
    assert any(line.startswith("rules.toml:5: program.currency: is 'cny'") for line in told)
    with pytest.raises(TextRefused, match=r"document: "):
        rule_set(read(json.dumps(document({**EARN, "name": "\ud800"})), "rules.json"))


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"kind": "sail"}, "event[0].kind is 'sail'"),
        ({}, "event[0].kind is missing"),
        ({"kind": "day"}, "event[0].at is missing"),
        ({"kind": "day", "at": "2026-04-30T23:00:00"}, "event[0].at lies before the event above"),
        ({"kind": "member"}, "event[0].member is missing"),
        ({"kind": "member", "member": "li"}, "event[0].member is 'li'"),
        ({"kind": "sale", "grade": "92"}, "event[0].volume_ml is missing, and so is amount_minor"),
        ({**sells("S1"), "coupons": []}, "event[0].coupons is []"),
        ({**sells("S1"), "hold_s": 0}, "event[0].hold_s is 0"),
        ({**sells("S1"), "ended_at": "2026-05-01T08:59:59"}, "event[0].ended_at lies before the lift"),
        ({"kind": "settle"}, "event[0].sale is missing"),
        ({"kind": "refund", "sale": "S1"}, "event[0].amount_minor is missing"),
        ({"kind": "refund", "sale": "S1", "amount_minor": -1}, "event[0].amount_minor is -1"),
        ({"kind": "late_link", "sale": "S1"}, "event[0].member is missing"),
        ({"kind": "grant", "member": MEMBER}, "event[0].points must be given, or coupon, not both"),
        ({"kind": "grant", "coupon": "C", "offer": "earn"}, "event[0].offer names no COUPON offer of the rules: 'earn'"),
        ({"kind": "lease", "points": 1}, "event[0].campaign must be given, or member, not both"),
        ({"kind": "lease", "member": MEMBER}, "event[0].points is missing"),
        ({"kind": "lease", "member": MEMBER, "amount_minor": 1}, "event[0].amount_minor is not known here"),
        ({"kind": "budget", "campaign": "x", "amount_minor": 1}, "event[0].campaign is spent by no offer of the rules: 'x'"),
        ({"kind": "repeat", "of": "e1"}, "event[0].of names no event before this one: 'e1'"),
        ({"kind": "expire", "on": "2026-05-01"}, "event[0].on is not known here"),
        ({"kind": "day", "at": "2026-05-02", "expect": 1}, "event[0].expect is not a table"),
    ],
)  # fmt: skip
def test_a_wrong_event_is_told_at_its_place(event, problem):
    """Each kind has its own keys; the order of time and of names is kept."""
    assert problem in script_faults([event], EARN, COUPON)


def test_a_script_needs_a_beginning_and_events_with_names_of_their_own():
    """No instant, no events, and a name given twice are problems; several come at once."""
    assert script_faults([]) == ["event lists 0 events"]
    assert script_faults(5) == ["event is not a list of tables", "event lists 0 events"]
    assert script_faults([5]) == ["event[0] is not a table", "event[0].kind is missing"]
    assert script_faults([joins()], now=7) == ["now is 7"]
    assert script_faults([{**joins(), "id": "a"}, {**joins(), "id": "a"}]) == ["event[1].id is given twice: 'a'"]
    assert len(script_faults([{"kind": "settle"}, {"kind": "sail"}], x=1)) == 3
