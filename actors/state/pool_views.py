"""What can be asked of the pool's state. Changes nothing of it but what is kept to answer the next question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...protocol.messages import (
    Forecast,
    PooledForecast,
    PoolMember,
    PoolReport,
    PoolShare,
    RepeatsEnded,
)
from ..learning import pooling
from ..learning.pooling import FORMS
from .pool_state import PoolState
from .pool_statistics import pooling_rules
from .repeating import REPEATS_MIN

__all__ = ["combine", "report", "weights"]


def combine(
    state: PoolState,
    as_of: int,
    forecasts: Sequence[Forecast],
    outcomes: Collection[str] = (),
    market_id: str | None = None,
) -> PooledForecast:
    """The forecasts as one; there is at least one. ``outcomes``: further ones of the market, where they are known."""
    rules = state.rules.pool
    combined = pooling.combine(
        state.now.pool,
        [(forecast.model_id, forecast.outcome, forecast.confidence) for forecast in forecasts],
        outcomes,
        pooling.DEFAULT_RULES if rules is None else pooling_rules(rules),
    )
    assert combined is not None, "no forecast was given"
    probabilities, shares = combined.probabilities, combined.shares
    outcome = max(probabilities, key=probabilities.__getitem__)  # of equals the first by label
    members = [
        PoolMember(
            model_id=forecast.model_id,
            outcome=forecast.outcome,
            confidence=forecast.confidence,
            share=shares[forecast.model_id],
        )
        for forecast in forecasts
    ]
    return PooledForecast(
        market_id=market_id,
        as_of=as_of,
        applied_seq=state.applied_seq,
        n=state.now.n,
        outcome=outcome,
        confidence=probabilities[outcome],
        probabilities=probabilities,
        remainder=combined.remainder,
        disagreement=combined.disagreement,
        members=tuple(sorted(members, key=lambda member: (-member.share, member.model_id, member.outcome))),
        forms=combined.forms,
    )


def weights(state: PoolState, as_of: int) -> Mapping[str, float]:
    """Every model's share against an equal one, which is 1, among those that are not retired.

    A retired model is compared with those that are not, as if it came back. ``as_of`` does not matter: shares change
    with markets, and not with time.
    """
    del as_of
    if state.weighed is None:
        pool = state.now.pool
        state.weighed = pooling.relative_weights(pool, _alive(state), pool.models.keys())
    return state.weighed


def report(state: PoolState, as_of: int) -> PoolReport:
    """Every model's share, and whether combining paid."""
    now, n = state.now, state.now.n
    standings = now.pool.models
    shares, weighed = pooling.shares(now.pool, standings.keys()), weights(state, as_of)
    alive = set(_alive(state))
    listed = [
        PoolShare(
            model_id=model_id,
            share=shares[model_id],
            weight=weighed[model_id],
            n=standing.events,
            last_at=standing.last_at_ns,
            repeats=_repeated(state, model_id),
            retired=model_id not in alive,
        )
        for model_id, standing in standings.items()
    ]
    return PoolReport(
        as_of=as_of,
        applied_seq=state.applied_seq,
        n=n,
        accuracy=now.correct / n if n else None,
        brier=now.brier_sum / n if n else None,
        log_loss=now.log_loss_sum / n if n else None,
        equal_brier=now.equal_brier_sum / n if n else None,
        equal_log_loss=now.equal_log_loss_sum / n if n else None,
        forms=dict(zip(FORMS, pooling.softmax(now.pool.form_evidence), strict=True)),
        shares=tuple(sorted(listed, key=lambda each: (-each.share, each.model_id))),
        repeats_ended=tuple(
            RepeatsEnded(
                model_id=model_id,
                peer=peer,
                changed_at=change.at_ns,
                detected_at=change.detected_ns,
                probability=change.probability,
            )
            for model_id, peer, change in now.ended
        ),
    )


def _repeated(state: PoolState, model_id: str) -> str | None:
    """The model it says the same as, if it does for long enough."""
    repeats = state.now.repeats.get(model_id)
    return None if repeats is None or repeats.run < REPEATS_MIN else repeats.peer


def _alive(state: PoolState) -> list[str]:
    """Models that forecast one of the markets of the retention before the newest."""
    rules, standings = state.rules.pool, state.now.pool.models
    if rules is None or not standings:
        return list(standings)
    newest_ns = max(standing.last_at_ns for standing in standings.values())
    oldest_ns = newest_ns - rules.retire_after_seconds * 1e9
    return [model_id for model_id, standing in standings.items() if standing.last_at_ns >= oldest_ns]
