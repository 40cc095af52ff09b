"""All commands in one tree, and the one place where an error becomes two lines and an exit code.

Exit codes: 0 ok, 1 the check failed, 2 bad usage or configuration, 3 not reachable.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from agent import crashes
from agent.domain.redaction import redact
from headoffice.cli import acting, handing, listing
from headoffice.cli.codes import codes
from headoffice.cli.commands import command
from headoffice.cli.fleet import fleet
from headoffice.cli.lending import budgets, leases
from headoffice.cli.options import DatabaseOption, JsonOption, StateOption, open_database
from headoffice.cli.output import show_json
from headoffice.cli.pki import pki
from headoffice.errors import HeadOfficeError

app = typer.Typer(
    name="forecourt-hq",
    help="The reference head office: takes what stations send, hands out members and rules.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
members = typer.Typer(help="Members handed out to the stations.", no_args_is_help=True)
rules = typer.Typer(help="Rule sets handed out to the stations.", no_args_is_help=True)
stations = typer.Typer(help="Stations, their streams and their fences.", invoke_without_command=True)
coupons = typer.Typer(help="Signed coupons.", no_args_is_help=True)
dead_letters = typer.Typer(help="Records that were put aside: list, replay.", no_args_is_help=True)
for name, group in (
    ("members", members),
    ("rules", rules),
    ("codes", codes),
    ("command", command),
    ("coupons", coupons),
    ("leases", leases),
    ("budgets", budgets),
    ("stations", stations),
    ("dead-letters", dead_letters),
    ("pki", pki),
):
    app.add_typer(group, name=name)

app.command("serve")(acting.serve)
app.command("restored")(acting.restored)
app.command("keys")(acting.keys)
app.command("bundle")(handing.bundle)
members.command("import")(acting.members_import)
members.command("remove")(acting.members_remove)
members.command("rotate-index-key")(acting.members_rotate)
members.command("enrolled")(listing.members_enrolled)
rules.command("publish")(acting.rules_publish)
coupons.command("issue")(handing.coupons_issue)
stations.callback()(listing.stations)
stations.command("unfence")(acting.stations_unfence)
dead_letters.command("list")(listing.dead_letters)
dead_letters.command("replay")(acting.dead_letters_replay)
app.command("fleet")(fleet)
app.command("workers")(listing.workers)
app.command("sales")(listing.sales)
app.command("alerts")(listing.alerts)
app.command("shifts")(listing.shifts)
app.command("totals")(listing.totals)


@app.command("verify")
def verify(database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Recompute hash chains, sums, intervals and postings; exit 1 and a list if anything is off."""
    from headoffice.store.verify import verify as run_verify

    found = run_verify(open_database(database, state))
    if as_json:
        show_json(
            {
                "verified": not found.findings,
                "chains": found.chains,
                "records": found.records,
                "dropped": found.dropped,
                "findings": list(found.findings),
            }
        )
    else:
        for finding in found.findings:
            print(finding)
        word = "verified" if not found.findings else "NOT verified"
        print(f"{word}: {found.records} records in {found.chains} chains, {len(found.findings)} findings")
        if found.dropped:
            print(f"{found.dropped} records were not recomputed: their months were dropped")
    if found.findings:
        raise typer.Exit(1)


def _version_wanted(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("forecourt-edge-agent"))
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version_wanted, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Bind the options of the command itself."""


def entry() -> None:
    """Run the command line; every error a person can cause is one or two lines on stderr."""
    crashes.install()
    try:
        code = app(standalone_mode=False)
    except HeadOfficeError as error:
        _complain(str(error), error.hint, error.exit_code)
    except TyperException as error:
        text = error.format_message()
        if text.startswith("Usage:"):  # no arguments at all: the help is the answer
            print(text, file=sys.stderr)
            sys.exit(2)
        _complain(text, "forecourt-hq --help", 2)
    except typer.Abort:
        _complain("interrupted", "", 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader left; nothing more can be said
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, hint: str, code: int) -> None:
    print(f"forecourt-hq: {redact(message)}", file=sys.stderr)
    if hint:
        print(f"  hint: {redact(hint)}", file=sys.stderr)
    sys.exit(code)
