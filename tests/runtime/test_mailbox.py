"""The queue alone, and the race it exists for."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from handicapper.actors.runtime import DeadLetters, Dispatcher, LeanFuture
from handicapper.actors.runtime.mailbox import Mailbox
from handicapper.protocol.errors import BusyError

from .conftest import DEADLINE_SECONDS, Recorder, eventually


class CountingScheduler:
    def __init__(self) -> None:
        self.dead_letters = DeadLetters()
        self.scheduled: list[Any] = []

    def schedule(self, mailbox: Any, /) -> None:
        self.scheduled.append(mailbox)


def opened(messages_max: int = 1_000) -> tuple[Mailbox, CountingScheduler]:
    mailbox, scheduler = Mailbox("m", messages_max), CountingScheduler()
    mailbox.scheduler = scheduler
    mailbox.open()
    return mailbox, scheduler


@pytest.fixture
def nervous_threads() -> Iterator[None]:
    """Threads switch a thousand times as often, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def test_mailbox_unopened_takes_mail_but_asks_for_no_turn_before_open() -> None:
    mailbox, scheduler = Mailbox("m"), CountingScheduler()
    mailbox.scheduler = scheduler
    mailbox.put(Envelope(1))
    assert scheduler.scheduled == []
    mailbox.open()
    assert scheduler.scheduled == [mailbox]


def test_mailbox_with_many_letters_is_scheduled_once_until_parked() -> None:
    mailbox, scheduler = opened()
    for number in range(5):
        mailbox.put(Envelope(number))
    assert scheduler.scheduled == [mailbox]
    mailbox.park()
    assert scheduler.scheduled == [mailbox, mailbox]
    assert [mailbox.get().message for _ in range(5)] == [0, 1, 2, 3, 4]
    mailbox.park()
    assert len(scheduler.scheduled) == 2
    mailbox.put(Envelope(5))
    assert len(scheduler.scheduled) == 3


def test_mailbox_get_when_empty_raises_instead_of_blocking() -> None:
    mailbox, _ = opened()
    assert mailbox.empty()
    with pytest.raises(queue.Empty):
        mailbox.get()


def test_mailbox_full_says_busy_with_its_name_and_the_numbers() -> None:
    mailbox, _ = opened(messages_max=2)
    mailbox.put(Envelope(1))
    mailbox.put(Envelope(2))
    with pytest.raises(BusyError, match=r"mailbox of m was full: 2 messages wait, at most 2 may"):
        mailbox.put(Envelope(3))
    assert len(mailbox) == 2


def test_mailbox_full_still_takes_the_request_to_stop() -> None:
    mailbox, _ = opened(messages_max=1)
    mailbox.put(Envelope(1))
    mailbox.put(Envelope(_ActorStop()))
    assert len(mailbox) == 2


def test_mailbox_suspended_takes_mail_and_is_scheduled_on_resume() -> None:
    mailbox, scheduler = opened()
    mailbox.suspend()
    mailbox.put(Envelope(1))
    mailbox.park()  # the turn that finds it suspended
    scheduler.scheduled.clear()
    mailbox.put(Envelope(2))
    mailbox.park()
    assert mailbox.suspended
    mailbox.resume()
    assert mailbox in scheduler.scheduled
    assert len(mailbox) == 2


def test_mailbox_close_answers_waiting_and_late_asks_and_buries_tells() -> None:
    mailbox, scheduler = opened()
    early: LeanFuture[Any] = LeanFuture()
    late: LeanFuture[Any] = LeanFuture()
    mailbox.put(Envelope("early ask", early))
    mailbox.put(Envelope("early tell"))
    mailbox.close("it was enough")
    mailbox.put(Envelope("late ask", late))
    mailbox.put(Envelope("late tell"))
    for future in (early, late):
        with pytest.raises(pykka.ActorDeadError, match="m did not handle the message: it was enough"):
            future.get(timeout=0)
    letters = scheduler.dead_letters.latest()
    assert [letter.message for letter in letters] == ['"early tell"', '"late tell"']
    assert {letter.reason for letter in letters} == {"it was enough"}
    assert {letter.attempts for letter in letters} == {0}


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(number)`` in ``count`` threads that begin together; raise what they raised."""
    barrier, errors = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            barrier.wait(DEADLINE_SECONDS)
            work(number)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("helped", [False, True])
def test_ask_racing_with_stop_is_always_answered_and_no_tell_vanishes(
    make_dispatcher: Callable[..., Dispatcher], nervous_threads: None, helped: bool, hard: bool
) -> None:
    dispatcher = make_dispatcher(helped=helped)
    threads, rounds, each = 4, 40, 20
    for _ in range(rounds):
        ref = Recorder.start_on(dispatcher)
        futures: list[LeanFuture[Any]] = []
        tells: list[object] = []
        refused: list[object] = []

        def work(number: int, ref: Any = ref, futures: Any = futures, tells: Any = tells) -> None:
            for sequence in range(each):
                if number == 0 and sequence == each // 2:
                    ref.stop(timeout=DEADLINE_SECONDS, hard=hard)
                futures.append(ref.ask((number, sequence), block=False))
                try:
                    ref.tell("tell")
                    tells.append(sequence)
                except pykka.ActorDeadError:
                    refused.append(sequence)  # noqa: B023

        log: list[Any] = ref.cell.actor.log  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        buried = dispatcher.dead_letters.total
        in_threads(threads, work)
        assert len(futures) == threads * each
        for future in futures:
            assert future.wait(DEADLINE_SECONDS), "an ask was never answered"
        assert log.count("on_stop") == 1
        handled = log.count("tell")
        assert handled + dispatcher.dead_letters.total - buried == len(tells)
        assert len(tells) + len(refused) == threads * each


def test_ask_racing_with_the_stop_of_its_dispatcher_is_always_answered(nervous_threads: None) -> None:
    for _ in range(20):
        dispatcher = Dispatcher("racing")
        dispatcher.start()
        refs = [Recorder.start_on(dispatcher) for _ in range(5)]
        futures: list[LeanFuture[Any]] = []

        def work(number: int, dispatcher: Any = dispatcher, refs: Any = refs, futures: Any = futures) -> None:
            for sequence in range(20):
                if number == 0 and sequence == 10:
                    dispatcher.stop(DEADLINE_SECONDS)
                futures.append(refs[sequence % 5].ask(sequence, block=False))

        in_threads(3, work)
        for future in futures:
            assert future.wait(DEADLINE_SECONDS), "an ask was never answered"


def test_tells_of_many_threads_are_all_handled_in_each_senders_order(
    make_dispatcher: Callable[..., Dispatcher], nervous_threads: None
) -> None:
    """Two workers and a helper compete for turns; still nothing is lost, doubled or reordered."""
    dispatcher = make_dispatcher(workers=2)
    log: list[Any] = []
    ref = Recorder.start_on(dispatcher, log)
    threads, each = 4, 500

    def work(number: int) -> None:
        for sequence in range(each):
            ref.tell((number, sequence))
            if sequence % 50 == 0:
                ref.ask((number, "ask"), timeout=DEADLINE_SECONDS)

    in_threads(threads, work)
    eventually(lambda: len(log) == threads * (each + each // 50))
    for number in range(threads):
        assert [m[1] for m in log if m[0] == number and m[1] != "ask"] == list(range(each))
