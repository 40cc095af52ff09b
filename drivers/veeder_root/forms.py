"""In which form a console answers a function: computer, display page, tank by tank, or not at all. Pure.

Knows how consoles of other makers differ. Everything is forgotten on reconnect; "not at all" is a capability, no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from drivers.veeder_root.exchange import Ask

MOST_TANKS = 16  # single tanks tried where the console refuses "all" and none is configured
REFUSALS_IN_A_ROW = 3  # then there are no further tanks

PAGES = frozenset({"201", "202", "205"})
"""Functions whose display page can be read."""


class _Form(Enum):
    DISPLAY = "display"
    SINGLE = "single"
    UNSUPPORTED = "unsupported"


class Forms:
    """Per function what works on this console; a function that was never refused is asked in computer format."""

    def __init__(self, tanks: Sequence[int]) -> None:
        self._configured = tuple(tanks)
        self._forms: dict[str, _Form] = {}
        self._answered: dict[str, set[int]] = {}
        self._refused: dict[str, set[int]] = {}

    def forget(self) -> None:
        """Another connection, perhaps another console: every function is unknown again."""
        self._forms.clear()
        self._answered.clear()
        self._refused.clear()

    def asks(self, code: str) -> list[Ask]:
        """Return the questions that read ``code`` for all tanks; none when the console does not know it."""
        form = self._forms.get(code)
        if form is _Form.UNSUPPORTED:
            return []
        if form is _Form.SINGLE:
            return [Ask(code, tank) for tank in self._singles(code)]
        return [Ask(code, display=form is _Form.DISPLAY)]

    def wants(self, ask: Ask) -> bool:
        """Whether a queued question still makes sense."""
        form = self._forms.get(ask.code)
        return form is not _Form.UNSUPPORTED and (form is not _Form.SINGLE or ask.device in self._singles(ask.code))

    def unsupported(self, code: str) -> bool:
        """Whether the console has refused ``code`` in every form."""
        return self._forms.get(code) is _Form.UNSUPPORTED

    def give_up(self, code: str) -> None:
        """Do not ask ``code`` again on this connection."""
        self._forms[code] = _Form.UNSUPPORTED

    def accepted(self, ask: Ask) -> None:
        """``ask`` was answered."""
        if ask.device:
            self._answered.setdefault(ask.code, set()).add(ask.device)

    def refused(self, ask: Ask) -> list[Ask]:
        """``ask`` was answered with "not known" or in an unreadable layout; return what to ask in its place."""
        code = ask.code
        if code not in PAGES:
            self.give_up(code)
            return []
        if ask.device:
            self._refused.setdefault(code, set()).add(ask.device)
            if not self._singles(code):
                self.give_up(code)
            return []
        if ask.display:
            self._forms[code] = _Form.SINGLE
            return self.asks(code)
        self._forms[code] = _Form.DISPLAY
        return self.asks(code)

    def _singles(self, code: str) -> list[int]:
        """Tank numbers worth asking one by one. Configured tanks that were refused are asked again each time."""
        answered, refused = self._answered.get(code, set()), self._refused.get(code, set())
        if self._configured:
            return list(self._configured) if answered or not refused >= set(self._configured) else []
        last = max(answered, default=0)
        return [tank for tank in range(1, min(MOST_TANKS, last + REFUSALS_IN_A_ROW) + 1) if tank not in refused]
