"""Opening, closing, sharing a process with others, and ten thousand models."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pykka
import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import BusyError, ClosedError, SettingsError, StateError, StateLockedError

from .helpers import DEADLINE_SECONDS, outcome, prediction, resolution, small_settings, teach

Open = Callable[..., Learner]


class Host(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_receive(self, message: int) -> int:
        return 2 * message


def test_two_learners_beside_a_hosts_actor_leave_each_other_alone(open_learner: Open) -> None:
    host = Host.start()
    try:
        registered = pykka.ActorRegistry.get_all()  # noqa: TID251  # the host's own look
        first, second = open_learner("first"), open_learner("second")
        teach(first, "m", range(10))
        teach(second, "m", range(20))
        assert pykka.ActorRegistry.get_all() == registered  # noqa: TID251
        first.close()
        assert host.ask(21, timeout=DEADLINE_SECONDS) == 42
        teach(second, "m", range(20, 30))
        assert second.report("m").n == 30
        second.close()
        assert host.ask(4, timeout=DEADLINE_SECONDS) == 8
        assert host.is_alive()
    finally:
        host.stop(timeout=DEADLINE_SECONDS)


def test_close_ends_every_thread_it_started(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Learner(tmp_path / "state", small_settings()) as learner:
        teach(learner, "m", range(5))
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_close_twice_is_safe(learner: Learner) -> None:
    learner.close()
    learner.close()


def test_close_handles_what_was_submitted(open_learner: Open) -> None:
    learner = open_learner()
    futures = [learner.record_outcome_nowait(outcome(n)) for n in range(200)]
    learner.close()
    assert all(future.get(DEADLINE_SECONDS).scored == 1 for future in futures)
    assert open_learner().report("m").n == 200


def test_close_while_others_record_answers_every_call(open_learner: Open) -> None:
    """Each call is either acknowledged, and then there after reopening, or refused."""
    learner = open_learner()
    acknowledged: list[int] = []
    started = threading.Barrier(4)

    def record(offset: int) -> None:
        started.wait(DEADLINE_SECONDS)
        for number in range(offset, offset + 100_000):
            try:
                learner.record_outcome(outcome(number))
            except ClosedError:
                return
            acknowledged.append(number)

    threads = [threading.Thread(target=record, args=(100_000 * k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    started.wait(DEADLINE_SECONDS)
    for number in range(900_000, 900_020):
        learner.record_outcome(outcome(number))
        acknowledged.append(number)
    learner.close()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
    again = open_learner()
    result = again.record_outcomes(outcome(number) for number in acknowledged)
    assert (result.duplicates, result.accepted) == (len(acknowledged), 0)


def test_leaving_the_context_after_an_error_does_not_hide_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Learner(tmp_path / "state", small_settings()) as learner:
        learner.record_outcome(outcome(1))
        _ = 1 // 0
    with Learner(tmp_path / "state", small_settings()) as learner:
        assert learner.report("m").n == 1


def test_second_learner_on_the_directory_is_refused_and_the_first_goes_on(open_learner: Open) -> None:
    learner = open_learner()
    with pytest.raises(StateLockedError, match="held by process"):
        open_learner()
    teach(learner, "m", range(5))
    learner.close()
    assert open_learner().report("m").n == 5


_OPEN_AND_CLOSE = """
import sys
from handicapper.actors import Learner
from handicapper.protocol.errors import StateLockedError
try:
    Learner(sys.argv[1]).close()
except StateLockedError as error:
    print(error)
else:
    print("opened")
"""


def _open_in_child(directory: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", _OPEN_AND_CLOSE, str(directory)],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    ).stdout


def test_second_process_on_the_directory_is_refused_until_the_first_closes(
    open_learner: Open, tmp_path: Path
) -> None:
    learner = open_learner()
    refused = _open_in_child(tmp_path / "state")
    assert "STATE_LOCKED" in refused
    assert str(os.getpid()) in refused
    learner.close()
    assert _open_in_child(tmp_path / "state") == "opened\n"


def test_directory_that_does_not_exist_is_not_made_when_not_wanted(
    open_learner: Open, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="does not exist"):
        open_learner("absent", create=False)
    assert not (tmp_path / "absent").exists()


def test_files_are_private(learner: Learner, tmp_path: Path) -> None:
    learner.record_outcome(outcome(1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_failed_opening_leaves_neither_thread_nor_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())

    def broken(*_: object) -> None:
        raise OSError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr("handicapper.actors.persister.restore", broken)
        with pytest.raises(OSError, match="no such luck"):
            Learner(tmp_path / "state", small_settings())
    assert set(threading.enumerate()) == before
    Learner(tmp_path / "state", small_settings()).close()


def test_many_threads_recording_at_once_lose_nothing(learner: Learner) -> None:
    def work(offset: int) -> None:
        model = f"m{offset}"
        for number in range(offset * 1000, offset * 1000 + 100):
            learner.record_prediction(prediction(number, model))
            learner.resolve_market(resolution(number))
            assert learner.report(model).n == number - offset * 1000 + 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert [s.n for s in learner.models()] == [100] * 6


def test_ten_thousand_models_are_ordinary(open_learner: Open) -> None:
    """Record, sample, snapshot, close, reopen: no thread a model, and every step ends."""
    models = 10_000
    learner = open_learner()
    threads = threading.active_count()
    learner.record_outcomes(outcome(n, f"m{n:05}", right=n % 2 == 0) for n in range(models))
    assert threading.active_count() == threads
    selection = learner.thompson_sample(
        timeout=DEADLINE_SECONDS, as_of=outcome(0).resolved_at, selection_id="s"
    )
    assert (len(selection.ranked), selection.missing) == (models, ())
    assert learner.snapshot().models == models
    assert sum(summary.n for summary in learner.models()) == models
    learner.close()
    again = open_learner()
    assert again.statistics().models == models
    assert again.statistics().replayed == 0
    repeated = again.thompson_sample(timeout=DEADLINE_SECONDS, as_of=outcome(0).resolved_at, selection_id="s")
    assert repeated == selection


def test_message_refused_outside_is_kept_among_the_dead_letters(learner: Learner) -> None:
    learner.add_dead_letter("server/record_outcome", BusyError("full"), {"prediction_id": "p1"})
    (letter,) = learner.dead_letters()
    assert (letter.recipient, letter.reason) == ("server/record_outcome", "BUSY full; retry after 50 ms")
    assert "p1" in letter.message
    assert learner.statistics().dead_letters == 1


def test_directory_made_with_another_table_is_refused_with_what_to_set(open_learner: Open) -> None:
    open_learner().close()
    with pytest.raises(
        SettingsError,
        match=r'db_table was "other", but .* was made with "model_learning_stats"; set it to "mo',
    ):
        open_learner(settings=small_settings({"db_table": "other"}))
