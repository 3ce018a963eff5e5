"""Notifications the learner has no room for: none is lost, and what may overtake them is bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol.errors import BusyError
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import Receipt

from .daemon import serving
from .fuzz_harness import Done, Harness, MemoryBackend
from .inputs import outcome, prediction
from .wire import Refused, eventually, notification, request

FULL = BusyError("full, for the test", 1)


class Group:
    """Inputs handed on together, of which the test says what becomes."""

    def __init__(self, backend: Learner, items: Sequence[Any]) -> None:
        self.names = [getattr(item, "prediction_id", None) or item.market_id for item in items]
        self._backend = backend
        self._callbacks: list[Callable[[Any], Any]] = []

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self._callbacks.append(callback)

    def accept(self) -> None:
        self._backend.recorded += self.names
        self._come(Done([Receipt(seq=1) for _ in self.names]))

    def refuse(self) -> None:
        self._come(Done(error=FULL))

    def _come(self, done: Done) -> None:
        self._backend.under_way.remove(self)
        for callback in self._callbacks:
            callback(done)


class Learner(MemoryBackend):
    """Hands out groups, or finds itself full at once."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.under_way: list[Group] = []
        self.recorded: list[str] = []

    def record_checked_nowait(self, inputs: Sequence[Any]) -> Any:
        if self.full:
            raise FULL
        self.under_way.append(Group(self, inputs))
        return self.under_way[-1]

    process_checked_nowait = record_checked_nowait

    def pause_nowait(self, model_id: str, until: int | None = None, reason: str = "") -> Done:
        self.recorded.append("pause")
        return super().pause_nowait(model_id, until, reason)


class Connection:
    """One session; every call of :meth:`send` is a turn, and so at least a group, of its own."""

    def __init__(self) -> None:
        self.learner = Learner()
        self.harness = Harness(self.learner, WireLimits())

    def send(self, *messages: bytes) -> None:
        self.harness.session.receive(b"".join(messages))
        self.turn()

    def turn(self) -> None:
        self.harness.session.turn(0.0)
        self.settle()

    def settle(self) -> None:
        """What the loop does, without timers and turns."""
        service = self.harness.service
        service.drain()
        while service._inbox:
            service.drain()

    def first(self) -> Group:
        return self.learner.under_way[0]

    def accept(self) -> None:
        self.first().accept()
        self.settle()

    def refuse(self) -> None:
        self.first().refuse()
        self.settle()

    def time_passes(self) -> None:
        timers, self.harness.timers[:] = list(self.harness.timers), []
        for timer in timers:
            timer.fire()
        self.settle()

    def under_way(self) -> list[list[str]]:
        return [group.names for group in self.learner.under_way]


@pytest.fixture
def connection() -> Connection:
    return Connection()


def told(name: str) -> bytes:
    return notification("record_outcome", outcome(prediction_id=name))


def signal(name: str) -> bytes:
    return notification("process_signal", prediction(prediction_id=name))


def test_what_was_under_way_behind_it_goes_first_and_nothing_else_does(connection: Connection) -> None:
    connection.send(told("a"))
    connection.send(told("b"))
    connection.refuse()
    connection.send(told("c"))
    assert connection.under_way() == [["b"]], "c waits: a has not found room"
    connection.accept()
    connection.time_passes()
    assert connection.under_way() == [["a"]]
    connection.turn()
    assert connection.under_way() == [["a"]], "c waits until a is through"
    connection.accept()
    connection.turn()
    connection.accept()
    assert connection.learner.recorded == ["b", "a", "c"]


def test_those_that_found_no_room_keep_their_order_among_themselves(connection: Connection) -> None:
    for name in "abc":
        connection.send(told(name))
    for _ in range(3):
        connection.refuse()
    connection.time_passes()
    assert connection.under_way() == [["a"]], "one at a time"
    connection.refuse()
    assert connection.under_way() == []
    connection.time_passes()
    assert connection.under_way() == [["a"]], "again the first"
    connection.accept()
    assert connection.under_way() == [["b"]], "the next one at once"
    connection.accept()
    connection.accept()
    assert connection.learner.recorded == ["a", "b", "c"]
    assert not connection.harness.session.held.active


def test_one_refused_at_once_stays_behind_one_refused_later(connection: Connection) -> None:
    connection.send(told("a"))
    connection.learner.full = True
    connection.send(told("b"))
    connection.learner.full = False
    connection.time_passes()
    assert connection.under_way() == [["a"]], "b is not tried before it is known what became of a"
    connection.refuse()
    connection.time_passes()
    connection.accept()
    connection.accept()
    assert connection.learner.recorded == ["a", "b"]


