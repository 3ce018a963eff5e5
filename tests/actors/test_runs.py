"""What is taken in and folded by the run gives the same bits as one by one."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from handicapper.actors.learning.calibration import add_to_bins
from handicapper.actors.learning.ema import ema_update
from handicapper.actors.learning.posterior import add_outcome
from handicapper.actors.learning.scores import brier_loss, log_loss
from handicapper.actors.learning.threshold import adjust_threshold, relax_threshold
from handicapper.actors.records import encode
from handicapper.actors.state.book import Book
from handicapper.actors.state.entries import RulesInForce
from handicapper.actors.state.events import Scored
from handicapper.actors.state.fold import ROWS_PER_WINDOW
from handicapper.actors.state.history import History, Row
from handicapper.actors.state.id_index import BloomFilter, fingerprint
from handicapper.actors.state.intake import Intake
from handicapper.actors.state.model_state import ModelState
from handicapper.actors.state.statistics import LearnedStatistics
from handicapper.config import LearningRules, Settings, Thresholds
from handicapper.protocol.errors import HandicapperError
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from .helpers import SECOND, T0, outcome, prediction, resolution

NAN = float("nan")


def some_rules(chance: random.Random) -> LearningRules:
    thresholds = Thresholds(
        min_threshold=chance.choice([0.0, 0.4]),
        max_threshold=chance.choice([0.62, 0.9, 1.0]),
        adjustment_rate=chance.choice([0.0, 0.01, 0.5]),
        relaxation_half_life_hours=chance.choice([None, 0.0, 0.2, float("inf")]),
    )
    return Settings(
        enabled=chance.random() < 0.8,
        ema_alpha=chance.choice([0.1, 0.37, 1.0]),
        min_predictions_for_adaptation=chance.choice([0, 3, 10]),
        decay_half_life_hours=chance.choice([0.5, 168.0, float("inf")]),
        calibration_window=chance.choice([10, 11, 30]),
        thresholds=thresholds,
    ).learning_rules()


# ------------------------------------------------------------------------- intake


def some_input(chance: random.Random, number: int) -> Prediction | MarketResolved | TradeOutcome:
    """Mostly new, now and then about something known; sometimes wrong."""
    known, model = chance.randrange(number + 3), f"m{chance.randrange(4)}"
    turn = chance.random()
    if turn < 0.4:
        return prediction(
            known if chance.random() < 0.5 else number,
            model,
            market_id=f"k{known // 3}",
            price=chance.choice([None, Decimal("0.5")]),
            size=chance.choice([None, Decimal(3)]),
            expires_at=chance.choice([None, None, None, T0 + 10**6 * SECOND]),
        )
    if turn < 0.55:
        return resolution(
            known,
            chance.choice(["YES", "NO"]),
            revision=chance.choice([0, 0, 1]),
            status=chance.choice(["final", "final", "proposed"]),
        )
    return outcome(
        known if chance.random() < 0.3 else 10_000 + number,
        model,
        right=chance.random() < 0.5,
        pnl=chance.choice([None, Decimal("1.5")]),
        confidence=chance.choice([None, 0.7]),
    )


def single(intake: Intake, items: list[Any]) -> list[Any]:
    results: list[Any] = []
    for item in items:
        try:
            results.append(intake.accept(item))
        except HandicapperError as error:
            results.append(error)
    return results


def everything(intake: Intake) -> Any:
    """All that an intake holds and has to tell."""
    book = intake.book
    first, entries, out = intake.take()
    return (
        (first, encode(entries)),
        [(model, repr(delivery)) for model, delivery in out.finished()],
        {market.market_id: encode(market) for market in book.all_markets()},
        {prediction_id: market.ordinal for prediction_id, market in book.by_prediction.items()},
        (list(book.loose.fresh.items()), list(book.loose.saving.items())),
        (book.loose.index.fingerprints, book.loose.index.ordinals),
        (sorted(book.unsaved), book.merged, sorted(book._expiries), book.controls),
        (book.seq, book.pending, book.open_markets, intake.counters),
    )


@pytest.mark.parametrize("seed", range(60))
def test_inputs_taken_in_by_the_run_leave_what_single_ones_leave(seed: int) -> None:
    chance = random.Random(seed)
    bounds: dict[str, int] = {
        "pending_max": chance.choice([20, 10**9]),
        "models_max": chance.choice([3, 100]),
    }
    runs, singles = Intake(Book(**bounds)), Intake(Book(**bounds))
    rules = some_rules(chance)
    for intake in (runs, singles):
        intake.accept(RulesInForce(rules))
    number = 0
    for _ in range(40):
        items = []
        for _ in range(chance.choice([1, 3, 30])):
            number += 1
            items.append(some_input(chance, number))
        results, expected = runs.accept_each(items), single(singles, items)
        assert [str(result) for result in results] == [str(result) for result in expected]
        assert everything(runs) == everything(singles)
        if chance.random() < 0.2:
            for intake in (runs, singles):
                if intake.book.saving is None:
                    intake.book.cut()
        elif chance.random() < 0.2:
            for intake in (runs, singles):
                if intake.book.saving is not None:
                    intake.book.not_saved()
    runs.book.check_invariants()


def test_error_among_the_inputs_stays_in_its_place_and_ends_no_run_of_others() -> None:
    intake = Intake(Book())
    intake.accept(RulesInForce(Settings().learning_rules()))
    error = HandicapperError("refused before")
    first, second, third = intake.accept_each([outcome(1), error, outcome(2)])
    assert second is error
    assert [getattr(receipt, "seq", None) for receipt in (first, third)] == [2, 3]


@pytest.mark.parametrize("count", [0, 1, 31, 32, 500])
def test_filter_asked_for_many_says_what_it_says_of_each(count: int) -> None:
    """Filled until it often errs; the array's probe may spare look-ups, and never changes an answer."""
    seen = BloomFilter(1)
    assert seen.among([fingerprint("p1")] * count) == []
    seen.add([fingerprint(f"q{number}") for number in range(1_000_000)])
    asked = [fingerprint(f"{'pq'[number % 2]}{number}") for number in range(count)]
    assert seen.among(asked) == [place for place, number in enumerate(asked) if number in seen]


