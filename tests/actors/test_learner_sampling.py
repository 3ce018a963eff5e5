"""thompson_sample: reproducible from what it returns, ranked, and honest about who is missing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import blake2b
from math import log, sqrt
from pathlib import Path
from statistics import NormalDist
from time import monotonic

import pytest

from handicapper.actors import Learner, ranking
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


def _word(begun: int, count: int) -> int:
    z = (begun + (count + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def _gamma(begun: int, first: int, shape: float) -> float:
    d = shape - 1 / 3
    for count in range(first, first + 30, 2):
        one, two = _word(begun, count), _word(begun, count + 1)
        x = NormalDist().inv_cdf(((one >> 11) | 1) / 2**53)
        v = (1 + x / sqrt(9 * d)) ** 3
        y = (one % 2**11 + ((two >> 11) | 1) / 2**53) / 2**11
        if v > 0 and log(y) < x * x / 2 + d * (1 - v + log(v)):
            return d * v
    raise AssertionError("fifteen attempts were refused")


def _draw(seed: int, selection_id: str, model: str, index: int, alpha: float, beta: float) -> float:
    """The published recipe of the draws, written out again, with nothing but the standard library."""
    key = blake2b(f"{seed}:{selection_id}".encode(), digest_size=16).digest()
    stream = blake2b(model.encode(), digest_size=16).digest()
    begun = [
        int.from_bytes(key[at : at + 8], "little") ^ int.from_bytes(stream[at : at + 8], "little")
        for at in (0, 8)
    ]
    a, b = _gamma(begun[0], 32 * index, alpha), _gamma(begun[1], 32 * index, beta)
    return a / (a + b)


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
        expected = [_draw(42, "s-1", model, i, alpha, beta) for i in range(11)]
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


def test_thompson_sample_of_many_models_is_that_of_each_alone(learner: Learner) -> None:
    """Many are drawn for together, a few one by one."""
    learner.record_outcomes(outcome(n, f"m{n % 60}", right=pattern(n)) for n in range(240))
    everyone = learner.thompson_sample(as_of=AT, selection_id="s")
    assert len(everyone.ranked) == 60
    for place in range(0, 60, 7):
        some = [f"m{n % 60}" for n in range(place, place + 1 + place // 7)]
        alone = learner.thompson_sample(as_of=AT, selection_id="s", models=some).ranked
        assert alone == tuple(s for s in everyone.ranked if s.model_id in some)
    several = learner.thompson_sample(4, as_of=AT, selection_id="s").ranked
    assert [(s.model_id, s.sample) for s in several] == [(s.model_id, s.sample) for s in everyone.ranked]
    assert all(len(s.samples) == 4 and s.samples[0] == s.sample for s in several)


def test_thompson_sample_asks_models_that_came_since_the_last_one(learner: Learner) -> None:
    for count in range(1, 5):
        learner.record_outcome(outcome(count, f"m{count}"))
        assert len(learner.thompson_sample().ranked) == count
    assert len(learner.thompson_sample(models=["m1", "m1", "m4"]).ranked) == 2


def test_thompson_sample_of_equal_draws_ranks_by_name(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(thompson_sampling=ThompsonSampling(enabled=False)))
    learner.record_outcomes(outcome(place, model) for place, model in enumerate("cab"))
    learner.record_outcomes(outcome(10 + n, "z", right=False) for n in range(3))
    ranked = learner.thompson_sample(as_of=T0 + 10**18).ranked
    assert [s.model_id for s in ranked] == ["a", "b", "c", "z"]


def test_thompson_sample_from_many_threads_at_once_gives_each_the_same(taught: Learner) -> None:
    whole = taught.thompson_sample(3, as_of=AT, selection_id="s")
    with ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(taught.thompson_sample, 3, as_of=AT, selection_id="s", timeout=DEADLINE_SECONDS)
            for _ in range(200)
        ]
        assert all(each.result(DEADLINE_SECONDS) == whole for each in asked)


def test_thompson_sample_without_time_for_all_draws_names_those_not_drawn_for(
    taught: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two draws a look, three that are made however late it is: two models have theirs, in the order of names."""
    whole = taught.thompson_sample(2, as_of=AT, selection_id="s")
    monkeypatch.setattr(ranking, "DRAWS_A_LOOK", 2)
    monkeypatch.setattr(ranking, "LATE_DRAWS_MAX", 3)
    assert taught.thompson_sample(2, as_of=AT, selection_id="s", timeout=DEADLINE_SECONDS) == whole
    monkeypatch.setattr(ranking, "monotonic", lambda: monotonic() + 2 * DEADLINE_SECONDS)
    selection = taught.thompson_sample(2, as_of=AT, selection_id="s", timeout=DEADLINE_SECONDS)
    assert selection.missing == ("c",)
    assert selection.ranked == tuple(s for s in whole.ranked if s.model_id != "c")


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


