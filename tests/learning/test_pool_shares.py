from __future__ import annotations

from itertools import pairwise
from math import exp, log, log1p
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.pooling import DEFAULT_RULES
from handicapper.actors.learning.pooling.forms import softmax
from handicapper.actors.learning.pooling.share_rule import LOG_WEIGHT_FLOOR, ShareRule, share_update

BAYES = ShareRule(rate=1.0, decay=1.0, sharing=0.0)
weights = st.lists(st.floats(LOG_WEIGHT_FLOOR, 5.0), min_size=1, max_size=8)


@given(weights, st.sampled_from([BAYES, DEFAULT_RULES.slow, DEFAULT_RULES.fast]), st.randoms())
def test_an_event_leaves_the_sum_of_the_weights_present_as_it_was(
    log_weights: list[float], rule: ShareRule, random: Random
) -> None:
    after = share_update(log_weights, [log(random.uniform(0.01, 1.0)) for _ in log_weights], rule)
    assert min(after) >= LOG_WEIGHT_FLOOR
    assert sum(map(exp, after)) == pytest.approx(sum(map(exp, log_weights)), rel=1e-9, abs=1e-16)


def test_at_rate_one_shares_are_bayes_rule() -> None:
    after = share_update([log(0.5), log(1.5)], [log(0.9), log(0.3)], BAYES)
    assert softmax(after) == pytest.approx([0.25 * 0.9 / 0.45, 0.75 * 0.3 / 0.45])


def test_equal_scores_move_nothing_but_what_decays() -> None:
    before = [0.4, -0.7]
    assert share_update(before, [-0.5, -0.5], BAYES) == pytest.approx(before)
    nearer = share_update(before, [-0.5, -0.5], ShareRule(1.0, 0.9, 0.0))
    assert nearer[0] - nearer[1] == pytest.approx(0.9 * 1.1)


@pytest.mark.parametrize("seed", range(5))
def test_log_loss_is_within_the_bound_of_the_best_sequence_of_models(seed: int) -> None:
    """Herbster & Warmuth (1998): the pool's log loss exceeds that of any sequence of models with S switches
    by at most ``ln n + S ln(n/α) + (T − 1 − S) ln 1/(1 − α + α/n)``, here with α dealt out among all n."""
    random = Random(seed)
    n, rounds, switches, alpha = 6, 2_000, 4, 0.002
    best_of = [random.randrange(n) for _ in range(switches + 1)]
    log_weights, pool_loss, sequence_loss = [0.0] * n, 0.0, 0.0
    for t in range(rounds):
        leader = best_of[t * (switches + 1) // rounds]
        outcome = random.random() < 0.5
        said = [random.uniform(0.2, 0.8) for _ in range(n)]
        said[leader] = 0.8 if outcome else 0.2
        scores = [log(p if outcome else 1.0 - p) for p in said]
        pool_loss -= log(sum(w * exp(s) for w, s in zip(softmax(log_weights), scores, strict=True)))
        sequence_loss -= scores[leader]
        log_weights = share_update(log_weights, scores, ShareRule(1.0, 1.0, alpha))
    changes = sum(a != b for a, b in pairwise(best_of))
    bound = log(n) + changes * log(n / alpha) - (rounds - 1 - changes) * log1p(-alpha + alpha / n)
    assert pool_loss - sequence_loss <= bound
    assert pool_loss - sequence_loss > 0.0


def test_without_sharing_the_log_loss_is_within_log_n_of_the_best_model() -> None:
    random = Random(7)
    n, log_weights, pool_loss, losses = 5, [0.0] * 5, 0.0, [0.0] * 5
    for _ in range(1_000):
        scores = [log(random.uniform(0.01, 0.99)) for _ in range(n)]
        pool_loss -= log(sum(w * exp(s) for w, s in zip(softmax(log_weights), scores, strict=True)))
        losses = [loss - s for loss, s in zip(losses, scores, strict=True)]
        log_weights = share_update(log_weights, scores, BAYES)
    assert pool_loss - min(losses) <= log(n)


@pytest.mark.parametrize("rule", [DEFAULT_RULES.slow, DEFAULT_RULES.fast], ids=["slow", "fast"])
def test_a_model_that_was_wrong_ten_thousand_times_has_a_share_and_can_return(rule: ShareRule) -> None:
    log_weights = [0.0, 0.0]
    for _ in range(10_000):
        log_weights = share_update(log_weights, [log(0.99), log(0.01)], rule)
    assert 0.0 < softmax(log_weights)[1] < 0.01
    for _ in range(100):
        log_weights = share_update(log_weights, [log(0.01), log(0.99)], rule)
    assert softmax(log_weights)[1] > 0.9
