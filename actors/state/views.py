"""What can be asked of a model's state: parameters, a draw, the gate, a report. Changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from ...config.settings import LearningRules
from ...protocol.messages import (
    AdaptiveParams,
    ChangeReport,
    ModelReport,
    ModelSummary,
)
from ..learning.calibration import count
from ..learning.change import packed_change
from ..learning.mixture import Mixture
from ..learning.posterior import beta_interval, beta_mean, effective_sample_size, posterior_at
from ..learning.recalibration import IDENTITY
from ..learning.skill import skill_score
from ..learning.threshold import relax_threshold, threshold_wall
from ..learning.weight import NEUTRAL_WEIGHT, WEIGHT_POLICIES, WeightEvidence, WeightRules
from .acting import gate_of, refuse
from .calibration_views import calibration, recalibrated, recent_calibration
from .changing import filter_of
from .entries import Gate
from .model_state import ModelState
from .recalibrating import map_at

__all__ = [
    "arm",
    "contender",
    "decide_gate",
    "eligible",
    "initial_params",
    "params",
    "paused",
    "refuse",
    "report",
    "summary",
]


def initial_params(rules: LearningRules) -> AdaptiveParams:
    """The parameters of a model nothing is known about."""
    return AdaptiveParams(
        confidence_threshold=rules.initial_threshold,
        weight=NEUTRAL_WEIGHT,
        ema_accuracy=0.5,
        adapted=False,
        calibration_map=IDENTITY if rules.recalibration_enabled else None,
    )


def adapted(state: ModelState) -> bool:
    """Whether the learned parameters are in force."""
    rules = state.rules
    return rules.enabled and state.now.n > 0 and state.now.n >= rules.min_predictions_for_adaptation


def posterior(state: ModelState, as_of: int) -> tuple[float, float]:
    """(alpha, beta), decayed to ``as_of``; the prior while adaptation is disabled."""
    rules, now = state.rules, state.now
    if not rules.enabled or now.n == 0:
        return rules.prior_alpha, rules.prior_beta
    if now.changes:
        return filter_of(now.changes, rules).mixture(as_of).matched_beta()
    return posterior_at(
        now.successes,
        now.failures,
        now.evidence_at_ns,
        as_of,
        rules.decay_half_life_seconds,
        rules.prior_alpha,
        rules.prior_beta,
    )


def threshold(state: ModelState, as_of: int) -> float:
    """The learned threshold, relaxed further by the event time since the last outcome."""
    rules, now = state.rules, state.now
    if now.n == 0 or as_of <= now.threshold_at_ns:
        return now.threshold
    elapsed_ns = as_of - now.threshold_at_ns
    return relax_threshold(
        now.threshold, rules.initial_threshold, elapsed_ns, rules.relaxation_half_life_seconds
    )


def params(state: ModelState, as_of: int, weights: Mapping[str, float] | None = None) -> AdaptiveParams:
    """The mission's three parameters: learned ones once adapted, the initial ones before.

    ``weights``: what the pool says of the models; only ``weight_policy = "score"`` looks at it.
    """
    rules = state.rules
    if not adapted(state):
        initial = initial_params(rules)
        if not rules.enabled:
            return initial
        return AdaptiveParams(
            confidence_threshold=initial.confidence_threshold,
            weight=initial.weight,
            ema_accuracy=state.now.ema_accuracy,
            adapted=False,
            calibration_map=initial.calibration_map,
        )
    now = state.now
    alpha, beta = posterior(state, as_of)
    relative = NEUTRAL_WEIGHT if weights is None else weights.get(state.model_id, NEUTRAL_WEIGHT)
    evidence = WeightEvidence(now.ema_accuracy, alpha, beta, rules.prior_alpha, rules.prior_beta, relative)
    if now.edge is not None:
        log_wealth, bets = now.edge.at(as_of, rules.decay_half_life_seconds)
        evidence = evidence._replace(log_wealth=log_wealth, bets=bets)
    limits = WeightRules(rules.min_weight, rules.max_weight, rules.weight_shrinkage)
    return AdaptiveParams(
        confidence_threshold=threshold(state, as_of),
        weight=WEIGHT_POLICIES[rules.weight_policy](evidence, limits),
        ema_accuracy=now.ema_accuracy,
        adapted=True,
        calibration_map=map_at(now.recalibration, as_of, rules.recalibration_half_life_seconds)
        if rules.recalibration_enabled
        else None,
    )


def paused(state: ModelState, as_of: int) -> bool:
    """Whether the model is paused at that time."""
    pause = state.pause
    return pause is not None and (pause.until_ns is None or as_of < pause.until_ns)


def eligible(state: ModelState, as_of: int) -> bool:
    """Whether a selection may rank the model: not paused, and enough outcomes."""
    return not paused(state, as_of) and state.now.n >= state.rules.min_samples_for_eligibility


def arm(state: ModelState, as_of: int) -> tuple[float, float, bool | Mixture] | None:
    """(alpha, beta, whether it is sampled from) of an eligible model, else None. Under the change-point policy that
    is a mixture to draw from instead, and the Beta that has its mean and variance.

    That is all of a model that its draws depend on, besides its name (see learning.draws). With sampling
    disabled the posterior mean stands in for every draw. Every selection asks it of every model: what
    :func:`eligible` and :func:`posterior` say is written out, and takes half the time.
    """
    if state.pause is not None and paused(state, as_of):
        return None
    enough, changes, successes, failures, at_ns, half_life_ns, alpha, beta, sampled = (
        state.evidence or state.gather_evidence()
    )
    if not enough:
        return None
    if changes:
        mixture = filter_of(changes, state.rules).mixture(as_of)
        return *mixture.matched_beta(), mixture if sampled else False
    if as_of > at_ns:
        elapsed_ns = as_of - at_ns
        factor = math.exp2(-(elapsed_ns / half_life_ns))
        successes *= factor
        failures *= factor
    if successes > 0.0:
        alpha += successes
    if failures > 0.0:
        beta += failures
    return alpha, beta, sampled


def contender(state: ModelState, as_of: int) -> tuple[float, float] | None:
    """(alpha, beta) of an eligible model, else None."""
    return posterior(state, as_of) if eligible(state, as_of) else None


def decide_gate(
    state: ModelState,
    confidence: float,
    as_of: int,
    price: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> Gate:
    """Whether a signal of this confidence, at this price, is traded at that time, and at what size."""
    now = params(state, as_of, weights)
    return gate_of(now, state.rules, confidence, price, paused(state, as_of), state.applied_seq)


def summary(state: ModelState, as_of: int, weights: Mapping[str, float] | None = None) -> ModelSummary:
    """One line about the model."""
    rules = state.rules
    alpha, beta = posterior(state, as_of)
    now = params(state, as_of, weights)
    return ModelSummary(
        model_id=state.model_id,
        n=state.now.n,
        ema_accuracy=now.ema_accuracy,
        posterior_mean=beta_mean(alpha, beta),
        effective_sample_size=effective_sample_size(alpha, beta, rules.prior_alpha, rules.prior_beta),
        confidence_threshold=now.confidence_threshold,
        weight=now.weight,
        adapted=now.adapted,
        eligible=eligible(state, as_of),
        paused=paused(state, as_of),
        status="running",
    )


def report(state: ModelState, as_of: int, weights: Mapping[str, float] | None = None) -> ModelReport:
    """Everything believed about the model (``probability_best`` needs the others: left None)."""
    rules, now, tally = state.rules, state.now, state.tally
    alpha, beta = posterior(state, as_of)
    low, high = beta_interval(alpha, beta, 0.90)
    current = params(state, as_of, weights)
    theta = current.confidence_threshold
    price_brier = now.price_brier_sum / now.priced if now.priced else None
    priced_brier = now.priced_brier_sum / now.priced if now.priced else None
    pause = state.pause
    return ModelReport(
        model_id=state.model_id,
        as_of=as_of,
        applied_seq=state.applied_seq,
        n=now.n,
        accuracy=now.x_sum / now.n if now.n else None,
        ema_accuracy=current.ema_accuracy,
        posterior_alpha=alpha,
        posterior_beta=beta,
        posterior_mean=beta_mean(alpha, beta),
        posterior_low=low,
        posterior_high=high,
        effective_sample_size=effective_sample_size(alpha, beta, rules.prior_alpha, rules.prior_beta),
        probability_best=None,
        confidence_threshold=theta,
        at_wall=threshold_wall(theta, rules.min_threshold, rules.max_threshold) if current.adapted else None,
        starved=tally.rejected_in_a_row >= rules.calibration_window,
        weight=current.weight,
        adapted=current.adapted,
        enabled=rules.enabled,
        eligible=eligible(state, as_of),
        paused=paused(state, as_of),
        paused_until=pause.until_ns if pause is not None else None,
        pause_reason=pause.reason if pause is not None else None,
        status="running",
        calibration=calibration(now.bins, now.x_squared_sum, now.log_loss_sum, count(now.bins)),
        recent_calibration=recent_calibration(state),
        accepted=tally.accepted,
        rejected=tally.rejected,
        shadow=tally.shadow,
        ungated=tally.ungated,
        n_priced=now.priced,
        stake=tally.stake,
        pnl=tally.pnl,
        pnl_traded=tally.pnl_traded,
        roi=float(tally.staked_pnl) / float(tally.stake) if tally.stake > Decimal(0) else None,
        price_brier=price_brier,
        price_skill=skill_score(priced_brier, price_brier),
        last_outcome_at=now.last_at_ns if now.n else None,
        calibration_map=current.calibration_map,
        recalibrated=recalibrated(now.recalibration),
        log_wealth=now.edge.at(as_of, rules.decay_half_life_seconds)[0] if now.edge is not None else None,
        last_change=last_change(now.changes),
        posterior=state.posterior,
        posterior_set=state.posterior_set,
    )


def last_change(data: bytes | None) -> ChangeReport | None:
    """The newest change point that the filter has told of."""
    change = packed_change(data)
    if change is None:
        return None
    at_ns, detected_ns, before, after, probability = change
    return ChangeReport(
        changed_at=at_ns, detected_at=detected_ns, before=before, after=after, probability=probability
    )
