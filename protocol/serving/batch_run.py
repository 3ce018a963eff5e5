"""One batch request under way: decoded and handed on in pieces, one a turn, answered as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Raw

from ..connection import encode
from ..decoding import check_items
from ..many import array_of, checked_message
from ..messages import BatchResult, Receipt, SignalBatch
from ..rows import plain_messages
from .backend import Pending
from .groups import Slot, forget_value, outcome_of
from .held import NO_ROOM

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .service import Route

__all__ = ["PIECE_UNITS", "REFUSED_UNITS", "BatchRun"]

PIECE_UNITS: Final = 256
"""What is decoded and handed on in one turn: so many items."""

REFUSED_UNITS: Final = 8
"""What an item costs of them that is refused: that it is decoded by itself and its error worded takes some 80 µs."""

_RECEIPTS: Final = {Receipt}
_NIL: Final = encode(None)


class _Piece(NamedTuple):
    """Items that are handed on together."""

    order: int
    """Its place among what the session hands on."""
    indices: list[int]
    """Of the items in the batch."""
    items: list[Any]
    refused: dict[int, bytes]
    """By index, those between them that are not handed on: [index, error] as it travels, for a request."""
    tries: int = 0
    """How often these were refused because of what they are for."""


class _Tally:
    """What is told of the receipts of a batch."""

    __slots__ = ("accepted", "duplicates", "revised", "scored", "seq")

    def __init__(self) -> None:
        self.accepted = self.duplicates = self.scored = self.revised = self.seq = 0

    def add(self, receipts: list[Receipt]) -> None:
        """Count these in."""
        if not receipts:
            return
        new = [receipt for receipt in receipts if not receipt.duplicate]
        self.accepted += len(new)
        self.duplicates += len(receipts) - len(new)
        self.scored += sum([receipt.scored for receipt in new])
        self.revised += sum([receipt.revised for receipt in new])
        self.seq = max(self.seq, *[receipt.seq for receipt in receipts])


class BatchRun(Slot):
    """A batch of inputs or signals.

    Whatever is told of an item is made with its piece: counted, or encoded. All together would be one long turn.

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
        self._one_by_one_to = 0
        """Up to there the items were looked at together, and are not all plain."""
        self._under_way = 0
        self._tally = _Tally()
        self._told: dict[int, bytes] = {}
        """By the order of its piece: [index, error] of the items refused, one after the other."""
        self._decided: dict[int, bytes] = {}
        """The same of decisions, nil for an item refused."""
        self._refused = 0
        self._first: tuple[int, BaseException] | None = None
        """The first item refused."""
        self._size_bytes = size_bytes
        session.enter(self, 1, size_bytes)

    def advance(self) -> bool:
        """Hand on the next piece; returns whether there is another."""
        start = self._next
        piece = _Piece(self._session.held.place(), [], [], {})
        items, units = self._checked(start)
        self._next = start + len(items)
        self._session.charge(units)
        for index, item in enumerate(items, start):
            if isinstance(item, Exception):
                self._refuse(piece, index, item, bytes(self._raws[index]))
            else:
                piece.indices.append(index)
                piece.items.append(item)
        self._under_way += 1
        if self._msgid is None and self._session.held.active:
            self._hold(piece)
        else:
            self._send(piece)
        return self._next < len(self._raws)

    def _checked(self, start: int) -> tuple[list[Any], int]:
        """Checked messages, in the place of an invalid one its error, as many as a turn has time for; and what they
        cost of it."""
        raws, many = self._raws[start : start + PIECE_UNITS], self._route.many
        assert many is not None
        params = many.decode(raws) if start >= self._one_by_one_to else None
        if params is not None and (messages := plain_messages(params)) is not None:
            return messages, len(messages)
        if start >= self._one_by_one_to:
            # Not tried again with those that are left: that would decode each of them once for each piece before it.
            self._one_by_one_to = start + len(raws)
        items: list[Any] = []
        units = 0
        for index in range(len(raws)):
            if units >= PIECE_UNITS:
                break
            item = self._one(raws[index]) if params is None else checked_message(params[index])
            units += REFUSED_UNITS if isinstance(item, Exception) else 1
            items.append(item)
        return items, units

    def _one(self, raw: Any) -> Any:
        try:
            return checked_message(self._route.item_decoder.decode(raw))
        except Exception as error:  # noqa: BLE001  # a defect of ours costs this item its place
            return error

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
        answers: list[Any] = [error] * len(piece.items) if error else results
        if set(map(type, answers)) == _RECEIPTS:
            self._tally.add(answers)
        elif again := self._sorted_out(piece, answers):
            self._hold(_Piece(piece.order, *again, {}, piece.tries + 1))
            return
        if self._msgid is not None and piece.refused:
            self._refused += len(piece.refused)
            self._told[piece.order] = b"".join([piece.refused[index] for index in sorted(piece.refused)])
        self._under_way -= 1
        if not self._under_way and self._next == len(self._raws):
            self._session.settle(self)

    def _sorted_out(self, piece: _Piece, answers: list[Any]) -> tuple[list[int], list[Any]] | None:
        """Count, encode or refuse each; returns (indices, items) of those that are to be handed on again."""
        receipts: list[Receipt] = []
        decided = dict.fromkeys(piece.refused, _NIL)
        again: tuple[list[int], list[Any]] = [], []
        for index, item, answer in zip(piece.indices, piece.items, answers, strict=True):
            if self._msgid is None and self._session.held.waits_for(answer, piece.tries):
                again[0].append(index)
                again[1].append(item)
            elif isinstance(answer, Exception):
                decided[index] = _NIL
                self._refuse(piece, index, answer, item)
            elif not self._signals:
                receipts.append(answer)
            elif self._msgid is not None:
                decided[index] = encode(answer)
        self._tally.add(receipts)
        self._decided[piece.order] = b"".join([decided[index] for index in sorted(decided)])
        return again if again[0] else None

    def _refuse(self, piece: _Piece, index: int, error: Exception, item: object) -> None:
        """Remember, or say now if nobody waits for it, what is wrong with an item.

        Args:
            piece: it is part of that.
            index: it is that one of the batch.
            error: is the reason.
            item: is kept as a dead letter: the message, so that it can be tried again, if it is a right one.

        """
        forget_value(error)
        if self._msgid is None:
            self._session.answer_error(None, error, self._route.method.name, item)
            return
        piece.refused[index] = encode((index, error))
        if self._first is None or index < self._first[0]:
            self._first = index, error

    def emit(self) -> None:
        """Answer it as a whole."""
        session = self._session
        if self._msgid is not None:
            if self._first is not None:
                index, error = self._first
                session.log_items_refused(self._route.method.name, self._refused, error, self._raws[index])
            session.answer(self._msgid, self._result())
        session.leave(1, self._size_bytes)

    def _result(self) -> SignalBatch | BatchResult:
        count = len(self._raws)
        told: Any = Raw(array_of(self._refused, [self._told[order] for order in sorted(self._told)]))
        if self._signals:
            decided: Any = Raw(array_of(count, [self._decided[order] for order in sorted(self._decided)]))
            return SignalBatch(decisions=decided, errors=told)
        tally = self._tally
        return BatchResult(
            total=count,
            accepted=tally.accepted,
            duplicates=tally.duplicates,
            scored=tally.scored,
            revised=tally.revised,
            errors=told,
            seq=tally.seq,
        )
