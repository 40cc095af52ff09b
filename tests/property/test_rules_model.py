"""The engine against the model: the same rule document and sale give the same verdicts, sums, budgets and counts."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from random import Random

from hypothesis import event, given, settings

from agent.domain.rules.load import parse
from agent.domain.rules.model import Kind
from agent.domain.rules.verdict import Code
from tests.support import loyalty_model
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, case, dice, document
from tests.support.loyalty_facts import evaluated, model_told, told
from tests.support.loyalty_model.answering import answer
from tests.support.loyalty_model.words import CODES, gives

MODEL = Path(next(iter(loyalty_model.__path__)))
OURS = ("agent", "drivers", "sync", "headoffice")


def test_the_model_knows_nothing_of_the_engine():
    """A model that shared a line with the engine would share its mistakes: it imports only itself and the library."""
    files = sorted(MODEL.glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] not in OURS, f"{file.name} imports {name}"
                assert not name.startswith("tests.") or name.startswith("tests.support.loyalty_model."), name


def test_the_model_and_the_engine_name_the_same_codes_in_the_same_order():
    """The order of the codes decides which one a customer hears: it is written down twice, and the two agree."""
    assert [code.value for code in Code] == CODES


@given(dice())
@settings(max_examples=tries(500))
def test_engine_and_model_answer_the_same(roll):
    """Verdicts with their codes and values, net, points, budgets and counts of any sale under any rule set agree."""
    rules = document(roll)
    sold = case(roll, rules)
    answered = answer(rules, sold)
    for found in answered["verdicts"].values():
        event(f"{found['verdict']} {found['code']}")
    assert told(evaluated(parse(rules), sold)) == model_told(answered)


def test_random_cases_reach_every_kind_and_every_code():
    """The cases would prove little if they never met a corner: each kind is given, and each code is said."""
    random, given_kinds, codes = Random(1), Counter[str](), Counter[str]()
    for _ in range(600):
        roll = Dice(random.getrandbits(48))
        rules = document(roll)
        answered = answer(rules, case(roll, rules))
        kinds = {offer["id"]: offer for offer in rules["offer"]}
        for name, found in answered["verdicts"].items():
            codes[found["code"]] += 1
            if found["verdict"] != "REJECTED":
                given_kinds[kinds[name]["kind"]] += 1
                given_kinds[gives(kinds[name])] += 1
    assert set(given_kinds) == {kind.value for kind in Kind}
    assert set(codes) == set(CODES)
