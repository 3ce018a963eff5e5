"""Clocks, and the place where undeliverable mail ends."""

from __future__ import annotations

import threading

import pytest
from msgspec import Struct

from handicapper.actors.runtime import DeadLetter, DeadLetters, ManualClock, SystemClock


def test_manual_clock_moves_only_when_told_and_never_backwards() -> None:
    clock = ManualClock(now_ns=5, monotonic=1.0)
    assert (clock.now_ns(), clock.monotonic()) == (5, 1.0)
    clock.advance(0.5)
    assert (clock.now_ns(), clock.monotonic()) == (500_000_005, 1.5)
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(-0.1)


def test_system_clock_gives_nanoseconds_and_a_monotonic_time() -> None:
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()
    assert second >= first
    assert clock.now_ns() > 1_600_000_000 * 10**9


def test_dead_letter_says_to_whom_why_what_how_often_and_when() -> None:
    letters = DeadLetters(clock=ManualClock(now_ns=7))
    letters.add("model/a", "stopped", {"x": 1}, attempts=2)
    assert letters.latest() == (DeadLetter("model/a", "stopped", '{"x": 1}', 2, 7, 1, None),)


def test_dead_letter_that_was_dealt_with_is_gone_and_counted_and_one_tried_in_vain_says_so() -> None:
    clock = ManualClock(now_ns=7)
    letters = DeadLetters(letters_max=3, clock=clock)
    for number in (1, 2, 3):
        letters.add("a", "r", number, content=number * 10)
    letters.remove(2)
    clock.set_wall(9)
    letters.tried_again(3, "refused")
    letters.tried_again(2, "gone before")
    letters.remove(77)
    assert letters.latest([3, 2, 77]) == (DeadLetter("a", "refused", "3", 1, 9, 3, 30),)
    letters.add("a", "r", 4)
    assert [letter.id for letter in letters.latest()] == [1, 3, 4]
    assert (letters.total, letters.forgotten) == (4, 0)


def test_dead_letters_beyond_the_bound_drop_the_oldest_but_count_it() -> None:
    letters = DeadLetters(letters_max=3, clock=ManualClock())
    for number in range(10):
        letters.add("a", "r", number)
    assert [letter.message for letter in letters.latest()] == ["7", "8", "9"]
    assert (letters.total, letters.forgotten) == (10, 7)


def test_dead_letters_of_many_threads_are_all_counted() -> None:
    letters = DeadLetters(letters_max=10)
    threads = [
        threading.Thread(target=lambda: [letters.add("a", "r", number) for number in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (letters.total, len(letters.latest())) == (2_000, 10)


def test_dead_letters_without_room_are_counted_all_the_same() -> None:
    letters = DeadLetters(letters_max=0)
    letters.add("model/a", "stopped", 1)
    assert (letters.total, letters.latest()) == (1, ())
    with pytest.raises(ValueError, match="letters_max was -1"):
        DeadLetters(letters_max=-1)


def test_message_and_reason_are_shortened_and_a_broken_one_never_breaks_the_letter() -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    letters = DeadLetters()
    letters.add("a", "r" * 10_000, "x" * 10_000)
    letters.add("a", "two\nlines", Unprintable())
    long, broken = letters.latest()
    assert len(long.message) < 250
    assert long.message.endswith("(10000 characters)")
    assert len(long.reason) < 1_100
    assert long.reason.endswith("(10000 characters)")
    assert broken.reason == "two\\nlines"
    assert broken.message == "a Unprintable that cannot be shown (RuntimeError: no)"


class Prediction(Struct):
    price: str | None
    void: bool
    names: list[str]
    odds: dict[int, bytes]


def test_message_is_written_as_json_has_it() -> None:
    letters = DeadLetters()
    letters.add("a", "r", Prediction(None, True, ["k"], {1: b"x"}))
    (letter,) = letters.latest()
    assert letter.message == 'Prediction {"void": true, "names": ["k"], "odds": {1: bytes 0x78}}'
