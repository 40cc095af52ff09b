"""The Dipstick's frames as its manual shows them, whole and in pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from forecourt_dipstick.codec import Answer, Decoder, question  # type: ignore[import-not-found]

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))


@pytest.mark.proves("vectors", "dipstick")
@pytest.mark.parametrize("vector", VECTORS["answers"])
def test_an_answer_is_read_as_published(vector: dict[str, Any]) -> None:
    """Tank, litres and water."""
    answer = Answer(vector["tank"], vector["volume_l"], vector["water_mm"])
    assert Decoder().feed(bytes.fromhex(vector["hex"])) == [answer]


@pytest.mark.proves("vectors", "dipstick")
@pytest.mark.parametrize("vector", VECTORS["rejected"])
def test_a_wrong_answer_is_counted_by_its_reason(vector: dict[str, Any]) -> None:
    """Nothing of it is used."""
    decoder = Decoder()
    assert decoder.feed(bytes.fromhex(vector["hex"])) == []
    assert decoder.rejected == {vector["reason"]: 1}


@pytest.mark.proves("vectors", "dipstick")
def test_a_question_has_the_published_bytes() -> None:
    """As the manual shows it."""
    assert question(2) == b"V2?\r"


@pytest.mark.proves("every-split", "dipstick")
def test_the_same_bytes_cut_anywhere_give_the_same_answers() -> None:
    """Two answers with noise between them, cut at every place."""
    data = (
        b"\r" + bytes.fromhex(VECTORS["answers"][0]["hex"]) + b"noise\r" + bytes.fromhex(VECTORS["answers"][1]["hex"])
    )
    whole = Decoder().feed(data)
    assert len(whole) == 2
    for cut in range(len(data) + 1):
        decoder = Decoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == whole
