"""A snapshot is a cut: what it says of the models and what it says of the markets is of one moment."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.archive import Archive
from handicapper.actors.router import TakeSnapshot
from handicapper.actors.runtime.cell import Ping
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
