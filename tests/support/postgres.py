"""A real PostgreSQL for tests: one cluster in a folder of its own, killable and restartable on the same port.

It keeps what users' servers keep (fsync and synchronous_commit are on) and knows no table. As root it runs as ``postgres``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from headoffice.store.database import Database
from tests.support.ports import KeptPort
from tests.support.template import SHARED_MEMORY

READY_WITHIN_S = 60.0
ACCOUNT = "postgres"
USER = "forecourt"
PASSWORD = "correct-horse"  # what a test looks for where nobody may print it
TEMPLATE = "hq_template"
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 32MB
fsync = on
synchronous_commit = on
timezone = 'Asia/Shanghai'
"""
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class Postgres:
    """One server on loopback. ``folder``: where its cluster lies; by default in memory, where a disk's patience costs nothing.

    Use as a context manager. ``database()`` gives a new head-office database, ``empty()`` one without a table.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._held = KeptPort()
        self.port = self._held.number
        base = folder or (SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
        self._folder = Path(tempfile.mkdtemp(prefix="forecourt-pg-", dir=base))
        self._data, self._kept = self._folder / "data", self._folder / "kept"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._has_template = False
        if os.getuid() == 0:
            shutil.chown(self._folder, ACCOUNT, ACCOUNT)
        self._initdb()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the server's first process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        path = self._folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD) -> str:
        """The address of a database on this server, as `--database` takes it."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it lets us in; the port stays the same for ever."""
        assert not self.running, "already running"
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            with (self._folder / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [_program("postgres"), "-D", str(self._data), "-p", str(self.port)],
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    **_as_account(),
                )
            while self._process.poll() is None:
                if self._accepts():
                    return
                assert time.monotonic() < deadline, f"the server does not let us in: {self.log}"
            # processes of one that was killed may still be ending: the next one refuses to start beside them
            assert time.monotonic() < deadline, f"the server ends at once: {self.log}"
            threading.Event().wait(0.05)

    def stop(self) -> None:
        """End it politely: open transactions are rolled back."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it with SIGKILL; the next start recovers from its log."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def back_up(self) -> None:
        """Stop it, keep a copy of its whole cluster, and start it again."""
        self.stop()
        self._copy(self._data, self._kept)
        self.start()

    def put_back(self) -> None:
        """Stop it, and start it on the copy: what was committed since is gone."""
        self.stop()
        self._copy(self._kept, self._data)
        self.start()

    def _copy(self, source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "--archive", str(source), str(target)], check=True)

    def close(self) -> None:
        """End it and remove its cluster."""
        self._end(signal.SIGINT)
        self._held.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of a new, migrated head-office database; it is dropped afterwards."""
        if not self._has_template:
            self._statement("CREATE DATABASE {}", TEMPLATE)
            Database(self.url(TEMPLATE), migrate=True).close()
            self._has_template = True
        with self._new(TEMPLATE) as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Give the URL of a new database without any table; it is dropped afterwards."""
        with self._new("template1") as url:
            yield url

    def execute(self, url: str, statement: str) -> list[tuple[object, ...]]:
        """Run one statement behind head office's back and give its rows, if it has any."""
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def copy_database(self, name: str, copy: str) -> None:
        """One more database with the same content; nobody may be connected to ``name``."""
        self._statement("CREATE DATABASE {} TEMPLATE {}", copy, name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self._statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    @contextmanager
    def _new(self, template: str) -> Iterator[str]:
        name = f"hq_{next(self._numbers)}"
        self.copy_database(template, name)
        try:
            yield self.url(name)
        finally:
            if self.running:
                self.drop_database(name)

    def _statement(self, text: str, *names: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                    connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))
                return
            except psycopg.errors.ObjectInUse:
                # processes of clients that have hung up may still be ending; the server itself waits five seconds for them
                if time.monotonic() > deadline:
                    raise

    def _initdb(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [
                *(_program("initdb"), "-D", str(self._data), "-U", USER, "--pwfile", str(secret), "-E", "UTF8"),
                *("--locale", "C.UTF-8", "--auth", "scram-sha-256", "--no-sync"),
            ],
            env={**os.environ, "TZ": "UTC"},  # else it looks through every time zone for the machine's own
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **_as_account(),
        )
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        (self._data / "pg_hba.conf").write_text(ACCESS)

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.send_signal(sign)
            process.wait(READY_WITHIN_S)

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            return True
        except psycopg.OperationalError:
            threading.Event().wait(0.02)
            return False


def _program(name: str) -> str:
    """Debian keeps the server's programs out of the path, one folder per version; the newest is taken."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(kept[-1]) if kept else shutil.which(name)
    assert found is not None, "these tests need PostgreSQL; install the package postgresql"
    return found


def _as_account() -> dict[str, Any]:
    """The server refuses to run as root."""
    return {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": ()} if os.getuid() == 0 else {}
