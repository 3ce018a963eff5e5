"""What comes in: new, late, early, repeated, reordered, revised, voided, contradicting, expired."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from msgspec.structs import replace

from handicapper.protocol.messages import Input, MarketResolved, Prediction, TradeOutcome

from ..state.samples import HOUR, T0, outcome, prediction, resolved

__all__ = ["Traffic"]

ENDINGS: list[dict[str, Any]] = [
    {"winner": "YES"},
    {"winner": "YES"},
    {"winner": "NO"},
    {"payouts": {"YES": 0.5, "NO": 0.5}},
    {"void": True},
]
PNLS = [None, None, Decimal("1.25"), Decimal("-3"), Decimal("0.07")]


class Traffic:
    """Makes inputs that mostly fit together; each seed has its own mix."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = T0
        self.sent: list[Input] = []
        self.predictions: list[Prediction] = []
        self.trades: list[TradeOutcome] = []
        self.markets = [f"k{number}" for number in range(random.choice([2, 5, 12]))]
        self.models = [f"m{number}" for number in range(random.choice([1, 2, 4]))]
        self.colliding = random.choice([0.0, 0.1, 0.5])
        """Share of ids from a small pool instead of new ones."""
        self.count = 0
        self._kinds = [self._predict, self._resolve, self._trade, self._loose, self._join, self._again]
        self._weights = [random.choice([1, 3, 9]) for _ in self._kinds]

    def one(self) -> Input:
        """One input."""
        self.now += self.random.choice([0, HOUR // 4, HOUR, 30 * HOUR])
        made = self.random.choices(self._kinds, self._weights)[0]() or self._predict()
        self.sent.append(made)
        return made

    def some(self) -> list[Input]:
        """Inputs that come together."""
        random = self.random
        if random.random() < 0.1:  # many of a kind, which need no decision
            kind = random.choice([self._loose, self._predict])
            made = [kind() for _ in range(random.randrange(2, 15))]
            self.sent += made
            return made
        return [self.one() for _ in range(random.choice([1, 1, 2, 3, 6]))]

    def signals(self) -> list[Prediction]:
        """Predictions that come together and want to be decided, some for the second time.

        None says of an id what another of them contradicts: which of its errors the second gets is left open.
        """
        made: dict[str, Prediction] = {}
        for _ in range(self.random.choice([1, 1, 2, 4])):
            again = self.predictions and self.random.random() < 0.2
            signal = self.random.choice(self.predictions[-9:]) if again else self._predict()
            made.setdefault(signal.prediction_id, signal)
        signals = list(made.values())
        if self.random.random() < 0.1:
            signals.append(signals[0])
        self.sent += signals
        return signals

    # --------------------------------------------------------------------- kinds

    def _new_id(self) -> str:
        if self.random.random() < self.colliding:
            return f"c{self.random.randrange(8)}"
        self.count += 1
        return f"p{self.count}"

    def _at(self) -> int:
        return self.now - self.random.choice([0, 0, 0, HOUR, 3 * HOUR, 400 * HOUR])

    def _predict(self, pid: str | None = None, **known: Any) -> Prediction:
        random = self.random
        fields: dict[str, Any] = {
            "confidence": random.choice([0.5, 0.75, 0.9, round(random.random(), 2)]),
            "predicted_at": self._at() - 2 * HOUR,
            "outcome": random.choice(["YES", "YES", "NO"]),
        }
        if random.random() < 0.4:
            fields["price"] = Decimal(random.randrange(1, 100)) / 100
            if random.random() < 0.7:
                fields["size"] = Decimal(random.randrange(1, 5000)) / 100
                fields["fee"] = random.choice([None, Decimal("0.1")])
        fields |= known
        if random.random() < 0.15:
            fields["expires_at"] = fields["predicted_at"] + random.randrange(1, 40) * HOUR
        fields.setdefault("model_id", random.choice(self.models))
        made = prediction(pid or self._new_id(), random.choice(self.markets), **fields)
        self.predictions.append(made)
        return made

    def _resolve(self) -> MarketResolved:
        random = self.random
        return resolved(
            random.choice(self.markets),
            **random.choice(ENDINGS),
            status=random.choice(["final", "final", "proposed", "disputed"]),
            revision=random.choice([0, 0, 1, 2, 3, self.count // 10]),
            resolved_at=self._at(),
        )

    def _trade(self) -> TradeOutcome | None:
        """Of a prediction that was sent; now and then it says something else than that."""
        if not self.predictions:
            return None
        random = self.random
        about = random.choice(self.predictions[-12:])
        model = about.model_id if random.random() < 0.95 else random.choice(self.models)
        other = "NO" if about.outcome == "YES" else "YES"
        return self._told(about.prediction_id, model, about.outcome, random.choice([about.outcome, other]))

    def _loose(self) -> TradeOutcome:
        """Of a prediction that nobody has sent, perhaps yet."""
        random = self.random
        return self._told(self._new_id(), random.choice(self.models), "YES", random.choice(["YES", "NO"]))

    def _told(self, pid: str, model: str, predicted: str, actual: str) -> TradeOutcome:
        random = self.random
        made = outcome(
            pid, True, model, predicted_outcome=predicted, actual_outcome=actual,
            confidence=random.choice([None, None, 0.75]), pnl=random.choice(PNLS), resolved_at=self._at(),
        )  # fmt: skip
        self.trades.append(made)
        return made

    def _join(self) -> Input | None:
        """More about a prediction of which only the trade is known: the prediction, or the missing P&L."""
        if not self.trades:
            return None
        random = self.random
        known = random.choice(self.trades[-12:])
        if random.random() < 0.4:
            made = replace(known, pnl=random.choice(PNLS))
            self.trades.append(made)
            return made
        confidence = known.confidence if known.confidence is not None else 0.75
        return self._predict(
            known.prediction_id,
            model_id=known.model_id,
            outcome=known.predicted_outcome,
            confidence=confidence if random.random() < 0.9 else 0.25,
            predicted_at=known.resolved_at - random.choice([HOUR, HOUR, -HOUR]),
        )

    def _again(self) -> Input | None:
        """Something once more: the same to the letter, or under the same id something else."""
        if not self.sent:
            return None
        random = self.random
        known = random.choice(self.sent[-40:] if random.random() < 0.5 else self.sent)
        if random.random() < 0.6:
            return known
        if isinstance(known, Prediction):
            return replace(known, confidence=0.125)
        if isinstance(known, TradeOutcome):
            return replace(known, actual_outcome="NO" if known.actual_outcome == "YES" else "YES")
        return resolved(
            known.market_id, **random.choice(ENDINGS), status=known.status, revision=known.revision,
            resolved_at=known.resolved_at,
        )  # fmt: skip
