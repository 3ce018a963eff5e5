"""Notifications to those who subscribed: what changed, without ever waiting for who does not read.

Parameters are not queued: which models changed is, and when a subscriber's interval is over it gets the
newest parameters of each. Of other notifications a bounded number waits; what is dropped is counted and told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..connection import encode_notification
from ..log import get_logger
from .groups import outcome_of

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .service import Service, Timer

__all__ = ["EVENTS_WAITING_MAX", "Feed", "Subscriber"]

EVENTS_WAITING_MAX: Final = 1_000
PARAMETERS_AT_ONCE_MAX: Final = 256
"""Models whose parameters are told in one go; the others follow at once, after other work."""

_NAMES: Final = {
    "ModelPaused": "model_paused",
    "ModelResumed": "model_resumed",
    "ModelPosteriorSet": "model_posterior_set",
    "ModelReset": "model_reset",
    "ModelRestarted": "model_restarted",
    "ModelFailed": "model_failed",
    "DriftDetected": "drift",
    "ActorStuck": "actor_stuck",
    "ActorRecovered": "actor_recovered",
}

_log = get_logger("server")


class Subscriber:
    """What one connection wants to hear, and what waits for it."""

    def __init__(self, session: Outgoing, topics: frozenset[str], interval_ms: int) -> None:
        self.session = session
        self.topics = topics
        self.interval_seconds = interval_ms / 1000
        self.changed: dict[str, None] = {}
        """Models whose parameters may have changed since they were last told, oldest change first."""
        self.told: dict[str, Any] = {}
        self._timer: Timer | None = None
        self._timer_seconds = 0.0
        self._events: deque[bytes] = deque()
        self._missed = 0

    def change(self, topics: frozenset[str], interval_ms: int) -> None:
        """Want something else from now on. What waits of a topic that stays is told all the same."""
        self.topics = topics
        self.interval_seconds = interval_ms / 1000
        if "parameters" not in topics:
            self.changed.clear()
            self.told.clear()

    def arm(self, seconds: float, tell: Callable[[], object]) -> None:
        """Have ``tell`` called in so many seconds, unless a timer of no more is running."""
        # Only a shorter one takes its place: a client that subscribes again and again must not put it off for ever.
        if self._timer is not None and seconds >= self._timer_seconds:
            return
        self.disarm()
        self._timer = self.session.service.later(seconds, tell)
        self._timer_seconds = seconds

    def disarm(self) -> None:
        """Have nothing called: an interval may be an hour, for which the timer would hold the session."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def event(self, notification: bytes) -> None:
        """Tell it, now or once the client reads."""
        if len(self._events) >= EVENTS_WAITING_MAX:
            self._missed += 1
            return
        self._events.append(notification)
        self.catch_up()

    def catch_up(self) -> None:
        """Send what waits, if the client reads."""
        session = self.session
        while self._events and not session.blocked:
            session.push(self._events.popleft())
        if self._missed and not session.blocked:
            session.push(encode_notification("events_missed", [{"count": self._missed}]))
            self._missed = 0


class Feed:
    """All subscribers of one server. Belongs to the loop's thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._subscribers: dict[Subscriber, None] = {}
        self._unwatch: Callable[[], None] | None = None

    def subscribe(self, session: Outgoing, topics: frozenset[str], interval_ms: int) -> None:
        """Tell a session what changes from now on, of these topics instead of those before; of none: nothing."""
        subscriber = session.subscriber
        if not topics:
            self.remove(subscriber)
            session.subscriber = None
        elif subscriber is None:
            session.subscriber = Subscriber(session, topics, interval_ms)
            self._add(session.subscriber)
        else:
            subscriber.change(topics, interval_ms)
            if subscriber.changed:
                self._arm(subscriber, subscriber.interval_seconds)

    def _add(self, subscriber: Subscriber) -> None:
        self._subscribers[subscriber] = None
        if self._unwatch is None:
            post = self._service.post
            self._unwatch = self._service.backend.watch(lambda event: post(self._happened, event))

    def remove(self, subscriber: Subscriber | None) -> None:
        """Tell it nothing more."""
        if subscriber is None:
            return
        subscriber.disarm()
        self._subscribers.pop(subscriber, None)
        if not self._subscribers and self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _happened(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "ParametersTouched":
            for subscriber in self._subscribers:
                if "parameters" in subscriber.topics:
                    subscriber.changed.update(dict.fromkeys(sorted(event.model_ids)))
                    self._arm(subscriber, subscriber.interval_seconds)
            return
        name = _NAMES.get(kind)
        if name is None:
            _log.warning("an event of an unknown kind is not told", kind=kind)
            return
        notification = encode_notification(name, [event])
        topic = "drift" if name == "drift" else "models"
        for subscriber in self._subscribers:
            if topic in subscriber.topics:
                subscriber.event(notification)

    def _arm(self, subscriber: Subscriber, seconds: float) -> None:
        subscriber.arm(seconds, lambda: self._tell(subscriber))

    def _tell(self, subscriber: Subscriber) -> None:
        """The newest parameters of what changed."""
        subscriber.disarm()
        if subscriber not in self._subscribers or not subscriber.changed:
            return
        if subscriber.session.blocked:  # it gets the newest once it reads
            self._arm(subscriber, subscriber.interval_seconds)
            return
        for model_id in list(subscriber.changed)[:PARAMETERS_AT_ONCE_MAX]:
            del subscriber.changed[model_id]
            pending = self._service.backend.get_adaptive_params_nowait(model_id)
            pending.add_done_callback(
                lambda done, model_id=model_id: self._service.post(self._told, subscriber, model_id, done)
            )
        if subscriber.changed:
            self._arm(subscriber, 0.0)

    def _told(self, subscriber: Subscriber, model_id: str, pending: Any) -> None:
        if subscriber not in self._subscribers or "parameters" not in subscriber.topics:
            return
        params, error = outcome_of(pending)
        # A model that failed meanwhile is told as such.
        if error is None and subscriber.told.get(model_id) != params:
            subscriber.told[model_id] = params
            subscriber.session.push(
                encode_notification("parameters_changed", [{"model_id": model_id, "params": params}])
            )
