"""Upgrade, going back by itself, going back by hand and removal, on the running station of the container.

Knows install.sh and the versions that `make boot` packed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.boot.inside import Container


def upgrades(box: Container, archives: Path) -> None:
    """Every way an upgrade can go; a part that breaks off counts as failed."""
    folders = sorted(archive.name.removesuffix(".tar.gz") for archive in archives.glob("*.tar.gz"))
    good, broken, schema_broken, schema = [f"/opt/{name}/install.sh" for name in folders if "-9.0." in name]
    parts: tuple[Callable[[], None], ...] = (
        lambda: works(box, good),
        lambda: damaged_archive(box, good),
        lambda: wrong_configuration(box, good),
        lambda: goes_back(box, broken, "a version that never starts"),
        lambda: goes_back(box, schema_broken, "one that had changed the schema"),
        lambda: by_hand(box, schema),
        lambda: removal(box),
    )
    for part in parts:
        try:
            part()
        except AssertionError as failure:
            box.tell("went on", False, str(failure))
            return


def station(box: Container) -> Any:
    """What `forecourt status --json` says."""
    return box.json("forecourt", "status", "--json")


def records(box: Container) -> int:
    """How many records the station's money stream has."""
    return int(box.json("forecourt", "sync", "--json")["streams"]["L"]["last_seq"])


def install(box: Container, *command: str) -> tuple[int, str]:
    """Run install.sh; exit code and everything it said."""
    done = box.run(*command)
    return done.returncode, (done.stdout + done.stderr).strip()


def works(box: Container, script: str) -> None:
    """The next version takes over with the same data; the copy of before is there."""
    before, began_s = records(box), time.monotonic()
    code, told = install(box, script, "--upgrade")
    box.tell("upgrade", code == 0, f"{told.splitlines()[-1]} in {time.monotonic() - began_s:.1f} s")
    held = (station(box)["version"], records(box) >= before) == ("9.0.1", True)
    box.tell("the new version answers and has every record", held)
    copy = "/var/lib/forecourt/before-upgrade-9.0.1-1/station.db"
    checked = box.run("forecourt", "verify", "--database", copy)
    box.tell("the copy of before is complete", checked.returncode == 0, checked.stdout.strip())


def damaged_archive(box: Container, script: str) -> None:
    """One changed byte and nothing is touched."""
    folder = f"{Path(script).parent}-damaged"
    box.out("cp", "-r", str(Path(script).parent), folder)
    box.out("bash", "-c", f"printf x >> {folder}/config/station.example.toml")
    pid = box.show("MainPID")
    code, told = install(box, f"{folder}/install.sh")
    box.tell("a damaged archive is refused", code == 1 and "damaged" in told and box.show("MainPID") == pid)


def wrong_configuration(box: Container, script: str) -> None:
    """What the new version would not accept stops the upgrade while the old one runs."""
    config, pid = "/etc/forecourt/station.toml", box.show("MainPID")
    box.out("sed", "-i.good", 's/^protocol = "dart"/protocol = "darts"/', config)
    code, told = install(box, script)
    box.out("mv", f"{config}.good", config)
    box.out("chgrp", "forecourt", config)
    held = code == 1 and "did you mean 'dart'" in told and box.show("MainPID") == pid
    box.tell("a configuration that does not fit stops the upgrade before the service", held)


def sales(box: Container) -> int:
    """How many sales the station has."""
    return len(box.json("forecourt", "sales", "--json", "--limit", "500"))


def goes_back(box: Container, script: str, what: str) -> None:
    """It says why, the old version runs again with its database and sells.

    What it wrote may be behind what the other version has marked as written: then a new incarnation begins, whose
    records count from one. The sales are those of before in any case.
    """
    before, began_s = sales(box), time.monotonic()
    code, told = install(box, script)
    took = f"{time.monotonic() - began_s:.1f} s"
    held = code == 1 and "a bug of this version" in told and "went back to 9.0.1-1, which runs" in told
    box.tell(f"{what}: goes back by itself", held, took if held else told[-600:])
    count = sales(box)
    box.tell("the old version answers and has every sale", station(box)["version"] == "9.0.1" and count >= before)
    box.wait("it sells", lambda: sales(box) > count, 120)


def by_hand(box: Container, script: str) -> None:
    """Back from a version with another schema after it has sold: only when somebody insists, and nothing is thrown away."""
    code, told = install(box, script)
    box.tell(
        "upgrade with a change of the schema", code == 0 and station(box)["version"] == "9.0.4", told.splitlines()[-1]
    )
    count = sales(box)
    box.wait("it sells", lambda: sales(box) > count, 120)
    own = "/opt/forecourt/current/share/install.sh"
    code, told = install(box, own, "--rollback")
    box.wait("going back would leave records out: refused", lambda: box.show("ActiveState") == "active", 30, quiet=True)
    held = code == 1 and "records written since" in told and station(box)["version"] == "9.0.4"
    box.tell("going back would leave records out: refused", held, told.splitlines()[0])
    code, told = install(box, own, "--rollback", "--with-old-database")
    box.tell("going back all the same", code == 0 and station(box)["version"] == "9.0.1", told.splitlines()[0])
    kept = box.run(
        "forecourt", "verify", "--database", "/var/lib/forecourt/before-upgrade-9.0.4-1/replaced-1/station.db"
    )
    box.tell("the newer database is kept", kept.returncode == 0, kept.stdout.strip() + kept.stderr.strip())


def removal(box: Container) -> None:
    """The software goes, the data stay."""
    code, _ = install(box, "/opt/forecourt/current/share/install.sh", "--uninstall")
    gone = (
        box.run("test", "-e", "/opt/forecourt").returncode == 1
        and box.run("test", "-e", "/usr/bin/forecourt").returncode == 1
    )
    stays = box.run("test", "-s", "/var/lib/forecourt/station.db").returncode == 0
    box.tell("removal keeps configuration and data", code == 0 and gone and stays)
