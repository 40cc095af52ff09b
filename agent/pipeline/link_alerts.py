"""Why the link to head office is refused, as an alert that says which; over as soon as the link stands.

Knows the words of the link that a person can do something about. A network that is away is none: that comes and goes.
"""

from __future__ import annotations

from agent.pipeline import alerting
from agent.pipeline.step import Step

SYNC = "sync"
WORDS = (
    "tls",
    "tls_expired",
    "tls_not_yet_valid",
    "tls_revoked",
    "tls_unknown_ca",
    "tls_wrong_host",
    "tls_wrong_purpose",
    "tls_plain_port",
    "tls_wanted",
    "tls_own_expired",
    "tls_own_missing",
    "tls_own_not_yet_valid",
    "tls_own_refused",
    "tls_own_revoked",
    "tls_own_unknown_ca",
    "credentials",
    "not_authorised",
    "subscribe_refused",
    "packet_too_large",
    "quota_exceeded",
)


def name_of(word: str) -> str:
    """Return the alert of a word of the link: ``tls_expired`` is LINK_TLS_EXPIRED."""
    return f"LINK_{word.upper()}"


def down(step: Step, reason: str, detail: str) -> None:
    """Raise the alert of ``reason``, where it is one that waiting does not mend, in place of another."""
    if reason not in WORDS:
        return
    _clear(step, but=name_of(reason))
    alerting.device(step, SYNC, name_of(reason), standing=True, detail=detail)


def up(step: Step) -> None:
    """Nothing is refused any more."""
    _clear(step, but="")


def _clear(step: Step, *, but: str) -> None:
    for name in map(name_of, WORDS):
        if name != but and (SYNC, name) in step.memory.device_alerts.standing:
            alerting.device(step, SYNC, name, standing=False)
