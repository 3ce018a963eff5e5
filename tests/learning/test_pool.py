from __future__ import annotations

from math import isfinite, log
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handicapper.actors.learning.pooling import (
    DEFAULT_RULES,
    FORMS,
    Combined,
    Pool,
    combine,
    copy_pool,
    learn,
    new_pool,
    relative_weights,
    shares,
)

DAY_NS = 86_400 * 10**9
HOUR_NS = 3_600 * 10**9
LABELS = ("NO", "YES")

Forecasts = list[tuple[str, str, float]]
Event = tuple[int, Forecasts, dict[str, float]]


def simulated(
    count: int, seed: int, models: int = 4, present: float = 0.7, noise_step: float = 0.5
) -> list[Event]:
    """One event a day: models see the log odds with noise of their own, and are not always there."""
    random = Random(seed)
    events: list[Event] = []
    for day in range(count):
        signal = random.gauss(0.0, 1.5)
        said = [
            (f"m{k}", "YES", 1.0 / (1.0 + 2.718281828 ** -(signal + random.gauss(0.0, 0.8 + noise_step * k))))
            for k in range(models)
            if k == 0 or random.random() < present
        ]
        happened = random.random() < 1.0 / (1.0 + 2.718281828**-signal)
        events.append((day * DAY_NS, said, {"YES" if happened else "NO": 1.0}))
    return events


def fold(events: list[Event], state: Pool | None = None) -> Pool:
    state = state or new_pool()
    for at_ns, said, payouts in events:
        learn(state, at_ns, said, payouts, LABELS)
    return state


def pooled(state: Pool, said: Forecasts, labels: tuple[str, ...] = LABELS) -> Combined:
    combined = combine(state, said, labels)
    assert combined is not None
    return combined


def log_loss(state: Pool, event: Event) -> float:
    (label,) = event[2]
    return -log(pooled(state, event[1]).probabilities[label])


def test_nobody_forecast_is_no_pool_and_teaches_nothing() -> None:
    state = new_pool()
    assert combine(state, [], LABELS) is None
    learn(state, DAY_NS, [], {"YES": 1.0}, LABELS)
    assert state == new_pool()


def test_a_market_in_which_nothing_paid_teaches_nothing() -> None:
    state = new_pool()
    learn(state, DAY_NS, [("a", "YES", 0.9)], {"YES": 0.0, "NO": 0.0})
    assert state == new_pool()


def test_a_new_pool_is_nearly_the_mean_of_the_models() -> None:
    combined = pooled(new_pool(), [("a", "YES", 0.9), ("b", "YES", 0.5)])
    assert combined.shares == pytest.approx({"a": 0.5, "b": 0.5})
    assert combined.forms == pytest.approx(dict(zip(FORMS, DEFAULT_RULES.form_prior, strict=True)))
    # The linear pool says 0.7, the log-odds pool 0.75.
    assert combined.probabilities["YES"] == pytest.approx(0.9 * 0.7 + 0.04 * 0.75 + 0.06 * 0.702, abs=1e-3)


def test_with_one_label_known_the_remainder_completes_the_sum() -> None:
    combined = pooled(new_pool(), [("a", "YES", 0.75)], ())
    assert combined.probabilities == {"YES": pytest.approx(0.75)}
    assert combined.remainder == pytest.approx(0.25)


confidences = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
events = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abcd"), st.tuples(st.sampled_from("XYZ"), confidences), min_size=1),
        st.sampled_from("XYZ"),
        st.sampled_from([0, HOUR_NS, DAY_NS]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=200)
@given(events)
def test_whatever_happens_everything_sums_to_one_and_is_finite(
    happened: list[tuple[dict[str, tuple[str, float]], str, int]],
) -> None:
    state, at_ns = new_pool(), 0
    for said, winner, later in happened:
        at_ns += later
        told = [(model, label, c) for model, (label, c) in said.items()]
        combined = pooled(state, told, tuple("XYZ"))
        assert sum(combined.probabilities.values()) == pytest.approx(1.0)
        assert combined.remainder == 0.0
        assert all(0.0 <= p <= 1.0 for p in combined.probabilities.values())
        assert sum(combined.shares.values()) == pytest.approx(1.0)
        assert min(combined.shares.values()) > 0.0
        assert 0.0 <= combined.disagreement <= 1.0
        assert sum(combined.forms.values()) == pytest.approx(1.0)
        learn(state, at_ns, told, {winner: 1.0}, "XYZ")
    numbers = [value for standing in state.models.values() for value in standing]
    assert all(map(isfinite, [*numbers, *state.form_evidence, state.sharpness]))
    assert sum(relative_weights(state, state.models).values()) == pytest.approx(len(state.models))


def test_certain_and_always_wrong_for_twenty_thousand_events_stays_finite_and_above_zero() -> None:
    state = new_pool()
    for n in range(20_000):
        learn(state, n * HOUR_NS, [("bad", "YES", 1.0), ("good", "NO", 1.0)], {"NO": 1.0})
    share = shares(state, ["bad", "good"])
    assert 0.0 < share["bad"] < 1e-4
    assert all(isfinite(value) for standing in state.models.values() for value in standing)
    assert pooled(state, [("bad", "YES", 1.0), ("good", "NO", 1.0)]).probabilities["NO"] > 0.95


