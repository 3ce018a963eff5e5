"""What can be asked of the pool's state. Changes nothing of it but what is kept to answer the next question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from ...protocol.messages import (
    Forecast,
    PooledForecast,
    PoolMember,
    PoolReport,
    PoolShare,
    RepeatsEnded,
)
from ..learning import pooling
from ..learning.pooling import (
    DEFAULT_RULES,
    FORMS,
    PIECE_CELLS,
    Pieces,
    Pool,
    PoolRules,
    slices,
    sorted_in_pieces,
    whole,
)
from .pool_state import PoolState
from .pool_statistics import pooling_rules
from .repeating import REPEATS_MIN

__all__ = ["combine", "combining", "report", "weights"]

MEMBER_CELLS: Final = 2
"""What it takes to write down one forecast, in cells (:mod:`..learning.pooling.pieces`)."""


def combine(
    state: PoolState,
    as_of: int,
    forecasts: Sequence[Forecast],
    outcomes: Collection[str] = (),
    market_id: str | None = None,
) -> PooledForecast:
    """The forecasts as one; there is at least one. ``outcomes``: further ones of the market, where they are known."""
    return whole(_combined(_Known.of(state, state.now.pool), as_of, forecasts, outcomes, market_id))


def combining(
    state: PoolState,
    as_of: int,
    forecasts: Sequence[Forecast],
    model_ids: Collection[str],
    outcomes: Collection[str] = (),
    market_id: str | None = None,
) -> Pieces[PooledForecast]:
    """The same by the state as it is now, computed in pieces by whoever asks: whatever the pool learns meanwhile.

    ``model_ids``: those that made the forecasts.
    """
    known = _Known.of(state, pooling.excerpt(state.now.pool, model_ids))
    return _combined(known, as_of, forecasts, outcomes, market_id)


class _Known(NamedTuple):
    """What forecasts are combined by."""

    pool: Pool
    rules: PoolRules
    applied_seq: int
    n: int

    @classmethod
    def of(cls, state: PoolState, pool: Pool) -> _Known:
        rules = state.rules.pool
        return cls(
            pool, DEFAULT_RULES if rules is None else pooling_rules(rules), state.applied_seq, state.now.n
        )


def _combined(
    known: _Known,
    as_of: int,
    forecasts: Sequence[Forecast],
    outcomes: Collection[str],
    market_id: str | None,
) -> Pieces[PooledForecast]:
    said: list[tuple[str, str, float]] = []
    for start, end in slices(len(forecasts), 1):
        said += [(each.model_id, each.outcome, each.confidence) for each in forecasts[start:end]]
        yield end - start
    combined = yield from pooling.combine_in_pieces(known.pool, said, outcomes, known.rules)
    assert combined is not None, "no forecast was given"
    probabilities = combined.probabilities
    outcome = max(probabilities, key=probabilities.__getitem__)  # of equals the first by label
    yield len(said) // 4  # to let go of what it was computed of
    members = yield from _members(said, combined.shares)
    yield len(said)  # to make the answer of it, and to send that
    return PooledForecast(
        market_id=market_id,
        as_of=as_of,
        applied_seq=known.applied_seq,
        n=known.n,
        outcome=outcome,
        confidence=probabilities[outcome],
        probabilities=probabilities,
        remainder=combined.remainder,
        disagreement=combined.disagreement,
        members=tuple(members),
        forms=combined.forms,
    )


def _members(said: list[tuple[str, str, float]], shares: Mapping[str, float]) -> Pieces[list[PoolMember]]:
    """Each forecast with its model's share: the largest first, of equals by model and outcome."""
    by_model: dict[str, list[tuple[str, str, float]]] = {}
    for start, end in slices(len(said), 1):
        for each in said[start:end]:
            by_model.setdefault(each[0], []).append(each)
        yield end - start
    # Shares are in the order of the models' names, and of equals that stays.
    ranked = yield from sorted_in_pieces(shares, lambda model_id: -shares[model_id])
    members: list[PoolMember] = []
    cells = 0
    for model_id in ranked:
        share, made = shares[model_id], by_model[model_id]
        if len(made) > 1:
            made = yield from sorted_in_pieces(made, itemgetter(1))
        for start, end in slices(len(made), MEMBER_CELLS):
            members += [
                PoolMember(model_id=model_id, outcome=outcome, confidence=confidence, share=share)
                for _, outcome, confidence in made[start:end]
            ]
            cells += (end - start) * MEMBER_CELLS
            if cells >= PIECE_CELLS:
                yield cells
                cells = 0
    yield cells
    return members


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
