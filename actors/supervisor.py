"""The actor that brings models back: rebuilds a model whose actor raised, or gives it up loudly.

Policies of the others:

* The selector owns nothing that could be spoilt: what raises in it goes to whoever asked, and it goes on with
  the next question. There is nothing to restart.
* The router is not restarted in place, because inputs that were half taken in cannot be told from those that
  were not: it refuses everything from then on, says why, and opening the directory again restores what was
  acknowledged. Questions are answered still.
* The persister likewise: whatever raises in it, the journal has failed (``STORE_FAILED``), nothing more is
  acknowledged, and opening again restores what was.
* The supervisor itself: a model whose rebuilding raises is given up by name, and it goes on with the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct
from pykka._envelope import Envelope

from ..config import Settings, Supervision
from ..protocol.errors import ModelFailedError, UnknownModelError, reason_of
from ..protocol.messages import RestartReceipt
from ..protocol.wording import shown
from .archive import stored_markets
from .histories import Away, archived_histories
from .letters import set_aside
from .log import get_logger
from .model import BroughtBackError, FoldAgain, HistoryTooShortError, ModelActor
from .requests import AskHistory, History, HistoryRead
from .roster import Roster
from .runtime.actor import PooledActor
from .runtime.cell import Cell
from .runtime.clock import Clock
from .runtime.failure import Failure
from .runtime.future import LeanFuture
from .runtime.ref import PooledRef
from .runtime.supervision import RestartIntensity
from .state.learners import new_state, public_name
from .state.pool_row import POOL_ID
from .state.rebuild import HistoryItem, Poison, rebuild_model
from .store import Store
from .watching import ModelFailed, ModelRestarted, Watchers

__all__ = ["BringBack", "SupervisorActor"]

_log = get_logger("supervisor")


class BringBack(Struct, frozen=True):
    """An operator wants a model back that was given up; the reply gets a ``RestartReceipt``."""

    model_id: str
    reply: LeanFuture[RestartReceipt]


class _Restart(NamedTuple):
    """A model to be rebuilt, and whether its failed message is tried again."""

    failure: Failure
    model_id: str
    retry: bool


class SupervisorActor(PooledActor):
    """Has a thread to itself, because a rebuild reads the archive."""

    def __init__(
        self,
        store: Store,
        roster: Roster,
        router: PooledRef[Any],
        rules: Supervision,
        clock: Clock,
        watchers: Watchers,
    ) -> None:
        super().__init__()
        self._store = store
        self._roster = roster
        self._router = router
        self._attempts_max = rules.attempts_max
        self._intensity = RestartIntensity(rules.restarts_max, rules.restart_period_secs)
        self._clock = clock
        self._watchers = watchers
        self._restarts: dict[str, tuple[float, ...]] = {}
        self._awaited: dict[str, list[LeanFuture[RestartReceipt]]] = {}
        """Operators who wait for a model to be back."""
        self.restarts = 0

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Answer the failures that wait; models to be rebuilt share one reading of the archive."""
        restarts: list[_Restart] = []
        for envelope in envelopes:
            message = envelope.message
            if isinstance(message, BringBack):
                self._bring_back(message)
                continue
            restart = self._decide(message)
            if restart is not None:
                restarts.append(restart)
        if not restarts:
            return
        try:
            self._rebuild_all(restarts)
        except Exception as error:  # noqa: BLE001  # a defect of ours: no model is to wait for ever
            for restart in restarts:
                if _cell(restart.failure).failure is restart.failure:
                    self._give_up(restart.failure, restart.model_id, f"cannot be rebuilt: {reason_of(error)}")

    def _bring_back(self, message: BringBack) -> None:
        """Its new actor comes back at once as one that failed, and is rebuilt like any; with a clean slate."""
        model_id, roster = message.model_id, self._roster
        called_pool = model_id == public_name(POOL_ID) and model_id not in roster.failed
        if called_pool and (POOL_ID in roster.failed or model_id not in roster.refs):
            model_id = POOL_ID  # a model may have that name too
        if model_id in roster.failed:
            self._restarts.pop(model_id, None)
            self._awaited[model_id] = [message.reply]
            _log.warning("model brought back", model=public_name(model_id), was=roster.failed[model_id])
            roster.bring_back(new_state(model_id, Settings().learning_rules()))
        elif model_id in self._awaited:
            self._awaited[model_id].append(message.reply)
        elif model_id in roster.refs:
            message.reply.set(RestartReceipt(model_id=message.model_id, restarted=False, applied_seq=0))
        else:
            error = UnknownModelError(model_id)
            message.reply.set_exception((UnknownModelError, error, None))

    def _decide(self, failure: Failure) -> _Restart | None:
        """How to restart the model; None if that is not to be, and answered."""
        actor = _cell(failure).actor
        if not isinstance(actor, ModelActor):
            failure.resume(retry=False)
            return None
        model_id = actor.state.model_id
        if isinstance(failure.exception, HistoryTooShortError | BroughtBackError):
            return _Restart(failure, model_id, True)
        _log.error(
            "model failed",
            model=public_name(model_id),
            error=reason_of(failure.exception),
            attempts=failure.attempts,
        )
        decision = self._intensity.decide(self._restarts.get(model_id, ()), self._clock.monotonic())
        self._restarts[model_id] = decision.restarts
        if not decision.restart:
            reason = f"restarted {len(decision.restarts)} times, last: {reason_of(failure.exception)}"
            self._give_up(failure, model_id, reason)
            return None
        self.restarts += 1
        return _Restart(failure, model_id, failure.attempts < self._attempts_max)

    def _rebuild_all(self, restarts: list[_Restart]) -> None:
        """From the archive and what the router has in memory, each as of one sequence number."""
        histories: dict[str, History] = {}
        try:
            for restart in restarts:
                histories[restart.model_id] = self._ask_history(restart.model_id)
            away = {
                model: Away(history.ordinals, history.loose, history.archived)
                for model, history in histories.items()
            }
            archived = archived_histories(self._store, stored_markets(self._store), away)
        except Exception as error:  # noqa: BLE001  # without its history there is no model to go on with
            for restart in restarts:
                self._give_up(restart.failure, restart.model_id, f"cannot be rebuilt: {reason_of(error)}")
            return
        finally:
            for _ in histories:
                self._router.post(HistoryRead())
        for restart in restarts:
            try:
                self._restart(restart, histories[restart.model_id], archived[restart.model_id])
            except Exception as error:  # noqa: BLE001  # one model that cannot be folded costs no other
                self._give_up(restart.failure, restart.model_id, f"cannot be rebuilt: {reason_of(error)}")

    def _ask_history(self, model_id: str) -> History:
        asked: LeanFuture[History] = LeanFuture(self._router.cell)
        self._router.cell.put_always(Envelope(AskHistory(model_id), asked))
        return asked.get()

    def _restart(self, restart: _Restart, history: History, archived: list[HistoryItem]) -> None:
        failure, model_id = restart.failure, restart.model_id
        poison: list[Poison] = []
        state = rebuild_model(
            model_id,
            [*archived, *history.tickets],
            history.controls,
            history.rules_history,
            history.told_seq,
            poison.append,
        )
        set_aside(_cell(failure).scheduler.dead_letters, model_id, poison, max(failure.attempts, 1))
        failure.resume(retry=restart.retry, actor=ModelActor(state, self._roster.on_change))
        _log.info(
            "model rebuilt",
            model=public_name(model_id),
            n=state.now.n,
            applied_seq=state.applied_seq,
            poison=len(poison),
        )
        for reply in self._awaited.pop(model_id, ()):
            reply.set(
                RestartReceipt(model_id=public_name(model_id), restarted=True, applied_seq=state.applied_seq)
            )
        if not isinstance(failure.exception, HistoryTooShortError):
            self._watchers.tell(ModelRestarted(public_name(model_id)))

    def _give_up(self, failure: Failure, model_id: str, reason: str) -> None:
        self._roster.failed[model_id] = reason
        error = ModelFailedError(f"model {shown(public_name(model_id))} was given up: {reason}")
        waiting: list[LeanFuture[Any]] = [*self._awaited.pop(model_id, ())]
        waiting += [message.done for message in failure.messages if isinstance(message, FoldAgain)]
        failure.stop()
        for reply in waiting:
            reply.set_exception((ModelFailedError, error, None))
        _log.critical("model given up; the others go on", model=public_name(model_id), reason=reason)
        self._watchers.tell(ModelFailed(public_name(model_id), reason))


def _cell(failure: Failure) -> Cell:
    ref = failure.ref
    assert isinstance(ref, PooledRef)
    return ref.cell
