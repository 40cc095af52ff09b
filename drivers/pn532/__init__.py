"""PN532 card readers on a serial line (HSU)."""
