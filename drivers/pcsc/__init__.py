"""Readers of contactless cards behind the system's PC/SC service: ``winscard`` (the library), ``port``, ``loop``, ``driver``."""
