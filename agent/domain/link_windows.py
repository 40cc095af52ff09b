"""The windows of linking: how long each step may take, and what must hold between them. Knows nothing of sales."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Windows:
    """How long each step may take, in seconds (``late_h`` in hours); settings, checked by ``problems``."""

    choose_s: int = 60
    before_s: int = 180
    first_scan_s: int = 30
    after_s: int = 600
    change_s: int = 180
    claim_s: int = 120
    settle_s: int = 30
    late_h: int = 24
    duplicate_s: int = 3
    undo_s: int = 10
    again_s: int = 60
    """At least this much time is left for the next lift after a nozzle was hung with zero volume."""
    remember_s: int = 86_400
    """How long a Cleared sale stays on the desk; what is forgotten comes back by SaleRecalled."""

    def problems(self) -> list[str]:
        """Return every reason, as a sentence for the operator, why these windows cannot be used."""
        found = [
            f"link window {entry.name} must be a whole number above 0, it is {getattr(self, entry.name)!r}"
            for entry in fields(self)
            if type(getattr(self, entry.name)) is not int or getattr(self, entry.name) <= 0
        ]
        if not found and self.after_s > self.late_h * 3600:
            found.append(f"link window after_s ({self.after_s}) must not be longer than late_h ({self.late_h} h)")
        return found