@pytest.mark.parametrize(
    ("behind", "name"),
    [
        (request(1, "pause", ["m"]), "pause"), (signal("behind"), "behind"),
        (b"".join(request(n, "process_signal", prediction(prediction_id="behind")) for n in range(5)), "behind"),
        (notification("record_outcome_batch", [[outcome(prediction_id="behind")]]), "behind"),
    ],
    ids=["control", "signal", "neighbours", "batch"],
)  # fmt: skip
def test_what_came_with_it_does_not_overtake_one_refused_at_once(
    connection: Connection, behind: bytes, name: str
) -> None:
    connection.learner.full = True
    connection.send(told("a") + behind)
    connection.learner.full = False
    connection.turn()
    assert connection.learner.recorded == []
    assert connection.under_way() == []
    connection.time_passes()
    connection.accept()
    connection.turn()
    while connection.learner.under_way:
        connection.accept()
    assert connection.learner.recorded[:2] == ["a", name]
    counters = connection.harness.service.counters
    assert counters.requests + counters.notifications in (2, 6), (
        "counted once, however often it was looked at"
    )


def test_a_question_that_came_with_it_is_answered_behind_one_refused_at_once(connection: Connection) -> None:
    connection.learner.full = True
    connection.send(told("a"), request(1, "get_adaptive_params", ["m"]))
    assert connection.harness.messages() == []
    connection.learner.full = False
    connection.time_passes()
    connection.accept()
    connection.turn()
    assert [message[1] for message in connection.harness.messages()] == [1]


def test_requests_are_told_busy_and_only_notifications_are_kept(connection: Connection) -> None:
    connection.send(request(1, "record_outcome", outcome(prediction_id="r")) + told("n"))
    connection.refuse()
    connection.time_passes()
    assert connection.under_way() == [["n"]]
    connection.accept()
    ((_, msgid, (fault, text), _),) = connection.harness.messages()
    assert (msgid, fault) == (1, 0)
    assert text.startswith("BUSY ")


def test_pieces_of_a_batch_are_kept_in_their_order(connection: Connection) -> None:
    names = [f"p{n}" for n in range(700)]
    connection.send(
        notification("record_outcome_batch", [[outcome(prediction_id=name) for name in names]]) + told("last")
    )
    while len(connection.learner.under_way) < 2:
        connection.turn()
    connection.accept()
    connection.refuse()
    for _ in range(10):
        connection.turn()
        connection.time_passes()
        if connection.learner.under_way:
            connection.accept()
    assert connection.learner.recorded == [*names, "last"]


def test_more_than_the_server_takes_at_all_goes_on_in_parts() -> None:
    harness = Harness(limits=WireLimits(in_flight_requests_max=3))
    harness.receive(b"".join(told(f"n{n}") for n in range(50)))
    assert harness.backend.seq == 50


def test_what_is_held_of_a_connection_that_is_gone_is_recorded(connection: Connection) -> None:
    connection.send(told("a"))
    connection.refuse()
    connection.harness.session.drop()
    connection.time_passes()
    connection.accept()
    assert connection.learner.recorded == ["a"]


STEPS = st.lists(
    st.sampled_from(["send", "send", "accept", "refuse", "full", "room", "time", "turn"]), max_size=60
)


@given(STEPS)
def test_none_is_lost_and_only_what_was_under_way_overtakes(steps: list[str]) -> None:
    connection = Connection()
    learner = connection.learner
    sent: list[str] = []
    may_overtake: dict[str, set[str]] = {}

    def step(kind: str) -> None:
        if kind == "send":
            sent.append(f"n{len(sent)}")
            connection.send(told(sent[-1]))
        elif kind in ("full", "room"):
            learner.full = kind == "full"
        elif kind == "time":
            connection.time_passes()
        elif kind == "turn":
            connection.turn()
        elif learner.under_way and kind == "accept":
            connection.accept()
        elif learner.under_way:
            first, *others = connection.under_way()
            for name in first:
                may_overtake.setdefault(name, {other for names in others for other in names})
            connection.refuse()

    for kind in steps:
        step(kind)
    learner.full = False
    for _ in range(3 * len(sent) + 3):
        step("time")
        step("turn")
        step("accept")
    assert sorted(learner.recorded) == sorted(sent), "each once"
    place = {name: at for at, name in enumerate(learner.recorded)}
    for index, name in enumerate(sent):
        overtaken_by = {later for later in sent[index + 1 :] if place[later] < place[name]}
        assert overtaken_by <= may_overtake.get(name, set())


def test_a_learner_that_is_full_again_and_again_loses_no_notification(tmp_path: Path) -> None:
    """A real daemon in whose mailboxes one message may wait."""
    settings = "[online_learning.limits]\nmailbox_messages_max = 1\n"
    with serving(tmp_path, settings) as daemon, daemon.connect() as wire:
        wire.send(b"".join(notification("record_outcome", outcome(n, "slow")) for n in range(5_000)))

        def learned() -> int:
            try:
                return wire.call("report", ["slow"])["n"]
            except Refused as refused:  # questions find it full, too, or come before the first outcome
                assert refused.code in ("BUSY", "UNKNOWN_MODEL")
                return 0

        eventually(lambda: learned() == 5_000, "all of them")
        assert wire.call("statistics")["server"]["notifications_refused"] == 0
