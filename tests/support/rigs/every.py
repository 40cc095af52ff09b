"""Finds the rig of each protocol: by the registry's names, or of another package by the name of its module."""

from __future__ import annotations

from importlib import import_module

from drivers import registry
from tests.support.rigs.base import Subject

HERE = "tests.support.rigs"


def subject(protocol: str) -> Subject:
    """The rig of a protocol of this repository. Raises ``LookupError`` when nobody wrote one."""
    name = f"{HERE}.{protocol.replace('-', '_')}"
    try:
        return of_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise LookupError(f"protocol {protocol!r} has no rig: write {name.replace('.', '/')}.py") from error


def of_module(name: str) -> Subject:
    """The ``SUBJECT`` of a module, ours or another package's."""
    found: object = import_module(name).SUBJECT
    assert isinstance(found, Subject), f"{name}.SUBJECT is a {type(found).__name__}"
    return found


def built_in() -> list[Subject]:
    """The rigs of all protocols that come with this repository, by name."""
    return [subject(name) for name in sorted(registry.BUILT_IN)]
