"""The ways into a running learner: inputs through the router and its admission, questions to any actor."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Literal

from pykka import ActorDeadError
from pykka._envelope import Envelope

from ..protocol.errors import BusyError, ClosedError
from .calls import Admission, Reply
from .requests import AfterInputs, Submit
from .router import RouterActor
from .runtime.clock import Clock
from .runtime.dispatcher import Dispatcher
from .runtime.future import LeanFuture
from .runtime.ref import PooledRef
from .state.intake import Submission
from .state_directory import StateDirectory
from .watching import LearnerEvent, Watchers

__all__ = ["Sending"]


class Sending:
    """What an :class:`.engine.Engine` offers to callers. The engine makes what this uses."""

    admission: Admission
    clock: Clock
    directory: StateDirectory
    pool: Dispatcher
    watchers: Watchers
    router: PooledRef[RouterActor]
    driven: bool
    """The router and the models have no thread: :meth:`run_ready` takes their turns."""
    state: Literal["accepting", "closed"]
    opened_by_pid: int

    def check_open(self) -> None:
        """Raise ClosedError if this learner cannot be used (any more, or in this process)."""
        if self.state == "closed":
            raise ClosedError(f"the learner on {self.directory.path} is closed")
        if os.getpid() != self.opened_by_pid:
            raise ClosedError(
                f"the learner on {self.directory.path} belongs to process {self.opened_by_pid}; after a fork it "
                "cannot be used: open it in one process only"
            )

    def submit(
        self, items: Sequence[Submission], single: bool = False, timeout: float | None = None
    ) -> Reply[Any]:
        """Send valid inputs to the router."""
        reply: Reply[Any] = Reply(self.router.cell)
        self.send(Submit(list(items), reply, single), reply, len(items), timeout)
        return reply

    def call(self, item: Submission, timeout: float) -> Any:
        """Send one valid input to the router and wait for its receipt, ``timeout`` seconds in all."""
        deadline = self.clock.monotonic() + timeout
        reply = self.submit([item], single=True, timeout=timeout)
        return reply.get(max(deadline - self.clock.monotonic(), 0.0))

    def send(self, message: Any, reply: Reply[Any], inputs: int, timeout: float | None) -> None:
        """Send the router a message that brings inputs and is answered through ``reply``.

        Raises:
            BusyError: too many inputs are in flight.
            ClosedError: the learner is closed.

        """
        self.check_open()
        self.admission.enter(reply, inputs, timeout)
        try:
            self.ask(self.router, message, reply)
        except BaseException as error:
            reply.set_exception((type(error), error, error.__traceback__))
            raise

    def ask(self, ref: PooledRef[Any], message: Any, reply: Reply[Any]) -> None:
        """Ask any actor; its answer goes into ``reply``, and so does ClosedError if it stops before."""
        self.check_open()
        ref.cell.put(Envelope(message, reply))

    def after_inputs(self, then: Callable[[], object], reply: Reply[Any]) -> None:
        """Call ``then`` once the models were told of every input this thread sent before; what it raises goes
        into ``reply``. Here and now if they were, else in the router's turn.

        Raises:
            BusyError: too many messages wait for the router.
            ClosedError: the learner is closed.

        """
        self.check_open()
        message = AfterInputs(then, reply)
        if self.models_know:
            message.run()
        else:
            self.router.cell.put(Envelope(message, reply))

    def in_turn(self, then: Callable[[], object], reply: Reply[Any]) -> None:
        """The same for what looks into the book: always in the router's turn; here and now if it called this.

        Raises:
            BusyError: too many messages wait for the router.
            ClosedError: the learner is closed.

        """
        self.check_open()
        message = AfterInputs(then, reply)
        if self.in_routers_turn and not self._untold:
            message.run()
        else:
            self.router.cell.put(Envelope(message, reply))

    def tell_in_turn(self, event: LearnerEvent) -> None:
        """Have the watchers told in the router's turn: a model that called them could not answer them meanwhile. Here
        and now if the router is full or gone."""
        if not self.watchers.listeners:
            return
        told: LeanFuture[None] = LeanFuture()

        def tell() -> None:
            self.watchers.tell(event)
            told.set(None)

        def done(_: LeanFuture[None]) -> None:
            if told.exception() is not None:
                self.watchers.tell(event)

        told.add_done_callback(done)
        try:
            self.router.cell.put(Envelope(AfterInputs(tell, told), told))
        except (BusyError, ActorDeadError) as error:
            told.set_exception((type(error), error, None))

    def settle(self, timeout: float) -> None:
        """Where callers run the router: let the models be told of every input this thread sent before."""
        cell = self.router.cell
        if not self.driven or cell.at_rest or self.in_routers_turn:
            return
        reply: Reply[None] = Reply(cell)
        cell.put_always(Envelope(AfterInputs(reply.set, reply), reply))
        reply.get(timeout)

    @property
    def models_know(self) -> bool:
        """Whether the models were told of every input that this thread sent before."""
        return self.router.cell.at_rest or (self.in_routers_turn and not self._untold)

    @property
    def _untold(self) -> bool:
        """Whether the router, whose turn it is, has taken in what the models were not told yet."""
        router: Any = self.router.cell.actor
        return bool(router.intake.entries)

    @property
    def in_routers_turn(self) -> bool:
        """Whether the router called this, so that waiting for it would be in vain."""
        return getattr(self.router.cell.actor, "thread_id", 0) == get_ident()

    def run_ready(self, turns: int) -> bool:
        """Take up to ``turns`` turns of the router, the selector and the models, of each one; True if more wait."""
        return self.pool.run_ready(turns)
