"""Which MQTT broker the demo runs: mosquitto where it is installed, else the embedded one in a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from agent.demo.options import DemoRefused

CHOICE_VARIABLE = "FORECOURT_DEMO_BROKER"
"""``mosquitto`` or ``embedded`` decides; unset takes mosquitto where there is one."""
_MORE_PATHS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Return whether somebody listens on a port of loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.3):
            return True
    except OSError:
        return False


def broker_command(folder: Path, port: int) -> Sequence[str]:
    """Write the broker's configuration and return its command. Raises DemoRefused where there is no broker."""
    wanted = os.environ.get(CHOICE_VARIABLE, "")
    if wanted not in ("", "mosquitto", "embedded"):
        raise DemoRefused(f"{CHOICE_VARIABLE}={wanted} is no broker", hint="write mosquitto or embedded, or unset it")
    path = os.pathsep.join([os.environ.get("PATH", ""), *_MORE_PATHS])
    binary = None if wanted == "embedded" else shutil.which("mosquitto", path=path)
    if binary is not None:
        config = folder / "mosquitto.conf"
        config.write_text(_mosquitto(port), encoding="utf-8")
        return [binary, "-c", str(config)]
    if wanted != "mosquitto" and find_spec("amqtt") is not None:
        return [sys.executable, "-m", "agent.demo.embedded_broker", str(port)]
    raise DemoRefused(
        "there is no MQTT broker to run",
        hint="apt install mosquitto, or pip install 'forecourt-edge-agent[demo]' for the embedded one",
    )


def _mosquitto(port: int) -> str:
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.getuid() == 0:
        lines.append("user root")  # else it changes to an account that must exist, for nothing: it writes no file
    return "\n".join(lines) + "\n"
