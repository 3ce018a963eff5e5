"""What a subscriber is told: the server's notifications as frozen structs, one per method."""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct

from ..messages import AdaptiveParams, PosteriorKind

__all__ = [
    "EVENTS",
    "ActorRecovered",
    "ActorStuck",
    "DriftDetected",
    "Event",
    "EventsMissed",
    "ModelFailed",
    "ModelPaused",
    "ModelPosteriorSet",
    "ModelReset",
    "ModelRestarted",
    "ModelResumed",
    "ParametersChanged",
    "event_of",
]


class ParametersChanged(Struct, frozen=True, kw_only=True):
    """The newest parameters of a model."""

    topic: ClassVar[str] = "parameters"
    model_id: str
    params: AdaptiveParams


class ModelPaused(Struct, frozen=True, kw_only=True):
    """A model was taken out of selection and trading."""

    topic: ClassVar[str] = "models"
    model_id: str
    until: int | None = None
    """Event time (ns) at which the pause ends by itself."""
    reason: str = ""


class ModelResumed(Struct, frozen=True, kw_only=True):
    """A pause was ended."""

    topic: ClassVar[str] = "models"
    model_id: str


class ModelReset(Struct, frozen=True, kw_only=True):
    """A model has forgotten what it had learned."""

    topic: ClassVar[str] = "models"
    model_id: str
    reason: str = ""


class ModelPosteriorSet(Struct, frozen=True, kw_only=True):
    """A model's evidence ages otherwise than before."""

    topic: ClassVar[str] = "models"
    model_id: str
    posterior: PosteriorKind | None = None
    """None: as the settings say."""


class ModelRestarted(Struct, frozen=True, kw_only=True):
    """A model was rebuilt: it had gone wrong, or an operator brought it back."""

    topic: ClassVar[str] = "models"
    model_id: str


class ModelFailed(Struct, frozen=True, kw_only=True):
    """A model was given up."""

    topic: ClassVar[str] = "models"
    model_id: str
    reason: str = ""


class ActorStuck(Struct, frozen=True, kw_only=True):
    """An actor's handler does not return."""

    topic: ClassVar[str] = "models"
    actor: str
    """Such as ``model/elo`` or ``router``."""
    message: str = ""
    """Type of the message it was given."""
    seconds: float = 0.0
    """How long, at least."""


class ActorRecovered(Struct, frozen=True, kw_only=True):
    """What was stuck goes on."""

    topic: ClassVar[str] = "models"
    actor: str
    seconds: float = 0.0
    """How long it was stuck, about."""


class DriftDetected(Struct, frozen=True, kw_only=True):
    """A change point was detected in a model's outcomes, or it no longer says what another model says."""

    topic: ClassVar[str] = "drift"
    model_id: str
    changed_at: int = 0
    """Event time in ns: half of the probability lies before."""
    detected_at: int = 0
    """Event time of the outcome that settled it."""
    before: float = 0.0
    """Hit rate before the change, and as of the detection after it."""
    after: float = 0.0
    probability: float = 0.0
    peer: str | None = None
    """The model it repeated: ``before`` and ``after`` are then shares of markets on which both said the same."""


class EventsMissed(Struct, frozen=True, kw_only=True):
    """So many events were dropped, because they were not taken fast enough: look at the state itself."""

    topic: ClassVar[str | None] = None
    count: int


Event: TypeAlias = (
    ParametersChanged
    | ModelPaused
    | ModelResumed
    | ModelReset
    | ModelPosteriorSet
    | ModelRestarted
    | ModelFailed
    | ActorStuck
    | ActorRecovered
    | DriftDetected
    | EventsMissed
)

EVENTS: Final[dict[str, type[Any]]] = {
    "parameters_changed": ParametersChanged,
    "model_paused": ModelPaused,
    "model_resumed": ModelResumed,
    "model_reset": ModelReset,
    "model_posterior_set": ModelPosteriorSet,
    "model_restarted": ModelRestarted,
    "model_failed": ModelFailed,
    "actor_stuck": ActorStuck,
    "actor_recovered": ActorRecovered,
    "drift": DriftDetected,
    "events_missed": EventsMissed,
}
"""Type of the params of every notification the server sends."""

_decode = {name: msgspec.msgpack.Decoder(cast("Any", tuple[kind])).decode for name, kind in EVENTS.items()}


def event_of(method: str, params: Raw | bytes) -> Event | None:
    """The event a notification stands for; None for one that a later release has added.

    The params are an array that holds the one map of the notification.

    >>> event_of("model_resumed", msgspec.msgpack.encode([{"model_id": "elo"}]))
    ModelResumed(model_id='elo')

    Raises:
        msgspec.MsgspecError: the params are not those of the notification.

    """
    decode = _decode.get(method)
    return None if decode is None else decode(params)[0]