def test_thompson_sample_by_mean_draws_nothing_and_says_so(open_learner: Open) -> None:
    """Asked for, set, or left over by sampling that is disabled: the same ranking."""
    set_so = ThompsonSampling(mode="mean")
    learners = [
        open_learner(f"{number}", settings=small_settings(thompson_sampling=sampling))
        for number, sampling in enumerate((ThompsonSampling(), set_so, ThompsonSampling(enabled=False)))
    ]
    for learner in learners:
        for place, model in enumerate("abc"):
            learner.record_outcomes(outcome(place * 100 + n, model, right=n < 3 * place) for n in range(10))
    asked = learners[0].thompson_sample(2, as_of=AT, selection_id="s", mode="mean")
    assert asked.mode == "mean"
    assert [s.model_id for s in asked.ranked] == ["c", "b", "a"]
    assert all(s.samples == (s.sample, s.sample) for s in asked.ranked)
    assert all(s.sample == s.alpha / (s.alpha + s.beta) for s in asked.ranked)
    assert learners[1].thompson_sample(2, as_of=AT, selection_id="s") == asked
    assert learners[2].thompson_sample(2, as_of=AT, selection_id="s", mode="top_two") == asked
    drawn = learners[1].thompson_sample(2, as_of=AT, selection_id="s", mode="thompson")
    assert drawn == learners[0].thompson_sample(2, as_of=AT, selection_id="s")
    assert drawn.mode == "thompson"


def test_top_two_equals_the_published_recipe(taught: Learner) -> None:
    """Written out with the standard library: a coin, then rounds of new draws until another model leads."""
    means = taught.thompson_sample(as_of=AT, mode="mean").ranked
    posteriors = {sample.model_id: (sample.alpha, sample.beta) for sample in means}
    challenged = 0
    for number in range(12):
        name = f"t{number}"
        selection = taught.thompson_sample(as_of=AT, selection_id=name, seed=42, mode="top_two")

        def round_of(index: int, name: str = name) -> dict[str, float]:
            return {model: _draw(42, name, model, index, *posteriors[model]) for model in "abc"}

        draws = round_of(0)
        leader = max(draws, key=draws.__getitem__)
        key = blake2b(f"42:{name}".encode(), digest_size=16).digest()
        if _word(int.from_bytes(key[:8], "little"), 0) >= 2**63:
            challenged += 1
            rounds = (round_of(2**32 + r) for r in range(16))
            draws = next(drawn for drawn in rounds if max(drawn, key=drawn.__getitem__) != leader)
        assert [s.model_id for s in selection.ranked] == sorted(draws, key=lambda model: -draws[model])
        assert {s.model_id: s.sample for s in selection.ranked} == pytest.approx(draws, rel=1e-9)
        assert selection.mode == "top_two"
        several = taught.thompson_sample(3, as_of=AT, selection_id=name, seed=42, mode="top_two")
        assert [s.model_id for s in several.ranked] == [s.model_id for s in selection.ranked]
        assert all(s.sample == s.samples[0] for s in several.ranked)
    assert 0 < challenged < 12


def test_top_two_puts_the_runner_up_of_a_sure_leader_first_in_half_of_the_selections(
    open_learner: Open,
) -> None:
    """No round of 16 has another leader: the next best of the last one is first, and all others keep their rank."""
    learner = open_learner(settings=small_settings(decay_half_life_hours=float("inf")))
    learner.record_outcomes(outcome(n, "sure") for n in range(3_000))
    for place, model in enumerate("abc"):
        learner.record_outcomes(outcome(3_000 + 900 * place + n, model, right=n < 60) for n in range(600))
    firsts = []
    for number in range(100):
        ranked = learner.thompson_sample(as_of=AT, selection_id=f"{number}", mode="top_two").ranked
        firsts.append(ranked[0].model_id)
        samples = [s.sample for s in ranked if s.model_id != "sure"]
        assert samples == sorted(samples, reverse=True)
        assert ranked[0 if firsts[-1] == "sure" else 1].model_id == "sure"
    # Binomial(100, 1/2): a deviation of 5; four of them.
    assert abs(firsts.count("sure") - 50) <= 20


def test_top_two_of_change_points_is_the_same_however_many_are_asked_of_it(open_learner: Open) -> None:
    changing = ThompsonSampling(posterior="changepoint", mode="top_two", seed=3)
    learner = open_learner(settings=small_settings(thompson_sampling=changing))
    for place, model in enumerate("abc"):
        teach(learner, model, range(place * 100, place * 100 + 40 + place))
    leaders = set()
    for number in range(20):
        one = learner.thompson_sample(as_of=AT, selection_id=f"{number}")
        assert one == learner.thompson_sample(as_of=AT, selection_id=f"{number}")
        several = learner.thompson_sample(4, as_of=AT, selection_id=f"{number}")
        assert [(s.model_id, s.sample) for s in several.ranked] == [
            (s.model_id, s.sample) for s in one.ranked
        ]
        leaders.add(one.ranked[0].model_id)
    assert len(leaders) > 1


def test_selection_mode_set_is_kept_by_a_directory_opened_without_settings(
    open_learner: Open, tmp_path: Path
) -> None:
    learner = open_learner(settings=small_settings(thompson_sampling=ThompsonSampling(mode="mean")))
    teach(learner, "a", range(5))
    learner.close()
    with Learner(tmp_path / "state") as again:
        assert again.thompson_sample().mode == "mean"
        assert again.settings.thompson_sampling.mode == "mean"


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
        {"mode": "best"},
        {"mode": 1},
    ],
    ids=str,
)
def test_thompson_sample_out_of_range_is_refused_by_field(learner: Learner, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError) as refused:
        learner.thompson_sample(**wrong)  # type: ignore[arg-type]
    assert refused.value.field in wrong