# ------------------------------------------------------------------------- fold


def fold_row(s: LearnedStatistics, row: Row, rules: LearningRules, history: History, end: int) -> None:
    """The rules as they are written in the maths, one outcome at a time."""
    _, at_ns, x, confidence, price = row
    _slide(s, rules.calibration_window, history, end)
    if x != x:
        return
    s.n += 1
    s.x_sum += x
    if s.n == 1:
        s.successes, s.failures, s.evidence_at_ns = x, 1.0 - x, at_ns
        s.last_at_ns = s.threshold_at_ns = at_ns
    else:
        s.successes, s.failures, s.evidence_at_ns = add_outcome(
            s.successes, s.failures, s.evidence_at_ns, x, at_ns, rules.decay_half_life_seconds
        )
        s.last_at_ns = max(s.last_at_ns, at_ns)
    s.ema_accuracy = ema_update(s.ema_accuracy, x, rules.ema_alpha)
    if confidence == confidence:
        add_to_bins(s.bins, confidence, x)
        s.x_squared_sum += x * x
        s.log_loss_sum += log_loss(confidence, x)
        if price == price:
            s.priced += 1
            s.price_brier_sum += brier_loss(price, x)
            s.priced_brier_sum += brier_loss(confidence, x)
        if s.window_count == 0:
            s.window_start, s.window_error_sum = end - 1, 0.0
        s.window_error_sum += confidence - x
        s.window_count += 1
        _slide(s, rules.calibration_window, history, end)
    if not rules.enabled:
        return
    if at_ns > s.threshold_at_ns:
        elapsed_ns = at_ns - s.threshold_at_ns
        half_life = rules.relaxation_half_life_seconds
        s.threshold = relax_threshold(s.threshold, rules.initial_threshold, elapsed_ns, half_life)
        s.threshold_at_ns = at_ns
    if s.n >= rules.min_predictions_for_adaptation and s.window_count:
        error = s.window_error_sum / s.window_count
        s.threshold = adjust_threshold(
            s.threshold, error, rules.adjustment_rate, rules.min_threshold, rules.max_threshold
        )


