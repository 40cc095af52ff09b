"""Warns before a certificate of head office's own link ends: its own, its authority's, the broker's (W-61).

Knows files and days; opens no connection. What stations warn of is theirs.
"""

from __future__ import annotations

from agent.clock import Clock
from agent.logs import get_logger
from headoffice.store.alerts import end_own_alerts, raise_own_alert
from headoffice.store.database import Database
from sync.records import format_time
from sync.tls import Ends, FilesUnusable, TlsOptions, ends

HERE = "head-office"
"""Under which name the alerts stand; no station is called so."""

LOOK_EVERY_MS = DAY_MS = 86_400_000
WARN_DAYS = (0, 3, 14, 30)
FILES = "certificate_files"
ALERTS = {days: f"certificate_ends_{days}d" if days else "certificate_ended" for days in WARN_DAYS}


class ExpiryWatch:
    """Looks when it is first asked and once a day from then on; ``tls`` None: a link without certificates."""

    def __init__(self, database: Database, tls: TlsOptions | None, wall: Clock) -> None:
        self._database = database
        self._tls = tls
        self._wall = wall
        self._look_at_ms: int | None = None
        self._broker_seen = False
        self._log = get_logger("headoffice.expiry")

    def look(self, broker_ends_ms: int | None) -> list[str]:
        """Raise an alert of head office and log a line for each certificate that ends soon; return the alerts.

        What was told of a certificate that is good again, or ends sooner now, is over.

        ``broker_ends_ms``: when the broker's certificate ends, as it was last seen: looked at as soon as it is known.
        """
        now_ms = self._wall.wall_ms()
        is_due = self._look_at_ms is None or not 0 < self._look_at_ms - now_ms <= LOOK_EVERY_MS
        is_first = broker_ends_ms is not None and not self._broker_seen
        if self._tls is None or not (is_due or is_first):
            return []
        told = [self._tell(Ends("broker", broker_ends_ms), now_ms)] if broker_ends_ms is not None else []
        self._broker_seen = self._broker_seen or bool(told)
        if is_due:
            told += self._files(self._tls, now_ms)
            self._look_at_ms = now_ms + LOOK_EVERY_MS
        return [alert for alert in told if alert is not None]

    def _files(self, tls: TlsOptions, now_ms: int) -> list[str | None]:
        try:
            found = list(ends(tls))
        except FilesUnusable as failure:
            return [self._raise(FILES, "files", str(failure), now_ms)]
        self._end([FILES], "files", now_ms)
        return [self._tell(one, now_ms) for one in found]

    def _tell(self, one: Ends, now_ms: int) -> str | None:
        days = next((days for days in WARN_DAYS if one.ends_ms - now_ms <= days * DAY_MS), None)
        what = HERE if one.what == "station" else one.what
        self._end([alert for stage, alert in ALERTS.items() if stage != days], what, now_ms)
        if days is None:
            return None
        detail = (
            f"good until {format_time(one.ends_ms)}; `forecourt-hq pki list` shows all, `pki renew` makes a new one"
        )
        return self._raise(ALERTS[days], what, detail, now_ms)

    def _end(self, alerts: list[str], subject: str, now_ms: int) -> None:
        about = {"station": HERE, "subject": subject}
        self._database.transact(lambda connection: end_own_alerts(connection, **about, alerts=alerts, now_ms=now_ms))

    def _raise(self, alert: str, subject: str, detail: str, now_ms: int) -> str:
        about = {"station": HERE, "alert": alert, "subject": subject, "detail": detail}
        self._database.transact(lambda connection: raise_own_alert(connection, **about, now_ms=now_ms))
        self._log.warning("a certificate of the link to the broker", alert=alert, subject=subject, detail=detail)
        return alert
