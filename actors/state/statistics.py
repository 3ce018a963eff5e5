"""The numbers a model's outcomes are folded into, as plain fields that can be copied.

``LearnedStatistics`` depends on the order of outcomes and is folded again when the past is corrected;
``Tally`` is exact (integers and decimals) and is corrected by subtracting the old and adding the new.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from decimal import Decimal

from msgspec import Struct

from ..learning.calibration import new_bins
from ..learning.pnl import add_money, subtract_money, sum_money
from .edge import Edge
from .events import Counted, Scored
from .recalibrating import Recalibration

__all__ = ["LearnedStatistics", "Tally"]


class LearnedStatistics(Struct, array_like=True):
    """Everything learned from the outcomes in order. Floats; times in ns."""

    n: int
    ema_accuracy: float
    successes: float
    """Decayed sum of x as of ``evidence_at_ns``."""
    failures: float
    evidence_at_ns: int
    threshold: float
    threshold_at_ns: int
    last_at_ns: int
    """Latest event time of an outcome; 0 with n = 0."""
    x_sum: float
    x_squared_sum: float
    """Of the outcomes with a confidence."""
    log_loss_sum: float
    bins: list[float]
    """Flat calibration bins, see learning.calibration."""
    priced: int
    price_brier_sum: float
    priced_brier_sum: float
    """Brier of the model on the rows that have a price."""
    window_start: int
    """Row number of the oldest row that may be in the calibration window."""
    window_count: int
    window_error_sum: float
    """Sum of confidence − x over the window."""
    recalibration: Recalibration | None = None
    """None: the rules do not ask for it."""
    edge: Edge | None = None
    """Likewise."""
    changes: bytes | None = None
    """A ``ChangePointFilter``, packed; empty before the first outcome, None: the rules do not ask for it."""

    @classmethod
    def initial(cls, threshold: float) -> LearnedStatistics:
        """No outcome yet."""
        return cls(
            n=0,
            ema_accuracy=0.5,
            successes=0.0,
            failures=0.0,
            evidence_at_ns=0,
            threshold=threshold,
            threshold_at_ns=0,
            last_at_ns=0,
            x_sum=0.0,
            x_squared_sum=0.0,
            log_loss_sum=0.0,
            bins=[0.0] * len(new_bins()),  # one number many times: each takes room once it is another
            priced=0,
            price_brier_sum=0.0,
            priced_brier_sum=0.0,
            window_start=0,
            window_count=0,
            window_error_sum=0.0,
        )

    def copy(self) -> LearnedStatistics:
        """An independent copy."""
        twin = copy(self)
        twin.bins = self.bins.copy()
        if self.recalibration is not None:
            twin.recalibration = self.recalibration.copy()
        if self.edge is not None:
            twin.edge = copy(self.edge)
        return twin


class Tally(Struct, array_like=True):
    """Exact counts and money."""

    accepted: int = 0
    rejected: int = 0
    ungated: int = 0
    rejected_in_a_row: int = 0
    shadow: int = 0
    stake: Decimal = Decimal(0)
    staked_pnl: Decimal = Decimal(0)
    """P&L of the rows that have a stake."""
    pnl: Decimal = Decimal(0)
    pnl_traded: Decimal = Decimal(0)

    def count(self, counted: Counted) -> None:
        """Add predictions recorded."""
        self.accepted += counted.accepted
        self.rejected += counted.rejected
        self.ungated += counted.ungated
        if counted.accepted:
            self.rejected_in_a_row = counted.rejected_last
        else:
            self.rejected_in_a_row += counted.rejected

    def add(self, row: Scored) -> None:
        """Add a scored row."""
        if row.shadow and row.x == row.x:
            self.shadow += 1
        if row.pnl is not None:
            self.pnl = add_money(self.pnl, row.pnl)
            if not row.shadow:
                self.pnl_traded = add_money(self.pnl_traded, row.pnl)
            if row.stake is not None:
                self.stake = add_money(self.stake, row.stake)
                self.staked_pnl = add_money(self.staked_pnl, row.pnl)

    def add_traded(self, amounts: Iterable[Decimal]) -> None:
        """Add the P&L of rows that have nothing else to count. They are summed first, which is the same because
        money is exact."""
        total = sum_money(amounts)
        self.pnl = add_money(self.pnl, total)
        self.pnl_traded = add_money(self.pnl_traded, total)

    def subtract(self, row: Scored) -> None:
        """Take a scored row out again, exactly."""
        if row.shadow and row.x == row.x:
            self.shadow -= 1
        if row.pnl is not None:
            self.pnl = subtract_money(self.pnl, row.pnl)
            if not row.shadow:
                self.pnl_traded = subtract_money(self.pnl_traded, row.pnl)
            if row.stake is not None:
                self.stake = subtract_money(self.stake, row.stake)
                self.staked_pnl = subtract_money(self.staked_pnl, row.pnl)
