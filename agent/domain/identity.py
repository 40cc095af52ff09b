"""What a scanned text is and who it may be: kinds of text, card layouts, auth levels, phones, blind index, masks.

Pure. Knows no member, no reader and no database; plain phone and card numbers pass through and are never kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.check_digits import damm_holds, luhn_holds, verhoeff_holds

MAX_TEXT = 512
"""Characters of one scanned text: the frame cap of the scanner codec; FM1 needs 157 at most."""

MAX_PHONE_INPUT = 64
"""Characters looked at as a phone number: a number with generous separators; more is no number."""

HIDDEN = "****"
"""The mask of anything shorter than its mask needs."""


class AuthLevel(StrEnum):
    """What an identification proves, from a verified chip down to a plate."""

    SUN = "sun"
    FM1_DYNAMIC = "fm1_dynamic"
    FM1_PRINTED = "fm1_printed"
    NUMBER = "number"
    PHONE = "phone"
    UID = "uid"
    PLATE = "plate"


_STRENGTH = {
    AuthLevel.SUN: 3,
    AuthLevel.FM1_DYNAMIC: 3,
    AuthLevel.FM1_PRINTED: 2,
    AuthLevel.NUMBER: 1,
    AuthLevel.PHONE: 1,
    AuthLevel.UID: 1,
    AuthLevel.PLATE: 0,
}


def strength(level: AuthLevel) -> int:
    """Return the rank of a level: sun = fm1_dynamic (3) > fm1_printed > number = phone = uid > plate (0)."""
    return _STRENGTH[level]


def stronger(first: AuthLevel, second: AuthLevel) -> AuthLevel:
    """Return the stronger of two levels; of equals, the first: a later scan never lowers a level."""
    return second if strength(second) > strength(first) else first


def earn_only(level: AuthLevel) -> bool:
    """Return whether a level may earn but not spend points, coupons or leases."""
    return strength(level) < strength(AuthLevel.FM1_DYNAMIC)


class Kind(StrEnum):
    """What a scanned text is. Only ``MEMBER_TOKEN``, ``CARD_NUMBER`` and ``POINT`` carry a value."""

    PAYMENT_CODE = "PAYMENT_CODE"
    CARD_NUMBER = "CARD_NUMBER"
    CARD_NUMBER_TYPO = "CARD_NUMBER_TYPO"
    BANK_CARD = "BANK_CARD"
    MEMBER_TOKEN = "MEMBER_TOKEN"  # noqa: S105 - a kind of text, no secret
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    POINT = "POINT"
    CANCEL = "CANCEL"
    NOT_A_MEMBER_CODE = "NOT_A_MEMBER_CODE"


@dataclass(frozen=True, slots=True)
class Classified:
    """``value``: the cleaned text of a MEMBER_TOKEN, the digits of a CARD_NUMBER, the decimal point number of a POINT,
    else ``None``; not in the repr.

    ``symbology``: the AIM id that was taken off, e.g. ``]Q1``; for diagnosis only, it never decides anything.
    """

    kind: Kind
    value: str | None = field(default=None, repr=False)
    symbology: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRule:
    """Digits-only texts of these lengths whose first digits lie in ``prefix_from``..``prefix_to`` are live money."""

    scheme: str
    prefix_from: str
    prefix_to: str
    lengths: tuple[int, ...]

    def matches(self, digits: str) -> bool:
        """Return whether a digits-only text is a payment code of this scheme."""
        return len(digits) in self.lengths and self.prefix_from <= digits[: len(self.prefix_from)] <= self.prefix_to


PAYMENT_RULES = (
    PaymentRule("wechat", "10", "15", (18,)),
    PaymentRule("alipay", "25", "30", tuple(range(16, 25))),
    PaymentRule("unionpay", "62", "62", (19,)),
)
"""Defaults. The UnionPay row rests on a single source; further wallets exist, so the list is configuration."""


@dataclass(frozen=True, slots=True)
class CardLayout:
    """Card numbers of a scheme: ``length`` digits starting with ``prefix``; ``check``: luhn, damm, verhoeff or none."""

    prefix: str
    length: int
    check: str

    def matches(self, digits: str) -> bool:
        """Return whether a digits-only text has this layout, whatever its check digit."""
        return len(digits) == self.length and digits.startswith(self.prefix)

    def check_holds(self, digits: str) -> bool:
        """Return whether the check digit is right."""
        return _CHECKS[self.check](digits)

    def span(self) -> tuple[int, int]:
        """Return the smallest and the largest number of this layout."""
        return _span(self.prefix, self.prefix, self.length)


def _no_check(_digits: str) -> bool:
    return True


_CHECKS: dict[str, Callable[[str], bool]] = {
    "luhn": luhn_holds,
    "damm": damm_holds,
    "verhoeff": verhoeff_holds,
    "none": _no_check,
}

DEFAULT_LAYOUTS = (CardLayout("9", 16, "luhn"),)
"""Cannot meet payment codes, bank cards (first digit 3-6) or EAN lengths (8, 12, 13, 14)."""

_ASCII_DIGITS = re.compile(r"[0-9]+")
_AIM_ID = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_MEMBER_TOKEN = re.compile(r"FM([0-9]):")
_POINT_BARCODE = re.compile(r"FP:([1-9][0-9]{0,2})")
CANCEL_TEXT = "CANCEL"


def _span(low: str, high: str, length: int) -> tuple[int, int]:
    rest = 10 ** (length - len(low))
    return int(low) * rest, (int(high) + 1) * rest - 1


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def layout_problems(layouts: Sequence[CardLayout], payment_rules: Sequence[PaymentRule] = PAYMENT_RULES) -> list[str]:
    """Return every reason, as a sentence for the operator, why these card layouts must not be loaded.

    Proves that no number of any layout is a payment code, and that no number belongs to two layouts.
    """
    problems: list[str] = []
    sound: list[CardLayout] = []
    for layout in layouts:
        name = f"card layout with prefix {layout.prefix!r} and length {layout.length}"
        if _ASCII_DIGITS.fullmatch(layout.prefix) is None:
            problems.append(f"{name}: the prefix must be one or more digits 0-9")
        elif not len(layout.prefix) < layout.length <= 32:
            problems.append(f"{name}: the length must be above the prefix's {len(layout.prefix)} digits and at most 32")
        elif layout.check not in _CHECKS:
            problems.append(f"{name}: check {layout.check!r} is unknown; use one of {', '.join(sorted(_CHECKS))}")
        else:
            problems += [
                f"{name} overlaps payment codes of {rule.scheme}; choose a prefix or length they do not use"
                for rule in payment_rules
                if layout.length in rule.lengths
                and _meet(layout.span(), _span(rule.prefix_from, rule.prefix_to, layout.length))
            ]
            problems += [
                f"{name} overlaps the layout with prefix {other.prefix!r}; a number must belong to one layout"
                for other in sound
                if other.length == layout.length and _meet(layout.span(), other.span())
            ]
            sound.append(layout)
    return problems


def clean(text: str) -> tuple[str, str | None] | None:
    """Return (upper-case text without terminator and AIM id, the AIM id), or ``None`` for what cannot be a member code.

    The ASCII test comes before upper-casing: some other letters upper-case into ASCII ones.
    """
    kept = text.rstrip("\r\n ")
    if len(kept) > MAX_TEXT or any(not " " <= character <= "~" for character in kept):
        return None
    symbology = _AIM_ID.match(kept)
    if symbology is None:
        return kept.upper(), None
    return kept[symbology.end() :].upper(), symbology.group()


def text_digest(text: str) -> str:
    """Return the SHA-256 hex of a cleaned text, for the 3 s duplicate rule in memory; it is never stored."""
    cleaned = clean(text)
    shown = text if cleaned is None else cleaned[0]
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()


def classify(
    text: str, layouts: Sequence[CardLayout] = DEFAULT_LAYOUTS, payment_rules: Sequence[PaymentRule] = PAYMENT_RULES
) -> Classified:
    """Return what a scanned text is; any text gives an answer, none raises.

    Order: payment codes before anything else, card layouts, bank cards, FM tokens, then the control barcodes ``FP:n``
    and ``CANCEL``, else not a member code. The first three take digits only and ``FM`` differs from ``FP``, so the
    place of the control barcodes changes no other answer.
    """
    cleaned = clean(text)
    if cleaned is None:
        return Classified(Kind.NOT_A_MEMBER_CODE)
    shown, symbology = cleaned
    if _ASCII_DIGITS.fullmatch(shown):
        return _classify_digits(shown, symbology, layouts, payment_rules)
    token = _MEMBER_TOKEN.match(shown)
    if token is not None:
        if token.group(1) == "1":
            return Classified(Kind.MEMBER_TOKEN, shown, symbology)
        return Classified(Kind.UNSUPPORTED_VERSION, None, symbology)
    point = _POINT_BARCODE.fullmatch(shown)
    if point is not None:
        return Classified(Kind.POINT, point.group(1), symbology)
    if shown == CANCEL_TEXT:
        return Classified(Kind.CANCEL, None, symbology)
    return Classified(Kind.NOT_A_MEMBER_CODE, None, symbology)


def _classify_digits(
    digits: str, symbology: str | None, layouts: Sequence[CardLayout], payment_rules: Sequence[PaymentRule]
) -> Classified:
    if any(rule.matches(digits) for rule in payment_rules):
        return Classified(Kind.PAYMENT_CODE, None, symbology)
    for layout in layouts:
        if layout.matches(digits):
            if layout.check_holds(digits):
                return Classified(Kind.CARD_NUMBER, digits, symbology)
            return Classified(Kind.CARD_NUMBER_TYPO, None, symbology)
    if 14 <= len(digits) <= 19 and "3" <= digits[0] <= "6" and luhn_holds(digits):
        return Classified(Kind.BANK_CARD, None, symbology)
    return Classified(Kind.NOT_A_MEMBER_CODE, None, symbology)


_PHONE_SEPARATORS = str.maketrans("", "", " -.()")
_PHONE_SHAPE = re.compile(r"\+?[0-9]+")
_CN_PREFIXED = re.compile(r"86(1[0-9]{10})")
_CN_TRUNK = re.compile(r"0(1[3-9][0-9]{9})")
_CN_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_FOREIGN = re.compile(r"\+[0-9]{7,15}")


def normalise_phone(text: str, countries: AbstractSet[str] = frozenset()) -> str | None:
    """Return a mobile number as E.164 (``+8613812345678``), or ``None`` for INVALID_PHONE.

    ``countries``: further country codes without plus (``852``) that settings list; other countries need the plus.
    """
    if len(text) > MAX_PHONE_INPUT:
        return None
    bare = unicodedata.normalize("NFKC", text).translate(_PHONE_SEPARATORS)
    if _PHONE_SHAPE.fullmatch(bare) is None:
        return None
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if bare.startswith("+86"):
        national = bare[3:]
    elif bare.startswith("+"):
        known = any(bare[1:].startswith(code) for code in countries)
        return bare if known and _FOREIGN.fullmatch(bare) else None
    else:
        prefixed = _CN_PREFIXED.fullmatch(bare)
        national = prefixed.group(1) if prefixed else bare
    trunk = _CN_TRUNK.fullmatch(national)
    if trunk:
        national = trunk.group(1)
    return "+86" + national if _CN_MOBILE.fullmatch(national) else None


_SEPARATORS = re.compile(r"[\s\-.·•:]+")


def normalise_plate(text: str) -> str:
    """Return a number plate in upper case without separators, as the blind index takes it."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).upper()


