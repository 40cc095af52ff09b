"""Tries cases: evaluates each by the engine of the station and compares the answer with what was expected of it.

Touches no state and reads no file. Texts come in, plain data goes out.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import FactsError
from agent.domain.rules.fields import Problem
from agent.rehearsal import answer
from agent.rehearsal.case import Case, cases
from agent.rehearsal.documents import Document, rule_set
from agent.rehearsal.expect import Difference, differences


@dataclass(frozen=True, slots=True)
class Tried:
    """One case and its answer; ``differences`` from what was expected, empty where nothing was."""

    case: Case
    answer: answer.Answer
    differences: tuple[Difference, ...]


def try_all(rules: Document, case_file: Document, *, now: str | None, language: str) -> tuple[Tried, ...]:
    """Return every case of a document with its answer. Raises TextRefused for either document, with every problem."""
    read, digest = rule_set(rules)
    tried, problems = [], []
    for case in cases(case_file, read, now):
        try:
            evaluation = evaluate(case.sale, case.member, read, case.budgets, case.instant)
        except FactsError as failure:
            problems.append(Problem(case.place or "document", str(failure), "write a sale that can be"))
            continue
        told = {"case": case.name, "rule_hash": digest, **answer.evaluated(evaluation, language)}
        expected = {} if case.expect is None else case.expect
        tried.append(Tried(case, told, tuple(differences(expected, told))))
    if problems:
        raise case_file.refusal(problems)
    return tuple(tried)
