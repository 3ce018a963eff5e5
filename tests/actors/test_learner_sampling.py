"""thompson_sample: reproducible from what it returns, ranked, and honest about who is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import pytest
from scipy.special import betaincinv

from handicapper.actors import Learner
from handicapper.config import ThompsonSampling
from handicapper.protocol.errors import InvalidValueError

from .helpers import (
    DEADLINE_SECONDS,
    HOUR,
    SECOND,
    SOON_SECONDS,
    T0,
    copy_while_open,
    held,
    model_ref,
    outcome,
    pattern,
    small_settings,
    teach,
)

Open = Callable[..., Learner]
AT = T0 + 48 * HOUR


@pytest.fixture
def taught(learner: Learner) -> Learner:
    for place, model in enumerate("abc"):
        teach(learner, model, range(place * 100, place * 100 + 30 + place))
    return learner


def _uniform(seed: int, selection_id: str, model: str, index: int) -> float:
    """The published recipe of the draws, written out again."""
    key = blake2b(f"{seed}:{selection_id}".encode(), digest_size=32).digest()
    block = blake2b(model.encode() + (index // 8).to_bytes(4, "big"), key=key, digest_size=64).digest()
    word = int.from_bytes(block[index % 8 * 8 :][:8], "big")
    return ((word >> 11) | 1) / 2**53


def _posterior(numbers: range, at: int) -> tuple[float, float]:
    """Beta(1 + Σ x·2^−(age/week), 1 + Σ (1 − x)·2^−(age/week)), term by term."""
    alpha = beta = 1.0
    for number in numbers:
        age = (at - (T0 + number * 60 * SECOND + 30 * SECOND)) / (168 * HOUR)
        x = 1.0 if pattern(number) else 0.0
        alpha += x * 2.0**-age
        beta += (1.0 - x) * 2.0**-age
    return alpha, beta


def test_thompson_sample_equals_the_published_formula(taught: Learner) -> None:
    selection = taught.thompson_sample(n=11, as_of=AT, selection_id="s-1", seed=42)
    assert {sample.model_id for sample in selection.ranked} == set("abc")
    for place, model in enumerate("abc"):
        sample = next(s for s in selection.ranked if s.model_id == model)
        alpha, beta = _posterior(range(place * 100, place * 100 + 30 + place), AT)
        assert (sample.alpha, sample.beta) == pytest.approx((alpha, beta), rel=1e-12)
        expected = [float(betaincinv(alpha, beta, _uniform(42, "s-1", model, i))) for i in range(11)]
        assert sample.samples == pytest.approx(expected, rel=1e-9)
        assert sample.sample == sample.samples[0]


def test_thompson_sample_ranks_the_highest_first(taught: Learner) -> None:
    for number in range(20):
        ranked = taught.thompson_sample(as_of=AT, selection_id=f"s{number}").ranked
        assert [s.sample for s in ranked] == sorted((s.sample for s in ranked), reverse=True)
        assert all(s.samples == () for s in ranked)


def test_thompson_sample_repeated_with_what_it_returned_gives_the_same(taught: Learner) -> None:
    first = taught.thompson_sample(n=3)
    again = taught.thompson_sample(3, as_of=first.as_of, selection_id=first.selection_id, seed=first.seed)
    assert again == first
    assert taught.thompson_sample(n=3, as_of=first.as_of) != first


def test_thompson_sample_again_after_crash_and_reopening_gives_the_same(
    taught: Learner, open_learner: Open, tmp_path: Path
) -> None:
    first = taught.thompson_sample(n=9, as_of=AT, selection_id="kept", seed=2**64 - 1)
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    crashed = open_learner("crashed")
    assert crashed.thompson_sample(n=9, as_of=AT, selection_id="kept", seed=2**64 - 1) == first
    taught.snapshot()
    taught.close()
    assert open_learner().thompson_sample(n=9, as_of=AT, selection_id="kept", seed=2**64 - 1) == first


def test_thompson_sample_of_fewer_models_draws_the_same_for_each(taught: Learner) -> None:
    everyone = taught.thompson_sample(as_of=AT, selection_id="s")
    some = taught.thompson_sample(as_of=AT, selection_id="s", models=["c", "a"])
    assert some.ranked == tuple(s for s in everyone.ranked if s.model_id in "ac")
    assert some.missing == some.ineligible == ()


def test_thompson_sample_of_an_unknown_model_names_it_missing(taught: Learner) -> None:
    selection = taught.thompson_sample(as_of=AT, models=["a", "nobody"])
    assert [s.model_id for s in selection.ranked] == ["a"]
    assert selection.missing == ("nobody",)


def test_thompson_sample_of_no_models_at_all_is_empty(learner: Learner) -> None:
    selection = learner.thompson_sample()
    assert (selection.ranked, selection.missing, selection.ineligible) == ((), (), ())


def test_thompson_sample_names_models_that_do_not_answer_in_time(taught: Learner) -> None:
    whole = taught.thompson_sample(as_of=AT, selection_id="s")
    with held(model_ref(taught, "b")):
        selection = taught.thompson_sample(as_of=AT, selection_id="s", timeout=SOON_SECONDS)
    assert selection.missing == ("b",)
    assert selection.ranked == tuple(s for s in whole.ranked if s.model_id != "b")
    assert taught.thompson_sample(as_of=AT, selection_id="s", timeout=DEADLINE_SECONDS) == whole


def test_thompson_sample_waits_as_long_as_the_settings_say(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(thompson_sampling=ThompsonSampling(gather_deadline_ms=20)))
    learner.record_outcomes([outcome(1, "a"), outcome(2, "b")])
    with held(model_ref(learner, "a")):
        assert learner.thompson_sample().missing == ("a",)


def test_thompson_sample_lists_paused_and_young_models_as_ineligible(open_learner: Open) -> None:
    rules = ThompsonSampling(min_samples_for_eligibility=10, seed=77)
    learner = open_learner(settings=small_settings(thompson_sampling=rules))
    teach(learner, "old", range(10))
    teach(learner, "paused", range(100, 120))
    teach(learner, "young", range(200, 209))
    learner.pause("paused", until=datetime(2023, 12, 1, tzinfo=UTC))
    selection = learner.thompson_sample(as_of=AT)
    assert [s.model_id for s in selection.ranked] == ["old"]
    assert selection.ineligible == ("paused", "young")
    assert selection.seed == 77
    later = learner.thompson_sample(as_of=datetime(2023, 12, 1, tzinfo=UTC))
    assert later.ineligible == ("young",)


def test_thompson_sample_with_sampling_disabled_ranks_by_posterior_mean(open_learner: Open) -> None:
    rules = ThompsonSampling(enabled=False)
    learner = open_learner(settings=small_settings(thompson_sampling=rules))
    for place, model in enumerate("abc"):
        learner.record_outcomes(outcome(place * 100 + n, model, right=n < 3 * place) for n in range(10))
    selection = learner.thompson_sample(n=2, as_of=AT)
    assert [s.model_id for s in selection.ranked] == ["c", "b", "a"]
    for sample in selection.ranked:
        mean = sample.alpha / (sample.alpha + sample.beta)
        assert sample.samples == (mean, mean)
    assert selection == learner.thompson_sample(n=2, as_of=AT, selection_id=selection.selection_id)


def test_thompson_sample_prefers_the_better_model_in_proportion_to_the_evidence(learner: Learner) -> None:
    """Beta(9, 3) against Beta(3, 9): P(best) = 0.993…, so 400 independent draws name the better one
    397 times on average with a deviation of 1.7; five deviations are 9."""
    learner.record_outcomes(outcome(n, "good", right=n < 8) for n in range(10))
    learner.record_outcomes(outcome(100 + n, "bad", right=n < 2) for n in range(10))
    chance = next(r for r in learner.reports(as_of=T0) if r.model_id == "good").probability_best
    assert chance is not None
    wins = sum(
        learner.thompson_sample(as_of=T0, selection_id=f"{number}", seed=5).ranked[0].model_id == "good"
        for number in range(400)
    )
    assert abs(wins - 400 * chance) <= 9


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": True},
        {"n": 10**6},
        {"n": 1.0},
        {"seed": -1},
        {"seed": 2**64},
        {"selection_id": ""},
        {"as_of": "now"},
    ],
    ids=str,
)
def test_thompson_sample_out_of_range_is_refused_by_field(learner: Learner, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError) as refused:
        learner.thompson_sample(**wrong)  # type: ignore[arg-type]
    assert refused.value.field in wrong
