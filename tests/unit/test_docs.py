"""The pages for people: every command line exists with its options, every TOML example loads, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from agent import main
from agent.cli import application
from agent.domain import answers
from agent.domain.wetstock import alerts as tank_alerts
from agent.settings import SettingsError, load
from drivers.dart.options import DartOptions
from drivers.gilbarco.options import GilbarcoOptions
from drivers.h_protocol.driver import HOptions
from drivers.modbus.options import DISPENSER as MODBUS_POINTS
from drivers.modbus.options import GAUGE as MODBUS_GAUGE
from drivers.options import names
from drivers.pd3.driver import Pd3Options
from drivers.scanner import driver as scanner
from drivers.sens.driver import SensOptions
from drivers.single import SingleOptions
from drivers.veeder_root import options as veeder_root
from drivers.zhengxing.driver import ZhengxingOptions
from headoffice.cli.app import app as head_office
from tests.support import quality

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "support" / "example_driver"
PAGES = sorted((ROOT / "docs").glob("*.md"))
NAMES = {"forecourt": typer.main.get_command(application()), "forecourt-hq": typer.main.get_command(head_office)}
FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(?:\$ )?((?:forecourt|forecourt-hq) [^`\n]*)`")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
PLACEHOLDERS = re.compile(r"\[|\.\.\.|…")


def commands(page: Path) -> list[str]:
    """Every command line of a page: in code blocks and between backticks, comments cut off."""
    text = page.read_text(encoding="utf-8")
    found = [
        line.removeprefix("$ ")
        for language, block in FENCE.findall(text)
        if language in ("", "sh", "console")
        for line in block.splitlines()
    ]
    found = [line for line in found if line.startswith(("forecourt ", "forecourt-hq "))]
    return found + INLINE.findall(FENCE.sub("", text))


def problem(line: str) -> str:
    """Why a command line cannot be typed: an unknown command, an unknown option; empty when it can."""
    words = shlex.split(line, comments=True)
    command: Any = NAMES[words[0]]
    rest = words[1:]
    values = 0
    given = 0
    for word in rest:
        below: dict[str, Any] = getattr(command, "commands", {})
        if values:
            values -= 1
        elif word.startswith("--"):
            option = next((p for p in command.params if word.partition("=")[0] in p.opts), None)
            if option is None and word != "--help":
                return f"no option {word}"
            values = option.nargs if option and not getattr(option, "is_flag", False) and "=" not in word else 0
        elif below and word in below:
            command = below[word]
        elif below:
            return f"no command {word}"
        else:
            given += 1
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    return f"{given - len(arguments)} words too many" if given > len(arguments) else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_can_be_typed(page: Path) -> None:
    """Commands and options exist; a page that shows none has nothing to be wrong."""
    lines = [line for line in commands(page) if not PLACEHOLDERS.search(line)]
    assert {line: problem(line) for line in lines if problem(line)} == {}


def test_the_check_of_command_lines_finds_mistakes() -> None:
    """A renamed command or option in a page is noticed."""
    assert problem("forecourt sales settel X") == "no command settel"
    assert problem("forecourt sales settle X --tenders cash") == "no option --tenders"
    assert problem("forecourt sales settle X --tender cash") == ""
    assert problem("forecourt alerts ack 12 now") == "1 words too many"
    assert problem("forecourt-hq members import FILE --jsn") == "no option --jsn"
    assert main.run.__doc__


def test_every_command_is_described_with_its_options() -> None:
    """docs/cli.md names each command, and each option of each command somewhere."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    def walk(typed: str, command: Any) -> list[str]:
        below: dict[str, Any] = getattr(command, "commands", {})
        options = [p.opts[0] for p in command.params if p.param_type_name == "option" and p.name != "help"]
        missing = [f"{typed} {option}" for option in options if option not in text]
        if not below and f"`{typed}" not in text:
            missing.append(typed)
        return missing + [item for name, child in below.items() for item in walk(f"{typed} {name}", child)]

    missing = [item for name, app in NAMES.items() for item in walk(name, app)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_toml_example_parses_and_a_whole_station_loads(page: Path, tmp_path: Path) -> None:
    """Snippets are TOML; what is a station file is a correct one."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language != "toml":
            continue
        document = tomllib.loads(block)
        assert document
        if "station" in document and "fuelling_point" in document:
            file = tmp_path / "station.toml"
            file.write_text(block, encoding="utf-8")
            assert load(file).station.id


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    """Relative links of pages resolve inside the repository."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_snippet_about_drivers_stands_in_the_example() -> None:
    """Code, examples and entry point of the page are those of the package that is built and judged in every run."""
    text = (ROOT / "docs" / "write-a-driver.md").read_text(encoding="utf-8")
    files = {file.relative_to(EXAMPLE).as_posix(): file for file in EXAMPLE.rglob("*.*") if file.is_file()}
    sources = [file.read_text(encoding="utf-8") for file in files.values() if file.suffix in {".py", ".toml", ".json"}]
    snippets = [block for language, block in FENCE.findall(text) if language in {"python", "toml", "json"}]
    assert len(snippets) >= 8
    assert [snippet for snippet in snippets if not any(snippet in source for source in sources)] == []
    shown = re.findall(r"`((?:forecourt_dipstick|tests)/[a-z_.]+|pyproject\.toml)`", text)
    assert [name for name in shown if name not in files] == []


def test_the_page_about_drivers_names_all_evidence() -> None:
    """What a test may prove and the levels are those that are computed."""
    text = (ROOT / "docs" / "write-a-driver.md").read_text(encoding="utf-8")
    rows = {level: [set(need) for need in needs] for level, needs in quality.LEVELS}
    for level, needs in rows.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {level} |")]
        assert set(re.findall(r"`([a-z-]+)`", row)) == set().union(*needs)
    assert set(quality.EVIDENCE) == {name for needs in rows.values() for need in needs for name in need}


@pytest.mark.parametrize(
    ("page", "options"),
    [
        ("installer", names(DartOptions)),
        ("installer", veeder_root.HELP),
        ("installer", scanner.HELP),
        ("devices/gilbarco", names(GilbarcoOptions)),
        ("devices/lanfeng", names(SingleOptions)),
        ("devices/other-gauges", {**names(HOptions), **names(Pd3Options), **names(SensOptions)}),
        ("devices/zhengxing", names(ZhengxingOptions)),
        ("devices/modbus", {**MODBUS_POINTS, **MODBUS_GAUGE, "map": "", "values": "", "transport": ""}),
    ],
)
def test_every_option_of_a_driver_is_in_the_page_of_its_installer(page: str, options: dict[str, Any]) -> None:
    """Whoever wires a station finds each of them."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert [option for option in options if f"`{option}`" not in text] == []


def test_every_alert_of_a_tank_is_in_the_supervisors_page() -> None:
    """With what to do about it."""
    text = (ROOT / "docs" / "supervisor.md").read_text(encoding="utf-8")
    assert [name for name in tank_alerts.SEVERITY if f"`{name}`" not in text] == []


def test_every_alert_of_a_point_or_device_is_in_the_supervisors_page() -> None:
    """Found in the code by the places that raise them."""
    text = (ROOT / "docs" / "supervisor.md").read_text(encoding="utf-8")
    raised: set[str] = set()
    for folder in ("agent/domain", "agent/pipeline"):
        for file in (ROOT / folder).glob("*.py"):
            source = file.read_text(encoding="utf-8")
            raised |= set(
                re.findall(r'(?:\.alert\(|device\(step, \w+(?:\.\w+)?, |"clock", |SYNC, )"([A-Z_]+)"', source)
            )
            raised |= set(re.findall(r'"((?:GAUGE|READER)_OFFLINE)"', source))
    assert len(raised) >= 12
    assert sorted(name for name in raised if f"`{name}`" not in text) == []


def test_every_answer_is_in_the_attendants_page() -> None:
    """The beginning of each English sentence, without what is filled in."""
    text = (ROOT / "docs" / "attendant.md").read_text(encoding="utf-8").lower()
    missing = []
    for outcome, wording in answers.TABLE.items():
        shown = wording.en.format(point=3, mask="", tier="", terminal="").split(",")[0].split(":")[0].strip().lower()
        words = shown.removeprefix("code ").removeprefix("this ").rstrip("?")
        if words not in text and answers.sentence(outcome, "en", point=3).lower() not in text:
            missing.append(wording.en)
    assert missing == []


def test_a_page_with_a_wrong_station_file_would_be_noticed(tmp_path: Path) -> None:
    """The check of examples is a real one."""
    file = tmp_path / "station.toml"
    file.write_text('[station]\nid = "x"\n', encoding="utf-8")
    with pytest.raises(SettingsError):
        load(file)
