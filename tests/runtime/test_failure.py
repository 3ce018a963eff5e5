"""What happens after a handler raised for a tell, and how a supervisor's answers work out."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from handicapper.actors.runtime import Dispatcher, Failure, PooledActor, ping
from handicapper.protocol.errors import RuntimeFaultError

from .conftest import DEADLINE_SECONDS, Gate, Recorder, raising


class Brittle(Recorder):
    """Fails at the message ``poison``, as long as it is brittle."""

    def __init__(self, log: list[Any], brittle: bool = True) -> None:
        super().__init__(log)
        self.brittle = brittle

    def on_receive(self, message: Any) -> Any:
        if message == "poison" and self.brittle:
            raise ValueError("poisoned")
        return super().on_receive(message)


class BrittleBatch(Brittle):
    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        self.log.append([envelope.message for envelope in envelopes])
        if any(envelope.message == "poison" for envelope in envelopes) and self.brittle:
            raise ValueError("poisoned")
        for envelope in envelopes:
            if envelope.reply_to is not None:
                envelope.reply_to.set("done")


class Supervisor:
    """Takes failures and lets the test answer them."""

    def __init__(self) -> None:
        self.failures: queue.SimpleQueue[Failure] = queue.SimpleQueue()

    def __call__(self, failure: Failure) -> None:
        self.failures.put(failure)

    def next(self) -> Failure:
        return self.failures.get(timeout=DEADLINE_SECONDS)


def test_failed_tell_without_a_handler_becomes_a_dead_letter_and_the_actor_lives(
    dispatcher: Dispatcher,
) -> None:
    log: list[Any] = []
    ref = Brittle.start_on(dispatcher, log, name="model/a")
    ref.tell("poison")
    ref.tell("next")
    ping(ref, DEADLINE_SECONDS)
    assert log == ["next"]
    (letter,) = dispatcher.dead_letters.latest()
    assert letter[:4] == ("model/a", "ValueError: poisoned", '"poison"', 1)


def test_failed_tell_suspends_the_mailbox_and_tells_the_handler_everything(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    supervisor = Supervisor()
    ref = Brittle.start_on(dispatcher, log, name="model/a", on_failure=supervisor)
    ref.tell("poison")
    failure = supervisor.next()
    assert failure.ref is ref
    assert (failure.name, failure.message, failure.attempts) == ("model/a", "poison", 1)
    assert repr(failure.exception) == "ValueError('poisoned')"
    assert not failure.on_start_failed
    with pytest.raises(pykka.Timeout):
        ref.ask("waits", timeout=0)
    assert log == []
    assert failure.resume(retry=False)
    ping(ref, DEADLINE_SECONDS)
    assert log == ["waits"]
    assert dispatcher.dead_letters.latest()[-1].attempts == 1


def test_retry_hands_the_failed_message_over_first_and_counts_attempts(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    supervisor = Supervisor()
    ref = Brittle.start_on(dispatcher, log, on_failure=supervisor)
    ref.cell.suspend()
    for message in ("before", "poison", "after 1", "after 2"):
        ref.tell(message)
    ref.cell.resume()
    for attempt in (1, 2, 3):
        failure = supervisor.next()
        assert failure.attempts == attempt
        failure.resume(retry=attempt < 3)
    ping(ref, DEADLINE_SECONDS)
    assert log == ["before", "after 1", "after 2"]
    (letter,) = dispatcher.dead_letters.latest()
    assert (letter.message, letter.attempts) == ('"poison"', 3)


def test_replacement_keeps_ref_waiting_mail_and_order(dispatcher: Dispatcher) -> None:
    class Restored(Brittle):
        def on_start(self) -> None:
            self.log.append(("restored", self.actor_urn, self.actor_ref))

    log: list[Any] = []
    supervisor = Supervisor()
    ref = Brittle.start_on(dispatcher, log, name="model/a", on_failure=supervisor)
    ref.tell("poison")
    failure = supervisor.next()
    asked = ref.ask("asked", block=False)
    ref.tell("told")
    assert failure.resume(retry=True, actor=Restored(log, brittle=False))
    assert asked.get(timeout=DEADLINE_SECONDS) == "asked"
    ping(ref, DEADLINE_SECONDS)
    assert log == [("restored", "model/a", ref), "poison", "asked", "told"]
    assert ref.proxy().brittle.get(timeout=DEADLINE_SECONDS) is False
    assert ref.stop(timeout=DEADLINE_SECONDS)


def test_failure_is_answered_once(dispatcher: Dispatcher) -> None:
    supervisor = Supervisor()
    ref = Brittle.start_on(dispatcher, [], on_failure=supervisor)
    ref.tell("poison")
    failure = supervisor.next()
    assert failure.resume(retry=False) is True
    assert failure.resume(retry=True) is False
    assert failure.stop() is False
    assert dispatcher.dead_letters.total == 1


def test_failure_answered_inside_the_handler_lets_the_actor_go_on(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    ref = Brittle.start_on(dispatcher, log, on_failure=lambda failure: failure.resume(retry=False))
    for message in (1, "poison", 2):
        ref.tell(message)
    ping(ref, DEADLINE_SECONDS)
    assert log == [1, 2]


def test_failure_stop_sends_waiting_mail_back_and_runs_on_stop(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    supervisor = Supervisor()
    ref = Brittle.start_on(dispatcher, log, name="a", on_failure=supervisor)
    ref.tell("poison")
    failure = supervisor.next()
    ref.tell("told")
    asked = ref.ask("asked", block=False)
    assert failure.stop()
    with pytest.raises(pykka.ActorDeadError, match="poisoned"):
        asked.get(timeout=DEADLINE_SECONDS)
    assert ref.stopped.wait(DEADLINE_SECONDS)
    assert log == ["on_stop"]
    assert [letter.message for letter in dispatcher.dead_letters.latest()] == ['"poison"', '"told"']


def test_hard_stop_of_an_actor_whose_failure_waits_buries_the_message(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    supervisor = Supervisor()
    ref = Brittle.start_on(dispatcher, log, on_failure=supervisor)
    ref.tell("poison")
    failure = supervisor.next()
    assert ref.stop(timeout=DEADLINE_SECONDS, hard=True)
    assert log == ["on_stop"]
    assert failure.resume(retry=True) is False
    assert [letter.message for letter in dispatcher.dead_letters.latest()] == ['"poison"']


def test_failure_handler_that_raises_leaves_a_dead_letter_and_a_living_actor(dispatcher: Dispatcher) -> None:
    log: list[Any] = []

    def handler(_: Failure) -> None:
        raise RuntimeError("no idea")

    ref = Brittle.start_on(dispatcher, log, on_failure=handler)
    ref.tell("poison")
    ref.tell("next")
    ping(ref, DEADLINE_SECONDS)
    assert log == ["next"]
    reasons = [letter.reason for letter in dispatcher.dead_letters.latest()]
    assert reasons == ["on_failure handler raised RuntimeError: no idea", "ValueError: poisoned"]


def test_on_failure_hook_of_the_actor_runs_as_in_pykka(dispatcher: Dispatcher) -> None:
    class Hooked(Brittle):
        def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
            self.log.append((exception_type, str(exception_value), traceback is not None))

    log: list[Any] = []
    ref = Hooked.start_on(dispatcher, log)
    ref.tell("poison")
    ping(ref, DEADLINE_SECONDS)
    assert log == [(ValueError, "poisoned", True)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_system_exit_and_the_like_are_failures_of_one_actor_only(
    unhelped: Dispatcher, error: BaseException
) -> None:
    supervisor = Supervisor()
    ref = Recorder.start_on(unhelped, name="a", on_failure=supervisor)
    other = Recorder.start_on(unhelped)
    ref.tell(raising(error))
    failure = supervisor.next()
    assert failure.exception is error
    assert other.ask("alive", timeout=DEADLINE_SECONDS) == "alive"
    failure.resume(retry=False)
    with pytest.raises(RuntimeFaultError, match=f"a raised {type(error).__name__}") as caught:
        ref.ask(raising(error), timeout=DEADLINE_SECONDS)
    assert caught.value.__cause__ is error
    assert ref.ask("alive", timeout=DEADLINE_SECONDS) == "alive"


def test_interrupt_while_the_main_thread_helps_reaches_the_main_thread_and_the_actor_goes_on(
    dispatcher: Dispatcher,
) -> None:
    ref = Recorder.start_on(dispatcher)
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        ref.ask(raising(KeyboardInterrupt()), timeout=DEADLINE_SECONDS)
    assert ref.ask("alive", timeout=DEADLINE_SECONDS) == "alive"


def test_failed_on_start_without_a_handler_stops_the_actor_and_ping_names_the_reason(
    dispatcher: Dispatcher,
) -> None:
    class Unable(Recorder):
        def on_start(self) -> None:
            raise OSError("no such state directory")

    log: list[Any] = []
    ref = Unable.start_on(dispatcher, log, name="persister")
    with pytest.raises(pykka.ActorDeadError, match="no such state directory"):
        ping(ref, DEADLINE_SECONDS)
    assert log == ["on_stop"]
    assert dispatcher.dead_letters.latest()[0].reason.startswith("on_start raised OSError")
    assert not ref.is_alive()


def test_failed_on_start_is_told_to_the_handler_and_tried_again(dispatcher: Dispatcher) -> None:
    class Third(Recorder):
        tries = 0

        def on_start(self) -> None:
            self.tries += 1
            if self.tries < 3:
                raise OSError("not yet")

    log: list[Any] = []
    supervisor = Supervisor()
    ref = Third.start_on(dispatcher, log, on_failure=supervisor)
    ref.tell("first")
    for attempt in (1, 2):
        failure = supervisor.next()
        assert failure.on_start_failed
        assert (failure.attempts, failure.message) == (attempt, None)
        failure.resume(retry=True)
    ping(ref, DEADLINE_SECONDS)
    assert log == ["first"]


def test_failed_batch_gives_asks_the_exception_and_retries_tells_one_at_a_time(unhelped: Dispatcher) -> None:
    log: list[Any] = []
    supervisor = Supervisor()
    ref = BrittleBatch.start_on(unhelped, log, on_failure=supervisor)
    ref.cell.suspend()
    ref.tell(1)
    asked = ref.ask("asked", block=False)
    ref.tell("poison")
    ref.tell(2)
    ref.cell.resume()
    failure = supervisor.next()
    assert (failure.messages, failure.attempts) == ((1, "poison", 2), 1)
    with pytest.raises(ValueError, match="poisoned"):
        asked.get(timeout=DEADLINE_SECONDS)
    ref.tell(3)
    failure.resume(retry=True)
    second = supervisor.next()
    assert (second.messages, second.attempts) == (("poison",), 2)
    second.resume(retry=False)
    assert ref.ask("end", timeout=DEADLINE_SECONDS) == "done"
    assert log[:3] == [[1, "asked", "poison", 2], [1], ["poison"]]
    assert [message for batch in log[3:] for message in batch] == [2, 3, "end"]
    (letter,) = unhelped.dead_letters.latest()
    assert (letter.message, letter.attempts) == ('"poison"', 2)


def test_batch_of_asks_that_fails_answers_them_and_goes_on(dispatcher: Dispatcher) -> None:
    supervisor = Supervisor()
    ref = BrittleBatch.start_on(dispatcher, [], on_failure=supervisor)
    with pytest.raises(ValueError, match="poisoned"):
        ref.ask("poison", timeout=DEADLINE_SECONDS)
    assert ref.ask("next", timeout=DEADLINE_SECONDS) == "done"
    assert supervisor.failures.empty()


def test_one_failing_actor_does_not_hold_up_the_others(unhelped: Dispatcher) -> None:
    supervisor = Supervisor()
    refs = [Brittle.start_on(unhelped, [], on_failure=supervisor) for _ in range(10)]
    gate = Gate()
    refs[0].tell(gate)
    gate.wait_entered()
    refs[0].tell("poison")
    futures = [ref.ask("x", block=False) for ref in refs[1:]]
    gate.release()
    assert [future.get(timeout=DEADLINE_SECONDS) for future in futures] == ["x"] * 9
    assert supervisor.next().ref is refs[0]


def test_base_actor_without_handlers_logs_as_pykka_does(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    ref = PooledActor.start_on(dispatcher)
    assert ref.ask("unexpected", timeout=DEADLINE_SECONDS) is None
    assert "Unexpected message received by PooledActor" in caplog.text
