"""What a change-point filter supposes before it has seen anything."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ChangePointRules"]

_HOUR: Final = 3_600.0


class ChangePointRules(NamedTuple):
    """What the filter supposes; one default for all."""

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    mean_runs_seconds: tuple[float, ...] = tuple(hours * _HOUR for hours in (125.0, 500.0, 2e3, 8e3, 32e3))
    """Mean lengths of a segment that are thought possible, in event time."""
    half_lives_seconds: tuple[float, ...] = tuple(
        hours * _HOUR for hours in (6144.0, 1536.0, 384.0, 96.0, 24.0)
    )
    """Half-lives of the drifts, longest first."""
    drift_share: float = 0.01
    runs_max: int = 45
    alarm: float = 0.99
    """Probability from which on a change is told of, below 1."""
    trend_half_lives_seconds: tuple[float, ...] = (400.0 * _HOUR, 100.0 * _HOUR)
    """Half-lives of the trends, longest first."""
    trend_share: float = 0.12
    """In proportion to their half-lives, as rates are at first to their runs."""

    def lasting_shares(self) -> list[float]:
        """Of a segment that begins, the part of each hypothesis that there always is: drifts, then trends.

        >>> [round(share, 3) for share in ChangePointRules().lasting_shares()]
        [0.002, 0.002, 0.002, 0.002, 0.002, 0.096, 0.024]
        """
        drifts, trends = len(self.half_lives_seconds), self.trend_half_lives_seconds
        each = [self.drift_share / drifts] * drifts if drifts else []
        total = 0.0
        for half_life in trends:
            total += half_life
        return each + [self.trend_share * (half_life / total) for half_life in trends]

    def run_share(self) -> float:
        """The part of a run.

        >>> round(ChangePointRules().run_share(), 3)
        0.87
        """
        drifting = self.drift_share if self.half_lives_seconds else 0.0
        return 1.0 - drifting - (self.trend_share if self.trend_half_lives_seconds else 0.0)
