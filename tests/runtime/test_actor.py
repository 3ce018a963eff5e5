"""Life of a pooled actor when nothing goes wrong: sending, batches, proxies, starting, stopping."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from handicapper.actors.runtime import Dispatcher, PooledActor, PooledRef, ping
from handicapper.protocol.errors import BusyError

from .conftest import DEADLINE_SECONDS, Gate, Recorder, raising


class Batcher(PooledActor):
    """Doubles numbers, and records the batches they came in."""

    batch_messages_max = 4

    def __init__(self, gate: Gate | None = None) -> None:
        super().__init__()
        self.batches: list[list[Any]] = []
        self.gate = gate

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        self.batches.append([envelope.message for envelope in envelopes])
        if self.gate is not None:
            gate, self.gate = self.gate, None
            gate()
        for envelope in envelopes:
            if envelope.reply_to is not None:
                envelope.reply_to.set(2 * envelope.message)


def test_ask_to_an_idle_actor_runs_it_in_the_asking_thread(dispatcher: Dispatcher) -> None:
    ref = Recorder.start_on(dispatcher)
    assert ref.ask(threading.get_ident, timeout=DEADLINE_SECONDS) == threading.get_ident()


def test_ask_where_helping_is_off_runs_on_the_dispatchers_thread(unhelped: Dispatcher) -> None:
    ref = Recorder.start_on(unhelped)
    assert ref.ask(threading.current_thread, timeout=DEADLINE_SECONDS).name == f"{unhelped.name}-0"


def test_tells_and_asks_of_one_sender_are_handled_in_order(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    ref = Recorder.start_on(dispatcher, log)
    for number in range(300):
        if number % 7 == 0:
            ref.ask(number, timeout=DEADLINE_SECONDS)
        else:
            ref.tell(number)
    ping(ref, DEADLINE_SECONDS)
    assert log == list(range(300))


def test_ask_without_blocking_gives_a_future_of_the_reply(dispatcher: Dispatcher) -> None:
    future = Recorder.start_on(dispatcher).ask("x", block=False)
    assert future.get(timeout=DEADLINE_SECONDS) == "x"


def test_ask_beyond_its_timeout_raises_timeout_and_is_handled_all_the_same(unhelped: Dispatcher) -> None:
    log: list[Any] = []
    ref, gate = Recorder.start_on(unhelped, log), Gate()
    ref.tell(gate)
    gate.wait_entered()
    with pytest.raises(pykka.Timeout):
        ref.ask("late", timeout=0)
    gate.release()
    ping(ref, DEADLINE_SECONDS)
    assert log == ["late"]


def test_ask_whose_handler_raises_gives_the_exception_to_the_asker_and_the_actor_lives(
    dispatcher: Dispatcher,
) -> None:
    ref = Recorder.start_on(dispatcher)
    with pytest.raises(BusyError, match="enough"):
        ref.ask(raising(BusyError("enough")), timeout=DEADLINE_SECONDS)
    assert ref.ask("next", timeout=DEADLINE_SECONDS) == "next"
    assert dispatcher.dead_letters.total == 0


def test_sending_to_a_full_mailbox_raises_busy_to_teller_and_asker(unhelped: Dispatcher) -> None:
    ref, gate = Recorder.start_on(unhelped, name="model/a", messages_max=1), Gate()
    ref.tell(gate)
    gate.wait_entered()
    ref.tell("fills it")
    with pytest.raises(BusyError, match="model/a"):
        ref.tell("too much")
    with pytest.raises(BusyError, match="model/a"):
        ref.ask("too much", timeout=DEADLINE_SECONDS)
    gate.release()


def test_proxy_reads_attributes_and_calls_methods(dispatcher: Dispatcher) -> None:
    class Proxied(PooledActor):
        def __init__(self) -> None:
            super().__init__()
            self.value = 1

        def add(self, amount: int) -> int:
            self.value += amount
            return self.value

    proxy: Any = Proxied.start_on(dispatcher).proxy()
    assert proxy.add(41).get(timeout=DEADLINE_SECONDS) == 42
    assert proxy.value.get(timeout=DEADLINE_SECONDS) == 42


def test_pykkas_own_start_is_refused() -> None:
    with pytest.raises(TypeError, match="start_on"):
        Recorder.start()


def test_start_of_an_actor_that_forgot_to_call_super_says_so(dispatcher: Dispatcher) -> None:
    class Forgetful(PooledActor):
        def __init__(self) -> None:
            pass

    with pytest.raises(TypeError, match=r"Forgetful\.__init__ did not call"):
        Forgetful.start_on(dispatcher)


def test_actors_are_not_in_pykkas_registry(dispatcher: Dispatcher) -> None:
    ref = Recorder.start_on(dispatcher, name="quiet")
    ping(ref, DEADLINE_SECONDS)
    assert ref not in pykka.ActorRegistry.get_all()  # noqa: TID251 - proof that we stay out of it
    assert str(ref) == "quiet"


def test_on_start_runs_on_the_dispatcher_before_the_first_message(unhelped: Dispatcher) -> None:
    class Starting(Recorder):
        def on_start(self) -> None:
            self.log.append(threading.current_thread().name)

    log: list[Any] = []
    ref = Starting.start_on(unhelped, log)
    ref.tell("first")
    ping(ref, DEADLINE_SECONDS)
    assert log == [f"{unhelped.name}-0", "first"]


def test_messages_to_itself_from_init_come_after_on_start(dispatcher: Dispatcher) -> None:
    class Eager(Recorder):
        def __init__(self, log: list[Any]) -> None:
            super().__init__(log)
            self.actor_ref.tell("from init")

        def on_start(self) -> None:
            self.log.append("on_start")

    log: list[Any] = []
    ping(Eager.start_on(dispatcher, log), DEADLINE_SECONDS)
    assert log == ["on_start", "from init"]


def test_batch_gets_what_waits_up_to_its_bound(unhelped: Dispatcher) -> None:
    gate = Gate()
    actor_batches: list[list[Any]] = []

    class Shared(Batcher):
        def __init__(self) -> None:
            super().__init__(gate)
            self.batches = actor_batches

    ref = Shared.start_on(unhelped)
    ref.tell(0)
    gate.wait_entered()
    for number in range(1, 7):
        ref.tell(number)
    future = ref.ask(21, block=False)
    gate.release()
    assert future.get(timeout=DEADLINE_SECONDS) == 42
    assert actor_batches == [[0], [1, 2, 3, 4], [5, 6, 21]]


def test_batch_ends_at_a_ping_and_goes_on_after_it(unhelped: Dispatcher) -> None:
    gate = Gate()
    ref = Batcher.start_on(unhelped, gate)
    ref.tell(0)
    gate.wait_entered()
    ref.tell(1)
    first = threading.Thread(target=ping, args=(ref, DEADLINE_SECONDS))
    first.start()
    gate.release()
    first.join(DEADLINE_SECONDS)
    assert not first.is_alive()
    assert ref.ask(3, timeout=DEADLINE_SECONDS) == 6


def test_stop_handles_what_was_sent_before_then_runs_on_stop(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    ref = Recorder.start_on(dispatcher, log)
    for number in range(200):
        ref.tell(number)
    assert ref.stop(timeout=DEADLINE_SECONDS) is True
    assert log == [*range(200), "on_stop"]
    assert not ref.is_alive()


def test_stop_of_a_stopped_actor_returns_false(dispatcher: Dispatcher) -> None:
    ref = Recorder.start_on(dispatcher)
    assert ref.stop(timeout=DEADLINE_SECONDS) is True
    assert ref.stop(timeout=DEADLINE_SECONDS) is False
    assert ref.stop(timeout=DEADLINE_SECONDS, hard=True) is False


def test_two_stops_at_once_are_both_answered_and_on_stop_runs_once(unhelped: Dispatcher) -> None:
    log: list[Any] = []
    ref, gate = Recorder.start_on(unhelped, log), Gate()
    ref.tell(gate)
    gate.wait_entered()
    futures = [ref.stop(block=False) for _ in range(3)]
    gate.release()
    assert [future.get(timeout=DEADLINE_SECONDS) for future in futures] == [True, True, True]
    assert log == ["on_stop"]


def test_send_to_a_stopped_actor_raises_actor_dead(dispatcher: Dispatcher) -> None:
    ref = Recorder.start_on(dispatcher)
    ref.stop(timeout=DEADLINE_SECONDS)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("late")
    with pytest.raises(pykka.ActorDeadError, match="the actor was stopped"):
        ref.ask("late", timeout=DEADLINE_SECONDS)


def test_hard_stop_finishes_the_message_in_hand_and_sends_the_rest_back(unhelped: Dispatcher) -> None:
    log: list[Any] = []
    ref, gate = Recorder.start_on(unhelped, log, name="a"), Gate()
    ref.tell(gate)
    gate.wait_entered()
    ref.tell("dropped")
    asked = ref.ask("dropped too", block=False)
    stopped = ref.stop(block=False, hard=True)
    with pytest.raises(pykka.ActorDeadError, match="hard"):
        asked.get(timeout=DEADLINE_SECONDS)  # at once: the handler is still busy
    gate.release()
    assert stopped.get(timeout=DEADLINE_SECONDS) is True
    assert log == ["on_stop"]
    (letter,) = unhelped.dead_letters.latest()
    assert (letter.recipient, letter.message) == ("a", '"dropped"')


def test_hard_stop_ends_a_suspended_actor(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    ref = Recorder.start_on(dispatcher, log)
    ref.cell.suspend()
    ref.tell("never")
    assert ref.stop(timeout=DEADLINE_SECONDS, hard=True) is True
    assert log == ["on_stop"]


def test_actor_that_stops_itself_handles_nothing_after_it(dispatcher: Dispatcher) -> None:
    class Quitter(Recorder):
        def on_receive(self, message: Any) -> Any:
            self.stop()
            return super().on_receive(message)

    log: list[Any] = []
    ref: PooledRef[Any] = Quitter.start_on(dispatcher, log)
    ref.cell.suspend()
    ref.tell(1)
    ref.tell(2)
    ref.cell.resume()
    assert ref.stopped.wait(DEADLINE_SECONDS)
    assert log == [1, 2, "on_stop"]


def test_on_stop_that_raises_is_recorded_and_the_actor_has_stopped(dispatcher: Dispatcher) -> None:
    class Clumsy(PooledActor):
        def on_stop(self) -> None:
            raise ValueError("cannot close")

    ref = Clumsy.start_on(dispatcher, name="clumsy")
    assert ref.stop(timeout=DEADLINE_SECONDS) is True
    (letter,) = dispatcher.dead_letters.latest()
    assert letter.reason == "on_stop raised ValueError: cannot close"


def test_suspended_mailbox_takes_mail_and_hands_it_over_in_order_after_resume(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    ref = Recorder.start_on(dispatcher, log)
    ref.cell.suspend()
    for number in range(5):
        ref.tell(number)
    with pytest.raises(pykka.Timeout):
        ref.ask("waits", timeout=0)
    assert log == []
    ref.cell.resume()
    ping(ref, DEADLINE_SECONDS)
    assert log == [0, 1, 2, 3, 4, "waits"]


def test_a_hosts_own_pykka_actor_beside_ours_is_untouched_by_our_stop(dispatcher: Dispatcher) -> None:
    class Host(pykka.ThreadingActor):
        use_daemon_thread = True

        def on_receive(self, message: Any) -> Any:
            return ("host", message)

    host = Host.start()
    try:
        refs = [Recorder.start_on(dispatcher) for _ in range(3)]
        with pytest.raises(Exception, match="SystemExit"):
            refs[0].ask(raising(SystemExit(3)), timeout=DEADLINE_SECONDS)
        for ref in refs:
            ref.stop(timeout=DEADLINE_SECONDS)
        dispatcher.stop(DEADLINE_SECONDS)
        assert host.is_alive()
        assert host.ask("still here?", timeout=DEADLINE_SECONDS) == ("host", "still here?")
    finally:
        host.stop(timeout=DEADLINE_SECONDS)
