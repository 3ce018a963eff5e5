"""verify of an open learner finds what is wrong in memory only: in the book, and in models told nothing since."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from handicapper.actors import Learner, live_check
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.state.events import Paused
from handicapper.actors.state.memory import LET_GO_ITEMS, BookMemory
from handicapper.protocol.errors import HandicapperError, StoreFailedError

from .helpers import (
    DEADLINE_SECONDS,
    HOUR,
    T0,
    eventually,
    model_ref,
    outcome,
    pattern,
    prediction,
    resolution,
    teach,
)

Open = Callable[..., Learner]


def book_of(learner: Learner) -> Any:
    return learner._engine.router.cell.actor.book


@pytest.fixture
def lived(learner: Learner) -> Learner:
    """In a snapshot: settled markets, open ones, loose outcomes; after it: all of these again."""
    teach(learner, "good", range(20))
    teach(learner, "odd", range(100, 120))
    learner.record_predictions(prediction(n, "odd") for n in range(200, 210))
    learner.record_outcomes(outcome(n, "good") for n in range(300, 310))
    learner.pause("odd", reason="why not")
    learner.snapshot()
    learner.record_predictions(prediction(n, "late") for n in range(400, 410))
    learner.resolve_markets(resolution(n) for n in range(400, 405))
    learner.record_outcomes(outcome(n, "late") for n in range(500, 505))
    assert learner.verify().ok
    learner.record_predictions(prediction(n, "late") for n in range(600, 610))
    learner.resolve_markets(resolution(n) for n in range(600, 605))
    learner.record_outcomes(outcome(n, "late") for n in range(700, 705))
    return learner


def change_model(learner: Learner) -> None:
    """Not told anything since the snapshot: no snapshot would save it."""
    model_ref(learner, "odd").cell.actor.state.now.ema_accuracy += 1e-9


def change_open_market(learner: Learner) -> None:
    """Not changed since the snapshot, likewise."""
    ticket = book_of(learner).markets["k205"].tickets["p205"]
    ticket.prediction = replace(ticket.prediction, confidence=0.71)


def change_settled_market(learner: Learner) -> None:
    market = book_of(learner).markets["k602"]
    (ruling,) = market.rulings
    market.rulings = (replace(ruling, seq=ruling.seq + 1),)


def change_payout(learner: Learner) -> None:
    ticket = book_of(learner).markets["k603"].tickets["p603"]
    ticket.row = replace(ticket.row, x=0.0)


def lose_open_market(learner: Learner) -> None:
    del book_of(learner).markets["k206"]


def lose_settled_market(learner: Learner) -> None:
    del book_of(learner).markets["k601"]


def lose_name(learner: Learner) -> None:
    """A second prediction of that id would be taken for a new one."""
    del book_of(learner).by_prediction["p606"]


def invent_market(learner: Learner) -> None:
    book = book_of(learner)
    book.markets["k999"] = replace(book.markets["k607"], market_id="k999", tickets={})


def change_loose_outcome(learner: Learner) -> None:
    """It is told apart by its number: what it says is in the journal only."""
    book_of(learner).loose.fresh["p701"] -= 1


def lose_loose_outcome(learner: Learner) -> None:
    del book_of(learner).loose.fresh["p702"]


def miscount_pending(learner: Learner) -> None:
    book_of(learner).pending += 1


def miscount_open(learner: Learner) -> None:
    book_of(learner).open_markets -= 1


def lose_pause(learner: Learner) -> None:
    book_of(learner).controls["odd"].clear()


def invent_pause(learner: Learner) -> None:
    book_of(learner).controls["late"].append((3, Paused(None, "")))


def lose_rules(learner: Learner) -> None:
    book = book_of(learner)
    book.rules_history[0] = (book.rules_history[0][0], replace(book.rules_history[0][1], ema_alpha=0.2))


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (change_model, "model odd: state differs"),
        (change_open_market, "market k205: differs in memory"),
        (change_settled_market, "market k602: differs in memory"),
        (change_payout, "market k603: differs in memory"),
        (lose_open_market, "market k206: not in memory"),
        (lose_settled_market, "market k601: not in memory"),
        (lose_name, "market k606: differs in memory"),
        (invent_market, "market k999: differs in memory"),
        (change_loose_outcome, "outcome p701: differs in memory"),
        (lose_loose_outcome, "outcome p702: not in memory"),
        (miscount_pending, "pending predictions: 21 in memory, 20 by the journal"),
        (miscount_open, "open markets: 19 in memory, 20 by the journal"),
        (lose_pause, "model odd: pauses and resets differ in memory"),
        (invent_pause, "model late: pauses and resets differ in memory"),
        (lose_rules, "learning rules: differ in memory"),
    ],
)
def test_what_differs_in_memory_is_named_and_not_stored(
    corrupt: Callable[[Learner], None], named: str, lived: Learner
) -> None:
    before = lived.statistics().snapshot_seq
    corrupt(lived)
    found = lived.verify()
    assert (found.ok, found.damaged, found.differences) == (False, (), (named,))
    assert lived.statistics().snapshot_seq == before, "no snapshot of it is taken"


def test_model_put_right_again_is_in_order(lived: Learner) -> None:
    now = model_ref(lived, "odd").cell.actor.state.now
    right = now.ema_accuracy
    now.ema_accuracy += 1e-9
    assert not lived.verify().ok
    now.ema_accuracy = right
    assert lived.verify().ok


def test_every_model_is_compared_and_every_slice(open_learner: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_check, "SLICE_TICKETS", 7)
    monkeypatch.setattr(live_check, "SLICE_MODELS", 3)
    learner = open_learner()
    learner.record_predictions(prediction(n, f"m{n:02}") for n in range(50))
    assert learner.verify().ok
    for n in (0, 20, 49):
        model_ref(learner, f"m{n:02}").cell.actor.state.now.ema_accuracy = 0.4
        book_of(learner).markets[f"k{n}"].ordinal += 1000
    learner.record_prediction(prediction(50, "m50"))
    found = learner.verify()
    assert {f"model m{n:02}: state differs" for n in (0, 20, 49)} <= set(found.differences)
    assert {f"market k{n}: differs in memory" for n in (0, 20, 49)} <= set(found.differences)


def test_inputs_of_every_kind_in_between_spoil_nothing(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revisions of what is on disk, joined outcomes, expiries, pauses, resets and snapshots, all the while."""
    monkeypatch.setattr(live_check, "SLICE_TICKETS", 16)
    clock = ManualClock(T0)
    learner = open_learner(clock=clock, future_inputs=True)
    stopped, errors, turns = threading.Event(), [], [0]

    def record() -> None:
        try:
            while not stopped.is_set():
                one_round(learner, turns[0])
                turns[0] += 1
                clock.set_wall(T0 + turns[0] * HOUR)
        except HandicapperError as error:
            errors.append(error)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        for turn in range(6):
            eventually(lambda turn=turn: turns[0] > 3 * turn or bool(errors))
            found = learner.verify()
            assert (found.ok, found.damaged, found.differences) == (True, (), ())
    finally:
        stopped.set()
        thread.join(DEADLINE_SECONDS)
    assert errors == []


