"""``forecourt rules try`` and ``play`` as people type them: worked cases, expectations, exit codes, both outputs, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.cli.rules import rules as group
from tests.support.rehearsal_page import examples

ROOT = Path(__file__).parents[2]
WORKED = ROOT / "tests" / "vectors" / "loyalty"
RULES = """
version = 7
effective_from = "2026-01-01T00:00:00+08:00"
program = { currency = "CNY", exponent = 2 }
[[offer]]
id = "off"
kind = "AMOUNT_OFF"
off_minor = 100
when.anyone = true
when.ends_on = "2026-05-31"
"""
CASE = 'now = "2026-05-01T09:00:00"\ngrade = "92"\nunit_price_milli = 7850\namount_minor = 10000\n'
SCRIPT = 'now = "2026-05-01T09:00:00"\n[[event]]\nkind = "sale"\ngrade = "92"\nunit_price_milli = 7850\namount_minor = 10000\n'


def typed(*words: object, given: str | None = None) -> Result:
    """Type a command of ``forecourt rules``."""
    return CliRunner().invoke(group, [*map(str, words)], input=given)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A rule set of one offer that ends in May."""
    file = tmp_path / "rules.toml"
    file.write_text(RULES, encoding="utf-8")
    return file


@pytest.mark.parametrize(("rule_file", "cases"), [("rules", "cases"), ("half-up-rules", "half-up-cases")])
def test_the_worked_cases_are_as_expected(rule_file, cases):
    """Every worked case of the engine that one evaluation answers, as its file says."""
    done = typed("try", "--rules", WORKED / f"{rule_file}.toml", "--case", WORKED / f"{cases}.toml", "--json")
    told = json.loads(done.stdout)
    assert [case["differences"] for case in told["cases"] if case["differences"]] == []
    assert (told["failed"], told["passed"], done.exit_code) == (0, len(told["cases"]), 0)
    assert told["passed"] == {"cases": 31, "half-up-cases": 3}[cases]


@pytest.mark.parametrize("script", ["lots", "budget", "tier", "daily-limit"])
def test_the_worked_histories_are_as_expected(script):
    """Every worked case that needs a history, as its script says."""
    done = typed("play", "--rules", WORKED / "rules.toml", "--script", WORKED / f"{script}.toml")
    assert (done.exit_code, "DIFFERENT" in done.stdout) == (0, False)
    assert done.stdout.endswith("events, 0 not as expected\n")


def test_every_offer_has_one_verdict_in_every_worked_case():
    """Exactly one verdict per offer, in the order of priority and id."""
    done = typed("try", "--rules", WORKED / "rules.toml", "--case", WORKED / "cases.toml", "--json")
    told = json.loads(done.stdout)["cases"]
    named = [tuple(offer["offer"] for offer in case["offers"]) for case in told]
    assert len(set(named)) == 1
    assert len(set(named[0])) == len(named[0]) == 23


def test_a_single_case_is_one_object_and_reads_stdin(rules):
    """``-`` is stdin; the answer of one case is not wrapped."""
    done = typed("try", "--rules", rules, "--case", "-", "--json", given=CASE)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["net_minor"], told["differences"], told["rule_version"]) == (0, 9_900, [], 7)
    assert len(told["rule_hash"]) == 64


def test_another_instant_and_another_language(rules):
    """--now replaces the case's instant; --language the sentences."""
    told = json.loads(typed("try", "--rules", rules, "--case", "-", "--json", "--now", "2026-06-01", given=CASE).stdout)
    assert (told["local_day"], told["offers"][0]["code"]) == ("2026-06-01", "ENDED")
    said = typed("try", "--rules", rules, "--case", "-", "--language", "zh-CN", given=CASE).stdout
    assert "应收 100.00,优惠 1.00,实付 99.00;获得 0 积分。" in said


def test_an_instant_that_is_none_is_told_once(rules):
    """However many cases there are."""
    cases = 'timezone = "UTC"\n' + CASE + "[[case]]\n[[case]]\n"
    done = typed("try", "--rules", rules, "--case", "-", "--now", "soon", given=cases)
    assert (done.exit_code, done.stderr.count("--now: is 'soon', which is no time")) == (2, 1)


def test_a_difference_is_named_and_exits_with_1(rules):
    """Also one in the depth, and a key that the answer does not have."""
    expect = "[expect]\nnet_minor = 1\nnett = 9900\nlines = [{ net_minor = 2 }]\noffers.off = { code = 'ENDED' }\noffers.on = {}\n"
    done = typed("try", "--rules", rules, "--case", "-", "--json", given=CASE + expect)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["differences"] == [
        {"where": "net_minor", "expected": 1, "actual": 9_900},
        {"where": "nett", "expected": 9_900, "actual": "nothing"},
        {"where": "lines[0].net_minor", "expected": 2, "actual": 9_900},
        {"where": "offers.off.code", "expected": "ENDED", "actual": "OK"},
        {"where": "offers.on", "expected": {}, "actual": "nothing"},
    ]
    done = typed("try", "--rules", rules, "--case", "-", given=CASE + "expect.greedy = 0\n")
    assert (done.exit_code, "  DIFFERENT greedy: expected 0, was False\n" in done.stdout) == (1, True)