def test_ten_thousand_wrong_simultaneous_events_do_not_break_the_correction() -> None:
    state = fold(simulated(200, seed=1))
    for _ in range(10_000):
        learn(state, 300 * DAY_NS, [("m0", "YES", 0.99), ("m1", "YES", 0.99)], {"NO": 1.0})
    assert max(abs(standing.correction) for standing in state.models.values()) < 3.0
    assert abs(state.sharpness) < 3.0


def test_the_order_of_the_forecasts_does_not_matter_to_the_bit() -> None:
    told = simulated(300, seed=2)
    mixed = [(at_ns, sorted(said, key=lambda f: f[2]), payouts) for at_ns, said, payouts in told]
    assert msgspec.msgpack.encode(fold(told)) != b""
    assert fold(told) == fold(mixed)


def test_other_names_give_the_same_figures() -> None:
    told = simulated(300, seed=3)
    models = {f"m{k}": name for k, name in enumerate("zyxw")}
    labels = {"YES": "A", "NO": "B"}
    renamed = [
        (at, [(models[m], labels[said_of], c) for m, said_of, c in said], {labels[won]: 1.0 for won in paid})
        for at, said, paid in told
    ]
    one, other = fold(told[:-1]), new_pool()
    for at_ns, said, payouts in renamed[:-1]:
        learn(other, at_ns, said, payouts, ("A", "B"))
    ours, theirs = pooled(one, told[-1][1]), pooled(other, renamed[-1][1], ("A", "B"))
    assert {labels[name]: p for name, p in ours.probabilities.items()} == pytest.approx(theirs.probabilities)
    assert {models[m]: s for m, s in ours.shares.items()} == pytest.approx(theirs.shares)
    assert ours.disagreement == pytest.approx(theirs.disagreement)


def test_an_absent_model_neither_gains_nor_loses() -> None:
    state = fold(simulated(200, seed=4, present=1.0))
    absent, others = state.models["m3"], shares(state, state.models)["m3"]
    for at_ns, said, payouts in simulated(50, seed=5, present=1.0):
        learn(state, 300 * DAY_NS + at_ns, [f for f in said if f[0] != "m3"], payouts, LABELS)
    assert state.models["m3"] is absent
    evidence = state.form_evidence
    state.form_evidence = fold(simulated(200, seed=4, present=1.0)).form_evidence
    assert shares(state, state.models)["m3"] == pytest.approx(others, rel=1e-9)
    assert state.form_evidence != evidence


def test_a_new_model_enters_with_the_mean_share() -> None:
    state = fold(simulated(400, seed=6, present=1.0))
    everyone = [*state.models, "new"]
    assert shares(state, everyone)["new"] == pytest.approx(1.0 / len(everyone), rel=1e-9)
    assert relative_weights(state, everyone)["new"] == pytest.approx(1.0, rel=1e-9)


def test_equal_models_weigh_the_same_and_the_better_one_more() -> None:
    state = new_pool()
    random = Random(8)
    for day in range(500):
        yes = random.random() < 0.8
        said = [("good", "YES", 0.8), ("poor", "YES", 0.5), ("twin", "YES", 0.8)]
        learn(state, day * DAY_NS, said, {"YES" if yes else "NO": 1.0})
    weights = relative_weights(state, state.models)
    assert weights["good"] == pytest.approx(weights["twin"])
    assert weights["good"] > 1.2 > 0.8 > weights["poor"]


def test_a_copy_goes_its_own_way_and_a_decoded_state_is_the_same() -> None:
    told = simulated(300, seed=9)
    state = fold(told[:200])
    copied, before = copy_pool(state), msgspec.msgpack.encode(state)
    decoded = msgspec.msgpack.decode(before, type=Pool)
    assert decoded == state
    whole = fold(told)
    assert fold(told[200:], copied) == whole
    assert msgspec.msgpack.encode(state) == before
    assert msgspec.msgpack.encode(fold(told[200:], decoded)) == msgspec.msgpack.encode(whole)


def test_a_model_takes_less_than_a_kilobyte() -> None:
    state = fold(simulated(300, seed=10, models=20))
    assert len(msgspec.msgpack.encode(state)) < 20 * 1024


def test_events_of_one_hour_are_not_judged_with_what_the_others_taught() -> None:
    """Twenty copies of one event at once: each is scored with the shares from before the first, so the forms
    gain twenty times what the first gave. An hour and a day apart they are not: later ones know the earlier."""
    rules = DEFAULT_RULES._replace(form_decay=1.0)
    said: Forecasts = [("a", "YES", 0.9), ("b", "YES", 0.3)]

    def evidence(count: int, apart_ns: int) -> float:
        state = new_pool(rules)
        for n in range(count):
            learn(state, n * apart_ns, said, {"YES": 1.0}, LABELS, rules)
        return state.form_evidence[2] - state.form_evidence[1] - log(0.04 / 0.86)

    assert evidence(20, 0) == pytest.approx(20 * evidence(1, 0))
    assert abs(evidence(20, DAY_NS) - 20 * evidence(1, 0)) > 0.5


