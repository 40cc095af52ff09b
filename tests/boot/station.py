"""The installed station in a booted container, from the archive to the upgrade that goes back: `make boot`.

Follows docs/installer.md and does nothing that it does not say. Each line is ok or failed; ends with 1 if one failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from drivers.simulator.config import dump_config
from tests.boot.inside import Container
from tests.boot.upgrades import upgrades
from tests.support.processes import GRADES, brisk_forecourt

PYTHON = "/opt/forecourt/current/bin/python"
CONFIG = "/etc/forecourt/station.toml"
SIMULATOR = "/run/simulator"
BROKER = "mqtt://127.0.0.1:1883"
FOREIGN = "192.0.2.1"
EXPOSURE_LIMIT = 1.3
WATCHDOG_S, RESTART_S = 20, 5
SLOW_S = 25
"""What a busy machine may add."""


def main() -> int:
    """Run every part; a part that breaks off counts as failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--leader", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--archives", type=Path, required=True)
    options = parser.parse_args()
    box = Container(options.leader, options.root)
    for part in (boot, lambda b: install(b, options.archives), surroundings, configure, serves, people, probes, deaths):
        try:
            part(box)
        except AssertionError as failure:
            box.tell("went on", False, str(failure))
            return finish(box)
    upgrades(box, options.archives)
    return finish(box)


def finish(box: Container) -> int:
    """Say how it ended."""
    took = f"{time.monotonic() - box.began_s:.0f} s"
    if box.failed:
        print(f"{len(box.failed)} failed after {took}: {'; '.join(box.failed)}")
        print(box.run("journalctl", "-u", "forecourt", "--no-pager", "-n", "30", "-o", "cat").stdout)
    else:
        print(f"everything held, {took}")
    return 1 if box.failed else 0


def boot(box: Container) -> None:
    """The system is up, and nothing of ours is there."""
    box.wait(
        "the container has booted", lambda: box.run("systemctl", "is-system-running").stdout.strip() == "running", 60
    )
    assert box.run("test", "-e", "/usr/bin/forecourt").returncode == 1


def install(box: Container, archives: Path) -> None:
    """Unpack, ./install.sh: the steps of the installer's page; twice makes no difference but another release."""
    for archive in archives.glob("*.tar.gz"):
        unpack(box, archive)
    (first,) = [a.name.removesuffix(".tar.gz") for a in archives.glob("*.tar.gz") if "-9.0." not in a.name]
    began_s = time.monotonic()
    told = box.out(f"/opt/{first}/install.sh")
    box.tell("install.sh without a network", "installed" in told, f"{time.monotonic() - began_s:.1f} s")
    box.tell("the command is there", "dispensers" in box.out("forecourt", "--help"))
    box.tell("the user is there", box.run("id", "forecourt").returncode == 0, box.out("id", "forecourt"))
    box.tell("nothing that installs programs stays", box.run(PYTHON, "-m", "pip", "--version").returncode != 0)
    folder = box.out("stat", "-c", "%A %U %G", "/etc/forecourt", "/etc/forecourt/secrets").replace("\n", ", ")
    box.tell(
        "folders of the configuration", folder == "drwxr-x--- root forecourt, drwx------ forecourt forecourt", folder
    )
    box.tell("the service waits for its configuration", box.show("ActiveState") == "inactive")
    report = json.loads(box.run("systemd-analyze", "security", "--json=short", "--no-pager", "forecourt").stdout)
    level = box.run("systemd-analyze", "security", "--no-pager", "forecourt").stdout.strip().splitlines()[-1]
    exposure = float(level.split(":")[1].split()[0])
    box.tell(f"exposure at most {EXPOSURE_LIMIT}", exposure <= EXPOSURE_LIMIT and len(report) > 50, str(exposure))
    bad = [
        line
        for line in box.run("udevadm", "test", "/devices/virtual/tty/tty0").stderr.splitlines()
        if "forecourt" in line
    ]
    wrong = [line for line in bad if "nvalid" in line or "nknown" in line or "ignoring" in line]
    box.tell("udev reads the rules", any("70-forecourt.rules" in line for line in bad) and not wrong, "; ".join(wrong))


