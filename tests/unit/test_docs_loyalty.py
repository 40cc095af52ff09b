"""The designers' page: every recipe is a part of a rule set that is clean, and gives what its cases say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.domain.rules.findings import Lint
from agent.domain.rules.lint import lint
from agent.rehearsal.documents import read
from agent.rehearsal.trying import try_all
from tests.support.loyalty import document

PAGE = (Path(__file__).parents[2] / "docs" / "loyalty.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FRAME, CASES = BLOCK.findall(PAGE.split("\n### ")[0])
RECIPES = {part.partition("\n")[0]: BLOCK.findall(part) for part in PAGE.split("\n### ")[1:]}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_gives_what_its_cases_say(name: str) -> None:
    """Pasted into the frame it can be published without a doubt, and every case comes out as written."""
    offers, cases = RECIPES[name]
    rules = read(FRAME + offers, "recipe")
    assert lint(rules.data) == ()
    tried = try_all(rules, read(CASES + cases, "cases"), now=None, language="en")
    assert len(tried) >= 2
    assert {one.case.name: one.differences for one in tried if one.differences} == {}
    assert all(one.case.expect for one in tried)


def test_there_are_recipes_of_every_kind() -> None:
    """A designer finds one for each kind of offer."""
    shown = set(re.findall(r'^(?:kind|gives) = "([A-Z_]+)"', PAGE, re.MULTILINE))
    assert shown == {
        "PUMP_ROLLBACK", "PER_LITRE", "PERCENT", "AMOUNT_OFF", "SPEND_THRESHOLD", "FIXED_PRICE", "COUPON",
        "POINTS_AS_MONEY", "GIFT_ITEM", "EARN", "MULTIPLIER", "BONUS_POINTS",
    }  # fmt: skip


def test_a_wrong_figure_in_a_recipe_would_be_noticed() -> None:
    """The check is a real one."""
    offers, cases = next(iter(RECIPES.values()))
    (first, *_) = try_all(
        read(FRAME + offers, "recipe"), read(CASES + cases.replace("29618", "29617"), "cases"), now=None, language="en"
    )
    assert [(one.where, one.expected, one.actual) for one in first.differences] == [("net_minor", 29_617, 29_618)]


def test_every_code_of_lint_is_explained() -> None:
    """The table of doubts has each, and none that does not exist."""
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) == {code.value for code in Lint}


def test_the_dearer_sales_of_the_page_are_those_that_lint_finds() -> None:
    """Both examples of a bigger sale that is dearer, with the amounts they name."""
    twelve = {"id": "twelve", "kind": "PERCENT", "share_bp": 1_200, "group": "g"}
    per_200 = {"id": "per-200", "kind": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 20_000}
    later = {"id": "five", "kind": "PERCENT", "share_bp": 500, "when": {"min_amount_minor": 20_500}}
    (first,) = lint(document(per_200 | {"group": "g"}, twelve, groups=[("g", "FIRST")]))
    (second,) = lint(document(per_200 | {"basis": "RUNNING"}, later))
    for found in (first, second):
        assert found.code is Lint.DEARER
        for amount in found.numbers.values():
            assert f"{amount // 100}.{amount % 100:02d}" in PAGE, json.dumps(dict(found.numbers))


def test_the_worked_discounts_of_the_page_are_those_of_the_engine() -> None:
    """5 % and 10 % of 300.00: one after the other, of the gross, and the better of the two."""
    case = read(
        'now = "2026-11-25T16:00"\n[member]\n[[line]]\ngrade = "92"\nunit_price_milli = 7850\nvolume_ml = 38217\n',
        "case",
    )
    nets = []
    for more, groups in (({}, []), ({"basis": "GROSS"}, []), ({"group": "g"}, [("g", "BEST")])):
        shares = [{"id": f"p{share}", "kind": "PERCENT", "share_bp": share, **more} for share in (500, 1_000)]
        rules = read(json.dumps(document(*shares, groups=groups)), "rules")
        nets.append(try_all(rules, case, now=None, language="en")[0].answer["net_minor"])
    assert nets == [25_650, 25_500, 27_000]
    assert all(f"{net // 100}.{net % 100:02d}" in PAGE for net in nets)
