"""What an operator says through a blocking client: the calls of the embedded learner that steer it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime

from ..messages import (
    BackupReceipt,
    DeadLetterReplay,
    PosteriorKind,
    Receipt,
    RestartReceipt,
    SnapshotReceipt,
)
from . import requests
from .client_calls import ClientCalls
from .replies import Reply

__all__ = ["ClientControls"]


class ClientControls(ClientCalls):
    """The part of a blocking client that an operator uses."""

    def pause(
        self,
        model_id: str,
        until: int | datetime | None = None,
        reason: str = "",
        *,
        timeout: float | None = None,
    ) -> Receipt:
        """Take a model out of selection and trading, until an event time or until resumed; it still learns.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._ask(requests.pause(model_id, until, reason), timeout)

    def pause_nowait(
        self, model_id: str, until: int | datetime | None = None, reason: str = ""
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.pause(model_id, until, reason))

    def resume(self, model_id: str, *, timeout: float | None = None) -> Receipt:
        """End a pause.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._ask(requests.resume(model_id), timeout)

    def resume_nowait(self, model_id: str) -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.resume(model_id))

    def reset(self, model_id: str, reason: str = "", *, timeout: float | None = None) -> Receipt:
        """Forget what a model has learned; its pending predictions still count when they resolve.

        Raises:
            UnknownModelError: it was never seen.
            ConnectionLostError: the connection was lost before the answer. A reset is not sent twice by itself,
                because it would also forget what was learned in between.

        """
        return self._ask(requests.reset(model_id, reason), timeout)

    def reset_nowait(self, model_id: str, reason: str = "") -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.reset(model_id, reason))

    def set_posterior(
        self, model_id: str, posterior: PosteriorKind | None, *, timeout: float | None = None
    ) -> Receipt:
        """Have the evidence of a model age as ``posterior`` says, whatever the settings say; None: as they say.

        Change points are looked for anew from here on, also if they were before; the half-life's evidence goes on.

        Raises:
            UnknownModelError: it was never seen.
            ConnectionLostError: the connection was lost before the answer. It is not sent twice by itself, because
                that would also forget the change points that were looked for in between.

        """
        return self._ask(requests.set_posterior(model_id, posterior), timeout)

    def set_posterior_nowait(self, model_id: str, posterior: PosteriorKind | None) -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.set_posterior(model_id, posterior))

    def restart(self, model_id: str, *, timeout: float | None = None) -> RestartReceipt:
        """Bring back a model that was given up: rebuilt from its whole history, its restarts forgotten.

        Raises:
            UnknownModelError: it was never seen.
            ModelFailedError: it cannot be rebuilt; it stays given up.

        """
        return self._ask(requests.restart(model_id), timeout)

    def replay_dead_letters(
        self, ids: Iterable[int] | None = None, *, timeout: float | None = None
    ) -> DeadLetterReplay:
        """Try dead letters again (None: all that are kept), oldest first; what succeeds is no dead letter any more."""
        return self._ask(requests.replay_dead_letters(ids), timeout)

    def snapshot(self, *, timeout: float | None = None) -> SnapshotReceipt:
        """Write a snapshot of everything up to now; restart replays only what comes after it.

        Raises:
            StoreFailedError: it could not be written.

        """
        return self._ask(requests.snapshot(), timeout)

    def backup(self, dest: str | os.PathLike[str], *, timeout: float | None = None) -> BackupReceipt:
        """Have the daemon copy its state directory, as of one input, while inputs go on.

        ``dest`` is an absolute path as the daemon sees it: of a directory that does not exist, or is empty. A large
        state takes a while: give it a long ``timeout``; the daemon finishes the copy in any case.

        Raises:
            InvalidValueError: ``dest`` is relative, or there is something already.
            BackupFailedError: it could not be written; nothing of it is left there.
            BusyError: another backup is being made.
            UnauthenticatedError: over TCP, and the daemon asks for no token.
            ConnectionLostError: the connection was lost before the answer; look at ``dest`` before trying again.

        """
        return self._ask(requests.backup(dest), timeout)

    def snapshot_nowait(self) -> Reply[SnapshotReceipt]:
        """The same without waiting."""
        return self._start(requests.snapshot())
