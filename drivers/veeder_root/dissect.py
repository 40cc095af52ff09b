"""TLS bytes taken apart for a person: questions, computer and display replies, checksums; fields in dissect_layouts.py.

Pure, never raises, loses no byte. More tolerant than the driver: it also shows what the driver refuses, and why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from drivers.dissection import Check, Cutting, Direction, FieldKit, Piece, Short, singles
from drivers.errors import FrameRejected
from drivers.veeder_root import display
from drivers.veeder_root.codec import SOH, checksum, encode
from drivers.veeder_root.dissect_layouts import FUNCTIONS, Fields, NotReadable, data_fields
from drivers.veeder_root.tables import INQUIRIES

CHECKED, NOT_KNOWN, DISPLAY, QUESTION, UNCHECKED, DAMAGED = 100, 90, 90, 80, 60, 30

_ECHO = rb"[IiSs][0-9A-Z]{3}[0-9]{2}"
_HEAD = re.compile(_ECHO)
_QUESTION = re.compile(
    rb"(?P<code>[\x20-\x7e]{6})??(?P<echo>" + _ECHO + rb")(?P<data>[0-9A-Fa-f]*)(?P<end>\r\n|\r|\n|\x03|)"
)
_REFUSAL = re.compile(rb"9999(?:FF1B|&&FECF)")
_PAIR = re.compile(rb"&&([0-9A-Fa-f]{4})")
_STRAY_PAGE = re.compile(_ECHO + rb"[ \t]*[\r\n]")
_Checked = tuple[Check, str, str]
"""How the check came out, the checksum given, the one computed."""

_NEXT_PAGE = re.compile(rb"[\r\n](?:" + _ECHO + rb"[ \t]*[\r\n]|9999FF1B)")
_FILLER = frozenset(b"\r\n\x00\x03 ")
ESC = 0x1B


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` questions and replies may be mixed."""
    reader = _Reader(data, direction)
    at = 0
    while at < len(data):
        nxt = data_end(reader.plain, at + 1)
        at = reader.frame(at, nxt) if reader.plain[at] == SOH else reader.stray(at, nxt)
    return reader.pieces


def data_end(plain: bytes, start: int) -> int:
    """Where the next SOH stands from ``start`` on, or the end."""
    found = plain.find(bytes((SOH,)), start)
    return len(plain) if found < 0 else found


def unmasked(data: bytes) -> bytes:
    """``data`` without parity bits where there are any: many high bits, and text below them."""
    high = sum(byte > 0x7F for byte in data)
    return bytes(byte & 0x7F for byte in data) if high * 5 > len(data) else data


