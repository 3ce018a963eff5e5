"""The table of settings about the pool."""

from __future__ import annotations

from math import inf, nextafter
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from .rules import PoolRules

__all__ = ["Pool"]

SECONDS_PER_DAY = 86_400.0


class Pool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pool: the models' forecasts of a market as one, each by its share. One setting serves all kinds of streams;
    there should be no need to change any but the first two."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether the pool learns: from every market that at least two models forecast, when a "
            "resolution comes into force. false: it keeps what it has learned, and learns nothing more.",
        ),
    ] = True
    retire_after_days: Annotated[
        float,
        Meta(
            gt=0,
            description="Days of event time, before the newest market, in which a model that forecast none counts as "
            'retired: for weights.policy = "score" the others are no longer compared with it. It keeps its standing, '
            "and returns with it. inf: it never retires.",
        ),
    ] = 90.0
    slow_rate: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="What a nat of log loss costs a model under the slow rule, which finds the best model: 1 is "
            "Bayes' rule; below 1 because events that overlap are not independent evidence.",
        ),
    ] = 0.75
    slow_decay: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Factor on what the slow rule has learned, per event of a model; 1 keeps all.",
        ),
    ] = 0.9997
    slow_sharing: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Part of the shares that the slow rule deals out evenly again after every event.",
        ),
    ] = 1e-6
    fast_rate: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="The same of the fast rule, which mixes the models of the last few hundred events.",
        ),
    ] = 0.1
    fast_decay: Annotated[
        float,
        Meta(gt=0, le=1, description="Factor on what the fast rule has learned, per event of a model."),
    ] = 0.997
    fast_sharing: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Part of the shares that the fast rule deals out evenly again after every event.",
        ),
    ] = 1e-4
    equal_prior: Annotated[
        float,
        Meta(
            gt=0, le=1, description="Prior odds of the plain mean of the models, each with the same weight."
        ),
    ] = 0.04
    linear_prior: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Prior odds of the linear pool, by the slow shares: the best models, until the evidence is "
            "for another form.",
        ),
    ] = 0.86
    log_odds_prior: Annotated[
        float,
        Meta(gt=0, le=1, description="Prior odds of the log-odds pool, by the fast shares."),
    ] = 0.04
    corrected_prior: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Prior odds of the pool corrected online: extremized, and models weighed anew.",
        ),
    ] = 0.06
    form_decay: Annotated[
        float,
        Meta(gt=0, le=1, description="Factor on the evidence for the forms of the pool, per event."),
    ] = 0.9997
    correction_variance: Annotated[
        float,
        Meta(
            gt=0,
            le=1e6,
            description="Prior variance of each coefficient of the corrected pool. Small values trust the plain "
            "pools longer.",
        ),
    ] = 0.03
    correction_decay: Annotated[
        float,
        Meta(gt=0, le=1, description="Factor on what is known of such a coefficient, per event."),
    ] = 0.9997
    probability_floor: Annotated[
        float,
        Meta(
            gt=0,
            le=0.2,
            description="Probabilities below this count as this wherever a logarithm is taken, so that no forecast "
            "of 0 or 1 that was wrong costs everything for ever.",
        ),
    ] = 0.01
    simultaneous_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="Markets resolved within so many seconds of event time of each other count as "
            "simultaneous: none is judged with what the others taught.",
        ),
    ] = 3600.0

    @classmethod
    def following(cls, pool: Pool, rules: PoolRules | None) -> Pool:
        """The table as it has to be for ``rules`` to be its rules; what a pool that does not learn goes by is
        ``pool``'s.

        >>> pool = Pool(retire_after_days=0.7, fast_rate=0.3)
        >>> Pool.following(Pool(), pool.rules()) == pool, Pool.following(pool, None).enabled
        (True, False)
        """
        if rules is None:
            return replace(pool, enabled=False)
        days = rules.retire_after_seconds / SECONDS_PER_DAY
        nearest = (days, nextafter(days, 0.0), nextafter(days, inf))
        return cls(
            retire_after_days=next(
                (d for d in nearest if d * SECONDS_PER_DAY == rules.retire_after_seconds), days
            ),
            slow_rate=rules.slow[0],
            slow_decay=rules.slow[1],
            slow_sharing=rules.slow[2],
            fast_rate=rules.fast[0],
            fast_decay=rules.fast[1],
            fast_sharing=rules.fast[2],
            equal_prior=rules.form_prior[0],
            linear_prior=rules.form_prior[1],
            log_odds_prior=rules.form_prior[2],
            corrected_prior=rules.form_prior[3],
            form_decay=rules.form_decay,
            correction_variance=rules.correction_variance,
            correction_decay=rules.correction_decay,
            probability_floor=rules.probability_floor,
            simultaneous_seconds=rules.simultaneous_seconds,
        )

    def rules(self) -> PoolRules | None:
        """What the pool's fold depends on; None if it does not learn."""
        if not self.enabled:
            return None
        return PoolRules(
            retire_after_seconds=self.retire_after_days * SECONDS_PER_DAY,
            slow=(self.slow_rate, self.slow_decay, self.slow_sharing),
            fast=(self.fast_rate, self.fast_decay, self.fast_sharing),
            form_prior=(self.equal_prior, self.linear_prior, self.log_odds_prior, self.corrected_prior),
            form_decay=self.form_decay,
            correction_variance=self.correction_variance,
            correction_decay=self.correction_decay,
            probability_floor=self.probability_floor,
            simultaneous_seconds=self.simultaneous_seconds,
        )
