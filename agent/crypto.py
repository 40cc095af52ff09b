"""Signatures and ciphers of member codes and chips: the only file that imports the cryptography library for them.

Knows no code and no key: the domain hands them in. It is loaded by the first code that needs it.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


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

    def ecb_encrypt(self, key: bytes, block: bytes) -> bytes:
        """Return one encrypted block: the chip makes its initial vector so."""
        machine = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # noqa: S305
        return machine.update(block) + machine.finalize()

    def cmac(self, key: bytes, message: bytes) -> bytes:
        """Return the 16 bytes of CMAC."""
        machine = CMAC(algorithms.AES128(key))
        machine.update(message)
        return machine.finalize()
