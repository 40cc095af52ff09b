"""Reads a console's security code from a file that only the agent can read. Never says what is in it.

Knows file rights and where systemd hands credentials over. Knows no option and no wire.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from drivers.errors import WiringError
from drivers.veeder_root.codec import security_code_problem

OTHERS = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
MAX_BYTES = 64  # six characters and a line end; a longer file is another one


def read_security_code(name: str) -> str:
    """Return the code in file ``name``; a bare name is looked for in ``$CREDENTIALS_DIRECTORY``.

    Raises ``WiringError`` where it cannot be read, others may read it (0600 and 0640 are right), or it is no code.
    """
    path = Path(name)
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not path.is_absolute():
        if not directory:
            raise WiringError(f"{name} is no whole path, and no credentials are handed over", hint="name it from / on")
        path = Path(directory) / path
    try:
        with path.open("rb") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read(MAX_BYTES)
    except OSError as failure:
        hint = "write the six characters into it, readable by the agent's user"
        raise WiringError(f"{path} cannot be read: {failure.strerror}", hint=hint) from failure
    if mode & OTHERS:
        raise WiringError(f"{path} is open to others", hint=f"chmod 0640 {path}; group: the agent's")
    code = text.decode("latin-1").rstrip("\r\n")
    problem = security_code_problem(code)
    if problem:
        raise WiringError(f"{path}: {problem}", hint="the file holds the six characters and nothing else")
    return code
