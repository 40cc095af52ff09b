"""TLS of the link: what a certificate must be, what is wrong with one in a word, and when ours end.

Knows files, OpenSSL and sockets; knows no MQTT and no message. The system's clock judges unless a later time is known.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python passes on without a name of its own."""

LISTEN_S = 5.0
"""How long ``why_refused`` waits for the broker's last word: it says nothing where it is content."""

EXPIRED, NOT_YET_VALID = 10, 9
_PEER_WORDS = {
    NOT_YET_VALID: "tls_not_yet_valid",
    EXPIRED: "tls_expired",
    23: "tls_revoked",
    26: "tls_wrong_purpose",
    62: "tls_wrong_host",
    64: "tls_wrong_host",
}
_OWN_WORDS = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "tls_own_expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "tls_own_revoked",
    "TLSV1_ALERT_UNKNOWN_CA": "tls_own_unknown_ca",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "tls_own_missing",
    "SSLV3_ALERT_BAD_CERTIFICATE": "tls_own_refused",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "tls_own_refused",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "tls_own_refused",
}
PLAIN_PORT = "tls_plain_port"
WANTED = "tls_wanted"


class FilesUnusable(OSError):
    """A file of a connection is missing, unreadable, or not what its name says. The text names the files."""


def no_floor() -> int | None:
    """For an end whose system clock is right."""
    return None


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files of a TLS connection; ``cert`` and ``key`` for a client certificate. TLS 1.2 at least, host name checked.

    They are read at every attempt, so a renewed file needs no restart. ``floor_ms`` is asked before every handshake: a
    time (UTC, ms) that is certainly over where the system's clock is behind it, else None.
    """

    ca: Path
    cert: Path | None = None
    key: Path | None = None
    floor_ms: Callable[[], int | None] = no_floor


@dataclass(frozen=True, slots=True)
class Ends:
    """When a certificate is no longer good (UTC, ms), and whose it is: ``station``, ``authority`` or ``broker``."""

    what: str
    ends_ms: int


def context(options: TlsOptions) -> ssl.SSLContext:
    """Return what a handshake is made with. Raises FilesUnusable.

    Where the system's clock is known to be behind, OpenSSL is told to leave dates alone: ``judge_dates`` does it.
    """
    files = [options.ca]
    try:
        made = ssl.create_default_context(cafile=str(options.ca))
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.cert is not None:
            files = [options.cert, *([] if options.key is None else [options.key])]
            made.load_cert_chain(str(options.cert), None if options.key is None else str(options.key), password="")
    except OSError as error:
        what = getattr(error, "reason", None) or error.strerror or str(error)
        raise FilesUnusable(f"{' with '.join(map(str, files))}: {what}") from error
    if options.floor_ms() is not None:
        made.verify_flags |= NO_CHECK_TIME
    return made


def judge_dates(options: TlsOptions, sock: ssl.SSLSocket) -> None:
    """Judge the dates of a peer's certificate and of its authority by the floor, where there is one.

    The real time may be later than the floor, so a certificate that ended in between passes; intermediate certificates
    are not looked at. Raises ssl.SSLCertVerificationError.
    """
    floor_ms = options.floor_ms()
    if floor_ms is None:
        return
    peer: Mapping[str, Any] = sock.getpeercert() or {}
    signers = [one for one in sock.context.get_ca_certs() if one["subject"] == peer.get("issuer")]
    faults = [_fault(one, floor_ms) for one in signers]
    fault = _fault(peer, floor_ms) or (min(faults) if faults else 0)
    if fault:
        raise _refused(fault, floor_ms)


def peer_ends_ms(sock: ssl.SSLSocket) -> int:
    """Return when the certificate of the other side ends, UTC, ms."""
    return round(ssl.cert_time_to_seconds(str((sock.getpeercert() or {})["notAfter"])) * 1000)


def word_of(error: ssl.SSLError) -> tuple[str, str]:
    """Return (stable word, text for a person) for a handshake that failed; ``tls_own_*`` is about our certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        clock = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        dated = f"; the clock here says {clock} UTC" if error.verify_code in (EXPIRED, NOT_YET_VALID) else ""
        return _PEER_WORDS.get(error.verify_code, "tls_unknown_ca"), error.verify_message + dated
    if isinstance(error, ssl.SSLEOFError) or error.reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING"):
        return PLAIN_PORT, f"no TLS at this port: {error.reason}"
    return _OWN_WORDS.get(error.reason or "", "tls"), f"the broker says: {error.reason or error}"


def why_refused(host: str, port: int, options: TlsOptions | None, timeout_s: float) -> tuple[str, str] | None:
    """Ask a broker once more that hung up before it answered; None where it gives no reason.

    With TLS 1.3 a broker judges our certificate after our side of the handshake, and its word is lost when we have
    written in between: so nothing is written here. ``options`` None: does a port that we speak plainly to want TLS?
    """
    try:
        made = _anybody() if options is None else context(options)
        with socket.create_connection((host, port), timeout_s) as plain:
            plain.settimeout(min(timeout_s, LISTEN_S))
            with made.wrap_socket(plain, server_hostname=host) as sock:
                if options is None:
                    return WANTED, "the broker speaks TLS at this port, the configuration says mqtt://"
                sock.recv(1)
    except ssl.SSLError as error:
        word, detail = word_of(error)
        return None if options is None or word == PLAIN_PORT else (_closer(word, options), detail)
    except OSError:
        return None
    return None


def ends(options: TlsOptions) -> Iterator[Ends]:
    """Yield when our own certificate and the last of our authorities end. Raises FilesUnusable."""
    context(options)
    authorities = x509.load_pem_x509_certificates(options.ca.read_bytes())
    yield Ends("authority", max(_ms(one.not_valid_after_utc) for one in authorities))
    if options.cert is not None:
        own = x509.load_pem_x509_certificates(options.cert.read_bytes())[0]
        yield Ends("station", _ms(own.not_valid_after_utc))


def _closer(word: str, options: TlsOptions) -> str:
    """Brokers say of a certificate from the future only that it is bad, and of a missing one sometimes less."""
    if options.cert is None:
        return "tls_own_missing"
    own = x509.load_pem_x509_certificates(options.cert.read_bytes())[0]
    floor_ms = options.floor_ms()
    now_ms = _ms(datetime.now(UTC)) if floor_ms is None else floor_ms
    return "tls_own_not_yet_valid" if word == "tls_own_refused" and now_ms < _ms(own.not_valid_before_utc) else word


def _anybody() -> ssl.SSLContext:
    """Only to learn whether TLS is spoken; nothing is said over it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _fault(certificate: Mapping[str, Any], at_ms: int) -> int:
    """Return OpenSSL's number of what is wrong with the dates, 0 for nothing."""
    if at_ms < ssl.cert_time_to_seconds(certificate["notBefore"]) * 1000:
        return NOT_YET_VALID
    return EXPIRED if at_ms > ssl.cert_time_to_seconds(certificate["notAfter"]) * 1000 else 0


def _refused(fault: int, floor_ms: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    at = datetime.fromtimestamp(floor_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M")
    error.verify_code = fault
    error.verify_message = f"certificate {'has expired' if fault == EXPIRED else 'is not yet valid'} at {at} UTC"
    return error


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
