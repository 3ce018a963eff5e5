"""A learner whose turns its owner takes, as an event loop does: no thread between an input and the journal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.protocol.errors import BusyError, ClosedError, HandicapperError

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    copy_while_open,
    disk_held,
    eventually,
    lesson_bytes,
    outcome,
    pattern,
    prediction,
    raising_fold,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


class Calls:
    """Counts the calls to come."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def driven(open_learner: Open, calls: Calls) -> Learner:
    return open_learner(wake=calls)


def run_all(learner: Learner) -> None:
    """Take every turn that is due."""
    while learner.run_ready(8):
        pass


def test_only_the_persister_the_supervisor_and_the_timers_have_threads(open_learner: Open) -> None:
    before = set(threading.enumerate())
    learner = open_learner(wake=lambda: None)
    started = {thread.name for thread in set(threading.enumerate()) - before}
    assert started == {"handicapper-persister-0", "handicapper-supervisor-0", "handicapper-timers"}
    learner.close()
    assert set(threading.enumerate()) == before


def test_input_waits_for_its_owner_to_come_and_then_for_the_disk(driven: Learner, calls: Calls) -> None:
    run_all(driven)
    before = calls.count
    with disk_held(driven):
        replies = [driven.record_outcome_nowait(outcome(n)) for n in range(10)]
        assert driven._engine.router.cell.actor.book.seq == 1  # pyright: ignore
        assert calls.count == before + 1
        run_all(driven)
        assert driven._engine.router.cell.actor.book.seq == 11  # pyright: ignore
        assert not any(reply.is_set() for reply in replies)
    assert [reply.get(DEADLINE_SECONDS).scored for reply in replies] == [1] * 10


def test_owner_that_blocks_takes_the_turns_himself(driven: Learner) -> None:
    """Nobody ever calls run_ready: each of these waits for turns of the router and of models, and takes them."""
    teach(driven, "m", range(30))
    assert driven.process_signal(prediction(100, confidence=0.99)).accepted
    driven.pause("m")
    assert driven.snapshot(timeout=DEADLINE_SECONDS).models == 1
    assert [report.n for report in driven.reports()] == [30]
    assert driven.thompson_sample().ineligible == ("m",)
    assert driven.verify().ok
    driven.close()
    with pytest.raises(ClosedError):
        driven.record_outcome(outcome(1))


def test_driven_learner_learns_what_one_with_threads_learns(open_learner: Open, tmp_path: Path) -> None:
    driven, other = open_learner(wake=lambda: None), open_learner("other")
    for learner in (driven, other):
        replies = []
        for number in range(200):
            replies.append(learner.record_prediction_nowait(prediction(number, f"m{number % 3}")))
            replies.append(
                learner.resolve_market_nowait(resolution(number, "YES" if pattern(number) else "NO"))
            )
        if learner is driven:
            run_all(learner)
        assert sum(reply.get(DEADLINE_SECONDS).scored for reply in replies) == 200
        learner.reset("m1")
        teach(learner, "m1", range(300, 340))
    for model in ("m0", "m1", "m2"):
        assert lesson_bytes(driven, model) == lesson_bytes(other, model)
    driven.close()
    assert verify_state(tmp_path / "state").ok


def test_close_answers_what_was_sent_and_never_run(driven: Learner, tmp_path: Path) -> None:
    reply = driven.record_each_nowait([outcome(n) for n in range(100)])
    question = driven.get_adaptive_params_nowait("m")
    driven.close()
    assert [receipt.scored for receipt in reply.get(0)] == [1] * 100  # pyright: ignore
    assert question.get(0) is not None
    assert verify_state(tmp_path / "state").last_seq == 101


def test_question_sees_every_input_sent_before_it_although_nothing_was_run_yet(driven: Learner) -> None:
    inputs = driven.record_each_nowait([outcome(n, confidence=0.9) for n in range(20)])
    params = driven.get_adaptive_params_nowait("m")
    selection = driven.thompson_sample_nowait()
    nobody = driven.get_adaptive_params_nowait("nobody")
    assert not (params.is_set() or selection.is_set() or nobody.is_set())
    run_all(driven)
    found = params.get(0)
    assert found is not None
    assert found.adapted
    assert [sample.model_id for sample in selection.get(0).ranked] == ["m"]
    assert nobody.get(0) is None
    assert len(inputs.get(DEADLINE_SECONDS)) == 20


def test_blocking_questions_see_every_input_sent_before_them_too(driven: Learner) -> None:
    for number in range(5):
        driven.record_outcome_nowait(outcome(number))
        assert driven.report("m").n == number + 1
    driven.record_outcome_nowait(outcome(7, "x"))
    assert driven.get_adaptive_params("x") is not None
    driven.record_outcome_nowait(outcome(8, "y"))
    assert [summary.model_id for summary in driven.models()] == ["m", "x", "y"]
    driven.record_outcome_nowait(outcome(9, "z"))
    assert len(driven.thompson_sample().ranked) == 4
    driven.record_outcome_nowait(outcome(10))
    assert driven.statistics().outcomes == 9


