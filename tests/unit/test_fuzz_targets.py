"""What others write is read without a fault: the fuzz targets over their corpus, and over some mutations."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS, corpus

#: For each target; ``python -m tests.fuzz`` does more.
MUTATIONS = 400


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_bears_every_text_of_its_corpus(target: str) -> None:
    texts = corpus(target)
    assert texts
    for text in texts:
        TARGETS[target](text)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_bears_mutated_texts(target: str) -> None:
    for text in islice(mutations(corpus(target), seed=20_260_704), MUTATIONS):
        TARGETS[target](text)


def test_mutations_are_the_same_for_the_same_seed() -> None:
    first, again = (list(islice(mutations(corpus("retell"), seed=7), 20)) for _ in "ab")
    assert first == again
    assert len(set(first)) == 20
