"""The station's certificate: the TLS that the web server speaks, and the names it may be called by.

Knows files and the cryptography library; no socket and no request.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509


class CertificateRefused(Exception):
    """The certificate or its key cannot be used. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Certificate:
    """``names``: DNS names and addresses as browsers write them; ``ends``: when it is no longer good."""

    tls: ssl.SSLContext
    names: frozenset[str]
    ends: datetime


def load(certificate_file: Path, key_file: Path) -> Certificate:
    """Return TLS with this certificate. Raises CertificateRefused."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        tls.load_cert_chain(certificate_file, key_file, password=b"")
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except (OSError, ValueError) as failure:  # an error of TLS is an OSError
        hint = (
            "name the station's certificate and its key, both PEM and readable by the agent, the key without a password"
        )
        raise CertificateRefused(f"{certificate_file} with {key_file}: {failure}", hint=hint) from failure
    names = _names(certificate)
    if not names:
        hint = "make one whose subjectAltName has the name or address that handhelds call"
        raise CertificateRefused(f"{certificate_file} names no host", hint=hint)
    return Certificate(tls, names, certificate.not_valid_after_utc)


def days_left(certificate: Certificate, wall_ms: int) -> int:
    """Return how many whole days a certificate is good, below 0 when it is over."""
    return (certificate.ends - datetime.fromtimestamp(wall_ms // 1000, UTC)).days


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = {name.lower() for name in said.get_values_for_type(x509.DNSName) if "*" not in name}
    addresses = said.get_values_for_type(x509.IPAddress)
    return frozenset(dns | {f"[{one}]" if one.version == 6 else str(one) for one in addresses})
