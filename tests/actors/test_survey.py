"""Questions to all models of a learner that an event loop drives: in the thread that waits, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import Learner, asking
from handicapper.actors.model import AskView
from handicapper.actors.runtime.everyone import Asked
from handicapper.actors.survey import ask_in_pieces

from .helpers import held, outcome

Open = Callable[..., Learner]
MODELS = [f"model-{n:03}" for n in range(100)]


@pytest.fixture
def driven(open_learner: Open) -> Learner:
    learner = open_learner(wake=lambda: None)
    learner.record_outcomes([outcome(n, model) for n, model in enumerate(MODELS)])
    while learner.run_ready(8):
        pass
    return learner


def test_no_more_than_a_piece_is_asked_without_a_pause(
    driven: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads messages in another thread waits for the interpreter until there is one."""
    asked = [0]
    ask_idle = Asked.ask_idle

    def counted(self: Asked, cells: Any, message: Any) -> None:
        asked[-1] += len(cells)
        ask_idle(self, cells, message)

    monkeypatch.setattr(Asked, "ask_idle", counted)
    monkeypatch.setattr(asking, "_step_aside", lambda: asked.append(0))
    assert [report.model_id for report in driven.reports()] == MODELS
    asked.append(0)
    assert [summary.model_id for summary in driven.models()] == MODELS
    assert max(asked) == asking.MODELS_A_PIECE
    assert sum(asked) == 2 * len(MODELS)


def test_reports_of_all_models_are_not_made_in_a_turn_of_the_driver(driven: Learner) -> None:
    driven.reports()
    assert not driven.run_ready(8), "nothing was left for it"


def test_models_that_are_busy_are_waited_for_and_named_if_they_do_not_answer(driven: Learner) -> None:
    slow = driven._engine.roster.refs[MODELS[40]]
    with held(slow):
        listed = {summary.model_id: summary.status for summary in driven.models(timeout=0.05)}
        assert [model for model, status in listed.items() if status != "running"] == [MODELS[40]]
        assert MODELS[40] not in {report.model_id for report in driven.reports(timeout=0.05)}
    assert len(driven.reports()) == len(MODELS)


def test_what_a_model_raises_is_its_own_error_and_names_it(driven: Learner) -> None:
    def view(state: Any, _as_of: int) -> str:
        if state.model_id == MODELS[3]:
            raise RuntimeError("for the test")
        return state.model_id

    engine, pauses = driven._engine, []
    refs = {model: engine.roster.refs[model] for model in MODELS}
    gathered = ask_in_pieces(engine.pool, refs, AskView(view, 0), 30.0, 30, lambda: pauses.append(None))
    assert list(gathered.values) == [model for model in MODELS if model != MODELS[3]]
    assert list(map(str, gathered.errors.values())) == ["for the test"]
    assert gathered.missing == ()
    assert len(pauses) == 3
