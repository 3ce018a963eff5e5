"""Models that say the same, and when that ends."""

from __future__ import annotations

from random import Random

from handicapper.actors.state.repeating import (
    ENDS_KEPT,
    MODELS_MAX,
    REPEATS_MIN,
    Ended,
    Repeats,
    follow_repeats,
)

T0 = 1_700_000_000_000_000_000
WEEK = 7 * 86_400 * 10**9

Said = dict[str, float]


def follow(markets: list[Said]) -> tuple[dict[str, Repeats], tuple[Ended, ...]]:
    repeats: dict[str, Repeats] = {}
    ended: tuple[Ended, ...] = ()
    for number, said in enumerate(markets):
        forecasts = [(model, "YES", confidence) for model, confidence in said.items()]
        ended = follow_repeats(repeats, ended, forecasts, T0 + number * WEEK)
    return repeats, ended


def alike(count: int, seed: int = 1, **others: float) -> list[Said]:
    """``a`` and ``b`` say the same."""
    random = Random(seed)
    return [{"a": p, "b": p} | others for p in (random.random() for _ in range(count))]


def apart(count: int, seed: int = 2) -> list[Said]:
    random = Random(seed)
    return [{"a": random.random(), "b": random.random()} for _ in range(count)]


def test_model_that_says_what_another_says_repeats_the_one_named_first() -> None:
    repeats, ended = follow(alike(REPEATS_MIN))
    assert repeats.keys() == {"b"}
    assert (repeats["b"].peer, repeats["b"].run, ended) == ("a", REPEATS_MIN, ())


def test_end_is_found_on_one_of_the_next_markets_and_dated_to_the_first() -> None:
    before = alike(400)
    repeats, ended = follow([*before, *apart(5)])
    (end,) = ended
    assert (end.model_id, end.peer) == ("b", "a")
    assert end.change.at_ns == T0 + 400 * WEEK
    assert end.change.detected_ns <= T0 + 404 * WEEK
    assert end.change.before > 0.99
    assert end.change.after < 0.5
    assert 0.99 <= end.change.probability < 1.0
    assert repeats == {}


def test_end_is_told_once() -> None:
    _, ended = follow([*alike(400), *apart(300)])
    assert len(ended) == 1


def test_one_market_apart_in_long_is_not_the_end() -> None:
    """A rounding, a late update: of 1,000 markets, one in a hundred."""
    random = Random(3)
    markets = [
        {"a": p, "b": p if number % 100 else 1.0 - p}
        for number, p in enumerate((random.random() for _ in range(1_000)), 1)
    ]
    repeats, ended = follow(markets)
    assert ended == ()
    assert repeats["b"].peer == "a"


def test_models_that_agree_by_chance_repeat_nobody() -> None:
    """Two of five values: a run of 50 has a chance of 5^-50 a market."""
    random = Random(4)
    markets = [{model: random.choice([0.5, 0.55, 0.6, 0.65, 0.7]) for model in "abc"} for _ in range(5_000)]
    repeats, ended = follow(markets)
    assert ended == ()
    assert all(each.run < REPEATS_MIN for each in repeats.values())


def test_market_that_one_of_them_did_not_forecast_changes_nothing() -> None:
    markets: list[Said] = []
    for said in alike(REPEATS_MIN):
        markets += [said, {"b": 0.1, "c": 0.2}, {"a": 0.3, "c": 0.4}]
    repeats, _ = follow(markets)
    assert repeats["b"] == Repeats("a", REPEATS_MIN, b"")


def test_three_alike_follow_the_first() -> None:
    markets = [{"a": p["a"], "b": p["a"], "c": p["a"]} for p in alike(REPEATS_MIN)]
    repeats, _ = follow(markets)
    assert {model: each.peer for model, each in repeats.items()} == {"b": "a", "c": "a"}


def test_every_outcome_has_to_be_the_same() -> None:
    repeats: dict[str, Repeats] = {}
    for number in range(REPEATS_MIN):
        both = [("a", "HOME", 0.5), ("b", "HOME", 0.5), ("a", "DRAW", 0.3), ("b", "DRAW", 0.2)]
        follow_repeats(repeats, (), both, T0 + number * WEEK)
    assert repeats == {}


def test_so_many_ends_are_kept() -> None:
    _, (end,) = follow([*alike(400), *apart(5)])
    many = tuple(end for _ in range(ENDS_KEPT))
    repeats = {"b": follow(alike(400))[0]["b"]}
    for number, said in enumerate(apart(5)):
        forecasts = [(model, "YES", confidence) for model, confidence in said.items()]
        many = follow_repeats(repeats, many, forecasts, T0 + (400 + number) * WEEK)
    assert len(many) == ENDS_KEPT


def test_market_of_very_many_models_is_not_followed() -> None:
    models = [f"m{number:03}" for number in range(MODELS_MAX + 1)]
    repeats, _ = follow([dict.fromkeys(models, 0.5)] * 3)
    assert repeats == {}
    repeats, _ = follow([dict.fromkeys(models[1:], 0.5)] * 3)
    assert len(repeats) == MODELS_MAX - 1
