"""The pool's state: every resolved market folded, in journal order, into what the models' shares of it are.

A model's state looks at that model alone; the pool compares them on the same markets, and is one more learner that is
told, restarted, saved and rebuilt as a model is. Corrections are dealt with as in :mod:`.model_state`: two checkpoints
trail the present, and the rows since the older one are kept and folded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ...config.rules import LearningRules
from ...protocol.errors import InvalidValueError
from .events import (
    Counted,
    ModelEvent,
    Paused,
    PoolRescored,
    PoolScored,
    PosteriorSet,
    Reset,
    Resumed,
    RulesChanged,
)
from .pool_row import POOL_ID
from .pool_statistics import PoolStatistics, fold_row

__all__ = ["CHECKPOINT_ROWS", "PoolRecord", "PoolState"]

CHECKPOINT_ROWS: Final = 64
"""Rows between two checkpoints: corrections of the last 64 to 128 markets fold again in place."""


class PoolRecord(Struct, array_like=True, frozen=True):
    """A PoolState as it is stored; equal states give equal bytes."""

    applied_seq: int
    reset_seq: int
    now: PoolStatistics
    newer: PoolStatistics
    newer_row: int
    older: PoolStatistics
    older_row: int
    rows: tuple[PoolScored, ...]
    """Those from ``older_row`` on."""


class PoolState:
    """What the pool has learned."""

    __slots__ = (
        "applied_seq",
        "newer",
        "newer_row",
        "now",
        "older",
        "older_row",
        "reset_seq",
        "rows",
        "rules",
        "weighed",
    )

    model_id: Final = POOL_ID

    def __init__(self, rules: LearningRules) -> None:
        self.rules = rules
        self.applied_seq = 0
        self.reset_seq = 0
        self.weighed: dict[str, float] | None = None
        """The models' weights, once somebody has asked: every signal does, and only markets change them."""
        self._forget()

    @property
    def end(self) -> int:
        """Number the next row will have."""
        return self.older_row + len(self.rows)

    def apply(self, events: Sequence[ModelEvent], seq: int) -> bool:
        """Fold the events of journaled inputs up to ``seq``; return True if a rebuild is needed.

        Events of inputs already folded (``seq`` not above ``applied_seq``) are skipped, so that a replay
        may overlap with a snapshot.

        Raises:
            InvalidValueError: an event is of no known type.

        """
        if seq <= self.applied_seq:
            return False
        rebuild, self.weighed = False, None
        for event in events:
            if isinstance(event, PoolScored):
                self._score(event)
            elif isinstance(event, PoolRescored):
                rebuild |= self._rescore(event)
            elif isinstance(event, RulesChanged):
                self.rules = event.rules
                self._checkpoint_here()
            elif isinstance(event, Reset):
                self.reset_seq = event.seq
                self._forget()
            elif not isinstance(event, Counted | Paused | Resumed | PosteriorSet):
                raise InvalidValueError(
                    "event", event, "an event of handicapper.actors.state that a pool learns from"
                )
        self.applied_seq = seq
        return rebuild

    def _score(self, row: PoolScored) -> None:
        """Fold one row. If that raises it was not folded, so that a poison event can be passed over without a trace."""
        self.rows.append(row)
        try:
            fold_row(self.now, row, self.rules.pool)
        except BaseException:
            self.rows.pop()
            self._fold_again()
            raise
        if self.end - self.newer_row >= CHECKPOINT_ROWS:
            del self.rows[: self.newer_row - self.older_row]
            self.older, self.older_row = self.newer, self.newer_row
            self.newer, self.newer_row = self.now.copy(), self.end

    def _rescore(self, event: PoolRescored) -> bool:
        if event.position_seq <= self.reset_seq:
            return False
        new = event.new
        for place, row in enumerate(self.rows):
            if row.row_id == new.row_id:
                self.rows[place] = new
                self._fold_again()
                return False
        return True

    def _fold_again(self) -> None:
        """Fold the kept rows from the older checkpoint on, with the checkpoint between them renewed."""
        statistics = self.older.copy()
        for number, row in enumerate(self.rows, self.older_row):
            if number == self.newer_row:
                self.newer = statistics.copy()
            fold_row(statistics, row, self.rules.pool)
        if self.end == self.newer_row:
            self.newer = statistics.copy()
        self.now = statistics

    def _checkpoint_here(self) -> None:
        """What was learned under other rules is not folded again under these."""
        end = self.end
        self.rows: list[PoolScored] = []
        self.older, self.older_row = self.now.copy(), end
        self.newer, self.newer_row = self.now.copy(), end

    def _forget(self) -> None:
        self.rows = []
        self.older_row = 0
        self.now = PoolStatistics.initial(self.rules.pool)
        self._checkpoint_here()

    def to_record(self) -> PoolRecord:
        """The whole state, to be stored."""
        return PoolRecord(
            applied_seq=self.applied_seq,
            reset_seq=self.reset_seq,
            now=self.now.copy(),
            newer=self.newer.copy(),
            newer_row=self.newer_row,
            older=self.older.copy(),
            older_row=self.older_row,
            rows=tuple(self.rows),
        )

    @classmethod
    def from_record(cls, record: PoolRecord, rules: LearningRules) -> PoolState:
        """The state a record was made from; ``rules`` are those in force at its ``applied_seq``."""
        state = cls(rules)
        state.applied_seq = record.applied_seq
        state.reset_seq = record.reset_seq
        state.now = record.now.copy()
        state.newer, state.newer_row = record.newer.copy(), record.newer_row
        state.older, state.older_row = record.older.copy(), record.older_row
        state.rows = list(record.rows)
        return state

    def check_invariants(self) -> None:
        """Raise AssertionError if the state contradicts itself; for tests and ``verify``."""
        assert self.older_row <= self.newer_row <= self.end, (self.older_row, self.newer_row, self.end)
        assert len(self.rows) < 2 * CHECKPOINT_ROWS, len(self.rows)
