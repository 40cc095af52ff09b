"""What somebody may show, type or lay down who means no good, or has no idea: texts, bytes and card messages, from a seed.

Nothing here is a code that a station may accept, and nothing is a control barcode; the rest is anything at all.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator

from agent.domain.codes import base45

MEGABYTE = 1_000_000
EVERY_HUGE = 250
"""One input of so many has a megabyte."""

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
SCRIPTS = "会员卡加油站ΑΒΓабвгأبجदकあい한국ﬀßıſK😀𝔉𝔐𝟙\u202e\u200b\ufeff"
CONTROLS = "".join(map(chr, [*range(32), 127, *range(128, 160)]))
PAYLOADS = (
    "'; DROP TABLE member; --",
    '" OR 1=1 --',
    "1); DELETE FROM posting; --",
    "%s%s%s%n%n",
    "{0.__class__.__mro__}",
    "${jndi:ldap://127.0.0.1/a}",
    "$(reboot)",
    "`reboot`",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b[31mACCEPTED",
    "]Q1]Q1]Q1]Q1",
    "\\000026FM1:",
    "FM1:\\\\",
    '{"level":"error","event":"forged"}\n{"event":"second line"}',
    "FP:", "FP:0", "FP:1000", "CANCEL ME", "FM9:", "FM:", "fm1:", "FM1:FM1:", "ﬀM1:", "FＭ1:",
)  # fmt: skip

Maker = Callable[[random.Random, str], str]


def _random(rng: random.Random, _code: str) -> str:
    return "".join(map(chr, rng.choices(range(256), k=rng.randrange(1, 200))))


def _printable(rng: random.Random, _code: str) -> str:
    return "".join(rng.choices(PRINTABLE, k=rng.randrange(1, 600)))


def _scripts(rng: random.Random, code: str) -> str:
    return "".join(rng.choices(SCRIPTS + code[:40], k=rng.randrange(1, 80)))


def _controls(rng: random.Random, code: str) -> str:
    at = rng.randrange(len(code))
    return code[:at] + rng.choice(CONTROLS) + code[at:]


def _payload(rng: random.Random, code: str) -> str:
    return rng.choice(("", "FM1:", "]Q1", code[: rng.randrange(8)])) + rng.choice(PAYLOADS)


def _digits(rng: random.Random, _code: str) -> str:
    return rng.choice(("", "4", "62", "13", "28", "9156")) + "".join(rng.choices(string.digits, k=rng.randrange(1, 40)))


def _near_text(rng: random.Random, code: str) -> str:
    """A code with characters changed, dropped, doubled or cut off."""
    text = list(code)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(4, len(text))
        change = rng.randrange(4)
        if change == 0:
            text[at] = rng.choice([sign for sign in base45.ALPHABET if sign != text[at]])
        elif change == 1:
            del text[at]
        elif change == 2:
            text.insert(at, text[at])
        else:
            del text[max(at, 8) :]
        if len(text) < 8:
            break
    return "".join(text)


def _near_token(rng: random.Random, code: str) -> str:
    """A token with bits turned over: base45 and perhaps CBOR are right, what is signed is not."""
    data = bytearray(base45.decode(code.removeprefix("FM1:")))
    for _ in range(rng.randrange(1, 3)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return "FM1:" + base45.encode(bytes(data))


def _bomb(rng: random.Random, _code: str) -> str:
    """Deep or endless CBOR in good base45: nested arrays, maps and tags, and lengths that promise the world."""
    shapes = (
        b"\x81",
        b"\x9f",
        b"\xa1\x00",
        b"\xd2",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x9b" + b"\xff" * 8,
        b"\xbf",
    )
    return "FM1:" + base45.encode(rng.choice(shapes) * rng.randrange(1, 40) + rng.randbytes(rng.randrange(40)))


MAKERS: tuple[Maker, ...] = (
    _random,
    _printable,
    _scripts,
    _controls,
    _payload,
    _digits,
    _near_text,
    _near_token,
    _bomb,
)


def texts(count: int, seed: int, code: str) -> Iterator[str]:
    """Yield texts; ``code`` is a good one that near misses are made of. None of them is that code or a control barcode."""
    rng = random.Random(seed)
    for number in range(count):
        text = MAKERS[number % len(MAKERS)](rng, code)
        if number % EVERY_HUGE == EVERY_HUGE - 1:
            text = (text * (MEGABYTE // max(1, len(text)) + 1))[:MEGABYTE]
        if _is_harmless(text, code):
            yield text
        else:
            yield text + "?"


def _is_harmless(text: str, code: str) -> bool:
    bare = text.rstrip("\r\n ").upper()
    return bare not in (code, "CANCEL") and not (bare.startswith("FP:") and bare[3:].isdigit())


def as_bytes(text: str) -> bytes:
    """Return a text as a scanner might send it: what Latin-1 has not, in the encoding that somebody guessed."""
    return text.encode("latin-1") if text.isascii() else text.encode("utf-8", "surrogatepass")


def messages(count: int, seed: int, code: str) -> Iterator[bytes | None]:
    """Yield what a card may say: records with lengths that lie, huge ones, links without end, noise."""
    rng = random.Random(seed)
    for number, text in enumerate(texts(count, seed + 1, code)):
        link = as_bytes(text)[:65_000]
        shape = number % 5
        if shape == 0:
            yield None if number % 2 else b""
        elif shape == 1:
            yield rng.randbytes(rng.randrange(300))
        elif shape == 2:
            yield b"\xd1\x01" + bytes((len(link) + 1 & 0xFF,)) + b"U\x04" + link
        elif shape == 3:
            yield b"\xc1\x01" + (len(link) + 1).to_bytes(4, "big") + b"U\x04" + link
        else:
            yield b"\xc1\x01" + rng.randbytes(4) + b"U\x04" + b"m.example.cn/n?e=" + link[:200]
