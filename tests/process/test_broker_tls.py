"""The broker as it is shipped, and everybody who should not get in: certificates, client ids, topics, ports, dates."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headoffice.pki import Authority, acl
from sync.client import LinkDown
from sync.tls import TlsOptions, no_floor
from sync.topics import group_topic, shard_of, station_topic
from tests.support.tls_broker import CONFIG, ShippedBroker, authority, calling, first_word
from tests.support.tls_files import make

A, B, OTHER_GROUP = "SH-0001", "SH_0002", "SH-0003"
DAYS = 86_400_000
NOW = datetime.now(UTC)


def _issue(pki: Authority, name: str, role: str, *, from_days: int, days: int, host: str = "127.0.0.1") -> None:
    """A certificate that begins ``from_days`` from now and is good for ``days``."""
    begin = NOW + timedelta(days=from_days + 1)
    pki.issue(name, role, begin, days=days - 1, hosts=[host] if role == "broker" else [])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Stations with good, ended, future and withdrawn certificates; brokers wrong in one way each."""
    made = authority(tmp_path_factory.mktemp("pki"), stations=(A, B), ago_days=400)
    made.issue(OTHER_GROUP, "station", NOW, group="east")
    _issue(made, "ended", "station", from_days=-300, days=299)
    _issue(made, "future", "station", from_days=100, days=100)
    made.issue("withdrawn", "station", NOW)
    kept = made.key("withdrawn").read_bytes()
    made.revoke("withdrawn", NOW)
    made.key("withdrawn").write_bytes(kept)
    _issue(made, "tls_expired", "broker", from_days=-300, days=299)
    _issue(made, "tls_not_yet_valid", "broker", from_days=100, days=100)
    _issue(made, "tls_wrong_host", "broker", from_days=-1, days=30, host="elsewhere.example")
    return made


