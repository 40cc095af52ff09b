"""`forecourt rules lint`: what a campaign designer reads about a rule file, and the exit code a script goes by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.cli import application

EXAMPLE = Path(__file__).parents[2] / "config" / "rules.example.toml"
HEAD = 'version = 3\neffective_from = "2026-01-01T00:00:00+08:00"\n[program]\ncurrency = "CNY"\nexponent = 2\n'
DEARER = """
[[group]]
id = "money"
mode = "FIRST"
[[offer]]
id = "per-200"
kind = "SPEND_THRESHOLD"
off_minor = 2000
per_minor = 20000
group = "money"
[[offer]]
id = "twelve"
kind = "PERCENT"
share_bp = 1200
group = "money"
[[offer]]
id = "gone"
kind = "AMOUNT_OFF"
off_minor = 100
[offer.when]
ends_on = "2025-12-31"
"""


def lint(*words: str, text: str | None = None) -> Result:
    """Run the command, with ``text`` on stdin."""
    return CliRunner().invoke(application(), ["rules", "lint", *words], input=text)


def test_a_clean_file_ends_with_0() -> None:
    """The shipped example is looked over and found clean."""
    done = lint(str(EXAMPLE))
    assert done.exit_code == 0
    assert done.output.endswith("offers, nothing questionable\n")


def test_a_questionable_file_ends_with_1_and_names_each_line(tmp_path: Path) -> None:
    """Place, offer, the amounts compared and what to do, in the order of the file."""
    file = tmp_path / "rules.toml"
    file.write_text(HEAD + DEARER, encoding="utf-8")
    done = lint(str(file))
    assert done.exit_code == 1
    assert (
        done.output
        == f"""\
{file}:10: offer[0] (per-200): DEARER: makes a bigger sale dearer: 199.99 costs 175.99, 200.00 costs 180.00: from there \
on twelve gives less or nothing
    let the better one win (group mode BEST, or priorities), or use basis GROSS
{file}:26: offer[2].when.ends_on (gone): NEVER_APPLIES: ended on 2025-12-31, the rule set takes effect on 2026-01-01
    take the offer out, or let it run on
{file}: 3 offers, 2 warnings
"""
    )


def test_json_has_the_amounts_with_their_units() -> None:
    """A program reads code, line, offer and both sales; stdin is read for a dash."""
    done = lint("-", "--json", text=HEAD + DEARER)
    told = json.loads(done.output)
    assert done.exit_code == 1
    assert (told["ok"], told["file"], told["version"], told["offers"], told["faults"]) == (False, "stdin", 3, 3, [])
    first = told["warnings"][0]
    assert (first["code"], first["line"], first["key"], first["offer"]) == ("DEARER", 10, "offer[0]", "per-200")
    amounts = {key: value for key, value in first.items() if key.endswith("_minor")}
    assert amounts == {
        "smaller_gross_minor": 19_999,
        "smaller_net_minor": 17_599,
        "bigger_gross_minor": 20_000,
        "bigger_net_minor": 18_000,
    }


def test_a_refused_file_ends_with_2_and_names_each_line() -> None:
    """What contradicts itself is no warning: the engine would not take it."""
    offer = '[[offer]]\nid = "x"\nkind = "GIFT_ITEM"\nitem = "water"\n[offer.when]\nvisit_at = 5\nvisit_every = 3\n'
    done = lint("-", text=HEAD + offer)
    assert done.exit_code == 2
    assert "stdin:11: offer[0].when.visit_at: 5 is no multiple of visit_every 3" in done.stderr
    assert json.loads(lint("-", "--json", text=HEAD + offer).stdout)["faults"][0]["line"] == 11


@pytest.mark.parametrize(
    ("campaigns", "code"), [((), 0), (("spring",), 0), (("winter", "spring"), 0), (("winter",), 1)]
)
def test_campaigns_are_looked_at_where_they_are_named(campaigns: tuple[str, ...], code: int) -> None:
    """An offer of a campaign without a budget is told once the campaigns with one are known."""
    offer = '[[offer]]\nid = "x"\nkind = "AMOUNT_OFF"\noff_minor = 5\n[offer.budget]\ncampaign = "spring"\n'
    words = [word for name in campaigns for word in ("--campaign", name)]
    assert lint("-", *words, text=HEAD + offer).exit_code == code


def test_no_file_is_one_clear_sentence(tmp_path: Path) -> None:
    """A path that leads nowhere ends with 2 and what to do."""
    done = lint(str(tmp_path / "none.toml"))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[1].strip() == "name a file of TOML or JSON"
