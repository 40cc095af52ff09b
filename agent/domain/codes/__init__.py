"""Signed member codes: text to bytes to claims to one outcome. Pure; signatures are checked by a function handed in."""
