"""Other settings for a learner that is open: what can hold from now on, and what needs another opening."""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ..config import LearningRules, Pool, Recalibration, Settings, Sizing, Thresholds, Weights

__all__ = ["SettingsChange", "change_settings", "settings_following"]

_APPLIED_TABLES: Final = frozenset(
    {"thresholds", "weights", "recalibration", "sizing", "thompson_sampling", "pool"}
)
_APPLIED_KEYS: Final = frozenset(
    {
        "enabled",
        "ema_alpha",
        "min_predictions_for_adaptation",
        "decay_half_life_hours",
        "calibration_window",
        "learn_on",
        "persistence.save_interval_secs",
    }
)
"""What can change while a learner runs. Any other key waits for the next opening."""


class SettingsChange(Struct, frozen=True):
    """What became of new settings. Keys are dotted, such as ``thresholds.initial_threshold``."""

    applied: tuple[str, ...] = ()
    """These differed, and hold from now on."""
    needs_restart: tuple[str, ...] = ()
    """These differ from what is in force, which stays."""


def change_settings(in_force: Settings, wanted: Settings) -> tuple[Settings, SettingsChange]:
    """The settings in force afterwards, and what that changes.

    >>> from handicapper.config import Settings, ThompsonSampling
    >>> before, wanted = Settings(), Settings(ema_alpha=0.2, thompson_sampling=ThompsonSampling(seed=7))
    >>> after, change = change_settings(before, wanted)
    >>> after.ema_alpha, change
    (0.2, SettingsChange(applied=('ema_alpha', 'thompson_sampling.seed'), needs_restart=()))
    """
    applied: list[str] = []
    waiting: list[str] = []
    after = _merge(in_force, wanted, "", applied, waiting)
    return after, SettingsChange(tuple(applied), tuple(waiting))


def _merge(in_force: Any, wanted: Any, prefix: str, applied: list[str], waiting: list[str]) -> Any:
    fields: dict[str, Any] = {}
    for name in in_force.__struct_fields__:
        old, new, key = getattr(in_force, name), getattr(wanted, name), prefix + name
        if isinstance(old, Struct) and isinstance(new, Struct):
            fields[name] = _merge(old, new, f"{key}.", applied, waiting)
        elif old != new:
            if key in _APPLIED_KEYS or prefix[:-1] in _APPLIED_TABLES:
                applied.append(key)
                fields[name] = new
            else:
                waiting.append(key)
    return replace(in_force, **fields)


def settings_following(settings: Settings, rules: LearningRules) -> Settings:
    """The settings with their learning keys as they have to be for ``rules`` to be their rules.

    >>> from handicapper.config import ThompsonSampling
    >>> sampling = ThompsonSampling(posterior="changepoint", shared_changes=True, mode="mean")
    >>> rules = Settings(ema_alpha=0.3, decay_half_life_hours=0.7, thompson_sampling=sampling).learning_rules()
    >>> settings_following(Settings(), rules).learning_rules() == rules
    True
    """
    decay, relaxation = rules.decay_half_life_seconds, rules.relaxation_half_life_seconds
    return replace(
        settings,
        enabled=rules.enabled,
        ema_alpha=rules.ema_alpha,
        min_predictions_for_adaptation=rules.min_predictions_for_adaptation,
        decay_half_life_hours=_hours(decay),
        calibration_window=rules.calibration_window,
        learn_on=rules.learn_on,
        thresholds=Thresholds(
            min_threshold=rules.min_threshold,
            max_threshold=rules.max_threshold,
            initial_threshold=rules.initial_threshold,
            adjustment_rate=rules.adjustment_rate,
            relaxation_half_life_hours=None if relaxation == decay else _hours(relaxation),
        ),
        weights=Weights(
            policy=rules.weight_policy,
            min_weight=rules.min_weight,
            max_weight=rules.max_weight,
            shrinkage=rules.weight_shrinkage,
            outcome_log_wealth_max=rules.outcome_log_wealth_max,
        ),
        recalibration=Recalibration(
            enabled=rules.recalibration_enabled,
            memory_outcomes=rules.recalibration_memory_outcomes,
            half_life_hours=_hours(rules.recalibration_half_life_seconds),
        ),
        sizing=Sizing(rule=rules.size_rule, kelly_fraction=rules.kelly_fraction),
        thompson_sampling=replace(
            settings.thompson_sampling,
            enabled=rules.sampling_enabled,
            mode=rules.selection_mode,
            posterior=rules.posterior,
            shared_changes=rules.shared_changes,
            prior_alpha=rules.prior_alpha,
            prior_beta=rules.prior_beta,
            min_samples_for_eligibility=rules.min_samples_for_eligibility,
        ),
        pool=Pool.following(settings.pool, rules.pool),
    )


def _hours(seconds: float) -> float:
    """The hours that are exactly these seconds, as far as a float can say."""
    hours = seconds / 3600.0
    nearest = (hours, math.nextafter(hours, 0.0), math.nextafter(hours, math.inf))
    return next((h for h in nearest if h * 3600.0 == seconds), hours)
