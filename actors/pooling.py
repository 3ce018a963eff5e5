"""The pool's questions: the models' forecasts of a market combined, and what the pool thinks of the models.

The pool is told, saved and rebuilt as a model is (see :mod:`.state.pool_state`); what it is asked here it answers at
its place among the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from datetime import datetime
from functools import partial
from typing import Any, Final

from ..protocol.errors import InvalidValueError, UnknownMarketError
from ..protocol.messages import Forecast, MarketResolved, PooledForecast, PoolReport, Prediction
from ..protocol.validation import check_forecast, check_id, check_outcomes
from ..protocol.values import FORECASTS_MAX
from .calls import TIMEOUT_SECONDS, Reply
from .engine import Engine
from .learning.pooling import Pieces
from .questions import event_time, put_question
from .state import pool_views
from .state.pool_row import POOL_ID, cells_of, forecasts_of
from .state.pool_state import PoolState

__all__ = ["COMBINED_CELLS_MAX", "Pooling"]

COMBINED_CELLS_MAX: Final = 2**15
"""Models times outcomes that are combined in one call, some 25 ms. Fewer than a market may have that teaches the pool,
because a question can be asked again and again."""

PoolView = Callable[[PoolState, int], Any]


class Pooling:
    """The part of a :class:`.learner.Learner` that combines."""

    _engine: Engine

    def combine(
        self,
        market_id: str | None = None,
        *,
        predictions: Iterable[Forecast | Prediction] | None = None,
        outcomes: Iterable[str] = (),
        as_of: int | datetime | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> PooledForecast:
        """The models' forecasts of a market as one: of each model the last recorded, or those given.

        Each model counts by its share, which follows from how its forecasts did beside the others' on the same
        markets (see :mod:`.learning.pooling`). Given predictions are not recorded. ``outcomes`` are further outcomes
        that the market can have: with three or more, what a model leaves of its probability is spread over them.

        Raises:
            UnknownMarketError: nobody has forecast that market.
            InvalidValueError: neither a market nor predictions were given, or both, or a wrong one; or there are too
                many models times outcomes.

        """
        asked = self.combine_nowait(market_id, predictions=predictions, outcomes=outcomes, as_of=as_of)
        return asked.get(timeout)

    def combine_nowait(
        self,
        market_id: str | None = None,
        *,
        predictions: Iterable[Forecast | Prediction] | None = None,
        outcomes: Iterable[str] = (),
        as_of: int | datetime | None = None,
    ) -> Reply[PooledForecast]:
        """The same without waiting; sees every input that this thread sent before.

        Raises:
            InvalidValueError: an argument is wrong.
            BusyError: too many messages wait.

        """
        engine = self._engine
        if (market_id is None) == (predictions is None):
            raise InvalidValueError("market_id", market_id, "a market or predictions, and not both")
        at, labels = event_time(engine, as_of), check_outcomes(outcomes)
        if predictions is None:
            wanted = check_id("market_id", market_id)
            return _ask_of_market(engine, wanted, labels, at, _whole)
        given = _checked(predictions)
        return _ask_of_these(engine, given, *_names(given), labels, at, _whole)

    def combining_nowait(
        self,
        market_id: str | None = None,
        *,
        forecasts: Sequence[Forecast] = (),
        model_ids: Set[str] = frozenset(),
        named: Set[str] = frozenset(),
        outcomes: Iterable[str] = (),
        as_of: int | datetime | None = None,
    ) -> Reply[Pieces[PooledForecast]]:
        """What :meth:`combine_nowait` says, by what the pool knows at this place among the inputs, computed in pieces
        by whoever asks: it may do something else between them.

        Args:
            market_id: whose forecasts; or None.
            forecasts: those that are combined else, at least one. They were checked: valid, and normalised.
            model_ids: the models that made them.
            named: their outcomes.
            outcomes: further outcomes.
            as_of: as there.

        Raises:
            InvalidValueError: an argument is wrong, or there are too many models times outcomes.
            BusyError: too many messages wait.

        """
        engine = self._engine
        at, labels = event_time(engine, as_of), check_outcomes(outcomes)
        if market_id is None:
            return _ask_of_these(engine, forecasts, model_ids, named, labels, at, _in_pieces)
        return _ask_of_market(engine, check_id("market_id", market_id), labels, at, _in_pieces)

    def pool(self, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS) -> PoolReport:
        """What the pool has learned: every model's share, and whether combining paid.

        ``as_of`` only dates the report: shares change with markets, and not with time.
        """
        engine = self._engine
        reply: Reply[PoolReport] = Reply(engine.router.cell)
        at = event_time(engine, as_of)
        engine.after_inputs(lambda: put_pool_question(engine, pool_views.report, at, reply), reply)
        return reply.get(timeout)


def put_pool_question(engine: Engine, view: PoolView, as_of: int, reply: Reply[Any]) -> None:
    """Ask the pool; its answer goes into ``reply``. One that has learned nothing yet has no actor.

    Raises:
        ModelFailedError: it was given up.
        BusyError: too many messages wait for it.

    """
    if POOL_ID in engine.roster.refs:
        put_question(engine, POOL_ID, view, as_of, reply)
    else:
        reply.set(view(PoolState(engine.rules), as_of))


Ask = Callable[[Sequence[Forecast], Set[str], Set[str], str | None], PoolView]
"""What the pool is asked about forecasts: (forecasts, their models, outcomes, market)."""


def _whole(
    forecasts: Sequence[Forecast], model_ids: Set[str], outcomes: Set[str], market_id: str | None
) -> PoolView:
    del model_ids
    return partial(pool_views.combine, forecasts=forecasts, outcomes=outcomes, market_id=market_id)


def _in_pieces(
    forecasts: Sequence[Forecast], model_ids: Set[str], outcomes: Set[str], market_id: str | None
) -> PoolView:
    return partial(
        pool_views.combining,
        forecasts=forecasts,
        model_ids=model_ids,
        outcomes=outcomes,
        market_id=market_id,
    )


def _ask_of_these(
    engine: Engine,
    forecasts: Sequence[Forecast],
    model_ids: Set[str],
    named: Set[str],
    outcomes: Set[str],
    at: int,
    ask: Ask,
) -> Reply[Any]:
    reply: Reply[Any] = Reply(engine.router.cell)
    known = named | outcomes
    _check_width("predictions", model_ids, known)
    view = ask(forecasts, model_ids, known, None)
    engine.after_inputs(lambda: put_pool_question(engine, view, at, reply), reply)
    return reply


def _ask_of_market(engine: Engine, market_id: str, outcomes: Set[str], at: int, ask: Ask) -> Reply[Any]:
    reply: Reply[Any] = Reply(engine.router.cell)

    def asked() -> None:
        forecasts, paid = _forecasts_of_market(engine.router.cell.actor, market_id, at)
        model_ids, named = _names(forecasts)
        known = named | outcomes | paid
        _check_width("market_id", model_ids, known)
        put_pool_question(engine, ask(forecasts, model_ids, known, market_id), at, reply)

    # The book is the router's: never looked into from here.
    engine.in_turn(asked, reply)
    return reply


def _names(forecasts: Sequence[Forecast]) -> tuple[Set[str], Set[str]]:
    """The models and the outcomes of forecasts."""
    return {each.model_id for each in forecasts}, {each.outcome for each in forecasts}


def _checked(predictions: Iterable[Forecast | Prediction]) -> tuple[Forecast, ...]:
    """What was given, checked.

    Raises:
        InvalidValueError: one of them is wrong, or there is none.

    """
    if isinstance(predictions, str) or not isinstance(predictions, Iterable):
        raise InvalidValueError("predictions", predictions, "several forecasts, such as a list of Forecast")
    forecasts: list[Forecast] = []
    for index, given in enumerate(predictions):
        if index >= FORECASTS_MAX:
            raise InvalidValueError("predictions", index + 1, f"at most {FORECASTS_MAX} forecasts")
        forecasts.append(check_forecast(f"predictions[{index}]", given))
    if not forecasts:
        raise InvalidValueError("predictions", [], "at least one forecast")
    return tuple(forecasts)


def _check_width(field: str, model_ids: Set[str], labels: Set[str]) -> None:
    """Raise InvalidValueError if combining them would take long: whoever asks is not the only one who waits."""
    cells = cells_of(model_ids, labels)
    if cells > COMBINED_CELLS_MAX:
        expected = (
            f"models times outcomes at most {COMBINED_CELLS_MAX}; combine fewer models, or fewer outcomes"
        )
        raise InvalidValueError(field, f"{cells} models times outcomes", expected)


def _forecasts_of_market(
    router: Any, market_id: str, as_of: int
) -> tuple[tuple[Forecast, ...], frozenset[str]]:
    """In the router's turn, at whose end the market leaves memory again: of each model the last prediction recorded of
    a market, if it was made by then and has not expired; and the outcomes that the market's resolutions name.

    Raises:
        UnknownMarketError: there is none.
        StateDamagedError: the market cannot be read.

    """
    book = router.book
    asked = MarketResolved(market_id=market_id, resolved_at=0)
    for error in router.archive.bring_back(book, (asked,)).damaged.values():
        raise error
    market = book.markets.get(market_id)
    if market is None:
        raise UnknownMarketError(market_id)
    open_then = [ticket for ticket in market.tickets.values() if _holds(ticket.prediction, as_of)]
    made = [ticket.prediction for ticket in forecasts_of(open_then) if ticket.prediction is not None]
    named = frozenset(label for ruling in market.rulings for label in ruling.resolution.payouts or ())
    forecasts = tuple(Forecast(model_id=p.model_id, outcome=p.outcome, confidence=p.confidence) for p in made)
    if not forecasts:
        raise UnknownMarketError(market_id)
    return forecasts, named


def _holds(prediction: Prediction | None, as_of: int) -> bool:
    if prediction is None or prediction.predicted_at > as_of:
        return False
    return prediction.expires_at is None or as_of <= prediction.expires_at
