"""The tables of settings about acting on a confidence: what it is worth, and what to stake on it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from .rules import SizeRule

__all__ = ["Recalibration", "Sizing"]


class Recalibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model's stated confidence turned out to be worth, learned online, per model (beta calibration)."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether signals are gated and sized by recalibrated confidence, once the model has "
            "adapted. The threshold then learns from recalibrated confidence too. Both confidences are shown. "
            "Learned from when this is set on; forgotten when it is set off.",
        ),
    ] = False
    memory_outcomes: Annotated[
        float,
        Meta(
            ge=10,
            description="Outcomes the map remembers: each one discounts those before it by 1 - 1 / "
            "memory_outcomes. Small values follow changes sooner and make a well calibrated model noisier. inf "
            "discounts nothing.",
        ),
    ] = 1000.0
    half_life_hours: Annotated[
        float,
        Meta(
            gt=0,
            description="Half-life of the map's evidence, in hours of event time: a model that was long away "
            "comes back to its stated confidence. 8760 is a year. inf never fades.",
        ),
    ] = 8760.0


class Sizing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large an accepted signal is: its size_multiplier."""

    rule: Annotated[
        SizeRule,
        Meta(
            description='"confidence": confidence * weight, of the usual size. "kelly": (confidence - price) / '
            "(1 - price) * kelly_fraction * weight, of the bankroll, at most 1; a signal without a price is "
            "refused (no_price), and so is one that costs what it is worth or more (no_edge).",
        ),
    ] = "confidence"
    kelly_fraction: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of Kelly's stake that is staked, under the kelly rule and by the bettor of the "
            "edge weight. 1 grows fastest if every confidence is right, and ruins soonest if they are not.",
        ),
    ] = 0.25
