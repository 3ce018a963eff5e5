"""What a learner must believe, worked out from the facts at every look: the ledger of :mod:`..state.ledger`
with its order of settling, its resets, pauses and rules, and from them every figure by its definition."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from handicapper.actors.state.entries import (
    ExpirePredictions,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
    ShareChange,
)
from handicapper.config import LearningRules
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from ..state.ledger import Answer, Ledger, Lesson, RefusedError

__all__ = ["Beliefs", "SlowModel"]


class Beliefs(NamedTuple):
    """What is believed of one model."""

    n: int
    x_sum: float
    ema: float
    successes: float
    failures: float
    pnl: Decimal
    stake: Decimal
    shadow: int
    accepted: int
    rejected: int
    ungated: int
    pause: tuple[int | None, str] | None


class SlowModel(Ledger):
    """The ledger of everything that was accepted, which can forget its end."""

    def __init__(self, refused_ids: set[str], gated_ids: set[str]) -> None:
        super().__init__("final")
        self.refused_ids, self.gated_ids = refused_ids, gated_ids
        """Ids of the predictions that the gate decided about, as the journal has them."""
        self.log: list[Any] = []
        """Every accepted input; the one with number 1 first."""
        self.positions: dict[str, int] = {}
        """Prediction id → number of the input that settled it first."""
        self.resets: dict[str, int] = {}
        self.pauses: dict[str, tuple[int | None, str] | None] = {}
        self.rules_log: list[tuple[int, LearningRules]] = []

    # --------------------------------------------------------------------- facts

    def take(self, item: Any) -> Answer | str:
        """What becomes of an input: its receipt, or the code of its error."""
        before = self.seq
        settled = self.lessons.keys() if before == 0 else set(self.lessons)
        try:
            answer = self._take(item)
        except RefusedError as refusal:
            return str(refusal)
        if self.seq > before:
            self.log.append(item)
            for pid in self.lessons:
                if pid not in settled:
                    self.positions[pid] = self.seq
        return answer

    def _take(self, item: Any) -> Answer:
        if isinstance(item, Prediction):
            return self.predict(item, item.prediction_id in self.refused_ids)
        if isinstance(item, MarketResolved):
            return self.resolve(item)
        if isinstance(item, TradeOutcome):
            return self.trade(item)
        if isinstance(item, ExpirePredictions):
            return self.expire(item.at_ns)
        if isinstance(item, RulesInForce):
            answer = self.rules(item.rules.learn_on)
            self.rules_log.append((answer.seq, item.rules))
            return answer
        if isinstance(item, ShareChange):
            return self.share()
        answer = self.control(item.model_id)
        if isinstance(item, ResetModel):
            self.resets[item.model_id] = answer.seq
        elif isinstance(item, PauseModel):
            self.pauses[item.model_id] = item.until_ns, item.reason
        elif isinstance(item, ResumeModel):
            self.pauses[item.model_id] = None
        return answer

    def anything_expired(self, now_ns: int) -> bool:
        """Whether a prediction that waits for its market has waited too long."""
        return any(
            p.expires_at is not None and p.expires_at < now_ns and pid not in self.lessons
            for pid, (_, p, _) in self.predictions.items()
        )

    def gate_said(self, pid: str, accepted: bool) -> None:
        """The journal says what the gate decided, which nothing here can know."""
        self.gated_ids.add(pid)
        if accepted:
            return
        self.refused_ids.add(pid)
        if pid in self.predictions:
            seq, prediction, _ = self.predictions[pid]
            self.predictions[pid] = seq, prediction, True
            lesson = self.lessons.get(pid)
            if lesson is not None and lesson.x is not None:
                self.lessons[pid] = lesson._replace(shadow=True)

    def up_to(self, seq: int) -> SlowModel:
        """The ledger as it is if nothing later than an input ever happened."""
        earlier = SlowModel(self.refused_ids, self.gated_ids)
        for item in self.log[:seq]:
            answer = earlier.take(item)
            assert isinstance(answer, Answer)
        return earlier

    # ------------------------------------------------------------------- beliefs

    def beliefs(self, model_id: str) -> Beliefs:
        """Everything believed of a model."""
        reset = self.resets.get(model_id, 0)
        settled = [
            (self.positions[pid], lesson)
            for pid, lesson in self.lessons.items()
            if self._model_of(pid) == model_id and self.positions[pid] > reset
        ]
        lessons = [(at, lesson) for at, lesson in settled if lesson.x is not None]
        made = [
            pid for pid, (seq, p, _) in self.predictions.items() if p.model_id == model_id and seq > reset
        ]
        successes, failures = self._evidence(lessons)
        paid = [lesson for _, lesson in settled if lesson.pnl is not None]
        return Beliefs(
            n=len(lessons),
            x_sum=sum(lesson.x or 0.0 for _, lesson in lessons),
            ema=self._ema(lessons),
            successes=successes,
            failures=failures,
            pnl=sum((lesson.pnl or Decimal(0) for lesson in paid), Decimal(0)),
            stake=sum((lesson.stake or Decimal(0) for lesson in paid), Decimal(0)),
            shadow=sum(lesson.shadow for _, lesson in lessons),
            accepted=sum(pid in self.gated_ids and pid not in self.refused_ids for pid in made),
            rejected=sum(pid in self.refused_ids for pid in made),
            ungated=sum(pid not in self.gated_ids for pid in made),
            pause=self.pauses.get(model_id),
        )

    def rules_at(self, seq: int) -> LearningRules:
        """The rules in force when an input was accepted."""
        return [rules for since, rules in self.rules_log if since <= seq][-1]

    def _ema(self, lessons: list[tuple[int, Lesson]]) -> float:
        average = 0.5
        for position, lesson in lessons:
            average += self.rules_at(position).ema_alpha * ((lesson.x or 0.0) - average)
        return average

    def _evidence(self, lessons: list[tuple[int, Lesson]]) -> tuple[float, float]:
        """Σ x·2^−(half-lives passed since): each outcome is decayed once, over all the time since its own."""
        passed = 0.0
        newest: int | None = None
        entered: list[tuple[float, float]] = []
        for position, lesson in lessons:
            half_life_ns = self.rules_at(position).decay_half_life_seconds * 1e9
            at_ns = lesson.at_ns or 0
            newest = at_ns if newest is None else newest
            if at_ns > newest:
                passed += (at_ns - newest) / half_life_ns
                newest = at_ns
            entered.append((passed - (newest - at_ns) / half_life_ns, lesson.x or 0.0))
        shares = [(2.0 ** (at - passed), x) for at, x in entered]
        return sum(x * share for share, x in shares), sum((1.0 - x) * share for share, x in shares)
