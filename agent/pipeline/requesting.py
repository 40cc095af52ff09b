"""The station asks head office: a request is kept in the step's transaction and said until it is answered (``up/req``).

What an answer means stands with who asked. An answer that never comes holds nothing up: whoever waits has a time of its
own, and the request stays open, so that what head office gave meanwhile is not forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.pipeline.step import Step
from agent.store.sales import Row
from sync import ports

MAX_OPEN = 64
"""Requests open at once: far more than a station's customers ask in the seconds an answer takes."""


def request(step: Step, kind: str, body: Mapping[str, Any], *, about: str) -> str | None:
    """Ask head office; returns the req_id under which the answer comes, ``None`` where too many are open.

    ``kind``: one of ``sync.messages.REQUEST_KINDS``; ``about``: the sale, member or campaign it is for.
    """
    if len(step.tx.requests.all()) >= MAX_OPEN:
        return None
    req_id = step.new_id()
    text = json.dumps(dict(body), separators=(",", ":"), ensure_ascii=False)
    step.tx.requests.add({"id": req_id, "kind": kind, "body": text, "about": about, "asked_ms": step.stamp.wall_ms})
    step.passed.append("request")
    return req_id


def open_about(step: Step, kind: str, about: str) -> Row | None:
    """Return the open request of a kind for something, ``None`` where there is none."""
    return next((row for row in step.tx.requests.all() if (row["kind"], row["about"]) == (kind, about)), None)


def asked(step: Step, answer: ports.Answered) -> Row | None:
    """Return what an answer is to; ``None`` for one that came before. The caller ends it with ``done``."""
    return step.tx.requests.one(answer.req_id)


def body(row: Row) -> dict[str, Any]:
    """Return what was asked."""
    return dict(json.loads(row["body"]))


def done(step: Step, req_id: str) -> None:
    """A request is answered and its answer is in this transaction."""
    step.tx.requests.end(req_id)