class _Reader:
    """The pieces found so far, and the unit system once a reply has told it."""

    def __init__(self, data: bytes, direction: Direction) -> None:
        self.raw = data
        self.plain = unmasked(data)
        self.direction = direction
        self.pieces: list[Piece] = []
        self._system: int | None = None
        self._parity = "parity bits inside the bytes: the line has 7 data bits" if self.plain != data else ""

    def frame(self, start: int, end: int) -> int:
        """Read one frame that begins with SOH at ``start``; ``end``: the next SOH. Returns where to go on."""
        body = self.plain[start + 1 : end]
        refusal = _REFUSAL.match(body)
        if refusal:
            return self._refusal(start, start + 1 + refusal.end(), end)
        question = _QUESTION.match(body)
        if question and self._is_question(question, body):
            return self._question(start, question)
        if _HEAD.match(body):
            return self._computer(start, end, body)
        if _HEAD.match(body.lstrip(b"\r\n\x00 ")):
            return self._page(start, end, soh=True)
        self._plain_piece(start, end, "after SOH comes no function code and no text that is known")
        return end

    def stray(self, start: int, end: int) -> int:
        """Read bytes outside a frame: ESC, fillers, text of a server that sends no SOH, noise."""
        plain = self.plain[start:end]
        if plain[0] == ESC:
            self._simple(start, start + 1, "abort", "to_device", QUESTION // 2)
            return start + 1
        size = next((n for n, byte in enumerate(plain) if byte not in _FILLER), len(plain))
        if size:
            self._simple(start, start + size, "filler", self.direction, 0)
            return start + size
        refusal = _REFUSAL.match(plain)
        if refusal:
            return self._refusal(start, start + refusal.end(), end, soh=False)
        if _STRAY_PAGE.match(plain) and self.direction != "to_device":
            return self._page(start, end, soh=False)
        stop = next((n for n, byte in enumerate(plain) if n and (byte == ESC or byte in b"\r\n")), len(plain))
        self._plain_piece(start, start + stop, "no SOH before it: noise, or not the TLS protocol")
        return start + stop

    def _is_question(self, match: re.Match[bytes], body: bytes) -> bool:
        if self.direction is not None:
            return self.direction == "to_device"
        rest = body[match.end() :].strip(b"\r\n\x00\x03 ")
        code = match["echo"][1:4].decode("ascii")
        allowed = INQUIRIES[code].question if code in INQUIRIES else re.compile("")
        return not rest and allowed.fullmatch(match["data"].decode("ascii")) is not None

    def _question(self, start: int, match: re.Match[bytes]) -> int:
        end = start + 1 + match.end()
        cut = self._cut(start, end)
        cut.add(1, "SOH", framing=True)
        if match["code"]:
            cut.add(6, "security_code", "******", meaning="six characters, not shown")
        self._echo(cut)
        if match["data"]:
            cut.add(len(match["data"]), "question_data", match["data"].decode("ascii"))
        if cut.left:
            cut.add(cut.left, "terminator", framing=True)
        letter = match["echo"][:1]
        problem = "a set function: it changes the console" if letter in b"Ss" else ""
        self._put(end, "question", "to_device", cut, QUESTION, problem=problem)
        return end

    def _computer(self, start: int, end: int, body: bytes) -> int:
        """A computer reply: the first ``&&`` whose checksum is right ends it; without one it is shown unchecked."""
        pairs = list(_PAIR.finditer(body))
        if not pairs and re.match(_ECHO + rb"[ \t]*[\r\n]", body):
            return self._page(start, end, soh=True)
        given = computed = ""
        for pair in pairs:
            given, computed = pair[1].decode("ascii").upper(), checksum(bytes((SOH,)) + body[: pair.start() + 2])
            if given == computed:
                break
        else:
            pair = pairs[0] if pairs else None  # type: ignore[assignment]
        if pairs and given != computed:
            given, computed = (
                pairs[0][1].decode("ascii").upper(),
                checksum(bytes((SOH,)) + body[: pairs[0].start() + 2]),
            )
        stop = pair.end() if pair else _text_end(body)
        stop += body[stop : stop + 1] == b"\x03"
        check: Check = "missing" if not pairs else "ok" if given == computed else "bad"
        self._reply(start, start + 1 + stop, pair.start() if pair else _text_end(body), (check, given, computed))
        return start + 1 + stop

    def _reply(self, start: int, end: int, size: int, check: _Checked) -> None:
        """``size``: bytes between SOH and ``&&``."""
        state, given, computed = check
        cut = self._cut(start, end)
        cut.add(1, "SOH", framing=True)
        code = cut.plain[2:5].decode("ascii")
        inner = self._cut(start + 1, start + 1 + size)
        problem = self._data(inner, code)
        cut.fields += inner.fields
        cut.at, cut.offset = 1 + size, start + 1 + size
        if given:
            meaning = "right" if state == "ok" else f"wrong, computed {computed}"
            cut.add(6, "checksum", given, meaning=meaning, framing=state == "ok")
        if cut.left:
            cut.add(cut.left, "end_of_message", framing=True)
        if state == "bad":
            problem = "the checksum is wrong: nothing of this reply counts"
        elif state == "missing":
            problem = problem or "no checksum: cut off, or a server that sends none"
        sure = {"ok": CHECKED, "missing": UNCHECKED if not problem.startswith("layout") else DAMAGED, "bad": DAMAGED}
        self._put(end, "computer reply", "from_device", cut, sure[state], check=check, problem=problem)

    def _data(self, cut: Cutting, code: str) -> str:
        self._echo(cut)
        fields = Fields(cut, self._system)
        try:
            problem = data_fields(fields, code)
        except Short:
            problem = "layout: the reply ends inside a field"
        except NotReadable as error:
            problem = f"layout: {error}"
        for field in cut.fields:
            if field.name == "unit_system" and isinstance(field.value, int):
                self._system = field.value
        cut.rest("undecoded", problem or "left over after the last field")
        return problem

    def _page(self, start: int, end: int, *, soh: bool) -> int:
        """A display reply: one field for each line; rows of inventory and status are read."""
        stop = self.plain.find(b"\x03", start, end)
        end = end if stop < 0 else stop + 1
        again = None if soh else _NEXT_PAGE.search(self.plain, start + 6, end)
        end = again.start() + 1 if again else end
        text = self.plain[start:end]
        echo = _HEAD.search(text)
        code = echo[0][1:4].decode("ascii") if echo else ""
        cut = self._cut(start, end)
        if soh:
            cut.add(1, "SOH", framing=True)
        for line in re.findall(rb"[^\r\n]*[\r\n\x00]*", text[1 if soh else 0 :]):
            if line:
                self._line(cut, line, code)
        self._put(end, "display reply", "from_device", cut, DISPLAY, problem=_page_problem(text, code))
        return end

    def _line(self, cut: Cutting, line: bytes, code: str) -> None:
        shown = line.strip(b"\r\n\x00\x03 ").decode("latin-1")
        if _HEAD.fullmatch(shown.encode("latin-1")):
            cut.add(len(line), "function", shown, meaning=f"{shown} {FUNCTIONS.get(code, 'unknown')}")
            return
        row = _row(shown) if code == "201" else ""
        cut.add(len(line), "row" if row else "line", shown or None, meaning=row or shown, framing=not shown)

    def _refusal(self, start: int, end: int, limit: int, *, soh: bool = True) -> int:
        end += self.plain[end:limit][:1] == b"\x03"
        cut = self._cut(start, end)
        if soh:
            cut.add(1, "SOH", framing=True)
        cut.add(4, "answer", "9999", meaning="function not known, or a security code is wanted or not wanted")
        cut.rest("checksum", "")
        self._put(end, "not known", "from_device", cut, NOT_KNOWN)
        return end

    def _echo(self, cut: Cutting) -> None:
        text = cut.peek(6).decode("ascii")
        form = {"i": "computer", "I": "display"}.get(text[0], "set")
        cut.add(1, "format", text[0], meaning=form)
        cut.add(3, "function", text[1:4], meaning=f"{text[1:4]} {FUNCTIONS.get(text[1:4], 'unknown')}")
        cut.add(2, "device", text[4:], meaning="all" if text[4:] == "00" else text[4:])

    def _cut(self, start: int, end: int) -> Cutting:
        return Cutting(self.plain[start:end], singles(self.raw[start:end]), start)

    def _simple(self, start: int, end: int, kind: str, direction: Direction, confidence: int) -> None:
        cut = self._cut(start, end)
        cut.add(end - start, kind, framing=True)
        self._put(end, kind, direction, cut, confidence)

    def _plain_piece(self, start: int, end: int, problem: str) -> None:
        cut = self._cut(start, end)
        shown = self.plain[start:end].decode("latin-1")
        cut.rest("bytes", shown if shown.isprintable() else repr(shown))
        self._put(end, "bytes", self.direction, cut, 0, problem=problem)

    def _put(
        self,
        end: int,
        kind: str,
        direction: Direction,
        cut: Cutting,
        confidence: int,
        *,
        check: _Checked = ("none", "", ""),
        problem: str = "",
    ) -> None:
        """Keep the piece whose fields ``cut`` has, up to ``end``."""
        start = cut.fields[0].offset
        if self.direction is not None and direction != self.direction:
            problem = problem or "the other side sends this"
        problem = "; ".join(filter(None, (problem, self._parity if kind not in ("filler", "bytes") else "")))
        raw, fields = self.raw[start:end], tuple(cut.fields)
        self.pieces.append(Piece(start, raw, kind, direction, fields, *check, problem, confidence))


def _given(pair: re.Match[bytes]) -> str:
    return pair[1].decode("ascii").upper()


def _computed(pair: re.Match[bytes], body: bytes) -> str:
    return checksum(bytes((SOH,)) + body[: pair.start() + 2])


def _text_end(body: bytes) -> int:
    """Where the text of a reply without checksum ends: before the first control character."""
    return next((at for at, byte in enumerate(body) if byte < 0x20), len(body))


def _row(line: str) -> str:
    try:
        (row,) = display.inventory(line)
    except (FrameRejected, ValueError):
        return ""
    names = ("volume", "tc_volume", "ullage", "height", "water_height", "temperature")
    values = ", ".join(
        f"{name} {float(value):.9g}" for name, value in zip(names, row.record.values, strict=False) if value is not None
    )
    return f"tank {row.record.tank} {row.label}: {values}"


def _page_problem(text: bytes, code: str) -> str:
    lines = [line for line in re.split(rb"[\r\n\x00\x01\x03]+", text) if line.strip()]
    if len(lines) < 2:
        return "nothing below the echo: our own question come back, or a page cut off"
    return "" if code in FUNCTIONS else f"function {code} is not known"


_ENDS = ("CRLF", "CR", "")


def _probes(_address: int) -> Sequence[bytes]:
    """The inventory in both formats, ended in the three ways that servers want."""
    return tuple(encode("201", display=display, terminator=end) for end in _ENDS for display in (False, True))


def _attempts(timeout_s: float) -> list[Mapping[str, object]]:
    """How servers want a question ended differs, and some cannot bear the ESC: one habit after the other."""
    first_byte_s = max(0.3, min(5.0, timeout_s / 5))
    quick = {"first_byte_s": first_byte_s, "tries": 1, "idle_s": min(1.0, first_byte_s), "charts": False}
    habits: list[dict[str, object]] = [{"terminator": end} for end in _ENDS]
    return [{**quick, **habit} for habit in (habits[0], {**habits[0], "abort": False}, *habits[1:])]


KIT = FieldKit(
    dissect=dissect,
    probes=_probes,
    probe_wait_s=1.2,
    attempts=_attempts,
    serial_guesses=(
        (9600, 8, "none", 1),
        (9600, 7, "odd", 1),
        (9600, 7, "even", 1),
        (1200, 7, "odd", 1),
        (2400, 7, "odd", 1),
        (4800, 8, "none", 1),
        (19200, 8, "none", 1),
        (1200, 8, "none", 1),
    ),
    silence="the console wants a security code (--option security_code=...), or another host is using it",
)
