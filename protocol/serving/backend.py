"""What the server needs of whatever it serves; ``handicapper.actors.Learner`` is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Protocol

from ..messages import (
    BackupReceipt,
    DeadLetter,
    DeadLetterReplay,
    Forecast,
    Input,
    ModelReport,
    ModelSummary,
    PoolReport,
    PosteriorKind,
    Prediction,
    Selection,
    SelectionMode,
    Statistics,
    VerifyReport,
)

__all__ = ["Backend", "Pending"]


class Pending(Protocol):
    """A result to come."""

    def get(self, timeout: float | None = None) -> Any:
        """The result, or what went wrong is raised."""
        ...

    def is_set(self) -> bool:
        """Whether there is a result, or something went wrong."""
        ...

    def exception(self) -> BaseException | None:
        """What went wrong, None if nothing did (yet)."""
        ...

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Call it once there is a result: in any thread, or at once."""
        ...


class Backend(Protocol):
    """A learner. The ``*_nowait`` calls never wait; the others do and are called on a thread."""

    def record_checked_nowait(self, inputs: Sequence[Input]) -> Pending:
        """A receipt or an error for each input, once they are durable. They were checked: valid, and normalised."""
        ...

    def process_checked_nowait(self, predictions: Sequence[Prediction]) -> Pending:
        """A decision or an error for each signal, once they are durable. They were checked likewise."""
        ...

    def get_adaptive_params_nowait(self, model_id: str, *, as_of: int | None = None) -> Pending:
        """Parameters, or None for a model never seen."""
        ...

    def thompson_sample_nowait(
        self,
        n: int = 1,
        *,
        as_of: int | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
    ) -> Pending:
        """A selection."""
        ...

    def thompson_sample_at_once(
        self,
        n: int = 1,
        *,
        as_of: int | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
    ) -> Selection | None:
        """The same if it can be had without waiting, in less time; else None."""
        ...

    def combining_nowait(
        self,
        market_id: str | None = None,
        *,
        forecasts: Sequence[Forecast] = (),
        model_ids: Set[str] = frozenset(),
        named: Set[str] = frozenset(),
        outcomes: Iterable[str] = (),
        as_of: int | None = None,
    ) -> Pending:
        """The forecasts of a market, or (market None) those given, as one: a generator that computes it in pieces. The
        forecasts were checked; ``model_ids`` made them, and ``named`` are their outcomes."""
        ...

    def pause_nowait(self, model_id: str, until: int | None = None, reason: str = "") -> Pending:
        """A receipt."""
        ...

    def resume_nowait(self, model_id: str) -> Pending:
        """A receipt."""
        ...

    def reset_nowait(self, model_id: str, reason: str = "") -> Pending:
        """A receipt."""
        ...

    def set_posterior_nowait(self, model_id: str, posterior: PosteriorKind | None) -> Pending:
        """A receipt."""
        ...

    def restart_nowait(self, model_id: str) -> Pending:
        """A restart receipt."""
        ...

    def snapshot_nowait(self) -> Pending:
        """A snapshot receipt."""
        ...

    def pool(self, *, as_of: int | None = None) -> PoolReport:
        """What the pool has learned."""
        ...

    def models(self, *, as_of: int | None = None) -> list[ModelSummary]:
        """One line about every model."""
        ...

    def report(self, model_id: str, *, as_of: int | None = None) -> ModelReport:
        """Everything about one model."""
        ...

    def reports(self, *, as_of: int | None = None) -> list[ModelReport]:
        """Everything about every model."""
        ...

    def verify(self) -> VerifyReport:
        """The state derived again, compared."""
        ...

    def backup(self, dest: str) -> BackupReceipt:
        """The state directory copied."""
        ...

    def model_count(self) -> int:
        """How many models there are; cheap."""
        ...

    def statistics(self) -> Statistics:
        """How the learner is."""
        ...

    def dead_letters(self) -> list[DeadLetter]:
        """The newest dead letters."""
        ...

    def replay_dead_letters(self, ids: Iterable[int] | None = None) -> DeadLetterReplay:
        """Dead letters tried again."""
        ...

    def add_dead_letter(self, recipient: str, reason: BaseException, message: object) -> None:
        """Keep a message that could not be taken in and whose sender cannot be told."""
        ...

    def watch(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        """Tell the listener what changes, in any thread; returns how to end that."""
        ...
