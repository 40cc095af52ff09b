"""Gives the contract tests their protocols: every registered one, or the rig named by ``--rig``. Knows none by name.

Arguments: ``subject`` any, ``talker`` one that asks, ``dispenser``, ``gauge``, ``listener`` (a reader), ``asker`` (a reader that is asked), ``alone`` with a wire of
its own, ``named`` whose answers say whose they are, ``checked`` whose frames carry a check, ``wired`` with one of its real wires.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.device import CodeReaderCapabilities
from tests.support.rigs import every
from tests.support.rigs.base import Subject
from tests.support.rigs.kinds import DispenserSubject, GaugeSubject, ReaderSubject

CHOICES: dict[str, Callable[[Subject], bool]] = {
    "subject": lambda _subject: True,
    "talker": lambda subject: subject.asks,
    "dispenser": lambda subject: isinstance(subject, DispenserSubject),
    "gauge": lambda subject: isinstance(subject, GaugeSubject),
    "checked": lambda subject: subject.wording is not None,
    "named": lambda subject: subject.answers_name_the_asked,
    "asker": lambda subject: isinstance(subject.spec.capabilities, CodeReaderCapabilities) and subject.asks,
    "listener": lambda subject: isinstance(subject, ReaderSubject),
    "alone": lambda subject: not isinstance(subject, DispenserSubject),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by the names of the arguments."""
    named: list[str] = metafunc.config.getoption("--rig")
    subjects: list[Subject] = [every.of_module(name) for name in named] if named else every.built_in()
    for argument, wanted in CHOICES.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, [s for s in subjects if wanted(s)] or [None], ids=str)
    if "wired" in metafunc.fixturenames:
        wired = [(subject, wire) for subject in subjects for wire in subject.wires]
        metafunc.parametrize("wired", wired, ids=[f"{subject} over {wire}" for subject, wire in wired])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of a kind of device that none of the chosen rigs is, is no test at all."""
    nobody = [item for item in items if isinstance(item, pytest.Function) and _is_of_nobody(item)]
    config.hook.pytest_deselected(items=nobody)
    items[:] = [item for item in items if item not in nobody]


def _is_of_nobody(item: pytest.Function) -> bool:
    values = item.callspec.params if hasattr(item, "callspec") else {}
    return any(values.get(argument, "") is None for argument in CHOICES)
