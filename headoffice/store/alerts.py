"""What head office itself found wrong: one counted row per station, kind and subject.

So no sender can fill the disk. Works inside the caller's transaction. Alerts that stations send are facts (``facts``).
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from headoffice.store.schema import own_alert

MAX_SUBJECT_CHARS = 120
MAX_DETAIL_CHARS = 500
MAX_SUBJECTS = 1_000
"""Subjects kept per station and kind; beyond it all count on one row, since subjects may come from a sender."""


def raise_own_alert(
    connection: Connection, *, station: str, alert: str, subject: str, detail: str, now_ms: int
) -> None:
    """Count an alert; ``station`` is empty where none can be believed. The newest detail is kept, and it stands."""
    subject = subject[:MAX_SUBJECT_CHARS]
    same = (own_alert.c.station == station, own_alert.c.alert == alert)
    known = connection.execute(select(own_alert.c.number).where(*same, own_alert.c.subject == subject)).first()
    if known is None and _count(connection, station, alert) >= MAX_SUBJECTS:
        subject = "(further)"
        known = connection.execute(select(own_alert.c.number).where(*same, own_alert.c.subject == subject)).first()
    if known is None:
        connection.execute(
            own_alert.insert().values(
                station=station,
                alert=alert,
                subject=subject,
                detail=detail[:MAX_DETAIL_CHARS],
                count=1,
                first_ms=now_ms,
                last_ms=now_ms,
            )
        )
        return
    connection.execute(
        own_alert.update()
        .where(own_alert.c.number == known.number)
        .values(count=own_alert.c.count + 1, last_ms=now_ms, detail=detail[:MAX_DETAIL_CHARS], ended_ms=None)
    )


def end_own_alerts(connection: Connection, *, station: str, alerts: Collection[str], subject: str, now_ms: int) -> None:
    """Say of those of ``alerts`` that stand that they are over: what they told of is good again."""
    same = (own_alert.c.station == station, own_alert.c.subject == subject[:MAX_SUBJECT_CHARS])
    standing = (own_alert.c.alert.in_(alerts), own_alert.c.ended_ms.is_(None))
    connection.execute(own_alert.update().where(*same, *standing).values(ended_ms=now_ms))


def _count(connection: Connection, station: str, alert: str) -> int:
    statement = select(func.count()).where(own_alert.c.station == station, own_alert.c.alert == alert)
    return int(connection.execute(statement).scalar_one())
