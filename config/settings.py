"""The settings: every name, default, range and meaning is stated in these structs and nowhere else.

The annotations are the single source, here and in :mod:`.learning_tables`, :mod:`.acting_tables`,
:mod:`.running_tables` and :mod:`.server_table`.
:mod:`.schema` reads them; the checks, their messages, the shipped ``online_learning.toml`` and the
documentation all follow. As always with msgspec, a constructor checks nothing: pass what you build in
Python through :func:`handicapper.config.check_settings` (the learner does).

``ascending`` names keys of one table whose values must not decrease in that order.
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

from .acting_tables import Recalibration, Sizing
from .learning_tables import ThompsonSampling, Thresholds, Weights
from .pool_table import Pool
from .rules import LearningRules, LearnOn
from .running_tables import Limits, Persistence, Supervision
from .server_table import Server

__all__ = [
    "LearningRules",
    "Limits",
    "Persistence",
    "Pool",
    "Recalibration",
    "Server",
    "Settings",
    "SettingsDocument",
    "Sizing",
    "Supervision",
    "ThompsonSampling",
    "Thresholds",
    "Weights",
]

SECONDS_PER_HOUR = 3600.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How models learn, how they are selected, and where and within which bounds it runs.

    >>> from handicapper.config import default_settings
    >>> default_settings().thresholds.initial_threshold
    0.6
    """

    enabled: Annotated[
        bool,
        Meta(
            description="Whether models adapt. false: everything is recorded and scored as ever, but every "
            "model is served its initial parameters.",
        ),
    ] = True
    ema_alpha: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Smoothing factor of the EMA accuracy: the weight of the newest outcome. Its "
            "memory is about 2 / ema_alpha outcomes; at 1 only the last one counts.",
        ),
    ] = 0.1
    min_predictions_for_adaptation: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Outcomes a model needs before its threshold and weight adapt. Small values act "
            "on noise.",
        ),
    ] = 10
    decay_half_life_hours: Annotated[
        float,
        Meta(
            gt=0,
            description="Half-life of the evidence in the posterior, in hours of event time: 168 is a "
            "week. inf never forgets. Too short, and a posterior is hardly more than its prior.",
        ),
    ] = 168.0
    calibration_window: Annotated[
        int,
        Meta(
            ge=10,
            le=100_000,
            description="Recent scored predictions, per model, over which the calibration error that moves "
            "the threshold is taken. Small values are noisy, large ones slow; memory grows with it.",
        ),
    ] = 100
    learn_on: Annotated[
        LearnOn,
        Meta(
            description='Which resolutions teach. "final": only final ones. "proposed": already proposed '
            "ones, which may be disputed; a later revision takes the first back exactly.",
        ),
    ] = "final"
    thresholds: Thresholds = Thresholds()
    weights: Weights = Weights()
    recalibration: Recalibration = Recalibration()
    sizing: Sizing = Sizing()
    thompson_sampling: ThompsonSampling = ThompsonSampling()
    pool: Pool = Pool()
    persistence: Persistence = Persistence()
    limits: Limits = Limits()
    supervision: Supervision = Supervision()
    server: Server = Server()

    def learning_rules(self) -> LearningRules:
        """The rules of learning these settings amount to: flat, in seconds, every default resolved.

        A relaxation half-life of inf is resolved to 0 (none), so that the two ways to say "never" fold
        to the same bits.

        >>> Settings(decay_half_life_hours=2.0).learning_rules().relaxation_half_life_seconds
        7200.0
        """
        return LearningRules(
            enabled=self.enabled,
            ema_alpha=self.ema_alpha,
            min_predictions_for_adaptation=self.min_predictions_for_adaptation,
            decay_half_life_seconds=self.decay_half_life_hours * SECONDS_PER_HOUR,
            calibration_window=self.calibration_window,
            initial_threshold=self.thresholds.initial_threshold,
            min_threshold=self.thresholds.min_threshold,
            max_threshold=self.thresholds.max_threshold,
            adjustment_rate=self.thresholds.adjustment_rate,
            relaxation_half_life_seconds=self._relaxation_half_life_seconds(),
            weight_policy=self.weights.policy,
            min_weight=self.weights.min_weight,
            max_weight=self.weights.max_weight,
            weight_shrinkage=self.weights.shrinkage,
            prior_alpha=self.thompson_sampling.prior_alpha,
            prior_beta=self.thompson_sampling.prior_beta,
            min_samples_for_eligibility=self.thompson_sampling.min_samples_for_eligibility,
            sampling_enabled=self.thompson_sampling.enabled,
            learn_on=self.learn_on,
            pool=self.pool.rules(),
            recalibration_enabled=self.recalibration.enabled,
            recalibration_memory_outcomes=self.recalibration.memory_outcomes,
            recalibration_half_life_seconds=self.recalibration.half_life_hours * SECONDS_PER_HOUR,
            size_rule=self.sizing.rule,
            kelly_fraction=self.sizing.kelly_fraction,
            outcome_log_wealth_max=self.weights.outcome_log_wealth_max,
            posterior=self.thompson_sampling.posterior,
            selection_mode=self.thompson_sampling.mode,
            shared_changes=self.thompson_sampling.shared_changes,
        )

    def _relaxation_half_life_seconds(self) -> float:
        hours = self.thresholds.relaxation_half_life_hours
        seconds = (self.decay_half_life_hours if hours is None else hours) * SECONDS_PER_HOUR
        return 0.0 if seconds == math.inf else seconds


class SettingsDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole TOML document: one table, ``[online_learning]``."""

    online_learning: Settings = Settings()
