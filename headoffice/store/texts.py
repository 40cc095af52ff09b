"""Texts that may come from anybody, as every database takes them. Knows no table."""

from __future__ import annotations

from sqlalchemy import Dialect, Text, TypeDecorator


def storable(text: str) -> str:
    """Return what somebody sent as a text that every database takes: no NUL, no half of a surrogate pair."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Told(TypeDecorator[str]):
    """A text that may come from anybody: stored, and looked for, as ``storable`` says."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  # the library's
        """See the class."""
        return None if value is None else storable(value)