def one_round(learner: Learner, turn: int) -> None:
    first = turn * 40
    numbers = range(first, first + 40)
    model = f"m{turn % 4}"
    learner.record_predictions(
        prediction(n, model, expires_at=T0 + n * 60 * 10**9 + 31 * 10**9) for n in numbers
    )
    learner.resolve_markets(resolution(n, "YES" if pattern(n) else "NO") for n in numbers[:20])
    learner.record_outcomes(outcome(n, model, pattern(n)) for n in numbers[20:25])
    learner.record_outcomes(outcome(100_000 + n, model) for n in numbers)
    if turn:
        old = first - 40
        learner.resolve_market(resolution(old, "NO" if pattern(old) else "YES", revision=1))
        learner.record_prediction(prediction(100_000 + old, f"m{(turn - 1) % 4}"))
        learner.pause(f"m{(turn - 1) % 4}", reason="by turns")
    if turn % 3 == 2:
        learner.reset(model)
    learner.snapshot_nowait()


def test_memory_ahead_of_a_disk_that_failed_is_no_difference(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never acknowledged: what is stored is what there is to check."""
    teach(learner, "m", range(20))
    learner.snapshot()

    def append(*_: Any) -> None:
        raise StoreFailedError("no space left on this device")

    monkeypatch.setattr("handicapper.actors.store.Store.append", append)
    with pytest.raises(StoreFailedError):
        learner.record_outcome(outcome(100))
    assert book_of(learner).loose.fresh
    assert learner.verify().ok


def test_books_made_for_the_check_are_freed_in_pieces(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freed at once they are one call of C, in which an event loop beside it stands still."""
    freed: list[tuple[int, int]] = []
    let_go = BookMemory.let_go

    def watched(book: BookMemory, pause: Callable[[], object]) -> None:
        pauses: list[int] = []

        def counted() -> None:
            pauses.append(len(book.markets))
            pause()

        count = len(book.markets)
        let_go(book, counted)
        freed.append((count, max(a - b for a, b in pairwise([count, *pauses]))))
        assert not book.markets
        assert not book.by_prediction
        assert book.loose.recent.get(count + 1) is None

    monkeypatch.setattr(BookMemory, "let_go", watched)
    count = 3 * LET_GO_ITEMS
    learner = open_learner()
    learner.record_predictions([prediction(number) for number in range(count)])
    learner.record_outcomes([outcome(count + number) for number in range(100)])
    assert learner.verify().ok
    assert freed == [(count, LET_GO_ITEMS), (count, LET_GO_ITEMS)], (
        "what is stored, and what the journal gives"
    )