def unpack(box: Container, archive: Path) -> None:
    """As `tar xf` of what came on a stick."""
    target = box.root / "opt" / archive.name
    target.write_bytes(archive.read_bytes())
    box.out("tar", "-xf", f"/opt/{archive.name}", "-C", "/opt")
    target.unlink()


def surroundings(box: Container) -> None:
    """What a station has around it: broker, head office, pumps and a gauge on wires, people, the time."""
    box.out("ip", "address", "add", f"{FOREIGN}/32", "dev", "lo")
    box.write("/etc/hosts", "127.0.0.1 localhost\n")
    box.out("systemctl", "start", "mosquitto")
    box.out("forecourt-hq", "keys", "--state", "/var/lib/hq")
    transient(box, "hq", "/usr/bin/forecourt-hq", "serve", "--state", "/var/lib/hq", "--broker", BROKER)
    box.wait("head office serves", lambda: box.run("test", "-e", "/var/lib/hq/database.sqlite").returncode == 0, 30)
    listener = f"import socket,time; s=socket.create_server(('{FOREIGN}',7)); time.sleep(9999)"
    transient(box, "foreign", "/usr/bin/python3", "-c", listener)
    config = brisk_forecourt(Path(SIMULATOR))
    box.write(f"{SIMULATOR}.json", dump_config(config))
    transient(box, "pumps", PYTHON, "-m", "drivers.simulator", "--config", f"{SIMULATOR}.json", "--state", SIMULATOR)
    box.wait("pumps and gauge are on", lambda: box.run("test", "-e", f"{SIMULATOR}/endpoints.json").returncode == 0, 30)
    for number, port in enumerate(endpoints(box)["lines"].values(), 1):
        node = box.out("readlink", "-f", port)
        box.out("chgrp", "forecourt", node)
        box.out("chmod", "0660", node)
        box.out("mkdir", "-p", "/dev/forecourt")
        box.out("ln", "-sfn", node, f"/dev/forecourt/island-{number}")
    for name, groups in (("anna", "forecourt"), ("manager", "forecourt"), ("stranger", "nogroup")):
        box.out("useradd", "--create-home", "--groups", groups, name)
    box.write("/home/anna/private", "hers", 0o600)
    box.out("chown", "anna:", "/home/anna/private")


def transient(box: Container, name: str, *command: str) -> None:
    """A process of the surroundings."""
    box.out("systemd-run", "--quiet", f"--unit={name}", *command)


def endpoints(box: Container) -> Any:
    """Where pumps and gauge are."""
    return box.json("cat", f"{SIMULATOR}/endpoints.json")


def station_file(box: Container) -> str:
    """station.toml of two islands and the gauge."""
    gauge = endpoints(box)["gauge"]["tcp"]
    parts = ['[station]\nid = "SH-0421"\n[control]\nsupervisors = ["root", "manager"]']
    parts.append(f'[head_office]\nbroker = "{BROKER}"\nreconnect_max = "1s"')
    parts.append(f'[[line]]\nid = "tanks"\nport = "{gauge}"\nprotocol = "veeder-root"')
    for line in brisk_forecourt(Path(SIMULATOR)).lines:
        parts.append(f'[[line]]\nid = "{line.name}"\nport = "/dev/forecourt/{line.name}"\nprotocol = "dart"')
        for point in line.points:
            nozzles = ", ".join(f'{{id = {n.number}, grade = "{n.grade}", tank = {n.tank}}}' for n in point.nozzles)
            where = f'id = {point.number}\nline = "{line.name}"\naddress = {point.address}\ncontrol = "auto"'
            parts.append(f"[[fuelling_point]]\n{where}\nnozzle = [{nozzles}]")
    for number, (grade, (price, product)) in enumerate(GRADES.items(), 1):
        tank = f'id = {number}\ngrade = "{grade}"\nline = "tanks"\ngauge_index = {number}\ncapacity_l = "30000"'
        parts.append(f"[[tank]]\n{tank}")
        parts.append(f'[grade.{grade}]\nname = "{grade}"\nunit_price = "{price}"\nproduct = "{product}"')
    return "\n".join(parts) + "\n"


