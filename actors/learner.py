"""The learner: the one object a trading process holds, embedded or behind the server.

>>> import tempfile
>>> from decimal import Decimal
>>> with tempfile.TemporaryDirectory() as directory, Learner(directory) as learner:
...     decision = learner.process_signal(
...         prediction_id="p1", model_id="elo", market_id="game-1", outcome="HOME",
...         confidence=0.64, price=Decimal("0.58"), predicted_at=1_700_000_000_000_000_000)
...     receipt = learner.resolve_market(
...         market_id="game-1", winner="HOME", resolved_at=1_700_010_000_000_000_000)
...     decision.accepted, receipt.scored, learner.report("elo").accuracy
(True, 1, 1.0)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType

from ..config import Settings, check_settings
from ..protocol.errors import HandicapperError
from .asking import Asking
from .controls import Controls
from .engine import Engine
from .pooling import Pooling
from .recording import Recording, SignalResult
from .runtime.clock import Clock, SystemClock

__all__ = ["Learner", "SignalResult"]


class Learner(Recording, Asking, Pooling, Controls):
    """Records predictions, resolves markets, and says how far to trust each model.

    ``state_dir`` is made if it is not there (unless ``create`` is false) and belongs to one learner at a
    time. Whatever changes something returns once it is durable. Every call takes a ``timeout`` in seconds;
    the ``*_nowait`` forms return a future instead of waiting. Bulk forms take iterables and are the fast
    path. A learner may be used from any thread; it lives beside a host's own pykka actors.

    Args:
        state_dir: the state directory.
        settings: without them a new directory follows the shipped ones, and a used one keeps following the
            learning rules it was last opened with.
        clock: where "now" comes from; for tests and simulations.
        create: make the directory if there is none.
        accept_loss: open even if acknowledged inputs cannot be read any more, and go on without them.
        wake: for an event loop that takes the learner's turns itself. The actors between an input and the
            journal then have no thread: ``wake()`` is called, in whichever thread brings work and at most once
            until then, to have :meth:`run_ready` called. Calls that wait take turns too, so that all works as
            ever from the loop's own thread, from construction to :meth:`close`.
        future_inputs: take inputs dated any time after now, whatever ``limits.future_seconds_max`` says; for
            whoever replays recorded inputs.

    Raises:
        SettingsError: the settings are wrong; every problem is listed.
        StateLockedError: another process, or another learner of this one, holds the directory.
        StateDamagedError: acknowledged inputs cannot be read.
        StateError: the directory cannot be used for another reason.

    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        create: bool = True,
        accept_loss: bool = False,
        wake: Callable[[], object] | None = None,
        future_inputs: bool = False,
    ) -> None:
        checked = None if settings is None else check_settings(settings)
        self._engine = Engine(
            state_dir, checked, clock or SystemClock(), create, accept_loss, wake, future_inputs
        )

    # -------------------------------------------------------------- lifetime

    def __enter__(self) -> Learner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HandicapperError:
            if error is None:
                raise

    def run_ready(self, turns: int) -> bool:
        """Take up to ``turns`` turns in this thread, of each actor one; for a learner opened with ``wake``.

        Returns whether more wait: then call again without being woken, once the loop has done what else there is.
        """
        return self._engine.run_ready(turns)

    def close(self) -> None:
        """Handle what was submitted, snapshot, stop. Safe to call twice.

        Raises:
            HandicapperError: the last snapshot failed; what was acknowledged is durable all the same.

        """
        self._engine.stop()
