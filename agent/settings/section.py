"""What every section of station.toml is: frozen, unknown keys are errors, no silent conversions."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of every section."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
