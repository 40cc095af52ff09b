"""Rules on imports that need a file and a line, or that import-linter has no contract for."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

from tests.architecture.checks.source import PACKAGES, dotted, imported, sources, under

ONE_FILE_EACH = {
    "serial": ("drivers/port.py",),
    "paho": ("sync/client.py", "sync/crowd.py"),
    "apscheduler": ("agent/schedule.py",),
    "sqlalchemy": ("agent/store/", "headoffice/store/"),
    "sqlmodel": ("agent/store/", "headoffice/store/"),
    "alembic": ("agent/store/", "headoffice/store/"),
    "pyrage": ("agent/age.py",),
    "segno": ("agent/qr.py",),
    "zstandard": ("agent/backup/packing.py",),
    "h11": ("agent/board/wire.py",),
    "ctypes": ("drivers/pcsc/winscard.py",),
    "amqtt": ("agent/demo/embedded_broker.py",),
}
STARTS_PROGRAMS = ("agent/demo/", "headoffice/crew.py")
WHO_STARTS = "only agent/demo and headoffice/crew.py may"
LOADS_BY_NAME = ("drivers/registry.py",)
PROGRAM_CALLS = {"os.system", "os.popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp", "pty.spawn"} | {
    "pty.fork",
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
}
LINKING_CONTRACT = "importlinter:contract:money-never-commands-a-pump"


def single_importers(root: Path) -> list[str]:
    """Imports of a heavy library outside the file or the folders it belongs to."""
    found = []
    for source in sources(root):
        for node in ast.walk(source.tree):
            for library in sorted({name.split(".")[0] for name in imported(node)} & ONE_FILE_EACH.keys()):
                places = ONE_FILE_EACH[library]
                if not under(source.path, places):
                    where = " and ".join(places) or "no file"
                    found.append(source.at(node.lineno, f"imports {library}, which belongs to {where}"))  # type: ignore[attr-defined]
    return found


def programs(root: Path) -> list[str]:
    """Places outside the demo that can start another program."""
    found = []
    for source in sources(root):
        if under(source.path, STARTS_PROGRAMS):
            continue
        for node in ast.walk(source.tree):
            if any(name.split(".")[0] in {"subprocess", "multiprocessing"} for name in imported(node)):
                found.append(source.at(node.lineno, f"imports what starts programs; {WHO_STARTS}"))  # type: ignore[attr-defined]
            elif isinstance(node, ast.Call):
                name = dotted(node.func)
                if name in PROGRAM_CALLS or name.startswith(("os.exec", "os.spawn")):
                    found.append(source.at(node.lineno, f"{name}() starts a program; {WHO_STARTS}"))
    return found


def hidden_imports(root: Path) -> list[str]:
    """Imports that the import contracts cannot see: relative ones, and modules loaded by name."""
    found = []
    for source in sources(root):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                found.append(source.at(node.lineno, "a relative import; name the module in full"))
            elif isinstance(node, ast.Call) and source.path not in LOADS_BY_NAME:
                name = dotted(node.func)
                if name in {"__import__", "importlib.import_module", "import_module", "exec", "eval"}:
                    found.append(source.at(node.lineno, f"{name}() hides what is imported from the contracts"))
    return found


def unlisted_linking(root: Path) -> list[str]:
    """Files of linking and points that the contract against drivers.commands does not name."""
    contracts = configparser.ConfigParser()
    contracts.read(root / ".importlinter", encoding="utf-8")
    named = contracts[LINKING_CONTRACT]["source_modules"].split()
    return [
        f"agent/domain/{path.name}:1: not named in the contract money-never-commands-a-pump of .importlinter"
        for path in sorted((root / "agent" / "domain").glob("link*.py"))
        if f"agent.domain.{path.stem}" not in named
    ]


def markers(root: Path) -> list[str]:
    """Packages without py.typed: other people's type checkers would see nothing."""
    return [f"{package}/py.typed:1: missing" for package in PACKAGES if not (root / package / "py.typed").is_file()]
