"""Writing a station's files: nothing of an older installation is lost, a broken-off run is simply run again."""

from __future__ import annotations

import grp
import os
from collections.abc import Sequence
from pathlib import Path

from agent.commissioning.plan import PlannedFile
from agent.store import durable

GROUP = "forecourt"
SECRET_MODE, OPEN_MODE = 0o640, 0o644
SECRET_FOLDER_MODE = 0o750


class CommissioningRefused(Exception):
    """The files cannot be written as asked; nothing was changed unless said so. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def write_all(root: Path, files: Sequence[PlannedFile], *, replace: bool, stamp: str) -> list[tuple[str, str]]:
    """Write ``files`` below ``root`` and return (path, ``written`` | ``kept`` | ``replaced``) for each.

    Files that are there already are kept where they are equal; where they differ, nothing is written at all unless
    ``replace``, which keeps the old one as ``NAME.before-STAMP``. Raises CommissioningRefused.
    """
    places = [root / file.path.relative_to("/") for file in files]
    try:
        states = [_state(place, file.text) for place, file in zip(places, files, strict=True)]
        different = [str(place) for place, state in zip(places, states, strict=True) if state == "replaced"]
        if different and not replace:
            raise CommissioningRefused(
                f"there are other contents already: {', '.join(different)}",
                hint="nothing was written; --replace puts the new ones there and keeps the old beside them",
            )
        for place, file, state in zip(places, files, states, strict=True):
            if state == "replaced":
                place.rename(place.with_name(f"{place.name}.before-{stamp}"))
            if state != "kept":
                _write(place, file)
    except OSError as failure:
        where = failure.filename if failure.filename is not None else root
        raise CommissioningRefused(
            f"{where}: {failure.strerror}", hint="run it as root, with room on the disk; running it again is harmless"
        ) from failure
    return [(str(place), state) for place, state in zip(places, states, strict=True)]


def _state(place: Path, text: str) -> str:
    if not place.exists():
        return "written"
    return "kept" if place.read_bytes() == text.encode("utf-8") else "replaced"


def _write(place: Path, file: PlannedFile) -> None:
    """Write under another name, make it durable, then give it its name: it is whole or not there."""
    group = _group()
    _make_folder(place.parent, group if file.secret else None)
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.text.encode("utf-8"))
        stream.flush()
        if group is not None:
            os.fchown(stream.fileno(), 0, group)
            os.fchmod(stream.fileno(), SECRET_MODE if file.secret else OPEN_MODE)
        elif not file.secret:
            os.fchmod(stream.fileno(), OPEN_MODE)
        os.fsync(stream.fileno())
    fresh.replace(place)
    durable.sync_folder(place.parent)


def _make_folder(folder: Path, group: int | None) -> None:
    if folder.exists():
        return
    folder.mkdir(parents=True)
    if folder.name == "secrets":
        folder.chmod(SECRET_FOLDER_MODE)
        if group is not None:
            os.chown(folder, 0, group)


def _group() -> int | None:
    """Return the id of the group that the daemon runs in; None where it is not installed or we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None