def test_call_of_the_owner_over_the_bound_makes_room_itself(open_learner: Open) -> None:
    """With threads it would wait for the router's; here he is the router's."""
    learner = open_learner(wake=lambda: None, settings=small_settings(limits={"in_flight_inputs_max": 10}))
    replies = [learner.record_outcome_nowait(outcome(n)) for n in range(10)]
    with pytest.raises(BusyError):
        learner.record_each_nowait([outcome(10)])
    assert learner.record_outcome(outcome(10), timeout=DEADLINE_SECONDS).scored == 1
    assert [reply.get(0).scored for reply in replies] == [1] * 10


def test_model_that_fails_is_rebuilt_while_its_owner_drives(open_learner: Open) -> None:
    learner = open_learner(wake=lambda: None)
    with raising_fold(times=1):
        learner.record_each_nowait([outcome(n, confidence=POISON if n == 5 else 0.7) for n in range(20)])
        run_all(learner)
        question = learner.get_adaptive_params_nowait("m")
        eventually(lambda: learner.run_ready(10) or question.is_set())
    assert learner.report("m").n == 20
    assert learner.statistics().restarts == 1


def test_blocking_calls_of_other_threads_work_beside_the_owner(open_learner: Open) -> None:
    called = threading.Semaphore(0)
    learner = open_learner(wake=called.release)
    stopped = threading.Event()
    answers: list[int] = []

    def drive() -> None:
        while called.acquire(timeout=DEADLINE_SECONDS) and not stopped.is_set():
            run_all(learner)

    def use(model: str) -> None:
        for number in range(30):
            learner.record_outcome(outcome(number, model, prediction_id=f"{model}{number}"))
            answers.append(learner.report(model).n - number)

    threads = [threading.Thread(target=drive)]
    threads += [threading.Thread(target=use, args=(model,)) for model in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(DEADLINE_SECONDS)
    stopped.set()
    called.release()
    threads[0].join(DEADLINE_SECONDS)
    assert answers == [1] * 90


def test_event_loop_opens_drives_and_closes_a_learner_in_its_own_thread(tmp_path: Path) -> None:
    """The daemon's arrangement: acknowledgements come from the persister's thread, all else happens here."""

    async def serve() -> list[Any]:
        loop = asyncio.get_running_loop()

        def run() -> None:
            if learner.run_ready(4):
                loop.call_soon(run)

        learner = Learner(tmp_path / "state", small_settings(), wake=lambda: loop.call_soon_threadsafe(run))

        async def settled(reply: Any) -> Any:
            future: asyncio.Future[Any] = loop.create_future()

            def give() -> None:
                future.set_result(reply.get(0))

            reply.add_done_callback(lambda _: loop.call_soon_threadsafe(give))
            return await asyncio.wait_for(future, DEADLINE_SECONDS)

        found: list[Any] = []
        for turn in range(20):
            batch = [outcome(turn * 50 + n, f"m{n % 5}") for n in range(50)]
            found.extend(await settled(learner.record_each_nowait(batch)))
        await settled(learner.thompson_sample_nowait())
        learner.close()
        return found

    receipts = asyncio.run(serve())
    assert [receipt.scored for receipt in receipts] == [1] * 1000
    assert sorted(receipt.seq for receipt in receipts) == list(range(2, 1002))
    assert verify_state(tmp_path / "state").ok


def test_power_loss_of_a_driven_learner_loses_nothing_acknowledged(driven: Learner, tmp_path: Path) -> None:
    reply = driven.record_each_nowait([outcome(n) for n in range(50)])
    assert len(reply.get(DEADLINE_SECONDS)) == 50
    copy = copy_while_open(tmp_path / "state", tmp_path / "copy")
    with Learner(copy, small_settings()) as again:
        assert again.report("m").n == 50


def test_learner_that_cannot_be_opened_leaves_no_thread_and_says_why(tmp_path: Path, driven: Learner) -> None:
    before = set(threading.enumerate())
    with pytest.raises(HandicapperError, match="is held by"):
        Learner(tmp_path / "state", small_settings(), wake=lambda: None)
    assert set(threading.enumerate()) == before


def test_question_within_the_routers_turn_does_not_wait_for_itself(driven: Learner) -> None:
    """A callback of a refused input runs in the router's turn."""
    driven.record_outcome(outcome(1))
    answers: list[Any] = []
    # The same outcome with another result is refused, while the router decides.
    refused = driven.record_outcome_nowait(outcome(1, right=False))

    def ask(_: Any) -> None:
        answers.append(driven.statistics().outcomes)
        answers.append(driven.get_adaptive_params_nowait("m"))

    refused.add_done_callback(ask)
    run_all(driven)
    assert answers[0] == 1
    assert answers[1].get(0) is not None


def test_run_ready_is_refused_for_a_learner_with_threads(learner: Learner) -> None:
    with pytest.raises(RuntimeError, match="has workers"):
        learner.run_ready(1)


def test_run_ready_of_a_closed_learner_has_nothing_to_do(driven: Learner) -> None:
    driven.record_outcome(outcome(1))
    driven.close()
    assert driven.run_ready(10) is False
