"""``forecourt rules``: rule sets tried on cases and played through scripts, without a daemon and without any state."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agent.cli.app import app
from agent.cli.talk import JsonOption, fail, print_json

if TYPE_CHECKING:
    from agent.rehearsal.documents import Document, TextRefused
    from agent.rehearsal.expect import Difference

rules = typer.Typer(help="Rule sets: try one on a case, play a script of events.", no_args_is_help=True)
app.add_typer(rules, name="rules")

MAX_READ_BYTES = 8_388_608
"""Of one file: far above any rule set, suite or script, and little enough to hold."""

RulesOption = Annotated[Path, typer.Option("--rules", help="The rule set: TOML or JSON.")]
LanguageOption = Annotated[str, typer.Option("--language", help="Of the sentences: en or zh-CN.")]


@rules.command("try")
def rules_try(
    rule_file: RulesOption,
    case: Annotated[Path, typer.Option("--case", help="A case or a list of cases, TOML or JSON; - is stdin.")],
    now: Annotated[str | None, typer.Option("--now", help="Another instant than the case's.")] = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Evaluate cases without touching any state; 1 where an answer is not the expected one."""
    from agent.rehearsal import show
    from agent.rehearsal.case import is_suite
    from agent.rehearsal.documents import TextRefused
    from agent.rehearsal.trying import try_all

    check_language(language)
    try:
        document = document_of(case)
        tried = try_all(document_of(rule_file), document, now=now, language=language)
    except TextRefused as failure:
        refuse(failure, as_json=as_json)
    failed = sum(bool(one.differences) for one in tried)
    if as_json:
        answers = [{**one.answer, "differences": [_row(found) for found in one.differences]} for one in tried]
        summary = {"cases": answers, "passed": len(tried) - failed, "failed": failed}
        print_json(summary if is_suite(document) else answers[0])
    else:
        for one in tried:
            for line in show.tried(one, brief=is_suite(document)):
                print(line)
        if is_suite(document):
            print(f"{len(tried)} cases, {failed} not as expected")
    if failed:
        raise typer.Exit(1)


@rules.command("play")
def rules_play(
    rule_file: RulesOption,
    script: Annotated[Path, typer.Option("--script", help="A script of events, TOML or JSON; - is stdin.")],
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Play a script on an empty ledger in memory; 1 where an answer is not the expected one or the books disagree."""
    from agent.rehearsal import show
    from agent.rehearsal.documents import TextRefused
    from agent.rehearsal.play import play

    check_language(language)
    try:
        document = document_of(script)
        found, events = play(document_of(rule_file), document, language=language)
    except TextRefused as failure:
        refuse(failure, as_json=as_json)
    failed = sum(bool(one.differences) or not one.sound for one in events)
    if as_json:
        rows = [{**one.told, "differences": [_row(found) for found in one.differences]} for one in events]
        print_json(
            {
                "script": found.name,
                "rule_version": found.setting.rules.version,
                "timezone": found.zone_name,
                "events": rows,
                "passed": len(events) - failed,
                "failed": failed,
            }
        )
    else:
        for one in events:
            for line in show.played(one, found.setting.rules.program.exponent):
                print(line)
        print(f"{len(events)} events, {failed} not as expected")
    if failed:
        raise typer.Exit(1)


def check_language(language: str) -> None:
    """End the command with 2 where there are no sentences in a language."""
    from agent.domain.rules.explain import LANGUAGES

    if language not in LANGUAGES:
        fail(f"no sentences in {language!r}", f"use one of: {', '.join(LANGUAGES)}", 2)


def document_of(path: Path) -> Document:
    """Return a file, or stdin for ``-``, as a document; ends the command with 2 where there is none."""
    from agent.rehearsal.documents import read

    name = "stdin" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MAX_READ_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(MAX_READ_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as failure:
        fail(f"{name} cannot be read: {failure.strerror}", "name a file of TOML or JSON", 2)
    except UnicodeDecodeError:
        fail(f"{name} is not UTF-8 text", "name a file of TOML or JSON", 2)
    if len(content) > MAX_READ_BYTES:
        fail(f"{name} has more than {MAX_READ_BYTES} bytes", "split it into several files", 2)
    return read(text, name)


def refuse(failure: TextRefused, *, as_json: bool) -> NoReturn:
    """Tell everything that is wrong with a text and end the command with 2."""
    if as_json:
        rows = [
            {"file": fault.file, "line": fault.line, "key": fault.key, "problem": fault.problem, "hint": fault.hint}
            for fault in failure.faults
        ]
        print_json({"ok": False, "faults": rows})
    else:
        for fault in failure.faults:
            print(f"{fault}\n    {fault.hint}", file=sys.stderr)
        count = len(failure.faults)
        print(f"{count} fault{'' if count == 1 else 's'}", file=sys.stderr)
    raise typer.Exit(2) from failure


def _row(found: Difference) -> dict[str, object]:
    return {"where": found.where, "expected": found.expected, "actual": found.actual}