def test_time_that_runs_backwards_opens_a_new_batch_and_moves_nothing_back() -> None:
    state = fold(simulated(10, seed=11))
    batch, last = state.batch, state.models["m0"].last_at_ns
    learn(state, DAY_NS, [("m0", "YES", 0.5)], {"YES": 1.0}, LABELS)
    assert state.batch == batch + 1
    assert state.models["m0"].last_at_ns == last


def test_the_pool_of_noisy_models_is_better_than_any_of_them() -> None:
    """Four models that see the same log odds, each with as much noise of its own. After 1,000 events, over the
    next 2,000: by more than three standard errors of the difference, of each."""
    told = simulated(3_000, seed=12, present=1.0, noise_step=0.0)
    state = fold(told[:1_000])
    gains: dict[str, list[float]] = {f"m{k}": [] for k in range(4)}
    for event in told[1_000:]:
        ours = log_loss(state, event)
        for model, _, c in event[1]:
            gains[model].append(-log(c if "YES" in event[2] else 1.0 - c) - ours)
        learn(state, *event, LABELS)
    for of_model in gains.values():
        mean = sum(of_model) / len(of_model)
        error = (sum((g - mean) ** 2 for g in of_model) ** 0.5) / len(of_model)
        assert mean > 3.0 * error


@pytest.mark.parametrize("seed", range(3))
def test_the_pool_is_never_behind_equal_weights_by_more_than_the_prior_of_that_form(seed: int) -> None:
    """Bayes' rule over the forms: in total at most ``ln 1/prior`` nats, whatever the models are. Where evidence
    does not fade, no two events are simultaneous, and no probability is below the floor."""
    rules = DEFAULT_RULES._replace(form_decay=1.0)
    random, state, behind, worst = Random(seed), new_pool(rules), 0.0, 0.0
    for day in range(1_500):
        said: Forecasts = [(f"m{k}", "YES", random.uniform(0.1, 0.9)) for k in range(3)]
        yes = random.random() < (
            0.5 if seed == 0 else said[0][2] if seed == 1 else sum(c for _, _, c in said) / 3
        )
        combined = combine(state, said, LABELS, rules)
        assert combined is not None
        p, mean = combined.probabilities["YES"], sum(c for _, _, c in said) / 3
        behind += log(mean / p) if yes else log((1.0 - mean) / (1.0 - p))
        worst = max(worst, behind)
        learn(state, day * DAY_NS, said, {"YES" if yes else "NO": 1.0}, LABELS, rules)
    assert worst <= log(1.0 / rules.form_prior[0])


def test_an_overconfident_pool_is_flattened() -> None:
    """Two models say 0.95 where 0.75 happens. By then the corrected pool has all the evidence."""
    random, state = Random(13), new_pool()
    said: Forecasts = [("a", "YES", 0.95), ("b", "YES", 0.95)]
    for day in range(2_000):
        learn(state, day * DAY_NS, said, {"YES" if random.random() < 0.75 else "NO": 1.0})
    combined = pooled(state, said)
    assert combined.forms["corrected"] > 0.99
    assert combined.probabilities["YES"] == pytest.approx(0.75, abs=0.04)


def test_the_pool_follows_when_the_best_model_changes() -> None:
    """Right with 0.8 and a coin; after 1,000 events they change roles. 200 events later the pool says what
    the new best one says, within a tenth of the way to the other."""
    random, state = Random(14), new_pool()
    for day in range(1_300):
        yes = random.random() < 0.5
        told, coin = ("a", "b") if day < 1_000 else ("b", "a")
        right = yes if random.random() < 0.8 else not yes
        said = [(told, "YES", 0.8 if right else 0.2), (coin, "YES", random.choice([0.2, 0.8]))]
        learn(state, day * DAY_NS, said, {"YES" if yes else "NO": 1.0})
        if day == 999:
            assert shares(state, ["a", "b"])["a"] > 0.9
    assert shares(state, ["a", "b"])["b"] > 0.9
    assert pooled(state, [("a", "YES", 0.2), ("b", "YES", 0.8)]).probabilities["YES"] > 0.74


def test_an_event_is_judged_with_the_pool_as_it_was_before_it() -> None:
    """And with equal weights; what it was before is what ``combine`` said."""
    random, state = Random(11), new_pool()
    for number in range(300):
        forecasts = [(model, "YES", random.random()) for model in ("a", "b", "c")]
        before = combine(state, forecasts, ["NO"])
        assert before is not None
        judged = learn(state, number * 10**14, forecasts, {random.choice(["YES", "NO"]): 1.0}, ["NO", "YES"])
        assert judged is not None
        assert judged.pooled == [before.probabilities["NO"], before.probabilities["YES"]]
        assert judged.equal[1] == pytest.approx(sum(confidence for *_, confidence in forecasts) / 3)
