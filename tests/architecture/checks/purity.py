"""What the pure core may not touch: other people's libraries, the clock, chance; and where floats may not appear."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests.architecture.checks.source import Source, dotted, imported, sources, under

DOMAIN_MAY_SEE = ("agent.domain", "drivers.readings", "drivers.commands")
CLOCKS_AND_CHANCE = {"time", "random", "secrets", "uuid"}
PURE_SYNC = tuple(
    f"sync/{name}.py"
    for name in (
        [
            "delivery",
            "envelope",
            "group",
            "judging",
            "messages",
            "notices",
            "records",
            "recordtypes",
            "shapes",
            "signing",
            "subscriber",
            "topics",
        ]
    )
)
CLOCK_CALLS = {
    f"time.{name}"
    for name in [
        "time",
        "time_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "clock_gettime",
        "sleep",
        "localtime",
    ]
}

MONEY = (
    "agent/domain/units.py",
    "agent/domain/sale.py",
    "agent/domain/settlement.py",
    "agent/domain/ledger.py",
    "agent/domain/effective.py",
    "agent/domain/once.py",
    "agent/domain/holdings.py",
    "agent/domain/quoted.py",
    "agent/domain/growth.py",
    "agent/domain/tiers.py",
    "agent/domain/leases.py",
    "agent/domain/pools.py",
    "agent/domain/coupons.py",
    "agent/domain/liability.py",
    "agent/domain/booking.py",
    "agent/domain/forecourt.py",
    "agent/domain/point_account.py",
    "agent/domain/point_control.py",
    "agent/domain/point_events.py",
    "agent/domain/point_state.py",
    "agent/domain/rules/",
    "agent/store/",
    "agent/pipeline/",
)


def domain_imports(root: Path) -> list[str]:
    """Imports of agent/domain beyond the standard library, itself, drivers.readings and drivers.commands."""
    found = []
    for source in sources(root, "agent/domain"):
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = imported(node)[:1] if isinstance(node, ast.ImportFrom) else imported(node)
            found += [
                source.at(
                    node.lineno, f"the domain imports {name}; it may see the standard library and {DOMAIN_MAY_SEE}"
                )
                for name in names
                if name.split(".")[0] not in sys.stdlib_module_names and not _domain_may_see(node, name)
            ]
    return found


def _domain_may_see(node: ast.AST, name: str) -> bool:
    if name == "drivers" and isinstance(node, ast.ImportFrom):
        return all(f"drivers.{alias.name}" in DOMAIN_MAY_SEE for alias in node.names)
    if name == "agent" and isinstance(node, ast.ImportFrom):
        return all(alias.name == "domain" for alias in node.names)
    return any(name == allowed or name.startswith(f"{allowed}.") for allowed in DOMAIN_MAY_SEE)


def clock_reads(root: Path) -> list[str]:
    """Reads of the clock or of chance in agent/domain and in the pure half of sync; both come in as arguments."""
    found = []
    for source in sources(root, "agent/domain"):
        for node in ast.walk(source.tree):
            found += [
                source.at(node.lineno, f"imports {name}: time and chance come in as arguments")  # type: ignore[attr-defined]
                for name in imported(node)
                if name in CLOCKS_AND_CHANCE
            ]
            found += _clock_call(source, node)
    for source in sources(root, "sync"):
        if source.path in PURE_SYNC:
            for node in ast.walk(source.tree):
                found += _clock_call(source, node)
    return found


def _clock_call(source: Source, node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call):
        return []
    name = dotted(node.func).replace("_time.", "time.")
    head, _, last = name.rpartition(".")
    reads = (
        (last in {"now", "utcnow", "today"} and head.rpartition(".")[2] in {"datetime", "date"})
        or name in CLOCK_CALLS
        or (name == "time.gmtime" and not node.args)
        or (last == "astimezone" and not node.args)
        or last in {"Random", "SystemRandom", "urandom", "uuid4", "uuid1"}
        or head in {"random", "secrets"}
    )
    return [source.at(node.lineno, f"{name}() reads the clock, the local zone or chance")] if reads else []


def floats(root: Path) -> list[str]:
    """Float literals, the type float and true division in the files that handle money, volume and points."""
    found = []
    for source in sources(root, "agent"):
        if under(source.path, MONEY):
            refused = _refusals(source.tree)
            for node in ast.walk(source.tree):
                found += _float(source, node, refused)
    return found


def _float(source: Source, node: ast.AST, refused: set[int]) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return [source.at(node.lineno, f"float literal {node.value}")]
    if isinstance(node, ast.Name) and node.id == "float" and id(node) not in refused:
        return [source.at(node.lineno, "the type float")]
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and not _joins_paths(node):
        return [source.at(node.lineno, "true division; divide integers with // and round in agent.domain.units")]
    return []


def _joins_paths(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether a slash joins a path: one side is text."""
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str)) for s in sides
    )


def _refusals(tree: ast.Module) -> set[int]:
    """Return the places where ``isinstance(x, float)`` asks for a float, which is how one is refused."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "isinstance"
        for inner in ast.walk(node)
    }
