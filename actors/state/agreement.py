"""Whether two inputs say the same: duplicates are answered, contradictions are named.

Each function returns the receipt of the original, or None, or raises; none changes anything.
"""

from __future__ import annotations

from msgspec.structs import asdict

from ...protocol.errors import ConflictError, PredictedAfterResolutionError
from ...protocol.messages import MarketResolved, Prediction, Receipt, TradeOutcome
from ...protocol.wording import shown
from .market import Ruling, Ticket, counts, outcome_x

__all__ = ["agree", "agree_on_x", "same_outcome", "same_prediction", "same_ruling"]


def same_prediction(ticket: Ticket, prediction: Prediction) -> Receipt:
    """Receipt of the prediction recorded under this id; ConflictError if it is another one."""
    recorded = ticket.prediction
    assert recorded is not None
    if recorded == prediction:
        return Receipt(seq=ticket.prediction_seq, duplicate=True)
    was, now = asdict(recorded), asdict(prediction)
    fields = ", ".join(
        f"{name} {shown(was[name])} != {shown(now[name])}" for name in was if was[name] != now[name]
    )
    raise ConflictError(
        f"prediction {shown(prediction.prediction_id)} was recorded with other content ({fields}); "
        "a new prediction needs a new prediction_id"
    )


def same_ruling(ruling: Ruling, resolution: MarketResolved) -> Receipt:
    """Receipt of the ruling recorded at this revision and status; ConflictError if it pays otherwise.

    Two sources may date the same result differently: the first date stands.
    """
    recorded = ruling.resolution
    if recorded.void == resolution.void and _paid(recorded) == _paid(resolution):
        return Receipt(seq=ruling.seq, duplicate=True)
    raise ConflictError(
        f"market {shown(resolution.market_id)} revision {resolution.revision} ({resolution.status}) was recorded as "
        f"{_ruled(recorded)}, now {_ruled(resolution)}; send revision {resolution.revision + 1} to correct it"
    )


def same_outcome(ticket: Ticket, recorded: TradeOutcome, outcome: TradeOutcome) -> Receipt | None:
    """Receipt of the outcome recorded for this prediction; None if this one adds a missing P&L.

    Once another outcome has added it, one with a P&L repeats that one, and one without it the first.

    Raises:
        ConflictError: they differ.

    """
    same = (
        recorded.model_id == outcome.model_id
        and recorded.predicted_outcome == outcome.predicted_outcome
        and recorded.actual_outcome == outcome.actual_outcome
    )
    if same and recorded.pnl is None and outcome.pnl is not None:
        return None
    if same and (outcome.pnl is None or recorded.pnl == outcome.pnl):
        added = outcome.pnl is not None and ticket.pnl_seq
        return Receipt(seq=added or ticket.outcome_seq, duplicate=True)
    raise ConflictError(
        f"the outcome of prediction {shown(outcome.prediction_id)} was recorded as {_ended(recorded)}; "
        f"now {_ended(outcome)}"
    )


def agree(ticket: Ticket, prediction: Prediction) -> None:
    """Raise unless a trade outcome and its prediction speak of the same thing."""
    outcome = ticket.outcome
    assert outcome is not None
    what = f"prediction {shown(prediction.prediction_id)} and its trade outcome contradict each other: "
    if outcome.model_id != prediction.model_id:
        raise ConflictError(f"{what}model_id {shown(prediction.model_id)} against {shown(outcome.model_id)}")
    if outcome.predicted_outcome != prediction.outcome:
        raise ConflictError(
            f"{what}outcome {shown(prediction.outcome)} against {shown(outcome.predicted_outcome)}"
        )
    if outcome.confidence is not None and outcome.confidence != prediction.confidence:
        raise ConflictError(
            f"{what}confidence {shown(prediction.confidence)} against {shown(outcome.confidence)}"
        )
    if prediction.predicted_at > outcome.resolved_at:
        raise PredictedAfterResolutionError(
            f"{what}made at {prediction.predicted_at}, ended before that, at {outcome.resolved_at}"
        )


def agree_on_x(outcome: TradeOutcome, prediction: Prediction, ruling: Ruling) -> None:
    """Raise unless a resolution says of a prediction what its trade outcome said."""
    resolution = ruling.resolution
    if not resolution.void and not counts(prediction, resolution):
        return
    payouts = resolution.payouts or {}
    if resolution.void or payouts.get(prediction.outcome, 0.0) != outcome_x(outcome):
        raise ConflictError(
            f"market {shown(prediction.market_id)} revision {resolution.revision} is {_ruled(resolution)}, but the "
            f"trade outcome of prediction {shown(prediction.prediction_id)} says {shown(outcome.actual_outcome)}; "
            f"a resolution with revision {resolution.revision + 1} overrules trade outcomes"
        )


def _paid(resolution: MarketResolved) -> dict[str, float]:
    """What is paid: a label that is not listed pays 0, and so does one listed with 0."""
    return {label: payout for label, payout in (resolution.payouts or {}).items() if payout}


def _ruled(resolution: MarketResolved) -> str:
    return "void" if resolution.void else f"payouts {shown(resolution.payouts)}"


def _ended(outcome: TradeOutcome) -> str:
    return (
        f"{shown(outcome.actual_outcome)} for {shown(outcome.predicted_outcome)} of {shown(outcome.model_id)}, "
        f"P&L {shown(outcome.pnl)}"
    )
