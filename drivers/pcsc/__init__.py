"""Card readers behind the system's PC/SC service: ``winscard`` (the library), ``port``, ``loop``, ``driver``."""