class IndexKind(StrEnum):
    """The role of an indexed value; it keeps one number from matching in two roles."""

    PHONE = "phone"
    CARD = "card"
    UID = "uid"
    PLATE = "plate"


Mac = Callable[[bytes, bytes], bytes]
"""(key, message) -> 32 bytes of HMAC-SHA256."""

INDEX_KEY_BYTES = 32


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256 by the standard library: the ``Mac`` used unless another is passed in."""
    return hmac.digest(key, message, "sha256")


def blind_index(key: bytes, kind: IndexKind, value: str, mac: Mac = hmac_sha256) -> bytes:
    """Return the 16-byte keyed index of a normalised value.

    ``value``: phone E.164, card digits, uid upper-case hex, plate upper case without separators. Raises ValueError for
    a key that is not 32 bytes: a short key would make indexes that no other station can match.
    """
    if len(key) != INDEX_KEY_BYTES:
        raise ValueError(
            f"the index key must have {INDEX_KEY_BYTES} bytes, this one has {len(key)}; load the key again"
        )
    return mac(key, f"fc-idx1|{kind.value}|{value}".encode())[:16]


def index_version(key: bytes, mac: Mac = hmac_sha256) -> str:
    """Return what an index key is called: 8 hex digits made with it, which tell nothing of it."""
    return mac(key, b"fc-idx1|version")[:4].hex()


def mask_phone(e164: str, countries: AbstractSet[str] = frozenset()) -> str:
    """Return ``138****5678`` for a Chinese mobile, ``+852****123`` for a listed country, else ``****``."""
    if e164.startswith("+86") and _CN_MOBILE.fullmatch(e164[3:]):
        return f"{e164[3:6]}{HIDDEN}{e164[-4:]}"
    if _FOREIGN.fullmatch(e164):
        codes = [code for code in countries if e164[1:].startswith(code)]
        if codes:
            return f"+{max(codes, key=len)}{HIDDEN}{e164[-3:]}"
    return HIDDEN


def mask_name(name: str) -> str:
    """Return the first character and one ``*`` per further one, two at most; Latin names always get ``**``."""
    bare = name.strip()
    if len(bare) < 2:
        return HIDDEN
    if bare[0].isascii() or unicodedata.name(bare[0], "").startswith("LATIN"):
        return bare[0] + "**"
    return bare[0] + "*" * min(2, len(bare) - 1)


def mask_plate(plate: str) -> str:
    """Return the first two and the last two characters with ``***`` between."""
    return f"{plate[:2]}***{plate[-2:]}" if len(plate) > 4 else HIDDEN


def mask_card(digits: str) -> str:
    """Return the first four and the last four digits with eight ``*`` between."""
    return f"{digits[:4]}********{digits[-4:]}" if len(digits) > 8 else HIDDEN


def mask_member(member: str) -> str:
    """Return the form of a member id that logs may show: first four hex digits and ``..``."""
    return member[:4] + ".."
