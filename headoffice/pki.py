"""The certificate authority of a group: certificates of stations, head office and the broker, and which are withdrawn.

Knows files below one folder and the cryptography library; knows no database and no broker. The time is an argument.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headoffice.errors import KeyProblem, UsageError, fault
from headoffice.keys import read_private
from sync.topics import TopicError, check_station

FOLDER = "pki"
CA_KEY, CA_FILE, CRL_FILE, LEDGER = "ca.key", "ca.pem", "crl.pem", "ledger.json"
ISSUED = "issued"
"""The folder of what was given out: a station may be called `ca`."""

STATION, HEAD_OFFICE, BROKER = "station", "head-office", "broker"
ROLES = (STATION, HEAD_OFFICE, BROKER)
LOCAL = ("localhost", "127.0.0.1")
"""Head office may reach the broker on its own machine."""

CA_DAYS = 3_650
LEAF_DAYS = 730
EARLY = timedelta(days=1)
"""A certificate is good a day before it was made: clocks of stations are a little behind."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PRIVATE, _PUBLIC = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate that was given out. ``serial``: hex; times UTC; ``group``: of a station, else empty."""

    name: str
    role: str
    serial: str
    not_before: str
    not_after: str
    hosts: tuple[str, ...] = ()
    group: str = ""
    revoked_at: str | None = None

    @property
    def ends(self) -> datetime:
        """Return when it is no longer good."""
        return datetime.strptime(self.not_after, _TIME).replace(tzinfo=UTC)