def configure(box: Container) -> None:
    """Missing secrets are told; then the bundle brings everything. A drop-in adds ptys to the real serial ports."""
    box.write("/etc/systemd/system/forecourt.service.d/90-ptys.conf", "[Service]\nDeviceAllow=char-pts rw\n")
    box.write(CONFIG, station_file(box))
    box.out("systemctl", "daemon-reload")
    box.run("systemctl", "start", "forecourt")
    told = box.run("journalctl", "-u", "forecourt", "-o", "cat", "--no-pager").stdout
    box.tell("a missing secret is told in the journal", "index-key is empty or missing" in told)
    box.out("systemctl", "stop", "forecourt")
    box.out("mv", CONFIG, "/srv/station.toml")
    made = ("--state", "/var/lib/hq", "--broker", BROKER, "--config", "/srv/station.toml")
    box.out("forecourt-hq", "bundle", "SH-0421", *made, "--out", "/srv/SH-0421.bundle")
    told = box.out("forecourt", "init", "--bundle", "/srv/SH-0421.bundle", "--yes")
    box.tell("the bundle of head office brings file and keys", "is set up" in told, told.splitlines()[-1])
    box.out("forecourt", "check-config", CONFIG)
    box.out("forecourt", "init", "--addresses")
    box.out("systemctl", "daemon-reload")


def serves(box: Container) -> None:
    """READY, a sale from the pump's wire to head office, figures."""
    box.out("systemctl", "enable", "--now", "forecourt")
    box.tell("READY, enabled for the next boot", box.show("ActiveState") == "active")
    box.tell(f"a running station after {time.monotonic() - box.began_s:.0f} s", True, "the page promises 15 minutes")
    start_us = int(box.show("ActiveEnterTimestampMonotonic")) - int(box.show("ExecMainStartTimestampMonotonic"))
    status = box.out("cat", f"/proc/{box.show('MainPID')}/status")
    rss_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    box.tell("figures", True, f"start to READY {start_us / 1e6:.2f} s, RSS {rss_kib / 1024:.0f} MiB")
    box.wait("every device is online", lambda: all(d["online"] for d in station(box)["devices"]), 60)
    box.wait("sales come from the pumps", lambda: len(sales(box)) >= 2, 120)
    box.wait("head office has them", lambda: totals(box)["sales"] >= 2, 30)
    box.tell("clock without a time service", station(box)["clock"] == "rtc")
    box.out("bash", "-c", "mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized")
    # the daemon looks at its time service once a second
    box.wait("clock with timesyncd", lambda: station(box)["clock"] == "ntp", 10)
    paths = ("/var/lib/forecourt", "/var/lib/forecourt/station.db", "/var/lib/forecourt-mark")
    modes = box.out("stat", "-c", "%a %U", *paths).replace("\n", ", ")
    box.tell("the data belong to the daemon alone", modes == "750 forecourt, 600 forecourt, 750 forecourt", modes)


def station(box: Container) -> Any:
    """What `forecourt status --json` says."""
    return box.json("forecourt", "status", "--json")


def sales(box: Container) -> list[Any]:
    """What the station recorded."""
    found: list[Any] = box.json("forecourt", "sales", "--json", "--limit", "500")
    return found


def totals(box: Container) -> Any:
    """What head office has."""
    return box.json("forecourt-hq", "totals", "--state", "/var/lib/hq", "--json")


