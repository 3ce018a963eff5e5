"""The pool compiled and the pool's sources: the same states and the same forecasts, to the last bit."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest

from handicapper.actors.learning.pooling import combine, learn, new_pool
from handicapper.protocol.compiled import compiled_modules

from ..state.test_compiled import run_pure

LABELS = ("A", "B", "C", "D")


def all_pools() -> str:
    """A hash of what random events lead through: models that come and go, certain ones, ties, split payouts."""
    digest, chance, state = sha256(), Random(3), new_pool()
    at_ns = 0
    for _ in range(1_500):
        at_ns += chance.choice([0, 60, 3_600, 86_400]) * 10**9
        labels = LABELS[: chance.choice([2, 2, 3, 4])]
        said = [
            (f"m{k}", chance.choice(labels), chance.choice([0.0, 1.0, 0.5, chance.random()]))
            for k in range(chance.randrange(7))
        ]
        digest.update(repr(combine(state, said, labels)).encode())
        first, second = chance.sample(labels, 2)
        payouts = {first: 1.0} if chance.random() < 0.8 else {first: 0.25, second: 0.75}
        digest.update(repr(learn(state, at_ns, said, payouts, labels)).encode())
    return digest.hexdigest() + sha256(repr(state).encode()).hexdigest()


def test_the_compiled_pool_gives_the_bits_of_its_sources() -> None:
    if not compiled_modules():
        pytest.skip(
            "nothing is compiled here: an editable install, or a wheel built without Cython or a compiler"
        )
    assert run_pure("from tests.learning.test_pool_bits import all_pools; print(all_pools())") == all_pools()