class Authority:
    """The authority in ``folder``. Every method raises KeyProblem where its files cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def made(self) -> bool:
        """Whether there is one: its certificate stands last, when the rest is there."""
        return (self.folder / CA_FILE).exists()

    def certificate(self, name: str) -> Path:
        """Return where the certificate of ``name`` lies."""
        return self.folder / ISSUED / f"{name}.pem"

    def key(self, name: str) -> Path:
        """Return where the private key of ``name`` lies, until it is taken away."""
        return self.folder / ISSUED / f"{name}.key"

    def make(self, now: datetime, *, days: int = CA_DAYS) -> None:
        """Make the authority with an empty list of revoked certificates. Raises UsageError where there is one."""
        if self.made:
            raise UsageError(f"there is an authority in {self.folder}", hint="it is never replaced; use `pki issue`")
        with _writing(self.folder):
            (self.folder / ISSUED).mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            name = _named(f"Forecourt authority of {now:%Y-%m-%d %H:%M:%S}")
            usage = _usage(key_cert_sign=True, crl_sign=True)
            signed = (
                _builder(name, name, key.public_key(), (now - EARLY, now + timedelta(days=days)))
                .serial_number(x509.random_serial_number())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(usage, critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            _write(self.folder / CA_KEY, _key_pem(key), _PRIVATE)
            self._write_ledger([])
            self._write_crl(key, signed, [], now)
            _write(self.folder / CA_FILE, _pem(signed), _PUBLIC)

    def issue(
        self, name: str, role: str, now: datetime, *, hosts: Sequence[str] = (), group: str = "", days: int = LEAF_DAYS
    ) -> Issued:
        """Make a key and a certificate for ``name``. Raises UsageError where it has a good one, or may not have it."""
        _check(name, role, hosts)
        with self._open(now) as opened:
            if any(one.name == name and one.revoked_at is None and one.ends > now for one in opened.ledger):
                raise UsageError(f"{name} has a certificate", hint=f"`pki renew {name}`, or `pki revoke {name}` first")
            key = ec.generate_private_key(ec.SECP256R1())
            entry, signed = opened.sign(Issued(name, role, "", "", "", tuple(hosts), group), key.public_key(), days)
            _write(self.key(name), _key_pem(key), _PRIVATE)
            _write(self.certificate(name), _pem(signed), _PUBLIC)
        return entry

    def for_bundle(self, name: str, now: datetime, *, group: str) -> tuple[Path, Path]:
        """Return certificate and key of a station, made where it has no good one. Raises UsageError.

        Where the key was taken away already, the station has it: only a revoked certificate makes room for another.
        """
        if not any(row.name == name and state == "good" for row, state in standing(self.issued(), now)):
            self.issue(name, STATION, now, group=group)
        if not self.key(name).exists():
            hint = f"its PC has the key; `pki revoke {name}` first, where that PC is lost"
            raise UsageError(f"the private key of {name} is not here any more", hint=hint)
        return self.certificate(name), self.key(name)

    def renew(self, name: str, now: datetime, *, days: int = LEAF_DAYS) -> Issued:
        """Sign the same key again with a later end: its owner needs the certificate only. Raises UsageError."""
        with self._open(now) as opened:
            known = [one for one in opened.ledger if one.name == name]
            if not known or known[-1].revoked_at is not None:
                raise UsageError(f"{name} has no certificate to renew", hint=f"`pki issue {name}`")
            key = _read_certificate(self.certificate(name)).public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey), "we signed no other"
            entry, signed = opened.sign(known[-1], key, days)
            _write(self.certificate(name), _pem(signed), _PUBLIC)
        return entry

    def revoke(self, name: str, now: datetime) -> tuple[Issued, ...]:
        """Withdraw every certificate of ``name`` and write the list of revoked ones. Raises UsageError."""
        with self._open(now) as opened:
            taken = [one for one in opened.ledger if one.name == name and one.revoked_at is None]
            if not taken:
                raise UsageError(f"{name} has no certificate to revoke", hint="`pki list` shows what was issued")
            stamp = now.strftime(_TIME)
            opened.keep([replace(one, revoked_at=stamp) if one in taken else one for one in opened.ledger])
            self._write_crl(opened.key, opened.ca, opened.ledger, now)
            self.key(name).unlink(missing_ok=True)
        return tuple(taken)

    def write_crl(self, now: datetime) -> Path:
        """Sign the list of revoked certificates anew and return its file."""
        with self._open(now) as opened:
            self._write_crl(opened.key, opened.ca, opened.ledger, now)
        return self.folder / CRL_FILE

    def issued(self) -> list[Issued]:
        """Return every certificate ever given out, oldest first."""
        try:
            rows = json.loads((self.folder / LEDGER).read_text(encoding="utf-8"))
            return [Issued(**{**row, "hosts": tuple(row["hosts"])}) for row in rows]
        except FileNotFoundError as error:
            raise KeyProblem(
                f"there is no authority in {self.folder}", hint="`forecourt-hq pki init` makes it"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise KeyProblem(f"{self.folder / LEDGER}: {fault(error)}", hint="restore it from your backup") from error

    @contextmanager
    def _open(self, now: datetime) -> Iterator[_Opened]:
        """Read the authority, one command at a time."""
        self.issued()
        if not (self.folder / CA_KEY).exists():
            hint = "put it there from where you keep it; what was given out stays good without it"
            raise KeyProblem(f"the authority's key is not here: {self.folder / CA_KEY}", hint=hint)
        with _writing(self.folder), (self.folder / CA_KEY).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ledger = self.issued()
            key = serialization.load_pem_private_key(read_private(self.folder / CA_KEY).encode(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey), "we made no other"
            yield _Opened(self, key, _read_certificate(self.folder / CA_FILE), ledger, now)

    def _write_ledger(self, rows: Sequence[Issued]) -> None:
        text = json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=1)
        _write(self.folder / LEDGER, text.encode() + b"\n", _PRIVATE)

    def _write_crl(
        self, key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, rows: Sequence[Issued], now: datetime
    ) -> None:
        """Write the list. It is good as long as the authority: one that ran out would lock every station out."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject)
        builder = builder.last_update(now - EARLY).next_update(ca.not_valid_after_utc)
        for row in rows:
            if row.revoked_at is not None:
                at = datetime.strptime(row.revoked_at, _TIME).replace(tzinfo=UTC)
                one = x509.RevokedCertificateBuilder().serial_number(int(row.serial, 16)).revocation_date(at).build()
                builder = builder.add_revoked_certificate(one)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        number = x509.CRLNumber(int(now.timestamp()))
        signed = builder.add_extension(issuer, critical=False).add_extension(number, critical=False)
        content = signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        _write(self.folder / CRL_FILE, content, _PUBLIC)