def people(box: Container) -> None:
    """The control socket answers root and the group, knows them by name, and refuses everybody else."""
    box.tell("a member of the group asks", box.as_user("anna", "forecourt", "status").returncode == 0)
    held = box.as_user("anna", "ls", "/etc/forecourt/secrets").returncode != 0
    box.tell("a member of the group cannot read the keys", held)
    refused = box.as_user("stranger", "forecourt", "status")
    box.tell("a stranger is refused", refused.returncode == 3, refused.stderr.strip().splitlines()[0])
    box.wait("an alert to acknowledge", lambda: box.json("forecourt", "alerts", "--json"), 90, quiet=True)
    number = str(box.json("forecourt", "alerts", "--json")[0]["alert"])
    known = box.as_user("anna", "forecourt", "alerts", "ack", number, "--json")
    who = json.loads(known.stdout)["acknowledged_by"] if known.returncode == 0 else known.stderr
    box.tell("who asks is told by the kernel", who == "anna", who)
    price = ("forecourt", "prices", "set", "92", "7.90")
    box.tell("an attendant may not set prices", box.as_user("anna", *price).returncode == 1)
    box.tell("a supervisor may", box.as_user("manager", *price).returncode == 0)


def probes(box: Container) -> None:
    """What the unit refuses, from within its own context; the same without the unit, so that it is known to be its doing."""
    box.write("/opt/probe.py", (Path(__file__).parent / "probe.py").read_text(encoding="utf-8"))
    box.out("bash", "-c", "mkdir -p /var/lib/chrony && touch /var/lib/chrony/drift && chmod 0750 /var/lib/chrony")
    box.out("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/forecourt.conf")
    free = box.json("python3", "/opt/probe.py", "refused")
    held = in_context(box, "refused")
    for name, found in held.items():
        control = "" if free[name] == "allowed" else " (refused without the unit too)"
        box.tell(f"refused: {name}", found != "allowed", found + control)
    for name, found in in_context(box, "needed").items():
        box.tell(f"possible: {name}", found == "allowed", "" if found == "allowed" else found)


def in_context(box: Container, what: str) -> dict[str, str]:
    """What the probe says under every line of the unit but its command and how it is restarted."""
    unit = box.out("cat", "/usr/lib/systemd/system/forecourt.service")
    lines = [
        line for line in unit.splitlines() if not line.startswith(("ExecStart=", "Type=", "Restart", "WatchdogSec="))
    ]
    place = lines.index("[Service]") + 1
    output = f"/run/probe-{what}.json"
    lines[place:place] = ["Type=oneshot", f"ExecStart={PYTHON} /opt/probe.py {what}", f"StandardOutput=file:{output}"]
    box.write(
        "/run/systemd/system/forecourt-probe.service", "\n".join(lines).replace("RuntimeDirectory=forecourt", "") + "\n"
    )
    box.out("systemctl", "daemon-reload")
    box.out("systemctl", "start", "forecourt-probe")
    found: dict[str, str] = box.json("cat", output)
    return found


def deaths(box: Container) -> None:
    """A killed daemon and a hung one come back by themselves; SIGTERM is quick; nothing is lost."""
    pid = box.show("MainPID")
    box.out("bash", "-c", f"kill -KILL {pid}")
    box.wait("kill -9: READY again", lambda: again(box, pid), RESTART_S + SLOW_S)
    pid = box.show("MainPID")
    box.out("bash", "-c", f"kill -STOP {pid}")
    box.wait(
        "hung: ended by the watchdog and READY again", lambda: again(box, pid), WATCHDOG_S + 2 * RESTART_S + SLOW_S
    )
    trace = box.run("journalctl", "-u", "forecourt", "-o", "cat", "--no-pager", "-n", "200").stdout
    box.tell("the stack of the hung daemon is in the journal", "most recent call first" in trace)
    began_s = time.monotonic()
    box.out("systemctl", "stop", "forecourt")
    took_s = time.monotonic() - began_s
    result = f"{took_s:.1f} s, {box.show('Result')}"
    box.tell("stops within 5 s and clean", took_s < RESTART_S and box.show("Result") == "success", result)
    box.out("systemctl", "start", "forecourt")
    before = len(sales(box))
    box.wait("sales go on", lambda: len(sales(box)) > before, 120)
    verified = box.run("forecourt", "verify")
    box.tell("everything agrees", verified.returncode == 0, verified.stdout.strip())


def again(box: Container, before: str) -> bool:
    """Whether another process is READY."""
    return box.show("MainPID") not in {before, "0"} and box.show("ActiveState") == "active"


if __name__ == "__main__":
    sys.exit(main())
