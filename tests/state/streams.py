"""Random streams of inputs, played into a book and the states of its models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from random import Random
from typing import Any

from handicapper.actors.state.book import Book
from handicapper.actors.state.entries import (
    GatedPrediction,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
    SetPosterior,
    ShareChange,
)
from handicapper.actors.state.events import (
    ModelEvent,
    PoolRescored,
    PoolScored,
    Rescored,
    RulesChanged,
    Scored,
)
from handicapper.actors.state.intake import Intake
from handicapper.actors.state.learners import LearnerState, new_state
from handicapper.actors.state.rebuild import model_history, rebuild_model
from handicapper.config import LearningRules
from handicapper.protocol.errors import HandicapperError
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from .samples import HOUR, T0, gate, outcome, prediction, resolved, rules, through_disk

PAYOUTS: list[dict[str, Any]] = [
    {"winner": "YES"},
    {"winner": "YES"},
    {"winner": "NO"},
    {"winner": "NO"},
    {"payouts": {"YES": 0.5, "NO": 0.5}},
    {"payouts": {"YES": 0.125, "NO": 0.875}},
    {"void": True},
]


class Stream:
    """Makes inputs that mostly fit together: it remembers which ids and markets it has used."""

    def __init__(self, random: Random, control_share: float = 0.01, reset_share: float = 0.1) -> None:
        self.random = random
        self.control_share = control_share
        self.reset_share = reset_share
        """Of the controls."""
        self.predictions: list[Prediction] = []
        self.revisions: dict[str, tuple[int, bool]] = {}
        """Market → (newest revision, whether it is final)."""
        self.loose: list[TradeOutcome] = []
        self.count = 0
        self.now = T0

    def inputs(self, n: int) -> Iterator[Any]:
        """``n`` inputs, of which the book refuses some."""
        for _ in range(n):
            self.count += 1
            self.now += self.random.randrange(2 * HOUR)
            yield self._input()

    def _input(self) -> Any:
        random = self.random
        if random.random() < self.control_share:
            return self._control()
        kind = random.choices(["predict", "resolve", "outcome", "join"], [45, 43, 9, 3])[0]
        if kind == "join" and self.loose:
            known = self.loose.pop(random.randrange(len(self.loose)))
            return self._predict(known.prediction_id, known.model_id)
        if kind == "outcome" and self.predictions:
            return self._outcome()
        if kind == "resolve" and self.predictions:
            return self._resolve()
        return self._predict(f"p{self.count}", f"m{random.randrange(3)}")

    def _predict(self, prediction_id: str, model_id: str) -> Any:
        random = self.random
        market = f"k{self.count}" if random.random() < 0.7 else f"k{random.randint(1, self.count)}"
        fields: dict[str, Any] = {
            "confidence": random.choice([random.random(), random.randrange(11) / 10]),
            "predicted_at": self.now - 3 * HOUR,
        }
        if random.random() < 0.5:
            fields["price"] = Decimal(random.randrange(1001)) / 1000
            if random.random() < 0.8:
                fields["size"] = Decimal(random.randrange(10**6)) / 1000
            if random.random() < 0.3:
                fields["fee"] = Decimal(random.randrange(100)) / 100
        if random.random() < 0.1:
            fields["expires_at"] = fields["predicted_at"] + random.randrange(1, 20) * HOUR
        message = prediction(prediction_id, market, model_id, **fields)
        self.predictions.append(message)
        return GatedPrediction(message, gate(random.random() < 0.4)) if random.random() < 0.5 else message

    def _resolve(self) -> MarketResolved:
        """Of a recent market or, one time in four, of any: a correction that may lie far back."""
        random = self.random
        recent = self.predictions if random.random() < 0.25 else self.predictions[-20:]
        market = random.choice(recent).market_id
        revision, final = self.revisions.get(market, (-1, True))
        status = random.choice(["final", "final", "final", "proposed", "disputed"])
        if final:
            revision += 1
        self.revisions[market] = revision, status == "final"
        # Now and then the date lies before predictions of the market: they no longer count.
        at_ns = self.now - random.choice([0, 0, 0, 4 * HOUR, 40 * HOUR])
        ended = random.choice(PAYOUTS)
        return resolved(market, **ended, status=status, revision=revision, resolved_at=at_ns)

    def _outcome(self) -> TradeOutcome:
        random = self.random
        pnl = Decimal(random.randrange(-5000, 5000)) / 100 if random.random() < 0.6 else None
        right = random.random() < 0.5
        if random.random() < 0.4:
            confidence = random.choice([None, None, 0.75])
            loose = outcome(
                f"x{self.count}", right, f"m{random.randrange(3)}", pnl=pnl, confidence=confidence,
                resolved_at=self.now,
            )  # fmt: skip
            self.loose.append(loose)
            return loose
        about = random.choice(self.predictions[-30:])
        return outcome(about.prediction_id, right, about.model_id, pnl=pnl, resolved_at=self.now)

    def _control(self) -> Any:
        random = self.random
        model = f"m{random.randrange(3)}"
        if random.random() < self.reset_share:
            return ResetModel(model, "drift")
        return random.choice(
            [
                PauseModel(model, random.choice([None, self.now + HOUR]), "holiday"),
                ResumeModel(model),
                SetPosterior(model, random.choice([None, "half_life", "changepoint", "changepoint"])),
                RulesInForce(self._rules()),
                self._share(model),
            ]
        )

    def _share(self, model: str) -> ShareChange:
        """Of a time that some have seen and some have not, or of none that anybody has."""
        at_ns = self.now - self.random.choice([-HOUR, HOUR, 12 * HOUR, 100 * HOUR])
        return ShareChange(model, at_ns, self.now, 0.99)

    def _rules(self) -> LearningRules:
        random = self.random
        return rules(
            enabled=random.random() < 0.8,
            ema_alpha=random.choice([0.1, 0.3]),
            calibration_window=random.choice([10, 30, 100]),
            decay_half_life_seconds=random.choice([3_600.0, 604_800.0, float("inf")]),
            relaxation_half_life_seconds=random.choice([0.0, 86_400.0]),
            min_threshold=random.choice([0.4, 0.5]),
            learn_on=random.choice(["final", "proposed"]),
            recalibration_enabled=random.random() < 0.6,
            recalibration_memory_outcomes=random.choice([20.0, 1_000.0, float("inf")]),
            recalibration_half_life_seconds=random.choice([86_400.0, float("inf")]),
            weight_policy=random.choice(["posterior", "edge", "edge"]),
            posterior=random.choice(["half_life", "changepoint"]),
        )


class Played:
    """A book with its models' states, told batch by batch as the router and the actors do it."""

    def __init__(self, in_force: LearningRules, disk: bool = False) -> None:
        self.intake = Intake(Book())
        self.book = self.intake.book
        self.disk = disk
        """Store and load every state after every batch."""
        self.states: dict[str, LearnerState] = {}
        self.told_seq: dict[str, int] = {}
        self.events: dict[str, list[tuple[int, ModelEvent]]] = {}
        """What each model was told, with the sequence number of the delivery: by one-input batches only."""
        self.rebuilds = self.refused = self.rescored = 0
        self.intake.accept(RulesInForce(in_force))
        self.deliver()

    def play(self, inputs: Iterable[Any], batches: Iterator[int]) -> None:
        """Take everything in, in batches of the sizes given."""
        left = next(batches)
        for item in inputs:
            try:
                if isinstance(item, GatedPrediction):
                    self.intake.accept_gated(item.prediction, item.gate)
                else:
                    self.intake.accept(item)
            except HandicapperError:
                self.refused += 1
            left -= 1
            if left == 0:
                self.deliver()
                left = next(batches)
        self.deliver()
        self.book.check_invariants()

    def deliver(self) -> None:
        _, _, out = self.intake.take()
        for model_id, delivery in out.finished():
            state = self.states.get(model_id)
            if state is None:
                state = new_state(model_id, self.book.rules_at(delivery.first_seq))
            self.told_seq[model_id] = delivery.seq
            told = self.events.setdefault(model_id, [])
            told.extend((delivery.seq, event) for event in delivery.events)
            self.rescored += sum(isinstance(event, Rescored | PoolRescored) for event in delivery.events)
            if state.apply(delivery.events, delivery.seq):
                self.rebuilds += 1
                state = self.rebuilt(model_id)
            state.check_invariants()
            self.states[model_id] = through_disk(state) if self.disk else state

    def rebuilt(self, model_id: str) -> LearnerState:
        """The state as the supervisor and the restore make it: from the markets."""
        return rebuild_model(
            model_id,
            model_history(model_id, self.book.all_markets()),
            self.book.controls[model_id],
            self.book.rules_history,
            self.told_seq[model_id],
        )

    def corrected(self, model_id: str) -> LearnerState:
        """A fresh fold of the corrected history: as if each row had been told right the first time.

        Made from what the model was told, not from the book: every Rescored is put in the place of the
        row it replaces.
        """
        told: list[tuple[int, ModelEvent]] = []
        place: dict[int, int] = {}
        for seq, event in self.events[model_id]:
            if isinstance(event, Rescored | PoolRescored):
                index = place[event.new.row_id]
                told[index] = (told[index][0], event.new)
                continue
            if isinstance(event, Scored | PoolScored):
                assert event.row_id not in place, "a row was scored twice"
                place[event.row_id] = len(told)
            told.append((seq, event))
        first = min(seq for seq, _ in told)
        state = new_state(model_id, self.book.rules_at(first))
        for seq, event in told:
            if seq == first and isinstance(event, RulesChanged):
                continue
            state.applied_seq = seq - 1  # one delivery may hold several events
            assert not state.apply([event], seq), "nothing is left to correct"
        state.applied_seq = self.told_seq[model_id]
        return state


def ones() -> Iterator[int]:
    """Batches of a single input."""
    while True:
        yield 1
