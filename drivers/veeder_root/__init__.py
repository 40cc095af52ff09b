"""Veeder-Root TLS tank-gauge consoles: read-only. Imports nothing of this project outside ``drivers``."""
