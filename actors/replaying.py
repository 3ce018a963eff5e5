"""Trying dead letters again: inputs through the ordinary door, events that could not be folded in their model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..protocol.errors import HandicapperError, InvalidValueError, RuntimeFaultError
from ..protocol.messages import DeadLetterReplay, RestartReceipt
from ..protocol.validation import check_id, check_input, check_prediction
from .calls import Reply
from .engine import Engine
from .letters import HeldInput, PoisonEvent
from .model import FoldAgain
from .requests import Signals
from .runtime.dead_letters import DeadLetter
from .supervisor import BringBack

__all__ = ["check_letter_ids", "replay_letters", "restart_model"]


def restart_model(engine: Engine, model_id: str) -> Reply[RestartReceipt]:
    """Have the supervisor bring a model back."""
    reply: Reply[RestartReceipt] = Reply(engine.supervisor.cell)
    engine.ask(engine.supervisor, BringBack(check_id("model_id", model_id), reply), reply)
    return reply


def check_letter_ids(ids: Iterable[int] | None) -> list[int] | None:
    """The ids as a list; None for all letters.

    Raises:
        InvalidValueError: they are no ids.

    """
    if ids is None:
        return None
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InvalidValueError("ids", ids, "several ids of dead letters, such as a list of them")
    listed = list(ids)
    for each in listed:
        if type(each) is not int or each < 0:
            raise InvalidValueError("ids", each, "the id of a dead letter, a whole number")
    return listed


def replay_letters(engine: Engine, ids: Iterable[int] | None, timeout: float) -> DeadLetterReplay:
    """Try dead letters again, oldest first; those that succeed are gone, the others have one attempt more."""
    wanted = check_letter_ids(ids)
    engine.check_open()
    letters = engine.dead_letters.latest(wanted)
    deadline = engine.clock.monotonic() + timeout
    replay = _Replay(engine, deadline)
    for letter in letters:
        replay.try_again(letter)
    replay.fold_again()
    kept = {letter.id for letter in letters}
    return DeadLetterReplay(
        replayed=tuple(sorted(replay.replayed)),
        failed=tuple(sorted(replay.failed.items())),
        not_replayable=tuple(replay.not_replayable),
        unknown=tuple(sorted(number for number in {*(wanted or ())} if number not in kept)),
    )


class _Replay:
    """One replay under way."""

    def __init__(self, engine: Engine, deadline: float) -> None:
        self._engine = engine
        self._deadline = deadline
        self._poisoned: dict[str, list[int]] = {}
        """Letters of events that could not be folded, by model."""
        self.replayed: list[int] = []
        self.failed: dict[int, Exception] = {}
        self.not_replayable: list[int] = []

    @property
    def _left(self) -> float:
        return max(self._deadline - self._engine.clock.monotonic(), 0.0)

    def try_again(self, letter: DeadLetter) -> None:
        """An input now, an event with the others of its model."""
        content: Any = letter.content
        if isinstance(content, PoisonEvent):
            self._poisoned.setdefault(content.model_id, []).append(letter.id)
        elif isinstance(content, HeldInput):
            self._submit(letter.id, content)
        else:
            self.not_replayable.append(letter.id)

    def _submit(self, number: int, held: HeldInput) -> None:
        engine = self._engine
        try:
            if held.signal:
                self._signal(held)
            else:
                engine.call(check_input(held.item), self._left)
        except HandicapperError as error:
            engine.dead_letters.tried_again(number, str(error))
            self.failed[number] = error
        else:
            engine.dead_letters.remove(number)
            self.replayed.append(number)

    def _signal(self, held: HeldInput) -> None:
        engine = self._engine
        reply: Reply[list[Any]] = Reply(engine.router.cell)
        prediction: Any = held.item
        engine.send(Signals([check_prediction(prediction)], reply), reply, 1, self._left)
        (decided,) = reply.get(self._left)
        if isinstance(decided, HandicapperError):
            raise decided

    def fold_again(self) -> None:
        """Rebuild the models that events were set aside of; the supervisor sees to the letters."""
        for model_id, numbers in self._poisoned.items():
            problem: HandicapperError | None = None
            try:
                self._rebuild(model_id)
            except HandicapperError as error:
                problem = error
                for number in numbers:
                    self._engine.dead_letters.tried_again(number, str(error))
            kept = {letter.id: letter for letter in self._engine.dead_letters.latest(numbers)}
            for number in numbers:
                if number in kept:
                    self.failed[number] = problem or RuntimeFaultError(kept[number].reason)
                else:
                    self.replayed.append(number)

    def _rebuild(self, model_id: str) -> None:
        engine = self._engine
        if model_id in engine.roster.failed:
            restart_model(engine, model_id).get(self._left)
            return
        again, ref = FoldAgain(), engine.roster.refs[model_id]
        reply: Reply[None] = Reply(ref.cell)
        again.done.add_done_callback(lambda done: _pass_on(done, reply))
        ref.post(again)
        reply.get(self._left)


def _pass_on(done: Any, reply: Reply[None]) -> None:
    error = done.exception()
    if error is None:
        reply.set()
    else:
        reply.set_exception((type(error), error, None))
