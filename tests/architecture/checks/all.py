"""The list of checks: the name people see, and the function from a tree to its findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.architecture.checks import habits, imports, pages, proof, purity, shape

Check = Callable[[Path], list[str]]

CHECKS: dict[str, Check] = {
    "long-functions": shape.long_functions,
    "long-files": shape.long_files,
    "openings": shape.openings,
    "domain-imports": purity.domain_imports,
    "clock-reads": purity.clock_reads,
    "floats": purity.floats,
    "single-importers": imports.single_importers,
    "programs": imports.programs,
    "hidden-imports": imports.hidden_imports,
    "unlisted-linking": imports.unlisted_linking,
    "markers": imports.markers,
    "broad-excepts": habits.broad_excepts,
    "machine-paths": habits.machine_paths,
    "leftovers": habits.leftovers,
    "stubs": habits.stubs,
    "blanket-ignores": habits.blanket_ignores,
    "loose-pins": habits.loose_pins,
    "silent-tests": proof.silent_tests,
    "toothless-tests": proof.toothless_tests,
    "sleeps": proof.sleeps,
    "skips": proof.skips,
    "unproved-wire-ids": proof.unproved_wire_ids,
    "unproved-failpoints": proof.unproved_failpoints,
    "undocumented-commands": pages.undocumented_commands,
    "unknown-commands": pages.unknown_commands,
    "unnamed-rooms": pages.unnamed_rooms,
    "broken-links": pages.broken_links,
}
