"""The command ``forecourt-hq``. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

from headoffice.cli.app import entry

__all__ = ["entry"]
