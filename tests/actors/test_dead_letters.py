"""Dead letters tried again: inputs through the ordinary door, events in their model; the others are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import BusyError, ClosedError, HandicapperError, InvalidValueError
from handicapper.protocol.messages import DeadLetterReplay

from .helpers import (
    POISON,
    copy_while_open,
    eventually,
    lesson_bytes,
    model_ref,
    outcome,
    prediction,
    raising_fold,
    resolution,
    small_settings,
)

Open = Callable[..., Learner]


def outcomes(replay: DeadLetterReplay) -> tuple[Any, ...]:
    failed = tuple((number, type(error)) for number, error in replay.failed)
    return replay.replayed, failed, replay.not_replayable, replay.unknown


def test_refused_inputs_are_recorded_once_and_their_letters_gone(learner: Learner) -> None:
    busy = BusyError("full")
    learner.add_dead_letter("server/record", busy, prediction(1))
    learner.add_dead_letter("server/record", busy, resolution(1))
    learner.add_dead_letter("server/record_outcome_batch", busy, outcome(2))
    learner.add_dead_letter("server/process_signal", busy, prediction(3, confidence=0.99))
    learner.add_dead_letter("server/record", busy, outcome(2))
    assert [(letter.id, letter.replayable) for letter in learner.dead_letters()] == [
        (number, True) for number in range(1, 6)
    ]
    assert outcomes(learner.replay_dead_letters()) == ((1, 2, 3, 4, 5), (), (), ())
    assert learner.dead_letters() == []
    assert learner.statistics().dead_letters == 5, "they stay counted"
    report = learner.report("m")
    assert (report.n, report.accepted, report.ungated) == (2, 1, 1)


def test_what_is_refused_again_is_kept_with_the_new_reason_and_one_attempt_more(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    learner.add_dead_letter("server/record", BusyError("full"), prediction(1, confidence=0.5))
    for tries in (2, 3):
        assert [number for number, _ in learner.replay_dead_letters([1]).failed] == [1]
        (letter,) = learner.dead_letters()
        assert (letter.id, letter.attempts) == (1, tries)
        assert letter.reason.startswith("CONFLICT")
    ((_, error),) = learner.replay_dead_letters().failed
    assert isinstance(error, HandicapperError) and error.code == "CONFLICT"


def test_letters_without_an_input_and_unknown_ids_are_named_and_kept(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    learner.add_dead_letter("server/record", InvalidValueError("x", 1, "y"), b"\x93\x01")
    learner.add_dead_letter("server/record", BusyError("full"), outcome(2))
    learner.add_dead_letter("server/record", BusyError("full"), outcome(3))
    assert outcomes(learner.replay_dead_letters([1, 3, 77])) == ((3,), (), (1,), (77,))
    assert [letter.id for letter in learner.dead_letters()] == [1, 2]
    assert learner.report("m").n == 2


@pytest.mark.parametrize("ids", ["12", [1.5], [True], [-1], 7, ["1"]])
def test_ids_that_are_none_are_refused_by_name(learner: Learner, ids: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^INVALID_VALUE ids was"):
        learner.replay_dead_letters(ids)


def test_closed_learner_replays_nothing(learner: Learner) -> None:
    learner.close()
    with pytest.raises(ClosedError):
        learner.replay_dead_letters()


def poisoned(learner: Learner) -> None:
    learner.record_outcomes(outcome(n, confidence=POISON if n in (3, 7) else 0.7) for n in range(10))
    assert learner.report("m").n == 8


def test_poison_has_one_letter_with_message_error_and_tries_however_often_it_is_folded(
    open_learner: Open,
) -> None:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 100}))
    with raising_fold():
        poisoned(learner)
        first, second = [letter for letter in learner.dead_letters() if letter.replayable]
        for letter in (first, second):
            assert letter.recipient == "model/m"
            assert "RuntimeError: the fold broke" in letter.reason
            assert letter.message.startswith('"input ') and "Scored {" in letter.message
            assert letter.attempts >= 1
        learner.record_outcome(outcome(20, confidence=POISON))
        assert learner.report("m").n == 8
        letters = {letter.id: letter for letter in learner.dead_letters() if letter.replayable}
        assert len(letters) == 3
        assert letters[first.id].attempts == first.attempts + 1


def test_poison_that_can_be_folded_now_counts_after_a_replay(open_learner: Open) -> None:
    learner, reference = open_learner(), open_learner("reference")
    with raising_fold():
        poisoned(learner)
        numbers = tuple(letter.id for letter in learner.dead_letters() if letter.replayable)
        replay = learner.replay_dead_letters(numbers)
        assert [number for number, _ in replay.failed] == list(numbers)
        assert "the fold broke" in str(replay.failed[0][1])
    assert learner.replay_dead_letters(numbers).replayed == numbers
    assert not [letter for letter in learner.dead_letters() if letter.replayable]
    reference.record_outcomes(outcome(n, confidence=POISON if n in (3, 7) else 0.7) for n in range(10))
    assert lesson_bytes(learner) == lesson_bytes(reference)
    assert learner.statistics().models_failed == ()
    assert learner.verify().ok


def test_poison_of_a_model_given_up_brings_it_back(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 1}))
    with raising_fold():
        learner.record_outcome(outcome(1, confidence=POISON))
        assert learner.report("m").n == 0
        learner.record_outcome(outcome(2, confidence=POISON))
        eventually(lambda: learner.statistics().models_failed == ("m",))
    (number,) = [letter.id for letter in learner.dead_letters() if letter.replayable]
    assert learner.replay_dead_letters().replayed == (number,)
    assert learner.report("m").n == 2


def test_poison_found_when_opening_can_be_replayed(open_learner: Open) -> None:
    learner = open_learner()
    learner.record_outcomes(outcome(n, confidence=POISON if n == 3 else 0.7) for n in range(10))
    directory = learner._engine.directory.path
    copy_while_open(directory, directory.parent / "copy")
    with raising_fold():
        again = open_learner("copy")
        (letter,) = again.dead_letters()
        assert letter.replayable and "the fold broke" in letter.reason
        assert again.report("m").n == 9
    assert again.replay_dead_letters().replayed == (letter.id,)
    assert again.report("m").n == 10


def test_letters_beyond_the_bound_are_forgotten_and_unknown(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"dead_letters_max": 2}))
    for number in range(4):
        learner.add_dead_letter("server/record", BusyError("full"), outcome(number))
    assert outcomes(learner.replay_dead_letters([1, 2, 3, 4])) == ((3, 4), (), (), (1, 2))
    learner.record_outcome(outcome(9))
    model_ref(learner).tell("nonsense")
    assert learner.report("m").n == 3
    assert learner.dead_letters()[0].id == 5
