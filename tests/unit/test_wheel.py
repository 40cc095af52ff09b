"""What is shipped: the wheel holds every file of the packages, and one version is said everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import agent

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "drivers", "sync", "headoffice")


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    """Migrations, templates, rules of the demo, markers of types: what stands in the tree is what gets installed."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    standing = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == standing
    assert {"agent/py.typed", "agent/demo/rules.toml", "agent/store/migrations/env.py"} <= packed


def test_one_version() -> None:
    """What the archive is called is what the daemon says of itself: the installer compares the two."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'(?m)^version = "(.*)"$', project) == [agent.__version__]