@pytest.fixture(scope="module")
def broker(pki: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    """The shipped broker; beside it a port for each wrong certificate and one without TLS."""
    others = {name: (pki.certificate(name), pki.key(name)) for name in ("tls_expired", "tls_not_yet_valid")}
    others["tls_wrong_host"] = pki.certificate("tls_wrong_host"), pki.key("tls_wrong_host")
    others["tls_wrong_purpose"] = pki.certificate(B), pki.key(B)
    foreign = make(tmp_path_factory.mktemp("foreign"))
    others["tls_unknown_ca"] = foreign.certificate, foreign.key
    folder = tmp_path_factory.mktemp("broker")
    with ShippedBroker(folder, pki, acl(pki.issued(), NOW), others=others, plain=True) as running:
        yield running


def test_the_shipped_access_list_is_what_the_command_writes(tmp_path: Path) -> None:
    """config/mosquitto.acl.example is the list of an authority with one station, line by line [W-60]."""
    made = authority(tmp_path, stations=(A,))
    assert acl(made.issued(), NOW) == (CONFIG / "mosquitto.acl.example").read_text(encoding="utf-8")


def test_a_certificate_decides_who_somebody_is(broker: ShippedBroker) -> None:
    """With the certificate of B and the client id of A one is B: A's session stays, and A's topics stay closed [W-60]."""
    with calling(broker.port, broker.files(A), client_id=A, topics=(f"fc/v1/+/s/{A}/down/#",)) as real:
        real.up()
        with calling(broker.port, broker.files(B), client_id=A, topics=(f"fc/v1/+/s/{A}/down/#",)) as false:
            false.up()
            assert false.answer(station_topic(A, "up/l")) == "Not authorized"
            assert false.answer(station_topic(B, "up/l")) is None
            with calling(broker.office_port, broker.files("head-office"), client_id="head-office") as office:
                office.up()
                assert office.answer(station_topic(A, "down/ack"), b"for A") is None
                assert office.answer(station_topic(B, "down/ack"), b"for B") is None
                real.until(lambda: bool(real.arrived), false)
            assert false.answer(station_topic(B, "up/l"), b"a last word") is None
            assert [payload for _, payload in real.arrived] == [b"for A"]
            assert false.arrived == []
        assert real.reasons == []


def test_a_station_writes_and_reads_its_own_topics_only(broker: ShippedBroker) -> None:
    """Down topics, other stations, the group and head office's state are not written; another group's head is not read.

    The shard is free at the broker: head office does not answer a wrong one and raises an alert [W-60].
    """
    wrong_shard = f"fc/v1/{(shard_of(A) + 1) % 64}/s/{A}/up/l"
    heads = tuple(group_topic(name, "head") for name in ("main", "east"))
    with (
        calling(broker.port, broker.files(A), topics=(*heads, "fc/v1/+/s/+/up/#")) as one,
        calling(
            broker.office_port, broker.files("head-office"), client_id="head-office", topics=("fc/v1/+/s/+/up/#",)
        ) as office,
    ):
        one.up()
        office.up()
        assert one.answer(wrong_shard, b"wrong") is None
        for topic in (station_topic(A, "down/ack"), station_topic(B, "up/a"), heads[0], "fc/v1/ho/state", "x"):
            assert one.answer(topic) == "Not authorized", topic
        assert one.answer(station_topic(A, "up/l"), b"right") is None
        for head in reversed(heads):
            assert office.answer(head, head.encode()) is None
        one.until(lambda: bool(one.arrived), office)
        office.until(lambda: len(office.arrived) >= 2)
        assert one.arrived == [(heads[0], heads[0].encode())]
        assert [payload for _, payload in office.arrived] == [b"wrong", b"right"]


def test_the_workers_of_head_office_are_several_connections_of_one_account(broker: ShippedBroker) -> None:
    """At head office's own port client ids are free, and rights follow the certificate all the same [W-60]."""
    names = ("head-office-1", "head-office-2", "head-office-leader")
    with contextlib.ExitStack() as stack:
        office = broker.files("head-office")
        workers = [stack.enter_context(calling(broker.office_port, office, client_id=name)) for name in names]
        strayed = stack.enter_context(calling(broker.office_port, broker.files(B), client_id="head-office-4"))
        for worker in workers:
            assert worker.up().answer(station_topic(A, "down/ack")) is None
        assert strayed.up().answer(station_topic(A, "down/ack")) == "Not authorized"
        assert [worker.reasons for worker in workers] == [[], [], []]


@pytest.mark.parametrize(
    "word", ["tls_expired", "tls_not_yet_valid", "tls_wrong_host", "tls_wrong_purpose", "tls_unknown_ca"]
)
def test_a_broker_with_a_wrong_certificate_is_refused_by_name(broker: ShippedBroker, word: str) -> None:
    """The station hangs up before a byte of MQTT and says what is wrong: date, name, purpose or authority [W-61]."""
    assert first_word(broker.ports[word], broker.files(A)) == word
    assert f"port {broker.ports[word]}" in broker.log
    assert "as SH-0001" not in broker.log.partition(f"port {broker.ports[word]}.")[2].partition("New connection")[0]


def test_a_port_without_tls_is_refused_and_so_is_plain_text_at_one_with_tls(broker: ShippedBroker) -> None:
    """mqtts:// never goes on without TLS, and a station configured with mqtt:// is told that TLS is wanted [W-61]."""
    assert first_word(broker.ports["plain"], broker.files(A)) == "tls_plain_port"
    assert first_word(broker.port, None) == "tls_wanted"


def _foreign(broker: ShippedBroker, folder: Path) -> TlsOptions:
    files = make(folder)
    return TlsOptions(broker.files(A).ca, files.certificate, files.key)


@pytest.mark.parametrize(
    ("word", "files"),
    [
        ("tls_own_expired", lambda broker, _: broker.files("ended")),
        ("tls_own_not_yet_valid", lambda broker, _: broker.files("future")),
        ("tls_own_revoked", lambda broker, _: broker.files("withdrawn")),
        ("tls_own_unknown_ca", _foreign),
        ("tls_own_missing", lambda broker, _: TlsOptions(broker.files(A).ca)),
        ("credentials", lambda broker, _: TlsOptions(broker.files(A).ca, broker.files(A).cert, broker.files(B).key)),
        ("credentials", lambda broker, folder: TlsOptions(broker.files(A).ca, folder / "none.pem", folder / "none")),
        ("credentials", lambda broker, _: TlsOptions(broker.files(A).key or broker.files(A).ca)),
    ],
)
def test_a_client_with_a_wrong_certificate_hears_which(
    broker: ShippedBroker, tmp_path: Path, word: str, files: Callable[[ShippedBroker, Path], TlsOptions]
) -> None:
    """The broker lets nobody in with an ended, future, withdrawn, foreign or no certificate, and we know which [W-61]."""
    assert first_word(broker.port, files(broker, tmp_path)) == word


def test_a_renewed_certificate_is_taken_up_without_a_restart(broker: ShippedBroker, pki: Authority) -> None:
    """A client refused for its ended certificate connects as soon as the renewed file lies there; the key stays [W-61]."""
    _issue(pki, "renewed", "station", from_days=-300, days=299)
    with calling(broker.port, broker.files("renewed")) as one:
        one.until(lambda: bool(one.changes))
        key = pki.key("renewed").read_bytes()
        pki.renew("renewed", NOW)
        one.up()
        assert set(one.reasons) == {"tls_own_expired"}
        assert pki.key("renewed").read_bytes() == key


def test_a_withdrawn_certificate_ends_with_a_reload_of_the_broker(broker: ShippedBroker, pki: Authority) -> None:
    """After `pki revoke` and a reload nobody gets in with it any more, while everybody else does [W-60] [W-61]."""
    pki.issue("thief", "station", NOW, group="main")
    key = pki.key("thief").read_bytes()
    assert first_word(broker.port, broker.files("thief")) == "up"
    pki.revoke("thief", NOW)
    pki.key("thief").write_bytes(key)
    broker.take_crl()
    broker.reload()
    assert first_word(broker.port, broker.files("thief")) == "tls_own_revoked"
    assert first_word(broker.port, broker.files(A)) == "up"


@pytest.mark.parametrize(
    ("port", "floor_days", "word"),
    [
        ("tls_not_yet_valid", 150, "up"),
        ("tls_not_yet_valid", 50, "tls_not_yet_valid"),
        ("tls_not_yet_valid", 250, "tls_expired"),
        ("tls_unknown_ca", 150, "tls_unknown_ca"),
        ("tls_wrong_host", 5, "tls_wrong_host"),
    ],
)
def test_the_time_that_is_certainly_over_judges_where_the_clock_is_behind_it(
    broker: ShippedBroker, port: str, floor_days: int, word: str
) -> None:
    """With a clock that stands months back, dates are judged by the newest record and all the rest as ever [W-61]."""
    floor_ms = round(NOW.timestamp() * 1000) + floor_days * DAYS
    assert first_word(broker.ports[port], broker.files(A, floor_ms=lambda: floor_ms)) == word
    assert no_floor() is None


def test_the_refusal_tells_the_clock_here(broker: ShippedBroker) -> None:
    """Who reads that a certificate has expired sees what this computer takes for the time [W-61]."""
    with calling(broker.ports["tls_expired"], broker.files(A)) as one:
        one.until(lambda: bool(one.changes))
        change = one.changes[0]
        assert isinstance(change, LinkDown)
        assert f"the clock here says {NOW:%Y-}" in change.detail


def test_secrets_are_for_their_owner_only(pki: Authority) -> None:
    """Private keys and the ledger have mode 0600 [W-60]."""
    private = [pki.folder / "ca.key", pki.folder / "ledger.json", *pki.folder.glob("issued/*.key")]
    assert len(private) > 5
    assert {oct(os.stat(file).st_mode & 0o777) for file in private if "withdrawn" not in file.name} <= {
        "0o600",
        "0o644",
    }
    assert oct(os.stat(pki.key(A)).st_mode & 0o777) == "0o600"