def _slide(s: LearnedStatistics, size: int, history: History, end: int) -> None:
    while s.window_count > size or (s.window_count and end - s.window_start > ROWS_PER_WINDOW * size):
        _, _, old_x, old_confidence, _ = history[s.window_start]
        s.window_start += 1
        if old_x == old_x and old_confidence == old_confidence:
            s.window_error_sum -= old_confidence - old_x
            s.window_count -= 1


def some_rows(chance: random.Random, count: int) -> list[Scored]:
    """Late and early ones, splits, unknown ones, with and without confidence and price."""
    confident = chance.choice([0.0, 0.05, 0.9, 1.0])
    return [
        Scored(
            number + 1,
            T0 + (number * 60 + chance.choice([0, 0, 0, -90, 3600])) * SECOND,
            chance.choice([0.0, 1.0, 1.0, 0.0, 0.5, 0.25, NAN]),
            chance.choice([0.0, 1.0, 0.5, chance.random()]) if chance.random() < confident else NAN,
            chance.choice([NAN, 0.5]),
        )
        for number in range(count)
    ]


def by_the_run(state: ModelState, events: list[Scored], chance: random.Random) -> None:
    start = 0
    while start < len(events):
        end = start + chance.choice([1, 7, 64, 65, 300])
        assert not state.apply(events[start:end], events[start:end][-1].row_id)
        start = end


@pytest.mark.parametrize("seed", range(60))
def test_rows_folded_by_the_run_give_the_bits_of_the_rules_as_they_are_written(seed: int) -> None:
    chance = random.Random(seed)
    rules, count = some_rules(chance), chance.choice([1, 30, 700])
    events = some_rows(chance, count)
    state = ModelState("m", rules)
    by_the_run(state, events, chance)
    expected, history = LearnedStatistics.initial(rules.initial_threshold), History()
    for number, event in enumerate(events, 1):
        known = event.x == event.x
        row = (event.row_id, event.at_ns, event.x, event.confidence, event.price)
        history.append(row if known else (event.row_id, 0, NAN, NAN, NAN))
        fold_row(expected, history[number - 1], rules, history, number)
    assert encode(state.now) == encode(expected)


@pytest.mark.parametrize("seed", range(30))
def test_state_does_not_depend_on_how_its_events_came_together(seed: int) -> None:
    """Checkpoints, kept rows and tally included: the whole record, bit for bit."""
    chance = random.Random(seed)
    rules = some_rules(chance)
    events = [
        event
        if event.row_id % 3
        else Scored(*event_fields(event), event.row_id % 2 == 0, Decimal(1), Decimal("0.5"))
        for event in some_rows(chance, 400)
    ]
    together, apart = ModelState("m", rules), ModelState("m", rules)
    by_the_run(together, events, chance)
    for event in events:
        apart.apply([event], event.row_id)
    assert encode(together.to_record()) == encode(apart.to_record())


def event_fields(event: Scored) -> tuple[Any, ...]:
    return event.row_id, event.at_ns, event.x, event.confidence, event.price


def test_run_with_a_poison_row_leaves_no_trace_of_itself() -> None:
    """The rows before it in the same run are folded again with it, or without it, by whoever mends the model."""
    rules = Settings().learning_rules()
    events = [Scored(n + 1, T0 + n * SECOND, 1.0, 0.7) for n in range(100)]
    state, reference = ModelState("m", rules), ModelState("m", rules)
    state.apply(events[:70], 70)
    reference.apply(events[:70], 70)
    poison = Scored(200, T0, 1.0, "not a number", NAN, False, None, Decimal(5))  # pyright: ignore[reportArgumentType]
    with pytest.raises(Exception, match="float"):
        state.apply([*events[70:80], poison], 80)
    assert encode(state.to_record()) == encode(reference.to_record())
    state.apply(events[70:], 100)
    reference.apply(events[70:], 100)
    assert encode(state.to_record()) == encode(reference.to_record())
