"""What a learner tells whoever watches it: which models learned something, and what became of models."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from msgspec import Struct

from ..config.rules import Posterior
from .learning.change import Change
from .log import get_logger
from .state.delivery import Delivery
from .state.entries import ControlEntry, PauseModel, ResumeModel, SetPosterior
from .state.events import Counted, Paused, Resumed, Scored
from .state.pool_row import POOL_ID

__all__ = [
    "ActorRecovered",
    "ActorStuck",
    "DriftDetected",
    "LearnerEvent",
    "Listener",
    "ModelFailed",
    "ModelPaused",
    "ModelPosteriorSet",
    "ModelReset",
    "ModelRestarted",
    "ModelResumed",
    "ParametersTouched",
    "Watchers",
    "event_of",
    "telling_of_drift",
    "touched",
]

_log = get_logger("watching")


class ParametersTouched(Struct, frozen=True):
    """A batch of inputs taught these models something; whoever asks them now, hears it in the answer."""

    model_ids: frozenset[str]


class ModelPaused(Struct, frozen=True):
    """A model was taken out of selection and trading."""

    model_id: str
    until: int | None
    """Event time in ns; None: until resumed."""
    reason: str


class ModelResumed(Struct, frozen=True):
    """A pause was ended by hand (one that ends by its time is not announced)."""

    model_id: str


class ModelReset(Struct, frozen=True):
    """A model was made to forget what it had learned."""

    model_id: str
    reason: str


class ModelPosteriorSet(Struct, frozen=True):
    """A model's evidence ages otherwise than before."""

    model_id: str
    posterior: Posterior | None
    """None: as the rules say."""


class ModelRestarted(Struct, frozen=True):
    """A model was rebuilt from its history: its actor had raised, or an operator brought it back."""

    model_id: str


class ModelFailed(Struct, frozen=True):
    """A model was given up; the others go on."""

    model_id: str
    reason: str


class DriftDetected(Struct, frozen=True):
    """A model's hit rate has changed, by the change-point policy (of several in one batch of inputs: the newest); or
    it no longer says what another model says, which the pool watches."""

    model_id: str
    changed_at: int
    """Event time in ns: half of the probability lies before."""
    detected_at: int
    """Event time of the outcome that settled it."""
    before: float
    """Hit rate before the change, and as of the detection after it."""
    after: float
    probability: float
    peer: str | None = None
    """The model it repeated: ``before`` and ``after`` are then shares of markets on which both said the same."""


class ActorStuck(Struct, frozen=True):
    """An actor's handler does not return, or an event loop gives no sign of life."""

    actor: str
    """Such as ``model/elo``, ``router`` or ``persister``."""
    message: str
    """Type of the message it was given; empty where it is none."""
    seconds: float
    """How long, at least."""


class ActorRecovered(Struct, frozen=True):
    """What was stuck goes on."""

    actor: str
    seconds: float
    """How long it was stuck, about."""


LearnerEvent = (
    ParametersTouched
    | ModelPaused
    | ModelResumed
    | ModelReset
    | ModelPosteriorSet
    | ModelRestarted
    | ModelFailed
    | DriftDetected
    | ActorStuck
    | ActorRecovered
)
Listener = Callable[[LearnerEvent], Any]


class Watchers:
    """Who is told. ``listeners`` is replaced as a whole, so that whoever tells needs no lock."""

    def __init__(self) -> None:
        self.listeners: tuple[Listener, ...] = ()
        self._changing = Lock()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` from now on; returns what ends it, which may be called again."""

        # Listed as an object of its own: the same function may listen twice, and stop once.
        def told(event: LearnerEvent) -> None:
            listener(event)

        def remove() -> None:
            with self._changing:
                self.listeners = tuple(other for other in self.listeners if other is not told)

        with self._changing:
            self.listeners = (*self.listeners, told)
        return remove

    def tell(self, event: LearnerEvent) -> None:
        """Tell everybody, in this thread; one that raises is logged, and told the next event all the same."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001  # the listener's fault is not the actor's that tells
                _log.error("listener raised", told=type(event).__name__, error=repr(error), exc_info=True)


def telling_of_drift(tell: Callable[[DriftDetected], object]) -> Callable[[str, Change, str | None], None]:
    """What a model calls with a change point it found: logs it and has the watchers told."""

    def told(model_id: str, change: Change, peer: str | None) -> None:
        event = DriftDetected(model_id, *change, peer)
        _log.warning(
            "drift",
            model=model_id,
            changed_at=event.changed_at,
            before=event.before,
            after=event.after,
            probability=event.probability,
            **({} if peer is None else {"no_longer_repeats": peer}),
        )
        tell(event)

    return told


def touched(deliveries: list[tuple[str, Delivery]]) -> frozenset[str]:
    """The models that learn something from what they are told."""
    return frozenset(
        model_id
        for model_id, delivery in deliveries
        if model_id != POOL_ID and any(map(_teaches, reversed(delivery.events)))
    )


def _teaches(event: Any) -> bool:
    if type(event) is Scored:
        return event.x == event.x
    return not isinstance(event, Counted | Paused | Resumed)


def event_of(control: ControlEntry) -> LearnerEvent:
    """What to tell of an operator's input."""
    if isinstance(control, PauseModel):
        return ModelPaused(control.model_id, control.until_ns, control.reason)
    if isinstance(control, ResumeModel):
        return ModelResumed(control.model_id)
    if isinstance(control, SetPosterior):
        return ModelPosteriorSet(control.model_id, control.posterior)
    return ModelReset(control.model_id, control.reason)
