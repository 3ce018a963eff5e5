"""The part of the settings that changes what a model state becomes, or what is served from it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["LearnOn", "LearningRules", "PoolRules", "Posterior", "SelectionMode", "SizeRule", "WeightPolicy"]

LearnOn = Literal["final", "proposed"]
Posterior = Literal["half_life", "changepoint"]
SelectionMode = Literal["thompson", "mean", "top_two"]
SizeRule = Literal["confidence", "kelly"]
WeightPolicy = Literal["accuracy", "posterior", "edge", "score"]


class PoolRules(Struct, frozen=True, kw_only=True, gc=False):
    """How the pool learns what the models' shares of it are: :class:`handicapper.config.Pool`, flat."""

    retire_after_seconds: float
    slow: tuple[float, float, float]
    """Rate, decay, sharing."""
    fast: tuple[float, float, float]
    form_prior: tuple[float, float, float, float]
    """Of the equal, the linear, the log-odds and the corrected pool; need not sum to 1."""
    form_decay: float
    correction_variance: float
    correction_decay: float
    probability_floor: float
    simultaneous_seconds: float


class LearningRules(Struct, frozen=True, kw_only=True, gc=False):
    """Everything the fold of a model's outcomes depends on, flat, with every default resolved.

    Made by :meth:`handicapper.config.Settings.learning_rules`; journaled when it changes, so that a replay
    folds each input by the rules in force at its sequence number. Two settings with equal rules learn
    bit-identically. It survives msgpack bit for bit, infinite half-lives included. Defaults exist once, in the
    settings; those here stand for what rules were before there was such a field, in journals of then.
    """

    enabled: bool
    """False: outcomes are recorded and scored, and the initial parameters are served."""
    ema_alpha: float
    """Smoothing factor of the EMA accuracy, in (0, 1]."""
    min_predictions_for_adaptation: int
    """Outcomes a model needs before its learned parameters are served."""
    decay_half_life_seconds: float
    """Half-life of evidence in event time, > 0; inf: evidence never fades."""
    calibration_window: int
    """Recent scored predictions the signed calibration error is taken over."""
    initial_threshold: float
    min_threshold: float
    max_threshold: float
    adjustment_rate: float
    """Step of the threshold per unit of signed calibration error, 0..1."""
    relaxation_half_life_seconds: float
    """Half-life of the threshold's way back to the initial one; 0: no relaxation, the bare rule."""
    weight_policy: WeightPolicy
    min_weight: float
    max_weight: float
    weight_shrinkage: float
    """Pseudo-observations at the neutral weight, for the posterior policy."""
    prior_alpha: float
    prior_beta: float
    min_samples_for_eligibility: int
    """Outcomes a model needs before a selection may rank it."""
    sampling_enabled: bool
    """False: selections rank by posterior mean."""
    learn_on: LearnOn
    """Resolution status from which on a resolution teaches."""
    pool: PoolRules | None = None
    """How the pool learns; None: it does not, as in journals from before there was one."""
    recalibration_enabled: bool = False
    """True: what a stated confidence is worth is learned, and signals are gated and sized by it."""
    recalibration_memory_outcomes: float = 1000.0
    """Each outcome discounts those before it by 1 - 1 / this; inf: by nothing."""
    recalibration_half_life_seconds: float = 31_536_000.0
    """Half-life of that evidence in event time; inf: it never fades."""
    size_rule: SizeRule = "confidence"
    kelly_fraction: float = 0.25
    """Share of Kelly's stake, in (0, 1]."""
    outcome_log_wealth_max: float = 0.25
    """Most that one outcome moves the log-wealth of the edge policy, either way."""
    posterior: Posterior = "half_life"
    """How evidence ages: it halves with event time, or a change-point filter says how far back it counts."""
    selection_mode: SelectionMode = "thompson"
    """How selections rank, unless they say so themselves."""
    shared_changes: bool = False
    """Whether a change that one model's change-point filter tells of restarts those of all."""
