"""``forecourt rules explain``: every offer's verdict on a stored sale, and whether it would be priced so again."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.rules import LanguageOption, check_language, rules
from agent.cli.talk import ConfigOption, JsonOption, SocketOption, clock_time, fail, money, print_json, question

_WHAT = {
    "settlement": "settled",
    "link": "priced again for another member; the money stayed as it was paid",
    "late-link": "priced again for a member linked late; the money stayed as it was paid",
}


@rules.command("explain")
def rules_explain(
    sale: Annotated[str, typer.Argument(help="The sale's id, its beginning or its end.")],
    language: LanguageOption = "en",
    database: Annotated[Path | None, typer.Option(help="Read this file without the daemon.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Explain how a settled sale was priced; 1 where the same facts no longer give the same answer."""
    check_language(language)
    if database is None:
        value = question(config, socket, "rules.explain", sale=sale, language=language)
    else:
        value = _of_file(database, sale, language)
    if as_json:
        print_json(value)
    else:
        _show(value)
    if value["same"] is False:
        raise typer.Exit(1)


def _of_file(database: Path, sale: str, language: str) -> dict[str, Any]:
    from agent.store.explained import as_json
    from agent.store.queries import NotFound

    if not database.is_file():
        fail(f"{database} is not a file", "name the station's database, or a copy of it", 2)
    try:
        return as_json(database, sale.upper(), language)
    except NotFound as failure:
        fail(str(failure), failure.hint, 1)
    except sqlite3.Error as failure:
        fail(f"{database} cannot be read: {failure}", "a database of an earlier version is upgraded by the daemon", 1)


def _show(value: dict[str, Any]) -> None:
    voided = "  given back in full" if value["voided"] else ""
    print(f"sale {value['sale']}  {value['state']}{voided}")
    for one in value["priced"]:
        _priced(one, value["exponent"])
    for item in value["corrections"]:
        print(f"{item['what']} {clock_time(item['at'])} by {item['by']}: {item['reason']}")


def _priced(one: dict[str, Any], exponent: int) -> None:
    since = "" if one["rules_effective_from"] is None else f", in force from {one['rules_effective_from']}"
    member = "no member" if one["mask"] is None else f"member {one['mask']}"
    print(f"{_WHAT[one['what']]} {clock_time(one['at'])}, {member}")
    print(f"by rules version {one['rule_version']} ({one['rule_hash'][:12]}){since}")
    if one["gross_minor"] is not None:
        gross, off, net = (money(one[key], exponent) for key in ("gross_minor", "discount_minor", "net_minor"))
        points = f"{one['points_redeemed']} points spent, {one['points_earned']} earned"
        print(f"charged {gross}, off {off}, paid {net}; {points}")
    else:
        print(f"{one['points_earned']} points earned")
    for offer in one["offers"]:
        print(f"  {offer['verdict']:<8}  {offer['code']:<21}  {_numbers(offer):<17}  {offer['text']}")
    for sentence in one["text"]:
        print(f"  {sentence}")
    for found in one["differences"]:
        print(f"  DIFFERENT {found['where']}: stored {found['stored']}, now {found['again']}")
    if one["same"]:
        print("  priced again from the kept facts and rules: the same answer")
    elif one["same"] is None:
        print(f"  not priced again: {one['why_not']}")


def _numbers(offer: dict[str, Any]) -> str:
    """Return the two numbers compared, in the unit of the code."""
    if offer["needed"] is None and offer["actual"] is None:
        return ""
    return " of ".join("-" if number is None else str(number) for number in (offer["actual"], offer["needed"]))
