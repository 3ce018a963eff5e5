"""The tables of settings about learning: thresholds, weights, Thompson sampling."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from .rules import Posterior, SelectionMode, WeightPolicy

__all__ = ["ThompsonSampling", "Thresholds", "Weights"]


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gate: a prediction less confident than its model's threshold is rejected (and still scored)."""

    ascending: ClassVar[tuple[str, ...]] = ("min_threshold", "initial_threshold", "max_threshold")

    min_threshold: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Lowest confidence threshold a model can learn. "
            "Must not exceed initial_threshold. At 0 an underconfident model may come to pass everything.",
        ),
    ] = 0.40
    max_threshold: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Highest confidence threshold a model can learn. Must not be below "
            "initial_threshold. A model resting on it is reported as at its wall; if it hardly ever states "
            "such a confidence, it is starved.",
        ),
    ] = 0.90
    initial_threshold: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Confidence threshold of a model that is unknown or has not adapted yet, and the "
            "value relaxation pulls back to.",
        ),
    ] = 0.60
    adjustment_rate: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="How far one outcome moves the threshold, per unit of signed calibration error "
            "(mean confidence - mean outcome over the calibration window). 0 never moves it. "
            "Large values make it swing between its bounds.",
        ),
    ] = 0.01
    relaxation_half_life_hours: (
        Annotated[
            float,
            Meta(
                ge=0,
                description="Half-life, in hours of event time, with which the threshold returns to "
                "initial_threshold. Absent: the same as decay_half_life_hours. 0, or inf, never returns: "
                "the bare rule, an integrator that stays at its wall long after the model is mended.",
                examples=[168.0],
            ),
        ]
        | None
    ) = None


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weight of a model's signals: 1 is neutral, and what a model has until it adapts."""

    policy: Annotated[
        WeightPolicy,
        Meta(
            description='What the weight follows. "accuracy": 1 + 2 * (EMA accuracy - 1/2). "posterior": '
            "the same of the decayed posterior mean, shrunk towards 1 while evidence is thin; far less "
            'noisy. "edge": the wealth of a bettor who stakes kelly_fraction of '
            "Kelly's stake on what the model claims, at its price, from 1; 1 without prices. "
            '"score": the share of the pool, against an equal one; 1 while the pool cannot say, which is '
            "logged. All are clipped to min_weight and max_weight.",
        ),
    ] = "accuracy"
    min_weight: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Lowest weight a model can learn. At 0 a bad run silences a model's size "
            "completely, although it goes on being scored.",
        ),
    ] = 0.25
    max_weight: Annotated[
        float,
        Meta(
            ge=1,
            le=1000,
            description="Highest weight a model can learn. It multiplies the size of trades. The "
            "accuracy and posterior policies reach 2 at most, so for them more than 2 changes nothing.",
        ),
    ] = 2.0
    shrinkage: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="Strength of the pull to the neutral weight under the posterior and edge policies, in "
            "pseudo-observations: with this much effective evidence the weight has gone half its way. "
            "0 does not shrink. The accuracy policy ignores it.",
        ),
    ] = 10.0
    outcome_log_wealth_max: Annotated[
        float,
        Meta(
            gt=0,
            le=100,
            description="Under the edge policy, the most that one outcome can add to or take from the "
            "log-wealth: at 0.25 it cannot do more than 28 % to the weight, however long the odds were.",
        ),
    ] = 0.25


class ThompsonSampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selection: every model draws from its own posterior Beta(alpha, beta); the highest draw ranks first."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether selections draw. false: rank by posterior mean, nothing is drawn, and new "
            "models are no longer explored, whatever mode says or a selection asks for.",
        ),
    ] = True
    mode: Annotated[
        SelectionMode,
        Meta(
            description='How a selection ranks that does not say so itself. "thompson": by a draw from each posterior, '
            "so that a model is selected as often as it is likely to be the best; right where only the selected "
            'model\'s outcome is seen. "mean": by the posterior means; right where every model is scored on '
            "everything, selected or not: there is nothing to explore, and following the mean loses less than drawing. "
            '"top_two": as "thompson" half of the time, else a draw that another model leads; right where it is to be '
            "found out which model is the best, and what is lost by selecting others meanwhile matters less.",
        ),
    ] = "thompson"
    posterior: Annotated[
        Posterior,
        Meta(
            description='How evidence ages. "half_life": it halves every decay_half_life_hours. "changepoint": a '
            "filter weighs how far back outcomes still count, by the outcomes themselves: nothing is forgotten while "
            "a model stays as it is, and all that came before once it has changed, which is told as drift. It needs "
            "no tuning, and costs some 50 microseconds an outcome.",
        ),
    ] = "half_life"
    shared_changes: Annotated[
        bool,
        Meta(
            description="Whether a change that one model's change-point filter tells of restarts those of all others: "
            "what they counted before the change no longer counts. Right where the models live in one world, so that "
            "what changes one changes all, and each is scored on every market: changes are found as soon as the first "
            "of them sees them. Wrong where models change by themselves: it forgets what still holds of the others. "
            'Without "changepoint" it does nothing.',
        ),
    ] = False
    prior_alpha: Annotated[
        float,
        Meta(
            gt=0,
            le=1e6,
            description="Pseudo-count of successes every posterior starts with and decays back to.",
        ),
    ] = 1.0
    prior_beta: Annotated[
        float,
        Meta(
            gt=0,
            le=1e6,
            description="Pseudo-count of failures every posterior starts with and decays back to. The "
            "sum of both is the prior weight: a large one takes as many outcomes to be overruled.",
        ),
    ] = 1.0
    seed: Annotated[
        int,
        Meta(
            ge=0,
            description="Seed of every draw. A draw is a pure function of seed, selection id and model, "
            "so that a past selection can be computed again. Changing it changes later selections only.",
            # The upper bound lives here because msgspec takes no integer bound beyond 64 bits signed.
            extra={"le": 2**64 - 1},
        ),
    ] = 0
    min_samples_for_eligibility: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Outcomes a model needs before a selection may rank it. 0 explores new models. "
            "Above 0, a model that is only ever recorded when selected can never become eligible.",
        ),
    ] = 0
    gather_deadline_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="Milliseconds a selection waits for all models together. Those that have not "
            "answered by then are listed as missing.",
        ),
    ] = 1000
