"""One batch request under way: decoded and handed on in pieces, one a turn, answered as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Raw

from ..connection import encode
from ..decoding import check_items
from ..errors import HandicapperError
from ..many import checked_messages
from ..messages import BatchResult, SignalBatch
from .backend import Pending
from .groups import Slot, forget_value, outcome_of
from .held import NO_ROOM

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .service import Route

__all__ = ["PIECE_ITEMS", "BatchRun"]

PIECE_ITEMS: Final = 256
"""Items that are decoded and handed on in one turn."""


class _Piece(NamedTuple):
    """Items that are handed on together."""

    order: int
    """Its place among what the session hands on."""
    indices: list[int]
    """Of the items in the batch."""
    items: list[Any]
    tries: int = 0
    """How often these were refused because of what they are for."""


class BatchRun(Slot):
    """A batch of inputs or signals.

    Raises:
        TooLargeError: it has too many items.
        BusyError: too many requests are in flight.

    """

    def __init__(
        self, session: Outgoing, route: Route, msgid: int | None, params: Any, size_bytes: int
    ) -> None:
        field = route.method.params.__struct_fields__[0]
        self._raws: list[Any] = getattr(params, field)
        check_items(field, len(self._raws), session.service.limits.batch_items_max)
        if msgid is not None and (full := session.service.busy(1)) is not None:
            raise full
        self._session = session
        self._route = route
        self._msgid = msgid
        self._signals = route.item.kind == "signal"
        self._next = 0
        self._under_way = 0
        self._results: list[Any] = [None] * len(self._raws)
        self._told: dict[int, Raw] = {}
        """The errors among them as they travel: encoded with their piece, for all together would be one long turn."""
        self._size_bytes = size_bytes
        session.enter(self, 1, size_bytes)

    def advance(self) -> bool:
        """Hand on the next piece; returns whether there is another."""
        start = self._next
        self._next = end = min(start + PIECE_ITEMS, len(self._raws))
        self._session.charge(end - start)
        piece = _Piece(self._session.held.place(), [], [])
        for index, item in enumerate(self._checked(start, end), start):
            if isinstance(item, Exception):
                forget_value(item)
                self._session.charge(1)
                self._finished(index, item)
            else:
                piece.indices.append(index)
                piece.items.append(item)
        self._under_way += 1
        if self._msgid is None and self._session.held.active:
            self._hold(piece)
        else:
            self._send(piece)
        return self._next < len(self._raws)

    def _checked(self, start: int, end: int) -> list[Any]:
        """Checked messages, in the place of an invalid one its error."""
        raws, many = self._raws[start:end], self._route.many
        assert many is not None
        params = many.decode(raws)
        if params is not None:
            return checked_messages(params)
        items: list[Any] = []
        for raw in raws:
            try:
                items += checked_messages([self._route.item_decoder.decode(raw)])
            except Exception as error:  # noqa: BLE001  # a defect of ours costs this item its place
                items.append(error)
        return items

    def _hold(self, piece: _Piece) -> None:
        self._session.held.hold(piece.order, lambda: self._send(piece))

    def _send(self, piece: _Piece) -> None:
        service = self._session.service
        backend = service.backend
        if not piece.items:
            self._piece_done(piece, [], None)
            return
        try:
            send = backend.process_checked_nowait if self._signals else backend.record_checked_nowait
            pending = send(piece.items)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets it
            self._piece_done(piece, [], error)
            return
        self._session.held.sent()
        pending.add_done_callback(lambda done: service.post(self._settled, piece, done))

    def _settled(self, piece: _Piece, pending: Pending) -> None:
        results, error = outcome_of(pending)
        self._piece_done(piece, results or [], error)
        self._session.held.came_back()

    def _piece_done(self, piece: _Piece, results: list[Any], error: BaseException | None) -> None:
        if isinstance(error, NO_ROOM) and self._msgid is None:
            # Nobody can be told to come again, so we do.
            self._hold(piece)
            return
        again = _Piece(piece.order, [], [], piece.tries + 1)
        answers = [error] * len(piece.items) if error else results
        for index, item, result in zip(piece.indices, piece.items, answers, strict=True):
            self._finished(index, result)
            if self._msgid is None and self._session.held.waits_for(result, piece.tries):
                again.indices.append(index)
                again.items.append(item)
        if again.items:
            self._hold(again)
            return
        self._under_way -= 1
        if not self._under_way and self._next == len(self._raws):
            self._session.settle(self)

    def _finished(self, index: int, result: Any) -> None:
        self._results[index] = result
        if self._msgid is not None and isinstance(result, Exception):
            self._told[index] = Raw(encode(result))

    def emit(self) -> None:
        """Answer it as a whole."""
        session, method = self._session, self._route.method.name
        results = self._results
        refused = tuple((i, result) for i, result in enumerate(results) if isinstance(result, Exception))
        if self._msgid is None:
            for index, error in refused:
                session.answer_error(None, error, method, self._refused(self._raws[index]))
            session.leave(1, self._size_bytes)
            return
        if refused:
            index, error = refused[0]
            session.log_items_refused(method, len(refused), error, self._raws[index])
        told: Any = tuple(sorted(self._told.items()))
        if self._signals:
            decisions = tuple(None if isinstance(result, Exception) else result for result in results)
            session.answer(self._msgid, SignalBatch(decisions=decisions, errors=told))
        else:
            session.answer(self._msgid, self._batch_result(told))
        session.leave(1, self._size_bytes)

    def _refused(self, raw: Any) -> Any:
        """An item to be kept as a dead letter: the message, so that it can be tried again, if it is a right one."""
        try:
            (message,) = checked_messages([self._route.item_decoder.decode(raw)])
        except HandicapperError:
            return bytes(raw)
        return bytes(raw) if isinstance(message, HandicapperError) else message

    def _batch_result(self, refused: tuple[tuple[int, Exception], ...]) -> BatchResult:
        receipts = [result for result in self._results if not isinstance(result, Exception)]
        new = [receipt for receipt in receipts if not receipt.duplicate]
        return BatchResult(
            total=len(self._results),
            accepted=len(new),
            duplicates=len(receipts) - len(new),
            scored=sum(receipt.scored for receipt in new),
            revised=sum(receipt.revised for receipt in new),
            errors=refused,
            seq=max((receipt.seq for receipt in receipts), default=0),
        )
