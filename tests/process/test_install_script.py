"""install.sh below a folder of its own: releases side by side, one link, going back, and what it refuses. No service is touched.

The archive holds a wheel of a few lines, because what the real one holds makes no difference to the script.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "forecourt_edge_agent"


def tiny_wheel(folder: Path, version: str) -> str:
    """A wheel with both commands; the line of the requirements that pins it."""
    file = folder / f"{NAME}-{version}-py3-none-any.whl"
    info = f"{NAME}-{version}.dist-info"
    texts = {
        "agent/__init__.py": f"def entry() -> None:\n    print('version {version}')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: forecourt-edge-agent\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nforecourt = agent:entry\nforecourt-hq = agent:entry\n",
    }
    with zipfile.ZipFile(file, "w") as wheel:
        for name, text in texts.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*texts, f"{info}/RECORD"]))
    return f"forecourt-edge-agent=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked archive of version 0.2.0."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "wheels").mkdir()
    (folder / "requirements.txt").write_text(tiny_wheel(folder / "wheels", "0.2.0"), encoding="ascii")
    (folder / "VERSION").write_text("0.2.0\n", encoding="ascii")
    (folder / "PYTHONS").write_text(f"{sys.version_info[0]}.{sys.version_info[1]}\n", encoding="ascii")
    for name in ("systemd", "config", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "systemd/install.sh").rename(folder / "install.sh")
    shutil.copy(ROOT / "LICENSE", folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return folder


def call(script: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and everything that was said; python3 is the one that runs the tests."""
    python = Path(sys.executable).resolve()
    where = script.parent / "python"
    where.mkdir(exist_ok=True)
    if not (where / "python3").exists():
        (where / "python3").symlink_to(python)
    environment = {"PATH": f"{where}:{os.environ['PATH']}", "HOME": "/nonexistent"}
    command = [str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    return done.returncode, done.stdout + done.stderr


def release(root: Path, prefix: str, name: str) -> None:
    """An older release that is the current one."""
    folder = root / prefix / "releases" / name
    shutil.copytree(ROOT / "systemd", folder / "share/systemd")
    shutil.copytree(ROOT / "config", folder / "share/config")
    (folder / "complete").touch()
    (root / prefix / "current").symlink_to(f"releases/{name}")


def test_a_release_is_complete_and_names_no_folder_of_the_build(archive: Path, tmp_path: Path) -> None:
    """Installed over an older one: both are there, the link is the new one, the unit names the prefix; then back."""
    root = tmp_path / "root"
    release(root, "srv/fc", "0.1.0-1")
    own = root / "etc/systemd/system/forecourt.service.d/10-addresses.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\nIPAddressAllow=10.0.0.7\n", encoding="ascii")
    code, told = call(archive / "install.sh", "--destdir", root, "--prefix", "/srv/fc")
    assert (code, told.splitlines()[-1]) == (0, "install.sh: installed 0.2.0-1")
    base = root / "srv/fc"
    assert (os.readlink(base / "current"), os.readlink(base / "previous")) == ("releases/0.2.0-1", "releases/0.1.0-1")
    assert os.readlink(root / "usr/bin/forecourt") == "/srv/fc/current/bin/forecourt"
    unit = (root / "usr/lib/systemd/system/forecourt.service").read_text(encoding="utf-8")
    assert "ExecStart=/srv/fc/current/bin/forecourt run" in unit
    assert "/opt/forecourt" not in unit
    assert "10.0.0.7" in own.read_text(encoding="ascii")
    made = base / "releases/0.2.0-1"
    assert (made / "bin/forecourt").read_text(encoding="utf-8").startswith("#!/srv/fc/releases/0.2.0-1/bin/python")
    told = subprocess.check_output(
        [made / "bin/python", "-I", "-c", "import agent; agent.entry()"], text=True, timeout=300
    )
    assert told == "version 0.2.0\n"
    leaked = [path for path in made.rglob("*") if path.is_file() and str(root).encode() in path.read_bytes()]
    assert leaked == []
    assert not list(made.glob("bin/pip*"))

    code, told = call(made / "share/install.sh", "--rollback", "--destdir", root, "--prefix", "/srv/fc")
    assert (code, told) == (0, "install.sh: went back to 0.1.0-1\n")
    assert os.readlink(base / "current") == "releases/0.1.0-1"
    code, _ = call(made / "share/install.sh", "--uninstall", "--destdir", root, "--prefix", "/srv/fc")
    assert code == 0
    assert (base.exists(), own.exists(), (root / "usr/bin/forecourt").is_symlink()) == (False, True, False)


def test_a_damaged_archive_changes_nothing(archive: Path, tmp_path: Path) -> None:
    """One byte more in one file."""
    copy = shutil.copytree(archive, tmp_path / "copy", symlinks=True)
    with (copy / "config/station.example.toml").open("a", encoding="utf-8") as file:
        file.write("#")
    code, told = call(copy / "install.sh", "--destdir", tmp_path / "root")
    assert code == 1
    assert "the archive is damaged" in told
    assert not list((tmp_path / "root").glob("opt/forecourt/*/*"))


def test_what_cannot_be_done_is_said_in_a_line_or_two(archive: Path, tmp_path: Path) -> None:
    """Nothing to go back to, nothing to upgrade, a Python without libraries, an unknown option."""
    root = tmp_path / "root"
    assert call(archive / "install.sh", "--rollback", "--destdir", root) == (
        1,
        "install.sh: there is no version to go back to\n",
    )
    code, told = call(archive / "install.sh", "--upgrade", "--destdir", root)
    assert (code, told.splitlines()[0]) == (1, "install.sh: nothing is installed yet")
    assert call(archive / "install.sh", "--upgrad")[0] == 2
    copy = shutil.copytree(archive, tmp_path / "copy", symlinks=True)
    (copy / "PYTHONS").write_text("3.99\n", encoding="ascii")
    code, told = call(copy / "install.sh", "--destdir", root)
    assert (code, "this archive is for Python 3.99" in told) == (1, True)
