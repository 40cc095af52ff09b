"""The command ``forecourt``: what people type. Imports little, so that a look at the station is quick."""

from agent.cli import acting, first
from agent.cli.app import app

__all__ = ["acting", "app", "first"]
