from __future__ import annotations

import os
import signal
import threading

import pytest

from handicapper.bin.interrupts import Interrupts


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_an_interrupt_outside_a_shield_is_raised_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupts():
        send(signal.SIGINT)


def test_a_termination_ends_with_its_own_exit_code():
    with pytest.raises(SystemExit) as caught, Interrupts():
        send(signal.SIGTERM)
    assert caught.value.code == 143


def test_an_interrupt_in_a_shield_is_raised_where_the_outermost_ends():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        with interrupts.shielded():
            with interrupts.shielded():
                send(signal.SIGINT)
                reached.append("inner")
            reached.append("outer")
        reached.append("after")
    assert reached == ["inner", "outer"]


def test_an_error_in_a_shield_is_not_hidden_by_a_noted_interrupt():
    with pytest.raises(RuntimeError, match="first"), Interrupts() as interrupts, interrupts.shielded():
        send(signal.SIGINT)
        raise RuntimeError("first")


def test_handlers_are_restored_and_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        handler = signal.getsignal(signal.SIGINT)
        with Interrupts():
            send(signal.SIGTERM)
            assert signal.getsignal(signal.SIGINT) is not handler
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_nothing_is_installed():
    handler = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.shielded():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert seen == [handler]
