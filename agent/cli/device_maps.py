"""``forecourt device check-map``: is a register map right, and what would be asked of the device.

Knows what is typed and printed. Sends nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from agent.cli import device_args as given
from agent.cli.device import device
from agent.cli.talk import JsonOption, fail, print_json, print_table

_VALUE = re.compile(r"([a-z][a-z0-9_]{0,39})=(.{1,100})")
_WHOLE = re.compile(r"[0-9]{1,9}")


@device.command("check-map")
def device_check_map(
    file: Annotated[str, typer.Argument(help="A map file, or the id of a shipped map.")],
    value: Annotated[list[str] | None, typer.Option("--value", help="NAME=VALUE of the station; repeat it.")] = None,
    tanks: Annotated[str, typer.Option("--tanks", help="Tank numbers of a gauge, such as 1,2.")] = "1",
    as_json: JsonOption = False,
) -> None:
    """Tell every problem of a register map, and what it would read and write. Needs no device."""
    from agent.field.register_map import check
    from drivers.errors import WiringError

    values = dict(_pair(text) for text in value or [])
    numbers = given.numbers(tanks, "--tanks 1,2")
    if 0 in numbers:
        fail("--tanks 0 is no tank", "tanks are counted from 1", 2)
    try:
        answer = check(file, values, numbers)
    except WiringError as error:
        fail(str(error), error.hint, 2)
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if not answer["ok"]:
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, object]:
    match = _VALUE.fullmatch(text)
    if match is None:
        fail(f"--value {text!r} is no pair", "write --value k_factor=3666739.2", 2)
    return match[1], int(match[2]) if _WHOLE.fullmatch(match[2]) else match[2]


def _show(answer: dict[str, Any]) -> None:
    if "id" in answer:
        print(f"{answer['title'] or 'register map'}: {answer['id']} version {answer['version']}, {answer['profile']}")
        print(f"standing {answer['standing']}, sha256 {answer['sha256']}")
        for sentence in answer["uncertain"]:
            print(f"uncertain: {sentence}")
        for one in answer["values"]:
            print(f"value {one['name']}: {one['given'] or 'MISSING'} ({one['meaning']})")
        for name, stand_in in answer["assumed"].items():
            print(f"shown below with {name} = {stand_in}")
    if "reads" in answer:
        _show_plan(answer)
    for problem in answer["problems"]:
        place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
        print(f"{place}: {problem['key']}: {problem['problem']}")
        print(f"    {problem['hint']}")
    count = len(answer["problems"])
    print(f"verdict: {answer['verdict']}" + (f", {count} problem{'s' if count > 1 else ''}" if count else ""))


def _show_plan(answer: dict[str, Any]) -> None:
    reads = list(answer["reads"])
    if answer["record"] and all(one["request"] != answer["record"]["read"]["request"] for one in reads):
        reads.append(answer["record"]["read"])
    print_table(
        "reads",
        ["every", "function", "address", "count", "request to unit 1", "reply", "fields"],
        [
            [
                "record" if one["period_ms"] is None else f"{one['period_ms']} ms",
                one["function"],
                one["address"],
                one["count"],
                one["request"] if one["select"] is None else f"{one['select']} then {one['request']}",
                f"{one['reply_bytes']} bytes",
                _fields(one),
            ]
            for one in reads
        ],
    )
    writes = [("set-up", "read back", one) for one in answer["setup"]]
    if answer["record"] and answer["record"]["acknowledge"]:
        writes.append(("acknowledge", "", answer["record"]["acknowledge"]))
    for one in answer["commands"]:
        proof = f"{one['confirmed_by']} within {one['within_ms']} ms" if one["confirmed_by"] else "nothing: UNKNOWN"
        writes.append((one["command"], proof if one["sent"] else "NEVER SENT", one))
    if writes:
        print_table(
            "writes",
            ["write", "function", "address", "request to unit 1", "confirmed by"],
            [
                [name, one["function"], one["address"], one["request"] or f"value: {one['value_from']}", proof]
                for name, proof, one in writes
            ],
        )
    else:
        print("writes: none")


def _fields(one: dict[str, Any]) -> str:
    tanks = f" of tank {', '.join(map(str, one['tanks']))}" if one["tanks"] else ""
    return ", ".join(one["fields"]) + tanks
