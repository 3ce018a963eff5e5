"""What a book must decide, written a second time as plain dicts: nothing is kept but the facts, and
every row is worked out from all of them again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

RANK = {"proposed": 0, "disputed": 1, "final": 2}


class RefusedError(Exception):
    """The code of the error that is due."""


class Answer(NamedTuple):
    """What the receipt must say."""

    seq: int
    duplicate: bool = False
    scored: int = 0
    revised: int = 0
    waiting: bool = False
    unscored: tuple[str, ...] = ()


class Lesson(NamedTuple):
    """What a settled prediction teaches; ``x`` None: nothing."""

    at_ns: int | None = None
    x: float | None = None
    confidence: float | None = None
    price: float | None = None
    shadow: bool = False
    stake: Decimal | None = None
    pnl: Decimal | None = None


NOTHING = Lesson()


class Ledger:
    """The facts, in dicts by id."""

    def __init__(self, learn_on: str) -> None:
        self.seq = 0
        self.learn_on = learn_on
        self.predictions: dict[str, tuple[int, Prediction, bool]] = {}
        """id → (seq, prediction, refused by the gate)."""
        self.outcomes: dict[str, tuple[int, TradeOutcome]] = {}
        self.pnl_added: dict[str, int] = {}
        """By prediction: number of the outcome that only added a P&L."""
        self.rulings: dict[str, dict[tuple[int, int], tuple[int, MarketResolved]]] = {}
        self.lessons: dict[str, Lesson] = {}
        """Of every settled prediction."""
        self.models: set[str] = set()

    def next(self) -> int:
        self.seq += 1
        return self.seq

    # ------------------------------------------------------------------ facts

    def predict(self, p: Prediction, refused: bool = False) -> Answer:
        known = self.predictions.get(p.prediction_id)
        if known is not None:
            if known[1] != p:
                raise RefusedError("CONFLICT")
            return Answer(known[0], duplicate=True)
        told = self.outcomes.get(p.prediction_id)
        if told is not None:
            self._one_story(p, told[1])
        ruling = self.in_force(p.market_id)
        if ruling is not None:
            if p.predicted_at > ruling[1].resolved_at:
                raise RefusedError("PREDICTED_AFTER_RESOLUTION")
            if told is not None:
                self._one_truth(p, told[1], ruling[1])
        seq = self.next()
        self.predictions[p.prediction_id] = seq, p, refused
        self.models.add(p.model_id)
        return self._settle(seq, [p.prediction_id], p.market_id)

    def resolve(self, r: MarketResolved) -> Answer:
        recorded = self.rulings.setdefault(r.market_id, {})
        key = (r.revision, RANK[r.status])
        if key in recorded:
            seq, same = recorded[key]
            if (same.void, same.payouts) != (r.void, r.payouts):
                raise RefusedError("CONFLICT")
            return Answer(seq, duplicate=True)
        if recorded and key < max(recorded):
            raise RefusedError("STALE_REVISION")
        inside = [pid for pid, (_, p, _) in self.predictions.items() if p.market_id == r.market_id]
        teaches = r.status == "final" or (self.learn_on == "proposed" and r.status == "proposed")
        if r.revision == 0 and teaches:
            for pid in inside:
                if pid in self.outcomes:
                    self._one_truth(self.predictions[pid][1], self.outcomes[pid][1], r)
        seq = self.next()
        recorded[key] = seq, r
        waiting = not inside or self.in_force(r.market_id) is None
        return self._settle(seq, inside, r.market_id)._replace(waiting=waiting)

    def trade(self, o: TradeOutcome) -> Answer:
        pid = o.prediction_id
        if pid in self.outcomes:
            seq, known = self.outcomes[pid]
            same = (known.model_id, known.predicted_outcome, known.actual_outcome)
            if same != (o.model_id, o.predicted_outcome, o.actual_outcome):
                raise RefusedError("CONFLICT")
            if known.pnl is not None and o.pnl not in (None, known.pnl):
                raise RefusedError("CONFLICT")
            if o.pnl is None or known.pnl is not None:
                added = self.pnl_added.get(pid, seq) if o.pnl is not None else seq
                return Answer(added, duplicate=True)
            # Only what was missing is added: it keeps its date and its confidence.
            merged = TradeOutcome(
                prediction_id=pid, model_id=known.model_id, predicted_outcome=known.predicted_outcome,
                actual_outcome=known.actual_outcome, resolved_at=known.resolved_at,
                confidence=known.confidence, pnl=o.pnl,
            )  # fmt: skip
            self.outcomes[pid] = seq, merged
            self.pnl_added[pid] = self.next()
            return self._settle(self.pnl_added[pid], [pid], self._market_of(pid))
        if pid in self.predictions:
            p = self.predictions[pid][1]
            self._one_story(p, o)
            ruling = self.in_force(p.market_id)
            if ruling is not None:
                self._one_truth(p, o, ruling[1])
        seq = self.next()
        self.outcomes[pid] = seq, o
        self.models.add(o.model_id)
        return self._settle(seq, [pid], self._market_of(pid))

    def expire(self, now_ns: int) -> Answer:
        """Pending predictions whose time is over are settled without a lesson, first made first."""
        due = sorted(
            (made, pid)
            for pid, (made, p, _) in self.predictions.items()
            if p.expires_at is not None and p.expires_at < now_ns and pid not in self.lessons
        )
        for _, pid in due:
            self.lessons[pid] = NOTHING
        return Answer(self.next(), unscored=tuple(pid for _, pid in due))

    def control(self, model_id: str) -> Answer:
        if model_id not in self.models:
            raise RefusedError("UNKNOWN_MODEL")
        return Answer(self.next())

    def rules(self, learn_on: str) -> Answer:
        self.learn_on = learn_on
        return Answer(self.next())

    def share(self) -> Answer:
        return Answer(self.next())

    # ---------------------------------------------------------------- derived

    def in_force(self, market_id: str | None) -> tuple[int, MarketResolved] | None:
        recorded = self.rulings.get(market_id or "", {})
        if self.learn_on == "final":
            finals = [key for key in recorded if key[1] == RANK["final"]]
            return recorded[max(finals)] if finals else None
        if not recorded or max(recorded)[1] == RANK["disputed"]:
            return None
        return recorded[max(recorded)]

    def model_lessons(self, model_id: str) -> list[Lesson]:
        """Everything that teaches a model."""
        return [
            lesson
            for pid, lesson in self.lessons.items()
            if self._model_of(pid) == model_id and lesson.x is not None
        ]

    def _model_of(self, pid: str) -> str:
        return (
            self.predictions[pid][1].model_id if pid in self.predictions else self.outcomes[pid][1].model_id
        )

    def _market_of(self, pid: str) -> str | None:
        return self.predictions[pid][1].market_id if pid in self.predictions else None

    def _settle(self, seq: int, pids: list[str], market_id: str | None) -> Answer:
        ruling = self.in_force(market_id)
        scored = revised = 0
        unscored: list[str] = []
        for pid in pids:
            lesson, known = self._lesson(pid, ruling), self.lessons.get(pid)
            if lesson is None and known is None:
                continue
            lesson = lesson or NOTHING
            if known is None or known.x is None:
                scored += lesson.x is not None
            else:
                revised += lesson != known
            self.lessons[pid] = lesson
            if ruling is not None and lesson.x is None and pid in self.predictions:
                p, r = self.predictions[pid][1], ruling[1]
                if not self._counts(p, r):
                    unscored.append(pid)
        return Answer(seq, scored=scored, revised=revised, unscored=tuple(unscored))

    def _lesson(self, pid: str, ruling: tuple[int, MarketResolved] | None) -> Lesson | None:
        told = self.outcomes.get(pid)
        made = self.predictions.get(pid)
        own = None
        if told is not None:
            o = told[1]
            own = self._row(pid, o.resolved_at, float(o.predicted_outcome == o.actual_outcome), o.pnl)
        if ruling is None or made is None:
            return own
        seq, r = ruling
        if own is not None and told is not None and r.revision == 0 and told[0] < seq:
            return own
        if r.void:
            return NOTHING
        if not self._counts(made[1], r):
            return own or NOTHING
        x = (r.payouts or {}).get(made[1].outcome, 0.0)
        agreed = own is not None and told is not None and own.x == x
        return self._row(pid, r.resolved_at, x, told[1].pnl if agreed and told is not None else None)

    def _row(self, pid: str, at_ns: int, x: float, own_pnl: Decimal | None) -> Lesson:
        if pid not in self.predictions:
            return Lesson(at_ns, x, self.outcomes[pid][1].confidence, pnl=own_pnl)
        _, p, refused = self.predictions[pid]
        stake = pnl = None
        if p.price is not None and p.size is not None:
            stake = p.size * p.price
            pnl = p.size * (Decimal(str(x)) - p.price) - (p.fee or 0)
        price = None if p.price is None else float(p.price)
        return Lesson(at_ns, x, p.confidence, price, refused, stake, pnl if own_pnl is None else own_pnl)

    @staticmethod
    def _counts(p: Prediction, r: MarketResolved) -> bool:
        return p.predicted_at <= r.resolved_at and (p.expires_at is None or r.resolved_at <= p.expires_at)

    def _one_story(self, p: Prediction, o: TradeOutcome) -> None:
        if (p.model_id, p.outcome) != (o.model_id, o.predicted_outcome):
            raise RefusedError("CONFLICT")
        if o.confidence is not None and o.confidence != p.confidence:
            raise RefusedError("CONFLICT")
        if p.predicted_at > o.resolved_at:
            raise RefusedError("PREDICTED_AFTER_RESOLUTION")

    def _one_truth(self, p: Prediction, o: TradeOutcome, r: MarketResolved) -> None:
        if not r.void and not self._counts(p, r):
            return
        x = (r.payouts or {}).get(p.outcome, 0.0)
        if r.void or x != float(o.predicted_outcome == o.actual_outcome):
            raise RefusedError("CONFLICT")


def lesson_of(row: Any) -> Lesson | None:
    """A row of the book in the ledger's form."""
    if row is None:
        return None
    if row.x != row.x:
        return NOTHING

    def known(value: float) -> float | None:
        return value if value == value else None

    return Lesson(row.at_ns, row.x, known(row.confidence), known(row.price), row.shadow, row.stake, row.pnl)
