"""Draws QR codes: the only file that imports segno, which only commands that draw ever load.

Knows modes and sizes of symbols. Does not know what a text means: whoever hands one in has decided to show it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import segno

ERROR_LEVEL = "M"
"""Printed cards get scratched: 15 % may be lost. A higher level is never chosen by itself, so that sizes are stable."""

QUIET_ZONE = 4
"""Light modules around a symbol, without which scanners do not find it."""

PIXELS_PER_MODULE = 8
MILLIMETRES_PER_MODULE = 0.4
"""For printing; less is hard for scanners that hang at a pump."""


_LIGHT_ON_DARK, _AS_BEFORE = "\x1b[97;40m", "\x1b[0m"


class NotDrawable(Exception):
    """A QR code cannot be drawn here; ``hint`` says what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Drawing:
    """A symbol. ``designator`` such as ``6-M``; ``mode``: numeric, alphanumeric or byte; ``modules``: its width."""

    designator: str
    mode: str
    modules: int
    _symbol: segno.QRCode

    def blocks(self, *, colours: bool = True) -> str:
        """Return the symbol for a terminal with its quiet zone, two modules in each character.

        ``colours`` sets them, so that it is dark on light whatever the terminal's own are; without, blocks are light.
        """
        out = io.StringIO()
        self._symbol.terminal(out, border=QUIET_ZONE, compact=True)
        lines = out.getvalue().splitlines()
        return "".join(f"{_LIGHT_ON_DARK}{line}{_AS_BEFORE}\n" if colours else f"{line}\n" for line in lines)

    def png(self) -> bytes:
        """Return a PNG, black on white."""
        return self._saved("png", scale=PIXELS_PER_MODULE)

    def svg(self) -> bytes:
        """Return an SVG in millimetres, ready for a printer."""
        return self._saved("svg", scale=MILLIMETRES_PER_MODULE, unit="mm", light="#fff")

    def _saved(self, kind: str, **form: float | str) -> bytes:
        out = io.BytesIO()
        self._symbol.save(out, kind=kind, border=QUIET_ZONE, **form)
        return out.getvalue()


def draw(text: str) -> Drawing:
    """Return the smallest symbol of a text in the densest mode that holds it. Raises NotDrawable."""
    try:
        import segno
    except ImportError as error:
        hint = "install the package segno beside this software, or draw the text elsewhere"
        raise NotDrawable("QR codes cannot be drawn here: segno is missing", hint=hint) from error
    try:
        symbol = segno.make_qr(text, error=ERROR_LEVEL, boost_error=False)
    except segno.DataOverflowError as error:
        raise NotDrawable("the text is too long for a QR code", hint="shorten it") from error
    width, _ = symbol.symbol_size(border=0)
    return Drawing(str(symbol.designator), str(symbol.mode), int(width), symbol)
