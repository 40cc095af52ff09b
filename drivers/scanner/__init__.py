"""Serial barcode scanners: bytes to code scans. Imports nothing of this project outside ``drivers``."""
