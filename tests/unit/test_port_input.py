"""Input devices as ports: had alone or not at all. A library in the place of the kernel's answer shows what is asked of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.config import LineConfig
from drivers.errors import PortLost, WiringError
from drivers.hid.driver import SPEC
from drivers.port import Port, open_port
from drivers.simulator.keyboard import Keyboard

GRABBING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *value = va_arg(list, void *);
    va_end(list);
    if ((request & 0xFFFFFFFF) != 0x40044590)
        return ((int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl"))(fd, request, value);
    if (value == (void *)1 && !getenv("GRABBED")) {
        write(2, "grabbed\n", 8);
        return 0;
    }
    errno = EBUSY;
    return -1;
}
"""
READS = """
import sys
from drivers.config import LineConfig
from drivers.registry import make_line
line = make_line(LineConfig("h", "evdev:" + sys.argv[1], "hid", reader="till"))
told = []
while not any(reading.__class__.__name__ == "CodeScan" for reading in told):
    told += line.turn()
    if told and told[0].online is False:
        sys.exit(told[0].reason + told[0].hint)
    if len(told) == 2:
        print("online", flush=True)
        told.append(None)
print(told[-1].text)
"""


def opened(path: Path | str) -> Port:
    """The port of a reader."""
    return open_port(LineConfig("h", f"evdev:{path}", "hid", reader="till"), SPEC.serial_defaults)


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A character device that is no keyboard: our end, and its name."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What answers in the place of the kernel when a device is grabbed."""
    folder = tmp_path_factory.mktemp("grab")
    source = folder / "grab.c"
    source.write_text(GRABBING, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "grab.so"), str(source)], check=True)
    return folder / "grab.so"


def test_a_device_that_cannot_be_grabbed_is_not_read(terminal: tuple[int, str]) -> None:
    """Every code would also be typed into whatever has the focus: refused with what to do, nothing left open."""
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(WiringError, match="cannot be had alone") as refused:
        opened(terminal[1])
    assert "/dev/input/by-id" in refused.value.hint
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_device_that_is_not_there_is_lost_and_looked_for_again(tmp_path: Path) -> None:
    """The line tries again; the hint speaks of a scanner."""
    with pytest.raises(PortLost) as lost:
        opened(tmp_path / "nothing")
    assert "plug the scanner in" in lost.value.hint


def test_a_pipe_is_read_and_its_end_is_a_lost_port(tmp_path: Path) -> None:
    """Another program may hand us events: a pipe types into no console."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    port = opened(path)
    os.write(writer, b"x" * 24)
    assert port.read(100, 1) == b"x" * 24
    os.close(writer)
    with pytest.raises(PortLost):
        port.read(100, 1)
    port.close()


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_a_keyboard_is_grabbed_before_it_is_read(terminal: tuple[int, str], library: Path, taken: bool) -> None:
    """EVIOCGRAB with 1, once; then its codes arrive. Where somebody else has grabbed it, it is not read at all."""
    master, name = terminal
    environment = {**os.environ, "LD_PRELOAD": str(library), **({"GRABBED": "1"} if taken else {})}
    reader = subprocess.Popen(
        [sys.executable, "-c", READS, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert reader.stdout is not None
    if taken:
        _, said = reader.communicate(timeout=60)
        assert reader.returncode == 1
        assert "cannot be had alone (Device or resource busy)" in said
        return
    assert reader.stdout.readline() == "online\n"
    os.write(master, Keyboard(interleaved=True).type_text("FM1:AB"))
    out, said = reader.communicate(timeout=60)
    assert (reader.returncode, out, said) == (0, "FM1:AB\n", "grabbed\n")
