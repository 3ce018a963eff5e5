"""A snapshot is a cut: what it says of the models and what it says of the markets is of one moment."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, snapshotter, verify_state
from handicapper.actors.archive import Archive, stored_markets
from handicapper.actors.persister import JournalBatch
from handicapper.actors.requests import TakeSnapshot
from handicapper.actors.runtime.cell import Ping
from handicapper.actors.snapshot import BookSealer
from handicapper.actors.snapshotter import Snapshotter
from handicapper.actors.state.entries import ResumeModel
from handicapper.actors.store import Store
from handicapper.protocol.messages import MarketResolved

DEADLINE_SECONDS = 30.0


class Turnstile:
    """Holds the first caller of a method until released; later callers pass."""

    def __init__(self) -> None:
        self.entered, self._released = threading.Event(), threading.Event()

    def before(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any) -> Any:
            if not self.entered.is_set():
                self.entered.set()
                assert self._released.wait(DEADLINE_SECONDS)
            return method(*args)

        return held

    def wait_entered(self) -> None:
        assert self.entered.wait(DEADLINE_SECONDS)

    def release(self) -> None:
        self._released.set()


def _predict(learner: Learner, name: str) -> None:
    learner.record_prediction(
        prediction_id=f"p-{name}", model_id="m", market_id=name, outcome="YES", confidence=0.6, predicted_at=0
    )


def test_snapshot_begun_when_another_ends_contains_what_the_models_were_told_of_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the first snapshot, which begins the second, comes in one batch behind an input."""
    writing, taking_in = Turnstile(), Turnstile()
    with Learner(tmp_path / "state") as learner:
        for name in ("a", "b"):
            _predict(learner, name)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "write_snapshot", writing.before(Store.write_snapshot))
            patch.setattr(Archive, "bring_back", taking_in.before(Archive.bring_back))
            learner._engine.router.tell(TakeSnapshot())
            writing.wait_entered()
            learner._engine.router.tell(TakeSnapshot())
            first = learner.resolve_market_nowait(MarketResolved(market_id="a", winner="YES", resolved_at=1))
            taking_in.wait_entered()
            second = learner.resolve_market_nowait(MarketResolved(market_id="b", winner="YES", resolved_at=1))
            writing.release()
            # The persister has handled the snapshot, and told the router so, once it answers.
            learner._engine.persister.ask(Ping(), timeout=DEADLINE_SECONDS)
            taking_in.release()
            assert (first.get(DEADLINE_SECONDS).scored, second.get(DEADLINE_SECONDS).scored) == (1, 1)
        learner.record_outcome(
            prediction_id="t", model_id="m", predicted_outcome="YES", actual_outcome="NO", resolved_at=2
        )
        shutil.copytree(tmp_path / "state", tmp_path / "copy")
    report = verify_state(tmp_path / "copy")
    assert report.ok, report
    with Learner(tmp_path / "copy") as reopened:
        assert reopened.report("m").n == 3


def _outcome(learner: Learner, name: str) -> None:
    learner.record_outcome(
        prediction_id=name, model_id="m", predicted_outcome="YES", actual_outcome="YES", resolved_at=1
    )


def test_what_was_written_ahead_for_a_snapshot_that_never_came_is_dropped_when_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after the settled markets of a snapshot were written with a commit, before the snapshot."""
    writing = Turnstile()
    sealing = Turnstile()
    with Learner(tmp_path / "state") as learner:
        for number in range(20):
            _predict(learner, f"k-{number}")
            learner.resolve_market(MarketResolved(market_id=f"k-{number}", winner="YES", resolved_at=1))
        with monkeypatch.context() as patch:
            patch.setattr(snapshotter, "SEAL_ITEMS", 1)
            patch.setattr(BookSealer, "finish", writing.before(BookSealer.finish))
            patch.setattr(Snapshotter, "_write", sealing.before(Snapshotter._write))
            learner._engine.router.tell(TakeSnapshot())
            # The router is held between sealing and writing: a commit by the persister takes the records along.
            sealing.wait_entered()
            learner._engine.persister.tell(
                JournalBatch(learner.statistics().seq + 1, 0, [ResumeModel("m")], [], lambda error: None)
            )
            learner._engine.persister.ask(Ping(), timeout=DEADLINE_SECONDS)
            ahead = _archived(learner)
            shutil.copytree(tmp_path / "state", tmp_path / "copy")
            sealing.release()
            writing.wait_entered()
            writing.release()
    assert ahead
    assert verify_state(tmp_path / "copy").ok
    with Learner(tmp_path / "copy") as reopened:
        assert _archived(reopened) == []
        assert reopened.report("m").n == 20
        assert reopened.resolve_market(MarketResolved(market_id="k-3", winner="YES", resolved_at=1)).duplicate
        reopened.snapshot()
        assert len(_archived(reopened)) == 20
    assert verify_state(tmp_path / "copy").ok


def _archived(learner: Learner) -> list[int]:
    """Ordinals of what is settled on disk."""
    return [market.ordinal for market in stored_markets(learner._engine.store)]


def test_inputs_go_on_between_the_pieces_of_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece seals one market; markets that resolve before their piece are saved as they were at the cut."""
    monkeypatch.setattr(snapshotter, "SEAL_ITEMS", 1)
    monkeypatch.setattr(snapshotter, "LEAVE_MARKETS", 1)
    monkeypatch.setattr(snapshotter, "NOTE_NUMBERS", 1)
    with Learner(tmp_path / "state") as learner:
        for number in range(50):
            _predict(learner, str(number))
            _outcome(learner, f"t-{number}")
        pending = learner.snapshot_nowait()
        replies = [
            learner.resolve_market_nowait(MarketResolved(market_id=str(number), winner="YES", resolved_at=1))
            for number in reversed(range(50))
        ]
        replies += [
            learner.record_prediction_nowait(
                prediction_id=f"t-{number}",
                model_id="m",
                market_id="late",
                outcome="YES",
                confidence=0.6,
                predicted_at=0,
            )
            for number in range(50)
        ]
        for reply in replies:
            reply.get(DEADLINE_SECONDS)
        assert pending.get(DEADLINE_SECONDS).markets == 100
        shutil.copytree(tmp_path / "state", tmp_path / "copy")
        assert learner.statistics().predictions_pending == 0
        assert learner.verify().ok
    for name in ("state", "copy"):
        assert verify_state(tmp_path / name).ok
        with Learner(tmp_path / name) as reopened:
            assert reopened.report("m").n == 100
