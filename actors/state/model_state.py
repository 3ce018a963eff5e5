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

from collections.abc import Sequence
from copy import copy
from decimal import Decimal
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple

from ...config.rules import Posterior
from ...config.settings import LearningRules
from ...protocol.errors import InvalidValueError
from ..learning.pnl import normalize_money
from .changing import follow_posterior
from .events import (
    UNKNOWN,
    Counted,
    ModelEvent,
    Paused,
    PosteriorSet,
    Rescored,
    Reset,
    Resumed,
    RulesChanged,
    Scored,
)
from .fold import fold_rows, follow_policies, slide_window
from .history import History, Row
from .statistics import LearnedStatistics, Tally

__all__ = ["CHECKPOINT_ROWS", "Evidence", "ModelRecord", "ModelState"]

CHECKPOINT_ROWS: Final = 64
"""Rows between two checkpoints: corrections of the last 64 to 128 outcomes fold again in place."""


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
    posterior_set: Posterior | None = None


Evidence: TypeAlias = tuple[bool, bytes | None, float, float, int, float, float, float, bool]
"""What a model's draws depend on, besides time, pauses and its name: whether its outcomes are enough to be eligible,
the packed change-point filter if it speaks, the decayed successes and failures with their time and their half-life
(both in ns), the prior's alpha and beta, and whether draws are made (or the mean stands for each)."""


class ModelState:
    """What is believed of one model."""

    __slots__ = (
        "applied_seq",
        "evidence",
        "history",
        "model_id",
        "newer",
        "newer_row",
        "now",
        "older",
        "older_row",
        "pause",
        "posterior_set",
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
        self.posterior_set: Posterior | None = None
        """How evidence ages whatever the rules say; None: as they say."""
        self.evidence: Evidence | None = None
        """What every selection asks for, made by the first that does; None once anything changes."""
        self._forget()

    def apply(self, events: Sequence[ModelEvent], seq: int) -> bool:
        """Fold the events of journaled inputs up to ``seq``; return True if a rebuild is needed.

        Events of inputs already folded (``seq`` not above ``applied_seq``) are skipped, so that a replay
        may overlap with a snapshot.

        Raises:
            InvalidValueError: an event is of no known type.

        """
        if seq <= self.applied_seq:
            return False
        self.evidence = None
        rebuild = False
        index, end = 0, len(events)
        while index < end:
            event = events[index]
            if type(event) is Scored:
                index = self._score(events, index)
                continue
            index += 1
            if isinstance(event, Counted):
                self.tally.count(event)
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
        elif isinstance(event, PosteriorSet):
            self._set_posterior(event.posterior)
        elif isinstance(event, RulesChanged):
            self._follow(event.rules)
        else:
            raise InvalidValueError("event", event, "an event of handicapper.actors.state.events")

    def _score(self, events: Sequence[ModelEvent], start: int) -> int:
        """Fold the scored rows from ``events[start]`` on, up to the next checkpoint; returns where they end.

        If that raises, none of them was folded, so that a poison event can be passed over without a trace.
        """
        history = self.history
        first = history.end
        rows: list[Row] = []
        counted: list[Scored] = []
        amounts: list[Decimal] = []
        for event in events[start : start + max(self.newer_row + CHECKPOINT_ROWS - first, 1)]:
            if type(event) is not Scored:
                break
            row_id, at_ns, x, confidence, price, shadow, stake, pnl = astuple(event)
            rows.append((row_id, at_ns, x, confidence, price) if x == x else _row_of(event))
            if shadow or stake is not None:
                counted.append(event)
            elif pnl is not None:
                amounts.append(pnl)
        history.extend(rows)
        try:
            fold_rows(self.now, rows, first, self.rules, history)
        except BaseException:
            history.drop_from(first)
            self._fold_again()
            raise
        for each in counted:
            self.tally.add(each)
        if amounts:
            self.tally.add_traded(amounts)
        if history.end - self.newer_row >= CHECKPOINT_ROWS:
            self._advance_checkpoints()
        return start + len(rows)

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
        statistics, history = self.older.copy(), self.history
        parts = (self.older_row, self.newer_row), (self.newer_row, history.end)
        for first, end in parts:
            if first == self.newer_row:
                self.newer = statistics.copy()
            fold_rows(statistics, history.rows(first, end), first, self.rules, history)
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
        follow_policies(now, rules)
        follow_posterior(now, self.posterior)
        slide_window(now, rules.calibration_window, self.history, self.history.end)
        self._checkpoint_here()

    def gather_evidence(self) -> Evidence:
        """What draws depend on, of an eligible model; kept until the next :meth:`apply`."""
        now, rules = self.now, self.rules
        aged = rules.enabled and now.n > 0
        self.evidence = found = (
            now.n >= rules.min_samples_for_eligibility,
            now.changes if rules.enabled else None,
            now.successes if aged else 0.0,
            now.failures if aged else 0.0,
            now.evidence_at_ns,
            rules.decay_half_life_seconds * 1e9,
            rules.prior_alpha,
            rules.prior_beta,
            rules.sampling_enabled,
        )
        return found

    @property
    def posterior(self) -> Posterior:
        """How evidence ages."""
        return self.rules.posterior if self.posterior_set is None else self.posterior_set

    def _set_posterior(self, posterior: Posterior | None) -> None:
        """The filter begins anew even if there was one: what went before is then of no account, and needs no record."""
        self.posterior_set = posterior
        self.now.changes = None
        follow_posterior(self.now, self.posterior)
        self._checkpoint_here()

    def _forget(self) -> None:
        self.now = LearnedStatistics.initial(self.rules.initial_threshold)
        follow_policies(self.now, self.rules)
        follow_posterior(self.now, self.posterior)
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
            posterior_set=self.posterior_set,
        )

    @classmethod
    def from_record(cls, record: ModelRecord, rules: LearningRules) -> ModelState:
        """The state a record was made from; ``rules`` are those in force at its ``applied_seq``."""
        state = cls(record.model_id, rules)
        state.applied_seq = record.applied_seq
        state.reset_seq = record.reset_seq
        state.pause = record.pause
        state.posterior_set = record.posterior_set
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
