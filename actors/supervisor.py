"""The actor that brings models back: rebuilds a model whose actor raised, or gives it up loudly.

Policies of the others: what raises in the selector goes to whoever asked (it owns nothing that could be
spoilt); the router and the persister are not restarted in place, because inputs that were half taken in
cannot be told from those that were not: they refuse everything from then on, say why, and opening the
directory again restores what was acknowledged.
"""

from __future__ import annotations

from typing import Any

from pykka._envelope import Envelope

from ..config import Supervision
from ..protocol.errors import HandicapperError
from .log import get_logger
from .model import HistoryTooShortError, ModelActor
from .restore import archived_history
from .roster import Roster
from .router import AskHistory, History, HistoryRead
from .runtime.actor import PooledActor
from .runtime.cell import Cell
from .runtime.clock import Clock
from .runtime.failure import Failure
from .runtime.future import LeanFuture
from .runtime.ref import PooledRef
from .runtime.supervision import RestartIntensity
from .state.model_state import ModelState
from .state.rebuild import rebuild_model
from .store import Store

__all__ = ["SupervisorActor"]

_log = get_logger("supervisor")


class SupervisorActor(PooledActor):
    """Has a thread to itself, because a rebuild reads the archive."""

    def __init__(
        self, store: Store, roster: Roster, router: PooledRef[Any], rules: Supervision, clock: Clock
    ) -> None:
        super().__init__()
        self._store = store
        self._roster = roster
        self._router = router
        self._attempts_max = rules.attempts_max
        self._intensity = RestartIntensity(rules.restarts_max, rules.restart_period_secs)
        self._clock = clock
        self._restarts: dict[str, tuple[float, ...]] = {}
        self.restarts = 0

    def on_receive(self, message: Failure) -> None:
        """Answer one model's failure."""
        actor = _cell(message).actor
        if not isinstance(actor, ModelActor):
            message.resume(retry=False)
            return
        model_id = actor.state.model_id
        if isinstance(message.exception, HistoryTooShortError):
            self._restart(message, model_id, retry=True)
            return
        _log.error("model failed", model=model_id, error=repr(message.exception), attempts=message.attempts)
        decision = self._intensity.decide(self._restarts.get(model_id, ()), self._clock.monotonic())
        self._restarts[model_id] = decision.restarts
        if decision.restart:
            self.restarts += 1
            self._restart(message, model_id, retry=message.attempts < self._attempts_max)
        else:
            self._give_up(
                message, model_id, f"restarted {len(decision.restarts)} times, last: {message.exception!r}"
            )

    def _restart(self, failure: Failure, model_id: str, retry: bool) -> None:
        try:
            state, poison = self._rebuild(model_id)
        except Exception as error:  # noqa: BLE001  # without its history there is no model to go on with
            reason = str(error) if isinstance(error, HandicapperError) else repr(error)
            self._give_up(failure, model_id, f"cannot be rebuilt: {reason}")
            return
        dead_letters = _cell(failure).scheduler.dead_letters
        for text in poison:
            dead_letters.add(failure.name, "poison: not folded", text, failure.attempts)
        failure.resume(retry=retry, actor=ModelActor(state))
        _log.info(
            "model rebuilt", model=model_id, n=state.now.n, applied_seq=state.applied_seq, poison=len(poison)
        )

    def _rebuild(self, model_id: str) -> tuple[ModelState, list[str]]:
        """From the archive and what the router has in memory, as of one sequence number."""
        asked: LeanFuture[History] = LeanFuture(self._router.cell)
        self._router.cell.put_always(Envelope(AskHistory(model_id), asked))
        history = asked.get()
        try:
            tickets = archived_history(self._store, model_id, history.ordinals)
        finally:
            self._router.post(HistoryRead())
        poison: list[str] = []
        state = rebuild_model(
            model_id,
            [*tickets, *history.tickets],
            history.controls,
            history.rules_history,
            history.told_seq,
            poison.append,
        )
        return state, poison

    def _give_up(self, failure: Failure, model_id: str, reason: str) -> None:
        self._roster.failed[model_id] = reason
        failure.stop()
        _log.critical("model given up; the others go on", model=model_id, reason=reason)


def _cell(failure: Failure) -> Cell:
    ref = failure.ref
    assert isinstance(ref, PooledRef)
    return ref.cell
