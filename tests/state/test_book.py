"""Single decisions of the book, each by an example; all of them together are in test_intake_machine."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from handicapper.actors.records import decode_market, encode, seal
from handicapper.actors.state.book import Book
from handicapper.actors.state.entries import ExpirePredictions, ResetModel, RulesInForce
from handicapper.actors.state.intake import Intake
from handicapper.protocol.errors import (
    BusyError,
    ConflictError,
    HandicapperError,
    PredictedAfterResolutionError,
    StaleRevisionError,
    UnknownModelError,
)

from .samples import HOUR, T0, gate, outcome, prediction, priced, resolved, rules

KEY = b"12345678"


def intake_of(*items: Any, learn_on: str = "final", **limits: int) -> Intake:
    intake = Intake(Book(**limits))
    intake.accept(RulesInForce(rules(learn_on=learn_on)))
    for item in items:
        intake.accept(item)
    return intake


def row(intake: Intake, pid: str = "p1") -> Any:
    return next(m.tickets[pid].row for m in intake.book.all_markets() if pid in m.tickets)


def refused(intake: Intake, item: Any, error: type[HandicapperError]) -> str:
    """The text of the error; and nothing was changed by it."""
    before = (intake.book.seq, intake.book.pending, repr(intake.book.markets), len(intake.entries))
    with pytest.raises(error) as caught:
        intake.accept(item)
    assert (intake.book.seq, intake.book.pending, repr(intake.book.markets), len(intake.entries)) == before
    return str(caught.value)


def test_prediction_sent_twice_is_answered_with_the_number_of_the_first() -> None:
    intake = intake_of()
    first = intake.accept(prediction("p1"))
    again = intake.accept(prediction("p1"))
    assert (again.seq, again.duplicate, first.duplicate) == (first.seq, True, False)


def test_prediction_with_other_content_is_refused_naming_what_differs() -> None:
    intake = intake_of(prediction("p1"))
    text = refused(intake, prediction("p1", confidence=0.8, outcome="NO"), ConflictError)
    assert "confidence 0.75 != 0.8" in text
    assert 'outcome "YES" != "NO"' in text


def test_resolution_before_its_prediction_waits_and_then_scores_it() -> None:
    intake = intake_of()
    assert intake.accept(resolved()).waiting
    receipt = intake.accept(prediction("p1"))
    assert (receipt.scored, row(intake).x, row(intake).at_ns) == (1, 1.0, T0 + HOUR)


def test_prediction_made_after_the_resolution_is_refused_as_look_ahead() -> None:
    intake = intake_of(resolved())
    text = refused(intake, prediction("p1", predicted_at=T0 + 2 * HOUR), PredictedAfterResolutionError)
    assert "3600 s after" in text
    assert intake.accept(prediction("p2", predicted_at=T0 + HOUR)).scored == 1, "at that moment is not after"


def test_resolution_dated_before_a_recorded_prediction_settles_it_unscored() -> None:
    intake = intake_of(prediction("p1", predicted_at=T0 + 2 * HOUR))
    receipt = intake.accept(resolved())
    assert (receipt.scored, receipt.unscored) == (0, ("p1",))
    assert row(intake).x != row(intake).x


@pytest.mark.parametrize(("expires", "scored"), [(T0 + HOUR, 1), (T0 + HOUR - 1, 0)])
def test_prediction_counts_up_to_the_moment_it_expires(expires: int, scored: int) -> None:
    intake = intake_of(prediction("p1", expires_at=expires))
    assert intake.accept(resolved()).scored == scored


def test_expired_prediction_is_settled_and_still_scored_by_a_resolution_from_before() -> None:
    intake = intake_of(prediction("p1", expires_at=T0 + HOUR), prediction("p2"))
    assert not intake.book.expiry_due(T0 + HOUR)
    assert intake.book.expiry_due(T0 + HOUR + 1)
    receipt = intake.accept(ExpirePredictions(T0 + HOUR + 1))
    assert (receipt.unscored, intake.book.pending) == (("p1",), 1)
    assert intake.accept(resolved(resolved_at=T0 + HOUR)).scored == 2
    assert row(intake, "p1").x == row(intake, "p2").x == 1.0


def test_revision_that_goes_backwards_is_refused_and_says_which_to_send() -> None:
    intake = intake_of(prediction("p1"), resolved(revision=3))
    assert "send revision 4" in refused(intake, resolved(revision=2), StaleRevisionError)
    assert "send revision 4" in refused(intake, resolved(status="proposed", revision=3), StaleRevisionError)


def test_same_revision_with_another_result_is_a_conflict() -> None:
    intake = intake_of(prediction("p1"), resolved())
    refused(intake, resolved(winner="NO"), ConflictError)
    refused(intake, resolved(void=True), ConflictError)
    assert intake.accept(resolved()).duplicate


def test_proposed_resolution_teaches_only_where_the_rules_say_so() -> None:
    waits = intake_of(prediction("p1"))
    assert waits.accept(resolved(status="proposed")).waiting
    assert waits.accept(resolved()).scored == 1
    learns = intake_of(prediction("p1"), learn_on="proposed")
    assert learns.accept(resolved(status="proposed")).scored == 1
    assert learns.accept(resolved(status="disputed")).revised == 1
    assert row(learns).x != row(learns).x, "taken back while it is disputed"
    assert learns.accept(resolved(winner="NO")).scored == 1
    assert row(learns).x == 0.0


def test_void_after_learning_takes_the_lesson_back() -> None:
    intake = intake_of(priced("p1", "0.4", "10"), resolved())
    assert row(intake).pnl == Decimal("6.0")
    assert intake.accept(resolved(void=True, revision=1)).revised == 1
    assert row(intake).x != row(intake).x
    assert row(intake).pnl is None


def test_split_resolution_pays_each_label_its_share() -> None:
    intake = intake_of(priced("p1", "0.4", "10"), priced("p2", "0.4", "10", outcome="Yes"))
    intake.accept(resolved(payouts={"YES": 0.5, "NO": 0.5}))
    assert (row(intake, "p1").x, row(intake, "p1").pnl) == (0.5, Decimal("1.0"))
    assert (row(intake, "p2").x, row(intake, "p2").pnl) == (0.0, Decimal("-4.0")), "labels match exactly"


def test_trade_outcome_and_resolution_of_one_prediction_count_once() -> None:
    intake = intake_of(priced("p1", "0.4", "10"))
    assert intake.accept(outcome("p1", pnl=Decimal("5.5"))).scored == 1
    receipt = intake.accept(resolved(resolved_at=T0 + 2 * HOUR))
    assert (receipt.scored, receipt.revised) == (0, 0)
    assert (row(intake).at_ns, row(intake).pnl) == (T0 + HOUR, Decimal("5.5")), "the earlier one dates it"


def test_trade_outcome_after_the_resolution_adds_its_pnl() -> None:
    intake = intake_of(priced("p1", "0.4", "10"), resolved())
    receipt = intake.accept(outcome("p1", pnl=Decimal("5.5"), resolved_at=T0 + 2 * HOUR))
    assert (receipt.scored, receipt.revised) == (0, 1)
    assert (row(intake).at_ns, row(intake).x, row(intake).pnl) == (T0 + HOUR, 1.0, Decimal("5.5"))


def test_trade_outcome_that_contradicts_the_resolution_is_a_conflict_until_a_revision_overrules() -> None:
    told_last = intake_of(prediction("p1"), resolved())
    refused(told_last, outcome("p1", right=False), ConflictError)
    told_first = intake_of(prediction("p1"), outcome("p1", right=False))
    assert "revision 1 overrules" in refused(told_first, resolved(), ConflictError)
    assert told_first.accept(resolved(revision=1)).revised == 1
    assert row(told_first).x == 1.0


def test_loose_trade_outcome_is_joined_by_its_prediction() -> None:
    intake = intake_of()
    assert intake.accept(outcome("p1", pnl=Decimal(2))).scored == 1
    receipt = intake.accept(priced("p1", "0.4", "10"))
    assert (receipt.scored, receipt.revised, intake.book.pending) == (0, 1, 0)
    assert (row(intake).confidence, row(intake).stake, row(intake).pnl) == (0.75, Decimal("4.0"), Decimal(2))
    intake.book.check_invariants()


@pytest.mark.parametrize(
    ("made", "error"),
    [
        ({"model_id": "other"}, ConflictError),
        ({"outcome": "NO"}, ConflictError),
        ({"confidence": 0.9}, ConflictError),
        ({"predicted_at": T0 + 2 * HOUR}, PredictedAfterResolutionError),
    ],
)
def test_prediction_that_contradicts_its_trade_outcome_is_refused(
    made: dict[str, Any], error: type[HandicapperError]
) -> None:
    intake = intake_of(outcome("p1", confidence=0.75))
    refused(intake, prediction("p1", **made), error)


def test_prediction_that_joins_its_trade_outcome_has_a_sequence_number_of_its_own() -> None:
    """Its duplicate is answered with the number of the prediction, not with that of the outcome."""
    intake = intake_of(outcome("p1"))
    first = intake.accept(prediction("p1"))
    assert intake.accept(prediction("p1")).seq == first.seq
    assert intake.accept_gated(prediction("p1"), gate(True)).seq == first.seq


def test_second_trade_outcome_adds_its_pnl_and_changes_nothing_else() -> None:
    intake = intake_of(outcome("p1", confidence=0.75))
    intake.accept(outcome("p1", pnl=Decimal("2.5"), resolved_at=T0 + 9 * HOUR))
    assert (row(intake).at_ns, row(intake).confidence, row(intake).pnl) == (T0 + HOUR, 0.75, Decimal("2.5"))
    refused(intake, outcome("p1", pnl=Decimal("2.6")), ConflictError)
    assert intake.accept(outcome("p1")).duplicate


@pytest.mark.parametrize("known", [[], [prediction("p1")], [prediction("p1"), resolved()]], ids=len)
def test_repeat_of_an_outcome_is_answered_with_the_input_that_was_recorded_for_it(known: list[Any]) -> None:
    intake = intake_of(*known)
    first = intake.accept(outcome("p1"))
    added = intake.accept(outcome("p1", pnl=Decimal("2.5")))
    assert added.seq == first.seq + 1
    market = decode_market(KEY, seal(KEY, encode(intake.book.market_of("p1"))))
    assert market.tickets["p1"].pnl_seq == added.seq, "kept on disk, too"
    assert [intake.accept(outcome("p1", pnl=pnl)).seq for pnl in (None, Decimal("2.5"))] == [
        first.seq,
        added.seq,
    ]
    intake = intake_of(*known, outcome("p1", pnl=Decimal("2.5")))
    assert [intake.accept(outcome("p1", pnl=pnl)).seq for pnl in (None, Decimal("2.5"))] == [
        intake.book.seq
    ] * 2


def test_loose_market_that_merged_while_a_save_failed_is_not_saved_again() -> None:
    intake = intake_of(outcome("p1"))
    book = intake.book
    book.cut()
    intake.accept(prediction("p1"))
    book.not_saved()
    cut = book.cut()
    assert len(cut.merged) == 1
    assert not cut.markets.keys() & set(cut.merged)


def test_market_that_changes_while_it_is_saved_is_saved_as_it_was_at_the_cut() -> None:
    intake = intake_of(prediction("p1"), prediction("p3", "k3"), resolved("k3"), outcome("p2"))
    book = intake.book
    cut = book.cut()
    loose = dict(cut.loose)
    before = {ordinal: encode(market) for ordinal, market in cut.markets.items()}
    intake.accept(resolved())
    intake.accept(resolved("k3", revision=1))
    intake.accept(prediction("p2"))
    assert list(loose) == ["p2"]
    assert cut.loose == loose
    assert {o: encode(cut.kept.get(o) or market) for o, market in cut.markets.items()} == before
    assert all(encode(market) != before[o] for o, market in cut.markets.items())
    # Sealed by now: nothing is kept of what changes later.
    cut.sealed_through, cut.kept = max(cut.markets), {}
    intake.accept(resolved(revision=1))
    assert cut.kept == {}


def test_market_brought_back_while_others_leave_leaves_again() -> None:
    settled = (prediction("p1"), resolved(), prediction("p2", "k2"), resolved("k2"))
    intake = intake_of(*settled)
    book = intake.book
    book.cut()
    assert book.leave_some(1) == 1
    gone = [name for name in ("p1", "p2") if name not in book.by_prediction]
    again = intake_of(*settled).book.by_prediction[gone[0]]
    book.admit(again)
    book.leave()
    assert gone[0] not in book.by_prediction
    assert book.leave_some(5) == 1
    assert book.leave_some(5) is None
    assert not book.markets
    book.check_invariants()


def test_market_brought_back_that_became_pending_again_does_not_leave() -> None:
    """It was changed and saved since it came back, so that nothing but what is pending keeps it."""
    intake = intake_of(resolved(status="proposed"))
    book = intake.book
    (market,) = book.cut().markets.values()
    assert book.saved() == 1
    book.admit(market)
    intake.accept(prediction("p1"))
    book.cut()
    book.saved()
    book.leave()
    book.check_invariants()
    assert intake.accept(resolved()).scored == 1


def test_loose_market_that_merged_while_it_was_saved_is_superseded_until_the_next_save() -> None:
    intake = intake_of(outcome("p1"))
    (ordinal,) = intake.book.cut().loose.values()
    intake.accept(prediction("p1"))
    intake.book.saved()
    assert ordinal in intake.book.superseded()
    intake.book.cut()
    assert ordinal in intake.book.superseded(), "its record is on disk until that is saved"
    intake.book.saved()
    assert ordinal not in intake.book.superseded()


@pytest.mark.parametrize("message", [prediction("p1"), outcome("p1")])
def test_receipt_of_anything_but_a_resolution_is_never_waiting(message: Any) -> None:
    assert not intake_of(resolved(status="proposed")).accept(message).waiting


def test_signal_decided_before_gets_the_same_decision_and_one_only_recorded_gets_no_trade() -> None:
    intake = intake_of(prediction("p2"))
    first = intake.accept_gated(prediction("p1"), gate(True, 0.7))
    again = intake.accept_gated(prediction("p1"), gate(False, 0.9))
    assert (again.accepted, again.confidence_threshold, again.seq) == (True, 0.7, first.seq)
    assert again.duplicate
    recorded = intake.accept_gated(prediction("p2"), gate(True))
    assert (recorded.accepted, recorded.duplicate) == (False, True)


def test_bounds_on_pending_predictions_and_models_are_busy_and_free_up() -> None:
    intake = intake_of(prediction("p1"), pending_max=1, models_max=2)
    assert "limits.pending_predictions_max" in refused(intake, prediction("p2", "k2"), BusyError)
    assert intake.accept(prediction("p1")).duplicate, "a repeat is answered all the same"
    intake.accept(resolved())
    intake.accept(prediction("p2", "k2", "m2"))
    intake.accept(resolved("k2"))
    assert "limits.models_max" in refused(intake, prediction("p3", "k3", "m3"), BusyError)
    assert "limits.models_max" in refused(intake, outcome("p4", model_id="m3"), BusyError)


def test_control_of_a_model_never_seen_is_refused() -> None:
    refused(intake_of(), ResetModel("m", ""), UnknownModelError)


def test_batch_goes_on_past_refused_items_and_counts_each_kind() -> None:
    intake = intake_of()
    result = intake.accept_all(
        [prediction("p1"), prediction("p1", confidence=0.1), prediction("p1"), resolved(), outcome("p9")]
    )
    assert (result.total, result.accepted, result.duplicates, result.scored) == (5, 3, 1, 2)
    assert [(index, type(error)) for index, error in result.errors] == [(1, ConflictError)]
    counters = intake.counters
    assert (counters.predictions, counters.resolutions, counters.outcomes) == (1, 1, 1)
    assert (counters.duplicates, counters.refused, counters.scored) == (1, 1, 2)
    first, entries, out = intake.take()
    assert (first, len(entries), list(out)) == (1, 4, ["m"])
    assert intake.take()[1] == []