@dataclass(slots=True)
class _Opened:
    """The authority while one command works on it."""

    authority: Authority
    key: ec.EllipticCurvePrivateKey
    ca: x509.Certificate
    ledger: list[Issued]
    now: datetime

    def keep(self, rows: list[Issued]) -> None:
        self.ledger = rows
        self.authority._write_ledger(rows)  # noqa: SLF001 - one house

    def sign(self, wanted: Issued, key: ec.EllipticCurvePublicKey, days: int) -> tuple[Issued, x509.Certificate]:
        """Sign, and note it first: what is not in the ledger could never be revoked."""
        begin, end = self.now - EARLY, min(self.now + timedelta(days=days), self.ca.not_valid_after_utc)
        serial = x509.random_serial_number()
        entry = replace(
            wanted,
            serial=f"{serial:x}",
            not_before=begin.strftime(_TIME),
            not_after=end.strftime(_TIME),
        )
        self.keep([*self.ledger, entry])
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if entry.role == BROKER else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(_named(entry.name), self.ca.subject, key, (begin, end))
            .serial_number(serial)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if entry.hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in entry.hosts])
            builder = builder.add_extension(names, critical=False)
        return entry, builder.sign(self.key, hashes.SHA256())


def write_public(path: Path, text: str) -> None:
    """Write a file that everybody may read, whole or not at all. Raises KeyProblem."""
    with _writing(path.parent):
        _write(path, text.encode(), _PUBLIC)


def standing(rows: Sequence[Issued], now: datetime) -> list[tuple[Issued, str]]:
    """Return every certificate, newest first, as ``good``, ``ended``, ``revoked`` or ``replaced`` by a later one."""
    newest = {row.name: row.serial for row in rows}

    def state(row: Issued) -> str:
        if row.revoked_at is not None:
            return "revoked"
        return "replaced" if newest[row.name] != row.serial else "good" if row.ends > now else "ended"

    return [(row, state(row)) for row in reversed(rows)]


def acl(rows: Sequence[Issued], now: datetime) -> str:
    """Return mosquitto's access list for everybody who has a good certificate."""
    good = {row.name: row for row in rows if row.revoked_at is None and row.ends > now}
    offices = "".join(_OFFICE.format(name=name) for name, row in sorted(good.items()) if row.role == HEAD_OFFICE)
    stations = [row for _, row in sorted(good.items()) if row.role == STATION]
    return _ACL.format(offices=offices) + "".join(_STATION.format(name=row.name, group=row.group) for row in stations)


_ACL = """\
# Who may read and write what at the broker: /etc/mosquitto/forecourt/acl. `forecourt-hq pki acl` writes it from the
# certificates that were issued; after a change `systemctl reload mosquitto`. User names are the certificates' names.

# Every station: its own topics and nobody else's, whatever shard it writes. %u is the user name.
pattern write fc/v1/+/s/%u/up/#
pattern read fc/v1/+/s/%u/down/#

# Head office; each of its workers has a certificate of its own: head-office, head-office-2 and so on.
{offices}
# Each station: the state of head office, and its own group by name. No wildcard: a station is in exactly one group.
"""
_OFFICE = """\
user {name}
topic read fc/v1/+/s/+/up/#
topic write fc/v1/+/s/+/down/#
topic write fc/v1/g/+/#
topic readwrite fc/v1/ho/state
"""
_STATION = """\
user {name}
topic read fc/v1/ho/state
topic read fc/v1/g/{group}/#
"""


def _check(name: str, role: str, hosts: Sequence[str]) -> None:
    """Raise UsageError for a name that would be somebody else at the broker, which takes it for the user name."""
    try:
        check_station(name)
    except TopicError as error:
        raise UsageError(str(error), hint="1 to 32 letters, digits, - and _") from error
    if role not in ROLES:
        raise UsageError(f"there is no role {role}", hint=f"one of {', '.join(ROLES)}")
    if (role == HEAD_OFFICE) != name.startswith(HEAD_OFFICE):
        raise UsageError(
            f"{name} cannot be the name of a {role}", hint=f"{HEAD_OFFICE}... are the names of head office alone"
        )
    if (role == BROKER) != bool(hosts):
        raise UsageError("hosts belong to the certificate of a broker", hint="--role broker --host NAME-OR-ADDRESS")


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    times: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.not_valid_before(times[0]).not_valid_after(times[1])


def _usage(**wanted: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KeyProblem(f"cannot read {path}: {fault(error)}", hint="restore it from your backup") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a whole file or none, down to the disk."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyProblem(
            f"cannot write in {folder}: {error.strerror}", hint="choose a folder that can be written"
        ) from error
