"""One model's state: outcomes folded, in journal order, into what is believed of it.

The only door is :meth:`ModelState.apply`. Nothing here reads a clock or draws a number: event times come
with the events, ``as_of`` with the questions.

**Correcting the past.** Half of the statistics depend on order (EMA, threshold, window), so a revised
outcome cannot be subtracted. Instead two checkpoints of the statistics trail the present, and the rows
since the older one are kept: a correction within them replaces the row and folds again, which gives
bit for bit the state that the corrected history would have given. An older correction is reported
(``apply`` returns True): the owner rebuilds the model from its whole corrected history, see
:mod:`.rebuild`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Final

from msgspec import Struct

from ...config.settings import LearningRules
from ...protocol.errors import InvalidValueError
from ..learning.calibration import add_to_bins
from ..learning.ema import ema_update
from ..learning.pnl import normalize_money
from ..learning.posterior import add_outcome
from ..learning.scores import brier_loss, log_loss
from ..learning.threshold import adjust_threshold, relax_threshold
from .events import UNKNOWN, Counted, ModelEvent, Paused, Rescored, Reset, Resumed, RulesChanged, Scored
from .history import History, Row
from .statistics import LearnedStatistics, Tally

__all__ = ["CHECKPOINT_ROWS", "ModelRecord", "ModelState"]

CHECKPOINT_ROWS: Final = 64
"""Rows between two checkpoints: corrections of the last 64 to 128 outcomes fold again in place."""


ROWS_PER_WINDOW: Final = 16
"""An outcome leaves the calibration window after this many windows of outcomes, with or without a confidence."""


class ModelRecord(Struct, array_like=True, frozen=True):
    """A ModelState as it is stored; equal states give equal bytes."""

    model_id: str
    applied_seq: int
    reset_seq: int
    pause: Paused | None
    now: LearnedStatistics
    newer: LearnedStatistics
    newer_row: int
    older: LearnedStatistics
    older_row: int
    tally: Tally
    history_first: int
    history: bytes


class ModelState:
    """What is believed of one model."""

    __slots__ = (
        "applied_seq",
        "history",
        "model_id",
        "newer",
        "newer_row",
        "now",
        "older",
        "older_row",
        "pause",
        "reset_seq",
        "rules",
        "tally",
    )

    def __init__(self, model_id: str, rules: LearningRules) -> None:
        self.model_id = model_id
        self.rules = rules
        self.applied_seq = 0
        self.reset_seq = 0
        self.pause: Paused | None = None
        self._forget()

    def apply(self, events: Iterable[ModelEvent], seq: int) -> bool:
        """Fold the events of journaled inputs up to ``seq``; return True if a rebuild is needed.

        Events of inputs already folded (``seq`` not above ``applied_seq``) are skipped, so that a replay
        may overlap with a snapshot.

        Raises:
            InvalidValueError: an event is of no known type.

        """
        if seq <= self.applied_seq:
            return False
        rebuild = False
        for event in events:
            kind = type(event)
            if kind is Scored:
                self._score(event)  # pyright: ignore[reportArgumentType]  # the type test above
            elif kind is Counted:
                self.tally.count(event)  # pyright: ignore[reportArgumentType]
            elif isinstance(event, Rescored):
                rebuild |= self._rescore(event)
            else:
                self._control(event)
        self.applied_seq = seq
        return rebuild

    def _control(self, event: ModelEvent) -> None:
        if isinstance(event, Paused):
            self.pause = event
        elif isinstance(event, Resumed):
            self.pause = None
        elif isinstance(event, Reset):
            self.reset_seq = event.seq
            self._forget()
        elif isinstance(event, RulesChanged):
            self._follow(event.rules)
        else:
            raise InvalidValueError("event", event, "an event of handicapper.actors.state.events")

    def _score(self, scored: Scored) -> None:
        history = self.history
        row = _row_of(scored)
        history.append(row)
        try:
            fold_row(self.now, row, self.rules, history, history.end)
        except BaseException:
            # Half folded: back to what was, so that a poison event can be passed over without a trace.
            history.drop_last()
            self._fold_again()
            raise
        self.tally.add(scored)
        if history.end - self.newer_row >= CHECKPOINT_ROWS:
            self._advance_checkpoints()

    def _rescore(self, event: Rescored) -> bool:
        if event.position_seq <= self.reset_seq:
            return False
        old, new = event.old, event.new
        self.tally.subtract(old)
        self.tally.add(new)
        if _same_lesson(old, new):
            return False
        number = self.history.find(new.row_id)
        if number is None or number < self.older_row:
            return True
        self.history.replace(number, _row_of(new))
        self._fold_again()
        return False

    def _fold_again(self) -> None:
        """Fold the kept rows from the older checkpoint on, with the checkpoint between them renewed."""
        statistics = self.older.copy()
        for number in range(self.older_row, self.history.end):
            if number == self.newer_row:
                self.newer = statistics.copy()
            fold_row(statistics, self.history[number], self.rules, self.history, number + 1)
        if self.newer_row == self.history.end:
            self.newer = statistics.copy()
        self.now = statistics

    def _advance_checkpoints(self) -> None:
        self.older, self.older_row = self.newer, self.newer_row
        self.newer, self.newer_row = self.now.copy(), self.history.end
        self._drop_old_rows()

    def _checkpoint_here(self) -> None:
        """What was learned under other rules is not folded again under these."""
        self.older, self.older_row = self.now.copy(), self.history.end
        self.newer, self.newer_row = self.now.copy(), self.history.end
        self._drop_old_rows()

    def _drop_old_rows(self) -> None:
        """Without a confidence in the window, nothing before the older checkpoint is looked at again."""
        older = self.older
        first = min(self.older_row, older.window_start) if older.window_count else self.older_row
        self.history.drop_before(first)

    def _follow(self, rules: LearningRules) -> None:
        self.rules = rules
        now = self.now
        if now.n == 0:
            now.threshold = rules.initial_threshold
        now.threshold = min(max(now.threshold, rules.min_threshold), rules.max_threshold)
        _slide_window(now, rules.calibration_window, self.history, self.history.end)
        self._checkpoint_here()

    def _forget(self) -> None:
        self.now = LearnedStatistics.initial(self.rules.initial_threshold)
        self.tally = Tally()
        self.history = History()
        self._checkpoint_here()

    def to_record(self) -> ModelRecord:
        """The whole state, to be stored."""
        tally = copy(self.tally)
        tally.stake = normalize_money(tally.stake)
        tally.staked_pnl = normalize_money(tally.staked_pnl)
        tally.pnl = normalize_money(tally.pnl)
        tally.pnl_traded = normalize_money(tally.pnl_traded)
        return ModelRecord(
            model_id=self.model_id,
            applied_seq=self.applied_seq,
            reset_seq=self.reset_seq,
            pause=self.pause,
            now=self.now.copy(),
            newer=self.newer.copy(),
            newer_row=self.newer_row,
            older=self.older.copy(),
            older_row=self.older_row,
            tally=tally,
            history_first=self.history.first,
            history=self.history.tobytes(),
        )

    @classmethod
    def from_record(cls, record: ModelRecord, rules: LearningRules) -> ModelState:
        """The state a record was made from; ``rules`` are those in force at its ``applied_seq``."""
        state = cls(record.model_id, rules)
        state.applied_seq = record.applied_seq
        state.reset_seq = record.reset_seq
        state.pause = record.pause
        state.now = record.now.copy()
        state.newer = record.newer.copy()
        state.newer_row = record.newer_row
        state.older = record.older.copy()
        state.older_row = record.older_row
        state.tally = copy(record.tally)
        state.history = History(record.history_first, record.history)
        return state

    def check_invariants(self) -> None:
        """Raise AssertionError if the state contradicts itself; for tests and ``verify``."""
        now, rules = self.now, self.rules
        assert 0.0 <= now.ema_accuracy <= 1.0, now.ema_accuracy
        assert now.successes >= 0.0, now.successes
        assert now.failures >= 0.0, now.failures
        assert rules.min_threshold <= now.threshold <= rules.max_threshold or now.n == 0, now.threshold
        assert 0 <= now.window_count <= rules.calibration_window, now.window_count
        assert self.history.first <= self.older_row <= self.newer_row <= self.history.end
        assert self.tally.shadow >= 0, self.tally.shadow


def fold_row(s: LearnedStatistics, row: Row, rules: LearningRules, history: History, end: int) -> None:
    """Fold row number ``end − 1`` of ``history`` into the statistics, in place.

    In this order: relax the threshold to the event's time, posterior, EMA, calibration, threshold.
    """
    _, at_ns, x, confidence, price = row
    if s.window_count and end - s.window_start > ROWS_PER_WINDOW * rules.calibration_window:
        _slide_window(s, rules.calibration_window, history, end)
    if x != x:
        return
    n = s.n = s.n + 1
    s.x_sum += x
    if n == 1:
        s.successes, s.failures, s.evidence_at_ns = x, 1.0 - x, at_ns
        s.last_at_ns = s.threshold_at_ns = at_ns
    else:
        s.successes, s.failures, s.evidence_at_ns = add_outcome(
            s.successes, s.failures, s.evidence_at_ns, x, at_ns, rules.decay_half_life_seconds
        )
        if at_ns > s.last_at_ns:
            s.last_at_ns = at_ns
    s.ema_accuracy = ema_update(s.ema_accuracy, x, rules.ema_alpha)
    if confidence == confidence:
        _fold_confidence(s, x, confidence, price, rules, history, end)
    if rules.enabled:
        _fold_threshold(s, at_ns, rules)


def _fold_confidence(
    s: LearnedStatistics,
    x: float,
    confidence: float,
    price: float,
    rules: LearningRules,
    history: History,
    end: int,
) -> None:
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
    _slide_window(s, rules.calibration_window, history, end)


def _slide_window(s: LearnedStatistics, size: int, history: History, end: int) -> None:
    """Let the oldest outcomes leave the calibration window until it holds at most ``size``, and none from
    before the last ``ROWS_PER_WINDOW · size`` rows: rows without a confidence must not pile up behind it."""
    while s.window_count > size or (s.window_count and end - s.window_start > ROWS_PER_WINDOW * size):
        _, _, old_x, old_confidence, _ = history[s.window_start]
        s.window_start += 1
        if old_x == old_x and old_confidence == old_confidence:
            s.window_error_sum -= old_confidence - old_x
            s.window_count -= 1


def _fold_threshold(s: LearnedStatistics, at_ns: int, rules: LearningRules) -> None:
    if at_ns > s.threshold_at_ns:
        s.threshold = relax_threshold(
            s.threshold,
            rules.initial_threshold,
            at_ns - s.threshold_at_ns,
            rules.relaxation_half_life_seconds,
        )
        s.threshold_at_ns = at_ns
    if s.n >= rules.min_predictions_for_adaptation and s.window_count:
        s.threshold = adjust_threshold(
            s.threshold,
            s.window_error_sum / s.window_count,
            rules.adjustment_rate,
            rules.min_threshold,
            rules.max_threshold,
        )


def _row_of(scored: Scored) -> Row:
    """The row as it is kept. What teaches nothing keeps its place and no more, so that equal
    histories have equal bytes."""
    if scored.x != scored.x:
        return (scored.row_id, 0, UNKNOWN, UNKNOWN, UNKNOWN)
    return (scored.row_id, scored.at_ns, scored.x, scored.confidence, scored.price)


def _same_lesson(old: Scored, new: Scored) -> bool:
    """Whether both rows teach the same (only money differs)."""
    same = (old.x == new.x and old.at_ns == new.at_ns) or (old.x != old.x and new.x != new.x)
    return same and repr(old.confidence) == repr(new.confidence) and repr(old.price) == repr(new.price)
