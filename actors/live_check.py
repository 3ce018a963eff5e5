"""Whether what a running learner holds in memory is what the journal gives: the book, and every model's state.

Memory goes on changing, so it is compared in slices: each is written down between two inputs, in the router's turn (of
the models: at that place in their mailboxes), and compared with the journal folded up to just there. Nothing is held
up, and an input waits for a slice at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from pykka._envelope import Envelope

from .archive import is_loose
from .background import Breathe, in_routers_turn, wait_durable
from .calls import TIMEOUT_SECONDS
from .consistency import ConsistencyCheck, same_market
from .engine import Engine
from .model import AskRecord
from .records import encode, unseal
from .runtime.gather import Gather, Slot
from .state.book import Book, Control
from .state.learners import public_name
from .state.loose import loose_market
from .state.market import Market, loose_market_id

__all__ = ["live_differences"]

SLICE_TICKETS: Final = 512
"""Predictions written down in one turn: about a millisecond."""
SLICE_MODELS: Final = 256
"""Models asked in one turn."""

_LOOSE: Final = loose_market_id("")

Record = tuple[bytes, bytes]


class _Memory(Struct, frozen=True):
    """What the book holds between two inputs; its markets go on changing."""

    seq: int
    snapshot_seq: int
    """What is newer than that snapshot has not left memory."""
    pending: int
    open_markets: int
    markets: list[Market]
    loose: list[tuple[str, int]]
    """Prediction id and sequence number of each."""
    saving: list[tuple[str, int]]
    """Loose outcomes as of the cut that is being saved: some may be markets by now."""
    controls: dict[str, list[tuple[int, Control]]]
    rules_history: list[Any]
    models: frozenset[str]


def live_differences(engine: Engine, check: ConsistencyCheck, breathe: Breathe) -> list[str]:
    """What memory holds otherwise than the journal gives it, named.

    Nothing, if the learner takes in nothing more: then memory is ahead of what is durable.

    Raises:
        ClosedError: the learner was closed meanwhile.

    """
    return list(_LiveCheck(engine, check, breathe).differences())


class _LiveCheck:
    def __init__(self, engine: Engine, check: ConsistencyCheck, breathe: Breathe) -> None:
        self._engine = engine
        self._check = check
        self._breathe = breathe

    def differences(self) -> Iterator[str]:
        refs = self._engine.roster.refs
        memory = in_routers_turn(self._engine, lambda router: _memory(router, frozenset(refs)))
        if memory is None or not self._follow(memory.seq):
            return
        book = self._check.folded_book
        yield from self._of_the_whole(memory, book)
        yield from self._of_loose(memory, book)
        yield from self._missing(memory, book)
        yield from self._of_markets(memory.markets)
        yield from self._of_models(sorted(memory.models))

    def _follow(self, seq: int) -> bool:
        """Fold the journal up to this input; False if that cannot be done (any more)."""
        return wait_durable(self._engine, seq, self._breathe) and self._check.fold(seq)

    # ------------------------------------------------------------------- book

    def _of_the_whole(self, memory: _Memory, book: Book) -> Iterator[str]:
        for what, live, folded in (
            ("pending predictions", memory.pending, book.pending),
            ("open markets", memory.open_markets, book.open_markets),
        ):
            if live != folded:
                yield f"{what}: {live} in memory, {folded} by the journal"
        if memory.rules_history != book.rules_history:
            yield "learning rules: differ in memory"
        for model_id in sorted(memory.controls.keys() | book.controls.keys()):
            if memory.controls.get(model_id) != book.controls.get(model_id):
                yield f"model {public_name(model_id)}: pauses and resets differ in memory"

    def _of_loose(self, memory: _Memory, book: Book) -> Iterator[str]:
        for loose, being_saved in ((memory.loose, False), (memory.saving, True)):
            for prediction_id, seq in loose:
                self._breathe()
                folded = book.loose.seq_of(prediction_id)
                if folded is None and being_saved and prediction_id in book.by_prediction:
                    continue
                if folded != seq:
                    yield f"outcome {prediction_id}: differs in memory"

    def _missing(self, memory: _Memory, book: Book) -> Iterator[str]:
        """What has to be in memory and is not: whatever is pending, or newer than the snapshot."""
        held = {market.ordinal for market in memory.markets}
        loose = dict((*memory.loose, *memory.saving))
        for market in book.markets.values():
            self._breathe()
            if market.ordinal not in held and (market.pending or market.ordinal > memory.snapshot_seq):
                yield f"{_name(market)}: not in memory"
        for prediction_id, seq in book.loose.fresh.items():
            self._breathe()
            if seq > memory.snapshot_seq and seq not in held and prediction_id not in loose:
                yield f"outcome {prediction_id}: not in memory"
        for model_id in sorted(self._check.folded_models - memory.models):
            yield f"model {public_name(model_id)}: not in memory"

    def _of_markets(self, markets: list[Market]) -> Iterator[str]:
        for some in _slices(markets):
            written = in_routers_turn(self._engine, lambda router, some=some: _written(router, some))
            if written is None or not self._follow(written[0]):
                return
            for market, live in zip(some, written[1], strict=True):
                self._breathe()
                folded = _folded(self._check.folded_book, market.market_id) if live is not None else None
                if live is not None and (folded is None or not same_market(folded, live)):
                    yield f"{_name(market)}: differs in memory"

    # ----------------------------------------------------------------- models

    def _of_models(self, model_ids: list[str]) -> Iterator[str]:
        for start in range(0, len(model_ids), SLICE_MODELS):
            some = model_ids[start : start + SLICE_MODELS]
            gather: Gather[str, Record] = Gather(some)
            seq = in_routers_turn(
                self._engine, lambda router, some=some, gather=gather: self._ask(router, some, gather)
            )
            if seq is None or not self._follow(seq):
                return
            # One that was given up does not answer, and is told of elsewhere.
            answers = gather.wait(TIMEOUT_SECONDS, self._engine.pool).values
            for model_id, (key, sealed) in answers.items():
                self._breathe()
                folded = self._check.folded_state(model_id)
                if folded is None:
                    yield f"model {public_name(model_id)}: only in memory"
                elif encode(folded.to_record()) != unseal(key, sealed):
                    yield f"model {public_name(model_id)}: state differs"

    def _ask(self, router: Any, model_ids: list[str], gather: Gather[str, Record]) -> int | None:
        if router.failure is not None:
            return None
        refs = self._engine.roster.refs
        for index, model_id in enumerate(model_ids):
            answer: Any = Slot(gather, index)
            # Never refused: a model with a full mailbox is compared too.
            refs[model_id].cell.put_always(Envelope(AskRecord(), answer))
        return router.book.seq


def _memory(router: Any, models: frozenset[str]) -> _Memory | None:
    """In the router's turn. Copies of what would change; None if the router has failed."""
    if router.failure is not None:
        return None
    book: Book = router.book
    return _Memory(
        seq=book.seq,
        snapshot_seq=router.snapshots.seq,
        pending=book.pending,
        open_markets=book.open_markets,
        markets=list(book.markets.values()),
        loose=list(book.loose.fresh.items()),
        saving=list(book.loose.saving.items()),
        controls={model_id: list(controls) for model_id, controls in book.controls.items()},
        rules_history=list(book.rules_history),
        models=models,
    )


