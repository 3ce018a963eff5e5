"""What a user subclasses: a pykka actor that needs no thread of its own.

>>> from .dispatcher import Dispatcher
>>> class Counter(PooledActor):
...     count = 0
...     def on_receive(self, message):
...         self.count += message
...         return self.count
>>> dispatcher = Dispatcher("example")
>>> dispatcher.start()
>>> counter = Counter.start_on(dispatcher, name="counter")
>>> counter.tell(40)
>>> counter.ask(2, timeout=5)
42
>>> counter.stop(timeout=5), dispatcher.stop()
(True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

import pykka
from pykka._envelope import Envelope

from .cell import Cell, Ping
from .failure import FailureHandler
from .future import LeanFuture
from .latch import Latch
from .mailbox import MESSAGES_MAX
from .ref import PooledRef, as_event

if TYPE_CHECKING:
    from typing import Self

    from .dispatcher import Dispatcher

__all__ = ["PooledActor", "ping"]


class PooledActor(pykka.Actor):
    """A pykka actor run by a ``Dispatcher``. Start it with ``start_on``.

    Implement ``on_receive(message)``, whose return value answers an ask; or ``on_batch(envelopes)``, which gets
    everything that waits at once. See ``cell`` for what happens when they raise. The hook ``on_failure`` runs
    after an exception that has no asker; the actor may live on. Take ``actor_ref`` for use elsewhere in
    ``on_start``, not in ``__init__``: an instance that replaces a failed one gets that one's ref.

    It is not in ``pykka.ActorRegistry``: that belongs to the whole process, and stopping is O(n) in it.
    """

    handles_batches: ClassVar[bool] = False
    """Whether ``on_batch`` is implemented. Set by itself."""

    batch_messages_max: ClassVar[int] = 4_096
    """Most messages handed to ``on_batch`` at once."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.handles_batches = cls.on_batch is not PooledActor.on_batch

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Instead of pykka's: its threading.Event alone takes 1.2 KB, and a UUID takes time to make.
        self.actor_urn = type(self).__name__
        self.actor_inbox = cell = self._create_actor_inbox()
        self.actor_stopped = as_event(Latch())
        self._actor_ref = cell.ref = PooledRef(self)

    def __str__(self) -> str:
        return self.actor_urn

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for pooled actors: raises ``TypeError``. Use ``start_on``."""
        raise TypeError(f"{cls.__name__} has no thread of its own; start it with start_on(dispatcher, ...)")

    @classmethod
    def start_on(
        cls,
        dispatcher: Dispatcher,
        *args: Any,
        name: str | None = None,
        messages_max: int = MESSAGES_MAX,
        on_failure: FailureHandler | None = None,
        **kwargs: Any,
    ) -> PooledRef[Self]:
        """Create an actor with ``args`` and ``kwargs`` and let ``dispatcher`` run it.

        ``name`` is what failures, dead letters and errors call it. ``messages_max`` bounds its mailbox.
        ``on_failure`` is told of exceptions that have no asker, in the thread that ran the actor: it should
        only pass the failure on, or answer it.

        Returns before ``on_start`` has run; ``ping`` the ref to learn how that went.
        """
        actor = cls(*args, **kwargs)
        cell = actor.__dict__.get("actor_inbox")
        if not isinstance(cell, Cell):
            raise TypeError(f"{cls.__name__}.__init__ did not call super().__init__()")
        ref = cell.ref
        cell.name = ref.actor_urn = actor.actor_urn = cls.__name__ if name is None else name
        cell.messages_max = messages_max
        cell.on_failure = on_failure
        cell.scheduler = dispatcher
        cell.adopt(actor)
        actor._start_actor_loop()
        return ref

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Handle all waiting messages at once, in order; implement it instead of ``on_receive``.

        ``envelope.reply_to`` is ``None`` for a tell; for an ask it is a future to ``set``, now or later. If
        this raises, asks of the batch that have no answer yet get the exception, and its tells fail together:
        when retried they come one at a time.
        """
        raise NotImplementedError

    @staticmethod
    def _create_actor_inbox() -> Cell:
        return Cell()

    @staticmethod
    def _create_future() -> LeanFuture[Any]:
        return LeanFuture()

    def _start_actor_loop(self) -> None:
        cast("Cell", self.actor_inbox).open()


def ping(ref: pykka.ActorRef[Any], timeout: float) -> None:
    """Wait until ``on_start`` and everything sent before has been handled.

    Raises ``pykka.ActorDeadError``, which names the exception, if ``on_start`` raised and nobody restarted
    the actor; ``pykka.Timeout`` after ``timeout`` seconds, for instance because it waits to be restarted.
    """
    ref.ask(Ping(), timeout=timeout)
