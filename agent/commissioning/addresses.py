"""Which addresses the unit may reach: the broker, serial servers, handhelds and, for names, the name servers.

Resolves names.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from agent.settings import Settings

RESOLV_CONF = Path("/etc/resolv.conf")
Resolve = Callable[[str], Iterable[str]]

_HEAD = """\
# Written by `forecourt init --addresses`; run it again when the broker or a serial server moves.
# The unit denies every other address, the machine's own excepted.
[Service]
"""


def resolve(host: str) -> list[str]:
    """Return the addresses of ``host``, sorted; empty where nobody knows it now."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]).partition("%")[0] for entry in found})


def hosts(settings: Settings) -> list[str]:
    """Return the hosts of the configuration, each once: the broker's and those of ``socket://`` ports."""
    ports = [line.port for line in settings.line] + [reader.port for reader in settings.reader]
    urls = [settings.head_office.broker, *(port for port in ports if "://" in port)]
    named = [urlsplit(url).hostname for url in urls]
    return list(dict.fromkeys(host for host in named if host))


def address_list(
    settings: Settings, resolver: Resolve = resolve, resolv_conf: Path = RESOLV_CONF
) -> tuple[str, tuple[str, ...]]:
    """Return the text of the drop-in and the hosts that have no address now (they stand in it as a comment)."""
    lines, unknown, names = [], [], False
    for host in hosts(settings):
        if _is_address(host):
            lines.append(f"IPAddressAllow={host}")
            continue
        names = True
        found = [address for address in resolver(host) if _is_address(address)]
        if not found:
            unknown.append(host)
            lines.append(f"# {host} had no address when this was written")
        lines += [f"IPAddressAllow={address}" for address in found]
    if settings.board is not None:
        lines += [f"IPAddressAllow={network}" for network in settings.board.networks]
    if names:
        lines += [f"IPAddressAllow={address}" for address in _name_servers(resolv_conf)]
    return _HEAD + "".join(f"{line}\n" for line in dict.fromkeys(lines)), tuple(unknown)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _name_servers(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and _is_address(word[1])]
