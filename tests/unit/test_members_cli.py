"""``forecourt members`` at a station that runs: enrolled, found and shown by mask; numbers come from standard input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.answers import Answers
from agent.cli import application
from agent.inbox import Inbox, Person
from tests.support import template
from tests.support.answering import answering
from tests.support.head_office_says import INDEX_KEY
from tests.support.quiet import quiet_log
from tests.support.till import EARN, Till

PHONE, MASK = "13812345678", "138****5678"
ASKS = ("members.enrol", "members.find", "sales.link")


@pytest.fixture(scope="module")
def station() -> Iterator[tuple[Till, Path]]:
    """A till behind a control socket; one for all tests of this page, which go on from each other."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder)
    till.rules(EARN)
    looks = Answers(
        settings=till.settings,
        live=till.pipeline._live,
        inbox=Inbox(),
        clock=till.clock,
        version="1",
        incarnation=till.store.incarnation,
        index_key=INDEX_KEY,
    )

    def answer(op: str, args: dict[str, Any], person: Person) -> dict[str, Any]:
        if op in ASKS:
            return till.ask(op, role="attendant", person=person.name, **args)
        return looks.answer(op, args, person)

    with quiet_log(), answering(folder / "control.sock", answer) as socket:
        yield till, socket
    till.close()
    shutil.rmtree(folder)


def run(socket: Path, *words: str, keyed: str = "") -> Result:
    """The command as typed, with what is keyed in."""
    return CliRunner().invoke(application(), [*words, "--socket", str(socket)], input=keyed)


def told(socket: Path, *words: str, keyed: str = "") -> Any:
    """Its JSON."""
    result = run(socket, *words, "--json", keyed=keyed)
    assert result.exit_code == 0, result.output
    assert PHONE not in result.output
    return json.loads(result.output)


def test_a_member_is_enrolled_and_shown_by_mask(station: tuple[Till, Path]) -> None:
    """Phone and plate are keyed in; every page names the member by mask, from id, sale, phone and plate alike."""
    till, socket = station
    sale = till.sale()
    made = told(socket, "members", "enrol", "--plate", "-", "--sale", sale[:22], keyed=f"{PHONE}\n粤B12345\n")
    assert (made["outcome"], made["link"]["sale"]) == ("ENROLLED", sale)
    till.settle(sale)
    member = made["member_id"]
    assert told(socket, "members", "find", "--plate", "-", keyed="粤B12345\n")["member"] == member
    shown = [
        told(socket, "members", "show", member[:12]),
        told(socket, "members", "show", "--sale", sale),
        told(socket, "members", "show", "--phone", "-", keyed=PHONE),
    ]
    assert shown[0] == shown[1] == shown[2]
    assert (shown[0]["mask"], shown[0]["fuellings"][0]["level"]) == (MASK, "phone")
    page = run(socket, "members", "show", member).output
    assert MASK in page
    assert "enrolled here" in page
    assert "recognised by" in page
    assert PHONE not in page
    assert MASK in run(socket, "members").output


def test_a_sale_is_linked_by_a_phone_that_is_keyed_in(station: tuple[Till, Path]) -> None:
    """``sales link --phone -`` reads the number, and an unknown one is exit code 1 without repeating it."""
    till, socket = station
    till.wait(61)
    sale = till.sale()
    assert told(socket, "sales", "link", sale, "--phone", "-", keyed=PHONE)["member"]["mask"] == MASK
    again = run(socket, "sales", "link", sale, "--phone", "-", keyed=PHONE).output
    assert f"member {MASK}" in again
    missed = run(socket, "sales", "link", till.sale(), "--phone", "-", keyed="19912345678\n")
    assert (missed.exit_code, "19912345678" in missed.output) == (1, False)
    assert run(socket, "sales", "link", sale, "--card", "1", "--phone", "-").exit_code == 2


def test_an_invitation_names_the_sale_and_nobody(station: tuple[Till, Path]) -> None:
    """The text of the QR code holds station, point and sale; a sale that is somebody's is not offered."""
    till, socket = station
    sale = till.sale()
    assert told(socket, "members", "invite", sale)["text"] == f"FJ1:{till.settings.station.id}:1:{sale}"
    assert "█" in run(socket, "members", "invite", sale, "--qr").output
    linked = till.rows("SELECT sale FROM link LIMIT 1")[0]["sale"]
    refused = run(socket, "members", "invite", linked)
    assert (refused.exit_code, "has a member" in refused.output) == (1, True)


def test_one_member_is_named_in_one_way(station: tuple[Till, Path]) -> None:
    """No name, two names, a phone as a plain argument: refused with what to write instead."""
    _, socket = station
    assert run(socket, "members", "show").exit_code == 2
    assert run(socket, "members", "show", "00", "--sale", "01").exit_code == 2
    plain = run(socket, "members", "show", PHONE)
    assert (plain.exit_code, "members find --phone -" in plain.output) == (1, True)
