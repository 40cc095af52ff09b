"""A driver from another package, built and installed as an outsider does it: found, configured, read, judged by the contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.example_driver.forecourt_dipstick.stand import Stand
from tests.support.field import Peer
from tests.support.station_file import STATION, changed, faults, loaded

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "support" / "example_driver"
OURS = changed(('protocol = "veeder-root"', 'protocol = "dipstick"'))
RIG = "forecourt_dipstick.rig"
BRONZE = "published or reason or cut or trouble"
"""Tests of what bronze is made of."""


def with_options(text: str) -> str:
    """The station file with an option of the gauge's line."""
    return OURS.replace('protocol = "dipstick"\n', f'protocol = "dipstick"\n[line.options]\n{text}\n')


@dataclass(frozen=True, slots=True)
class Package:
    """Where the sources were copied to, and the folder that they were installed into."""

    source: Path
    target: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A process of Python in which the package is installed."""
        path = os.pathsep.join((str(ROOT), str(self.target)))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, cwd=self.source, capture_output=True, text=True, check=False)

    def scale(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and row of the quality scale."""
        done = self.run("-m", "tests.drivers_scale", "--json", f"--rig={RIG}", *words, str(self.source / "tests"))
        assert done.stdout, done.stderr
        (row,) = json.loads(done.stdout)["drivers"]
        return done.returncode, row


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("outsider")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(folder / "installed"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Package(folder / "source", folder / "installed")


def broken(folder: Path, module: str, code: str) -> None:
    """Install a package whose driver module holds ``code``."""
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{module}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[forecourt.drivers]\ndipstick = {module}:SPEC\n", encoding="utf-8")


def test_an_installed_package_is_found_by_its_entry_point(package: Package) -> None:
    """The registry names it among the others without loading it, and loads it when it is asked for."""
    code = """if True:
        import sys
        from drivers.registry import protocols, spec
        assert {'dart', 'dipstick'} <= set(protocols())
        assert 'forecourt_dipstick.driver' not in sys.modules
        print(spec('dipstick').kind)
    """
    done = package.run("-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "tank-gauge"), done.stderr


def test_forecourt_device_read_shows_its_device(package: Package) -> None:
    """On a real terminal, as any other gauge; only questions were asked."""
    stand = Stand()
    with Peer(stand.answer) as peer:
        done = package.run(
            "-m", "agent", "device", "read", "--protocol", "dipstick", "--port", peer.port, "--timeout", "60s", "--json"
        )
    assert done.returncode == 0, done.stderr
    (tank,) = json.loads(done.stdout)["tanks"]
    assert (tank["tank"], tank["volume_ml"], tank["water_height_um"]) == (1, 18_400_000, 4_000)
    assert set(stand.heard) == {"ASK"}


def test_its_name_and_options_work_in_a_station_file(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right file is right; a wrong option is told by the driver's own check, at its key, with its hint."""
    monkeypatch.syspath_prepend(package.target)
    line = loaded(tmp_path, with_options("every_s = 20")).line_configs()[1]
    assert (line.protocol, dict(line.options)) == ("dipstick", {"every_s": 20})
    (fault,) = faults(tmp_path, with_options("every_s = 0"))
    assert (fault.key, fault.hint) == ("line[2].options.every_s", "write 1 to 3600")
    assert "0 is no number of seconds" in fault.problem
    (fault,) = faults(tmp_path, OURS.replace("gauge_index = 1", "gauge_index = 12"))
    assert fault.hint == "number them as it does"


@pytest.mark.parametrize(
    ("module", "code", "words"),
    [
        ("bad_import", "import no_such_module_anywhere", "no_such_module_anywhere"),
        ("bad_syntax", "SPEC = 1 +", "invalid syntax"),
        ("bad_licence", "raise RuntimeError('no licence file')", "no licence file"),
        ("bad_assert", "assert False", "AssertionError"),
        ("bad_name", "OTHER = 1", "SPEC"),
        ("bad_object", "SPEC = 7", "not a DriverSpec"),
    ],
)
def test_a_broken_package_is_one_clear_fault_of_the_file(
    module: str, code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises: told at the line's protocol with what to do, and nothing else is at fault."""
    broken(tmp_path, module, code)
    monkeypatch.syspath_prepend(tmp_path)
    (fault,) = faults(tmp_path, OURS)
    assert fault.key == "line[2].protocol"
    assert words in fault.problem
    assert fault.hint


def test_a_broken_package_ends_check_config_with_2(tmp_path: Path) -> None:
    """Two lines on standard error and no traceback."""
    broken(tmp_path, "bad_everywhere", "raise ValueError('made for another version')")
    (tmp_path / "station.toml").write_text(OURS, encoding="utf-8")
    done = Package(tmp_path, tmp_path).run("-m", "agent", "check-config", str(tmp_path / "station.toml"))
    assert done.returncode == 2
    assert "made for another version" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_station_without_the_package_is_told_so(tmp_path: Path) -> None:
    """The name is unknown, and the known ones are listed."""
    (fault,) = faults(tmp_path, OURS)
    assert "'dipstick'" in fault.problem
    assert "veeder-root" in fault.hint
    assert loaded(tmp_path, STATION)


@pytest.mark.long
def test_the_contract_says_silver_and_a_failing_vector_takes_it_away(package: Package) -> None:
    """The suite of this repository over the package's own rig and tests; then one digit of one worked example is wrong."""
    code, row = package.scale()
    assert (code, row["protocol"], row["level"], row["failed"]) == (0, "dipstick", "silver", {})
    assert row["missing"] == ["independent-peer or real-capture"]
    assert row["tests_passed"]["vectors"] == 5
    vectors = package.source / "tests" / "vectors.json"
    right = vectors.read_text(encoding="utf-8")
    vectors.write_text(right.replace('"volume_l": 18400', '"volume_l": 18401'), encoding="utf-8")
    code, row = package.scale("-k", BRONZE)
    assert (code, row["level"], list(row["failed"])) == (1, "none", ["vectors"])
    assert row["missing"] == ["vectors"]
