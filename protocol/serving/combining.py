"""Forecasts of one call combined over several turns: decoded and checked, told to the pool, computed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .. import params as p
from ..decoding import ParamsDecoder, check_items
from ..errors import InvalidValueError
from ..many import ManyDecoder
from ..messages import Forecast
from ..validation import check_forecasts
from .backend import Pending
from .groups import outcome_of
from .pieces import TURN_CELLS, run_for

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["PIECE_FORECASTS", "CombineRun"]

PIECE_FORECASTS: Final = 512
"""Forecasts that are decoded in one turn."""

FORECASTS_A_UNIT: Final = 4
CELLS_A_UNIT: Final = 32
MARKET_UNITS: Final = 128
"""What combining costs of a turn, in units of :attr:`.outgoing.TURN_UNITS`: forecasts that are decoded, cells that are
computed, and the forecasts of a market, of which it is not known here how many they are."""


class CombineRun:
    """One ``combine``.

    Raises:
        TooLargeError: it has too many forecasts.
        InvalidValueError: it has none, and no market, or both.

    """

    def __init__(self, session: Outgoing, msgid: int | None, params: p.Combine, size_bytes: int) -> None:
        limits = session.service.limits
        self._raws = params.predictions or []
        check_items("predictions", len(self._raws), limits.batch_items_max)
        if (params.market_id is None) == (params.predictions is None):
            raise InvalidValueError("market_id", params.market_id, "a market or predictions, and not both")
        if params.market_id is None and not self._raws:
            raise InvalidValueError("predictions", [], "at least one forecast")
        self._session = session
        self._msgid = msgid
        self._params = params
        self._size_bytes = size_bytes
        self._decoder = _decoder(limits.depth_max)
        self._forecasts: list[Forecast] = []
        self._model_ids: set[str] = set()
        self._named: set[str] = set()
        self._in_turn = len(self._raws) <= PIECE_FORECASTS
        self._place = session.lanes.place("combine")
        session.enter(None, 1, size_bytes)

    def advance(self) -> bool:
        """Decode and check some more; once all are, ask."""
        try:
            left = len(self._forecasts) < len(self._raws)
            if left:
                self._decode_some()
            if left and len(self._raws) > PIECE_FORECASTS:
                return True  # nor is asking done in the turn of the last piece
            self._ask()
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets it
            self._done(None, error)
        return False

    def _decode_some(self) -> None:
        start = len(self._forecasts)
        raws = self._raws[start : start + PIECE_FORECASTS]
        self._session.charge(len(raws) // FORECASTS_A_UNIT)
        params = _many.decode(raws)
        if params is None:
            decode = self._decoder.decode
            params = [decode(raw, f"predictions[{index}].") for index, raw in enumerate(raws, start)]
        found = check_forecasts("predictions", [each.message() for each in params], start)
        self._forecasts += found
        self._model_ids.update([each.model_id for each in found])
        self._named.update([each.outcome for each in found])

    def _ask(self) -> None:
        session, params = self._session, self._params
        if params.market_id is not None:
            session.charge(MARKET_UNITS)
        pending = session.service.backend.combining_nowait(
            params.market_id,
            forecasts=self._forecasts,
            model_ids=self._model_ids,
            named=self._named,
            outcomes=params.outcomes or (),
            as_of=params.as_of,
        )
        if pending.is_set():
            self._compute(pending)
        else:
            self._in_turn = False
            pending.add_done_callback(lambda done: session.service.post(self._compute, done))

    def _compute(self, pending: Pending) -> None:
        pieces, error = outcome_of(pending)
        if error is not None:
            self._done(None, error)
            return
        if self._in_turn:  # most are small, and answered in no time
            cells, ended = run_for(pieces, TURN_CELLS, self._done)
            self._session.charge(cells // CELLS_A_UNIT)
            if ended:
                return
        # Of these a connection has few under way: each holds much more than what it came as.
        session = self._session
        session.slow_questions += 1
        session.service.pieces.add(session, pieces, self._done_slowly, lambda: not session.gone)

    def _done_slowly(self, result: Any, error: BaseException | None) -> None:
        self._session.slow_questions -= 1
        self._done(result, error)

    def _done(self, result: Any, error: BaseException | None) -> None:
        self._place.answer(lambda: self._say(result, error))

    def _say(self, result: Any, error: BaseException | None) -> None:
        session = self._session
        if error is not None:
            session.answer_error(self._msgid, error, "combine", self._params)
        else:
            session.answer(self._msgid, result)
        session.leave(1, self._size_bytes)


_many: Final = ManyDecoder(p.ForecastParams)


@cache
def _decoder(depth_max: int) -> ParamsDecoder:
    return ParamsDecoder(p.ForecastParams, depth_max)
