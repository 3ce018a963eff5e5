"""Results to come of a blocking client's calls."""

from __future__ import annotations

from _thread import LockType, allocate_lock
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..errors import DeadlineExceededError, HandicapperError
from ..log import get_logger
from .outbox import Call
from .requests import Spec

if TYPE_CHECKING:
    from .link import Link

__all__ = ["BulkReply", "Reply", "ReplyLike"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_log = get_logger("client")


class ReplyLike(Protocol[T_co]):
    """A result to come: of one call, or of the several that a bulk call is made of."""

    @property
    def done(self) -> bool:
        """Whether ``result`` returns or raises at once."""
        ...

    def result(self, timeout: float | None = None) -> T_co:
        """The result, or the error the call was refused with."""
        ...

    def get(self, timeout: float | None = None) -> T_co:
        """The same as ``result``, by the name the embedded learner's replies have."""
        ...

    def exception(self) -> BaseException | None:
        """The error it ended with, None if it succeeded or is not done. Never waits."""
        ...

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Call ``callback(reply)`` once it is done, on the client's own thread; or at once if it is done already."""
        ...


class Reply(Call[T]):
    """The result to come of one call. Waiting for it reads the connection, for all calls under way."""

    __slots__ = ("_link", "callbacks", "gates")

    def __init__(self, link: Link, spec: Spec, msgid: int | None, data: bytes, deadline: float) -> None:
        super().__init__(spec, msgid, data, deadline)
        self._link = link
        self.gates: list[LockType] | None = None
        """Locks that sleeping threads wait on; released when it is done. Guarded by the link's lock."""
        self.callbacks: list[Callable[[Any], Any]] | None = None

    def result(self, timeout: float | None = None) -> T:
        """The result.

        Raises:
            DeadlineExceededError: not within ``timeout`` seconds (the call goes on), or not before the call's
                own deadline (it does not).
            HandicapperError: the call was refused.

        """
        if not self.done:
            self._wait(timeout)
        if self.error is not None:
            raise self.error
        return self.value

    get = result

    def _wait(self, timeout: float | None) -> None:
        until = self.deadline if timeout is None else min(self.deadline, monotonic() + timeout)
        if self._link.wait(self, until):
            return
        if until >= self.deadline:
            self._link.give_up(self)
        elif not self.done:
            raise DeadlineExceededError(
                f"no answer within {timeout:g} s; the call goes on and may still take effect"
            )

    def exception(self) -> HandicapperError | None:
        """The error it ended with, None if it succeeded or is not done. Never waits."""
        return self.error

    def add_done_callback(self, callback: Callable[[Reply[T]], Any]) -> None:
        """Call ``callback(reply)`` once it is done: on the client's own thread, or at once if it is done already.

        A callback may use the client. What it raises is logged. Callbacks are called one after the other.
        """
        if self._link.call_back(self, callback):
            self._run(callback)

    def refuse(self, error: HandicapperError) -> None:
        """End it without an answer."""
        self._link.give_up(self, error)

    def run_callbacks(self) -> None:
        """It is done."""
        for callback in self.callbacks or ():
            self._run(callback)

    def _run(self, callback: Callable[[Any], Any]) -> None:
        try:
            callback(self)
        except Exception:  # noqa: BLE001  # not of those whose answers this thread reads
            _log.exception("callback_failed", method=self.spec.name)


class BulkReply(Generic[T]):
    """The result to come of a bulk call, which is that of all its parts."""

    def __init__(self, parts: Sequence[Reply[Any]], merged: Callable[[], T]) -> None:
        self._parts = parts
        self._merged = merged
        self._lock = allocate_lock()
        self._outcome: tuple[T | None, HandicapperError | None] | None = None

    @property
    def done(self) -> bool:
        """Whether every part is done."""
        return all(part.done for part in self._parts)

    def result(self, timeout: float | None = None) -> T:
        """The result.

        Raises:
            DeadlineExceededError: not within ``timeout`` seconds, or not before the deadline of the call.
            HandicapperError: a part was refused as a whole.

        """
        until = None if timeout is None else monotonic() + timeout
        for part in self._parts:
            if not part.done:
                part.result(None if until is None else max(until - monotonic(), 0.0))
        value, error = self._settled()
        if error is not None:
            raise error
        return value  # pyright: ignore[reportReturnType]  # a T where there is no error

    get = result

    def exception(self) -> BaseException | None:
        """The error it ended with, None if it succeeded or is not done. Never waits."""
        return self._settled()[1] if self.done else None

    def _settled(self) -> tuple[T | None, HandicapperError | None]:
        with self._lock:
            if self._outcome is None:
                try:
                    self._outcome = (self._merged(), None)
                except HandicapperError as error:
                    self._outcome = (None, error)
            return self._outcome

    def add_done_callback(self, callback: Callable[[BulkReply[T]], Any]) -> None:
        """Call ``callback(reply)`` once it is done: on the client's own thread, or at once if it is done already."""
        left = [len(self._parts)]

        def part_done(_: Any) -> None:
            with self._lock:
                left[0] -= 1
                last = left[0] == 0
            if last:
                callback(self)

        if not self._parts:
            callback(self)
        for part in self._parts:
            part.add_done_callback(part_done)