def test_a_difference_in_a_script_exits_with_1(rules):
    """A refusal that nobody expected is one, too."""
    assert typed("play", "--rules", rules, "--script", "-", given=SCRIPT).exit_code == 0
    for expect in ("expect.answer.net_minor = 1\n", "expect.refused = true\n"):
        done = typed("play", "--rules", rules, "--script", "-", given=SCRIPT + expect)
        assert (done.exit_code, done.stdout.count("DIFFERENT")) == (1, 1)
        assert done.stdout.endswith("\n1 events, 1 not as expected\n")
    refused = SCRIPT + '[[event]]\nkind = "settle"\nsale = "e1"\n'
    assert typed("play", "--rules", rules, "--script", "-", given=refused).exit_code == 0
    assert typed("play", "--rules", rules, "--script", "-", given=refused + "expect.answer = {}\n").exit_code == 1
    assert typed("play", "--rules", rules, "--script", "-", given=refused + "expect.refused = true\n").exit_code == 0


def test_people_read_what_is_held_refused_and_borne_by_the_programme(tmp_path):
    """The plain text names held points, refusals with what to do, overruns, and the numbers behind a verdict."""
    risk = "checking = 'OFFLINE_WITH_RISK'\nrisk_up_to_minor = 1000\n"
    coupon = f"[[offer]]\nid = 'ten'\nkind = 'COUPON'\ngives = 'AMOUNT_OFF'\noff_minor = 1000\n{risk}"
    earn = "[[offer]]\nid = 'earn'\nkind = 'EARN'\npoints = 1\nper_minor = 100\n"
    (tmp_path / "rules.toml").write_text(RULES + coupon + earn, encoding="utf-8")
    who = "member = '00000000000000aa'\n"
    sale = f"[[event]]\nkind = 'sale'\n{who}grade = '92'\namount_minor = 10000\noffline = true\ncoupons = ['C']\n"
    script = (
        "now = '2026-05-01'\ngrades.92 = { unit_price_milli = 7850 }\n"
        f"[[event]]\nkind = 'member'\n{who}[[event]]\nkind = 'grant'\ncoupon = 'C'\noffer = 'ten'\n"
        f"{sale}held = true\n{sale}station = 'SH-0002'\n[[event]]\nkind = 'settle'\nsale = 'e3'\n"
    )
    done = typed("play", "--rules", tmp_path / "rules.toml", "--script", "-", given=script)
    assert done.exit_code == 0
    for line in (
        "    member 00000000000000aa: 89 points, 0 usable, 89 held; no tier, growth 17800, visits 2",
        "      lot e3: 89 points, held without end",
        "    overrun: C once more on sale e4, 10.00 and 0 points borne by the programme",
        "  REFUSED sale e3 is settled",
        "    it must not be paid a second time",
    ):
        assert f"\n{line}\n" in done.stdout


@pytest.mark.parametrize("command", [("try", "--case", CASE), ("play", "--script", SCRIPT)])
def test_what_cannot_be_used_exits_with_2(command, rules, tmp_path):
    """A wrong document, a wrong rule set, a file that is not there, not text, too long, an unknown language."""
    word, option, good = command
    wrong = typed(word, "--rules", rules, option, "-", given=good + "x = 1\ny = 2\n")
    assert (wrong.exit_code, wrong.stdout, wrong.stderr.count("is not known here")) == (2, "", 2)
    assert wrong.stderr.endswith("2 faults\n")
    told: Any = json.loads(typed(word, "--rules", rules, option, "-", "--json", given=good + "x = 1\n").stdout)
    (fault,) = told["faults"]
    assert (told["ok"], fault["file"], fault["problem"]) == (False, "stdin", "is not known here")
    assert fault["line"] == len(good.splitlines()) + 1
    bad_rules = tmp_path / "bad.toml"
    bad_rules.write_text(RULES.replace("off_minor = 100", "off_minor = 0"), encoding="utf-8")
    done = typed(word, "--rules", bad_rules, option, "-", given=good)
    assert (done.exit_code, f"{bad_rules}:8: offer[0].off_minor: is 0" in done.stderr) == (2, True)
    done = typed(word, "--rules", tmp_path / "none.toml", option, "-", given=good)
    assert (
        done.exit_code,
        done.stderr.splitlines()[0].endswith("none.toml cannot be read: No such file or directory"),
    ) == (2, True)
    bad_rules.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in typed(word, "--rules", bad_rules, option, "-", given=good).stderr
    done = typed(word, "--rules", rules, option, "-", "--language", "fr", given=good)
    assert (done.exit_code, "zh-CN" in done.stderr) == (2, True)


def test_the_examples_of_the_page_print_what_it_shows(tmp_path, monkeypatch):
    """Every command of docs/rehearsal.md is run with the files that the page shows."""
    monkeypatch.chdir(tmp_path)
    found = examples(ROOT / "docs" / "rehearsal.md")
    assert len(found) >= 9
    for example in found:
        assert example.printed == example.shown
