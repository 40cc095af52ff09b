"""``forecourt rules lint``: what is wrong with a rule file, and what is only questionable, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.rules import document_of, refuse, rules
from agent.cli.talk import JsonOption, print_json

if TYPE_CHECKING:
    from agent.domain.rules.lint import Finding
    from agent.rehearsal.documents import Document


@rules.command("lint")
def rules_lint(
    file: Annotated[Path, typer.Argument(help="A rule set: TOML or JSON; - is stdin.")],
    campaign: Annotated[
        list[str] | None, typer.Option("--campaign", help="A campaign that has a budget; repeat it to name all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look a rule file over: 2 where it is refused, 1 where something is questionable, 0 where it is clean."""
    from agent.domain.rules.lint import lint
    from agent.rehearsal.documents import TextRefused, rule_set

    try:
        document = document_of(file)
        read, digest = rule_set(document)
        findings = lint(document.data, campaigns=campaign)
    except TextRefused as failure:
        refuse(failure, as_json=as_json)
    rows = [_row(document, finding) for finding in findings]
    if as_json:
        told = {"version": read.version, "rule_hash": digest, "offers": len(read.offers)}
        print_json({"ok": not rows, "file": document.name, **told, "faults": [], "warnings": rows})
    else:
        _show(document.name, rows, len(read.offers))
    if rows:
        raise typer.Exit(1)


def _row(document: Document, finding: Finding) -> dict[str, Any]:
    from agent.domain.rules.fields import Problem

    (fault,) = document.refusal([Problem(finding.path, finding.problem, finding.hint)]).faults
    return {
        "code": finding.code.value,
        "line": fault.line,
        "key": finding.path,
        "offer": finding.offer,
        "problem": finding.problem,
        "hint": finding.hint,
        **finding.numbers,
    }


def _show(name: str, rows: list[dict[str, Any]], offers: int) -> None:
    for row in rows:
        place = name if row["line"] is None else f"{name}:{row['line']}"
        about = "" if row["offer"] is None else f" ({row['offer']})"
        print(f"{place}: {row['key']}{about}: {row['code']}: {row['problem']}")
        print(f"    {row['hint']}")
    doubts = "nothing questionable" if not rows else f"{len(rows)} warning{'' if len(rows) == 1 else 's'}"
    print(f"{name}: {offers} offers, {doubts}")
