"""The smaller messages: presence of a station and of head office, requests and results, commands and their results.

Pure, same rules as ``sync.messages``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from sync.messages import REQUEST_KINDS, checked
from sync.shapes import (
    COUNT,
    INCARNATION,
    INSTALL_ID,
    NAME,
    TIME,
    Anything,
    MapOf,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
    Word,
)

MAX_JWS_CHARS = 65_536  # a signed pointer or command is small; bounds what is handed to the signature check
_BODY = MapOf(Anything())


@dataclass(frozen=True, slots=True)
class State:
    """Retained presence of a station; the last will says ``lost`` with the time it was registered."""

    online: bool
    reason: str
    install_id: str
    incarnation: str
    connect_n: int
    time: str

    TYPE: ClassVar[str] = "fc.state.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "online": Truth(),
            "reason": Word(("connected", "stopped", "lost")),
            "install_id": INSTALL_ID,
            "incarnation": INCARNATION,
            "connect_n": COUNT,
            "time": TIME,
        }
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {
            "online": self.online,
            "reason": self.reason,
            "install_id": self.install_id,
            "incarnation": self.incarnation,
            "connect_n": self.connect_n,
            "time": self.time,
        }

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(
            body["online"],
            body["reason"],
            body["install_id"],
            body["incarnation"],
            body["connect_n"],
            body["time"],
        )

    def supersedes(self, known: State | None) -> bool:
        """Whether this state replaces the known one: within one (install_id, incarnation) connect_n never goes back."""
        if known is None or (known.install_id, known.incarnation) != (self.install_id, self.incarnation):
            return True
        return self.connect_n >= known.connect_n


@dataclass(frozen=True, slots=True)
class HoState:
    """Retained presence of head office; a station pauses bulk resend while ``online`` is false.

    ``restored``, left out where it never was: when its database was last put back from a copy; a station that is told
    another time says hello anew.
    """

    online: bool
    time: str
    restored: str | None = None

    TYPE: ClassVar[str] = "fc.ho.state.v1"
    SHAPE: ClassVar[Shape] = Members({"online": Truth(), "time": TIME}, {"restored": TIME})

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        told = {} if self.restored is None else {"restored": self.restored}
        return {"online": self.online, "time": self.time, **told}

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(body["online"], body["time"], body.get("restored"))


@dataclass(frozen=True, slots=True)
class Req:
    """A question of a station. A repeat of ``req_id`` gets the first answer."""

    req_id: str
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)

    TYPE: ClassVar[str] = "fc.req.v1"
    SHAPE: ClassVar[Shape] = Members({"req_id": NAME, "kind": Word(REQUEST_KINDS), "body": _BODY})

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {"req_id": self.req_id, "kind": self.kind, "body": dict(self.body)}

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(body["req_id"], body["kind"], body["body"])


@dataclass(frozen=True, slots=True)
class Res:
    """The answer to a Req: ``status`` ok, refused or error; ``reason`` a stable word or None."""

    req_id: str
    status: str
    reason: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)

    TYPE: ClassVar[str] = "fc.res.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "req_id": NAME,
            "status": Word(("ok", "refused", "error")),
            "reason": OrNull(Text(0, 1_024)),
            "body": OrNull(_BODY),
        }
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {"req_id": self.req_id, "status": self.status, "reason": self.reason, "body": dict(self.body)}

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(body["req_id"], body["status"], body["reason"], body["body"] or {})


@dataclass(frozen=True, slots=True)
class Signed:
    """A message that is one signed text: a head (retained, per group). The text is opened by ``sync.signing``."""

    jws: str

    TYPE: ClassVar[str] = "fc.head.v1"
    SHAPE: ClassVar[Shape] = Members({"jws": Text(1, MAX_JWS_CHARS)})

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {"jws": self.jws}

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        return cls(checked(cls.SHAPE, data, cls.TYPE)["jws"])


@dataclass(frozen=True, slots=True)
class Head(Signed):
    """A group's signed pointer (``fc.head.v1``)."""


@dataclass(frozen=True, slots=True)
class Command(Signed):
    """A signed command for one station (``fc.cmd.v1``)."""

    TYPE: ClassVar[str] = "fc.cmd.v1"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command; repeated for a repeated ``cmd_id``."""

    cmd_id: str
    status: str
    reason: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    TYPE: ClassVar[str] = "fc.result.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "cmd_id": NAME,
            "status": Word(("done", "refused", "failed")),
            "reason": OrNull(Text(0, 1_024)),
            "data": OrNull(_BODY),
        }
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {"cmd_id": self.cmd_id, "status": self.status, "reason": self.reason, "data": dict(self.data)}

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(body["cmd_id"], body["status"], body["reason"], body["data"] or {})
