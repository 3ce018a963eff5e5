"""Questions of one method that one connection asked are answered in the order in which it asked them.

A question may have to wait for a model or for a thread, and the next one may not. A client that asks the same thing
twice and takes the answers as they come would mix them up; of different things it cannot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .groups import Slot

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["Lanes", "Place", "RefusedSlot"]


class Place:
    """Where one question stands among those of its method.

    >>> said = []
    >>> lanes = Lanes()
    >>> first, second, other = lanes.place("report"), lanes.place("report"), lanes.place("models")
    >>> second.answer(lambda: said.append("second report"))
    >>> other.answer(lambda: said.append("models"))
    >>> first.answer(lambda: said.append("first report"))
    >>> said
    ['models', 'first report', 'second report']
    """

    __slots__ = ("_lane", "_say")

    def __init__(self, lane: deque[Place]) -> None:
        self._lane = lane
        self._say: Callable[[], object] | None = None
        lane.append(self)

    def answer(self, say: Callable[[], object]) -> None:
        """The answer is known: ``say`` it once those before it are said."""
        self._say = say
        lane = self._lane
        while lane and (known := lane[0]._say) is not None:
            lane.popleft()._say = None  # whoever is answered may hold the place: no cycle is left
            known()


class Lanes:
    """The questions of one connection that are not answered yet, by their methods."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Place]] = {}

    def waits(self, method: str) -> bool:
        """Whether anything that asks the same is not answered yet."""
        return bool(self._lanes.get(method))

    def place(self, method: str) -> Place:
        """The last place among those who ask the same."""
        lane = self._lanes.get(method)
        if lane is None:
            lane = self._lanes[method] = deque()
        return Place(lane)


class RefusedSlot(Slot):
    """A call that would have changed something and is wrong: told in its place among those that do."""

    settled = True

    def __init__(
        self, session: Outgoing, msgid: int, error: BaseException, method: str, params: object
    ) -> None:
        self._session = session
        self._refusal = msgid, error, method, params
        session.enter(self, 1)
        session.settle(self)

    def emit(self) -> None:
        """Tell it."""
        self._session.answer_error(*self._refusal)
        self._session.leave(1)