def _written(router: Any, markets: list[Market]) -> tuple[int, list[bytes | None]] | None:
    """In the router's turn: (last input, each market as it is; None for one that left memory)."""
    if router.failure is not None:
        return None
    book: Book = router.book
    return book.seq, [_as_it_is(book, market) for market in markets]


def _as_it_is(book: Book, market: Market) -> bytes | None:
    if book.markets.get(market.market_id) is not market:
        return None
    found = all(book.by_prediction.get(prediction_id) is market for prediction_id in market.tickets)
    return encode(market) if found else b"not found by its predictions"


def _folded(book: Book, market_id: str) -> Market | None:
    """The market that the journal gives; a loose outcome may have been brought back as one."""
    market = book.markets.get(market_id)
    if market is None and market_id.startswith(_LOOSE):
        loose = book.loose.get(market_id.removeprefix(_LOOSE))
        market = None if loose is None else loose_market(loose)
    return market


def _name(market: Market) -> str:
    if is_loose(market):
        return f"outcome {market.market_id.removeprefix(_LOOSE)}"
    return f"market {market.market_id}"


def _slices(markets: Iterable[Market]) -> Iterator[list[Market]]:
    some: list[Market] = []
    size = 0
    for market in markets:
        some.append(market)
        size += 1 + len(market.tickets)
        if size >= SLICE_TICKETS:
            yield some
            some, size = [], 0
    if some:
        yield some
