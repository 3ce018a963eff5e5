"""Several listeners on the one subscription that a connection has: the union of their topics. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..errors import InvalidValueError
from ..messages import Subscription
from ..methods import TOPICS
from .events import Event
from .requests import Request, spec_of

__all__ = ["Subscriber", "Subscribers"]


class Subscriber(NamedTuple):
    """Who wants to hear what."""

    topics: frozenset[str]
    interval_ms: int
    tell: Callable[[Event], Any]


class Subscribers:
    """Adds up what listeners want, and gives each what it asked for."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def add(self, topics: Iterable[str] | None, interval_ms: int, tell: Callable[[Event], Any]) -> Subscriber:
        """One more listener.

        Raises:
            InvalidValueError: there is no such topic.

        """
        subscriber = Subscriber(_checked_topics(topics), interval_ms, tell)
        if type(interval_ms) is not int or not 1 <= interval_ms <= 3_600_000:
            raise InvalidValueError("interval_ms", interval_ms, "a whole number from 1 to 3600000")
        self._subscribers = (*self._subscribers, subscriber)
        return subscriber

    def remove(self, subscriber: Subscriber) -> bool:
        """One less; False if it is not there."""
        before = len(self._subscribers)
        self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)
        return len(self._subscribers) < before

    def request(self) -> Request[Subscription]:
        """What to ask the server for; no topics where nobody listens."""
        topics = sorted(frozenset[str]().union(*(each.topics for each in self._subscribers)))
        interval_ms = min((each.interval_ms for each in self._subscribers), default=100)
        return Request(spec_of("subscribe"), (topics, interval_ms))

    def __len__(self) -> int:
        return len(self._subscribers)

    def listening(self, event: Event) -> list[Subscriber]:
        """Who wants to hear of an event; that events were missed concerns everybody."""
        return [each for each in self._subscribers if event.topic is None or event.topic in each.topics]


def _checked_topics(topics: Iterable[str] | None) -> frozenset[str]:
    if topics is None:
        return frozenset(TOPICS)
    wanted = None if isinstance(topics, str) or not isinstance(topics, Iterable) else list(topics)
    if not wanted or not all(topic in TOPICS for topic in wanted):
        raise InvalidValueError("topics", topics, f"some of {', '.join(TOPICS)}; None for all of them")
    return frozenset(wanted)
