"""Signatures and ciphers of member codes, chips and stored fields: the only file that imports the cryptography library
for them.

Knows no code and where no key comes from: they are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

FIELD_KEY_BYTES = 32
NONCE_BYTES = 12


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature holds; a public key that is no point on the curve verifies nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_ed25519(seed: bytes, message: bytes) -> bytes:
    """Return the signature by the private key whose seed has 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def public_ed25519(seed: bytes) -> bytes:
    """Return the public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


class Aes:
    """AES-128 as chips use it: keys and blocks of 16 bytes, no padding."""

    def cbc_decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """Return the plain text of whole blocks."""
        machine = Cipher(algorithms.AES128(key), modes.CBC(iv)).decryptor()
        return machine.update(data) + machine.finalize()

    def cbc_encrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """Return whole blocks encrypted, as a chip does it."""
        machine = Cipher(algorithms.AES128(key), modes.CBC(iv)).encryptor()
        return machine.update(data) + machine.finalize()

    def ecb_encrypt(self, key: bytes, block: bytes) -> bytes:
        """Return one encrypted block: the chip makes its initial vector so."""
        machine = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # noqa: S305
        return machine.update(block) + machine.finalize()

    def cmac(self, key: bytes, message: bytes) -> bytes:
        """Return the 16 bytes of CMAC."""
        machine = CMAC(algorithms.AES128(key))
        machine.update(message)
        return machine.finalize()


def gcm_encrypt(key: bytes, nonce: bytes, data: bytes, about: bytes) -> bytes:
    """Return ``data`` encrypted by AES-256-GCM with its tag behind; ``about`` is protected as well."""
    return AESGCM(key).encrypt(nonce, data, about)


def gcm_decrypt(key: bytes, nonce: bytes, data: bytes, about: bytes) -> bytes:
    """Return what ``gcm_encrypt`` was given. Raises ValueError where key, nonce, data and ``about`` are not its own."""
    try:
        return AESGCM(key).decrypt(nonce, data, about)
    except InvalidTag as failure:
        raise ValueError("the tag is wrong") from failure


class FieldKeys:
    """The keys of what stands encrypted in the database, by version 1 to 255: the newest closes, all of them open.

    A value is bound to its place (``table|column|row``): moved to another one it does not open.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Raises ValueError where there is none, or one is no key."""
        if not keys or not all(0 < v < 256 and len(key) == FIELD_KEY_BYTES for v, key in keys.items()):
            raise ValueError(f"field keys have {FIELD_KEY_BYTES} bytes and versions 1 to 255")
        self._keys = dict(keys)
        self.version = max(keys)

    def seal(self, place: str, plain: bytes, nonce: bytes) -> bytes:
        """Return version, nonce and encrypted value. ``nonce``: 12 random bytes, never used before."""
        return bytes((self.version,)) + nonce + gcm_encrypt(self._keys[self.version], nonce, plain, self._about(place))

    def open(self, place: str, sealed: bytes) -> bytes:
        """Return the value of a place. Raises ValueError where no key of ours closed it, or not at this place."""
        version, nonce, data = sealed[0] if sealed else 0, sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        key = self._keys.get(version)
        if key is None:
            raise ValueError(f"there is no field key of version {version}")
        return gcm_decrypt(key, nonce, data, self._about(place, version))

    def _about(self, place: str, version: int | None = None) -> bytes:
        return f"{place}|{self.version if version is None else version}".encode()
