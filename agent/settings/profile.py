"""[profile]: what the public is told of the station beside [station]. Knows no other section."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agent.settings.section import Section


class ProfileSettings(Section):
    """[profile]: what the public is told beside [station]. ``opening_hours``: as OpenStreetMap writes them."""

    address: Annotated[str, Field(max_length=255)] = ""
    opening_hours: Annotated[str, Field(max_length=255)] = ""
