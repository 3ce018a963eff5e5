"""Notifications the learner has no room for: none is lost, and what may overtake them is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol.errors import BusyError
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import Receipt
from handicapper.protocol.serving.held import HOLD_SECONDS, RETRY_SECONDS, TRIES_MAX

from .daemon import serving
from .fuzz_harness import Done, Harness, MemoryBackend
from .inputs import outcome, prediction
from .wire import Refused, eventually, notification, request

FULL = BusyError("full, for the test", 1)
MODEL_FULL = BusyError("the mailbox of one model is full, for the test", 200)
BOOK_FULL = BusyError("the book is full, for the test", 60_000)


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

    def refuse_some(self, names: Iterable[str], error: BusyError = MODEL_FULL) -> None:
        """Others are recorded: these are for a model that is full."""
        refused = set(names)
        self._backend.recorded += [name for name in self.names if name not in refused]
        self._come(Done([error if name in refused else Receipt(seq=1) for name in self.names]))

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

    def refuse_some(self, *names: str, error: BusyError = MODEL_FULL) -> None:
        self.first().refuse_some(names, error)
        self.settle()

    def time_passes(self, seconds: float = RETRY_SECONDS) -> None:
        timers = self.harness.timers
        due = [timer for timer in timers if timer.seconds <= seconds]
        timers[:] = [timer for timer in timers if timer.seconds > seconds]
        for timer in due:
            timer.fire()
        self.settle()

    def letters(self) -> list[tuple[str, str]]:
        return [(to, str(error)) for to, error in self.learner.letters]

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


def test_one_for_a_full_model_is_tried_again_and_what_came_behind_it_waits(connection: Connection) -> None:
    connection.send(told("a") + told("full") + told("b"))
    connection.refuse_some("full")
    connection.send(told("c"))
    assert connection.under_way() == [], "c waits"
    connection.time_passes()
    assert connection.under_way() == [["full"]], "and nothing else is sent twice"
    connection.refuse_some("full")
    connection.time_passes()
    connection.accept()
    connection.turn()
    connection.accept()
    assert connection.learner.recorded == ["a", "b", "full", "c"]
    assert connection.letters() == []


def test_requests_for_a_full_model_are_told_busy_and_only_its_notifications_are_kept(
    connection: Connection,
) -> None:
    connection.send(request(1, "record_outcome", outcome(prediction_id="r")) + told("n") + told("other"))
    connection.refuse_some("r", "n")
    ((_, msgid, (_, text), _),) = connection.harness.messages()
    assert (msgid, text.split()[0]) == (1, "BUSY")
    connection.time_passes()
    assert connection.under_way() == [["n"]]


def wait_in_vain(connection: Connection, *names: str) -> None:
    """Refuse what is held as often as it is tried."""
    for _ in range(TRIES_MAX):
        assert connection.letters() == []
        connection.time_passes()
        assert connection.under_way() == [list(names)]
        connection.refuse_some(*names)


@pytest.mark.parametrize("kind", ["outcomes", "signals", "batch"])
def test_model_that_stays_full_costs_its_own_a_dead_letter_and_the_others_a_while(
    connection: Connection, kind: str
) -> None:
    def send(*names: str) -> None:
        if kind == "batch":
            items = [outcome(prediction_id=name) for name in names]
            connection.send(notification("record_outcome_batch", [items]))
        else:
            connection.send(b"".join((told if kind == "outcomes" else signal)(name) for name in names))

    method = {"outcomes": "record_outcome", "signals": "process_signal", "batch": "record_outcome_batch"}[
        kind
    ]
    letter = (f"server/{method}", str(MODEL_FULL))
    send("a", "full", "full too")
    connection.refuse_some("full", "full too")
    send("b")
    wait_in_vain(connection, "full", "full too")
    assert connection.letters() == [letter] * 2, "each with the reason"
    connection.turn()
    assert connection.under_way() == [["b"]]
    connection.accept()
    send("full again", "c")
    connection.refuse_some("full again")
    assert connection.letters() == [letter] * 3, "at once: the others have waited for it"
    send("d")
    connection.accept()
    connection.time_passes(HOLD_SECONDS)
    send("full at last")
    connection.refuse_some("full at last")
    connection.time_passes()
    connection.accept()
    assert connection.learner.recorded == ["a", "b", "c", "d", "full at last"]
    assert len(connection.letters()) == 3
    assert connection.harness.service.in_flight == 0


def test_full_book_is_not_waited_for_because_what_comes_behind_may_make_room(connection: Connection) -> None:
    connection.send(told("too many"))
    connection.refuse_some("too many", error=BOOK_FULL)
    assert connection.letters() == [("server/record_outcome", str(BOOK_FULL))]
    connection.send(told("makes room"))
    connection.accept()
    assert connection.learner.recorded == ["makes room"]


def test_learner_that_is_full_is_waited_for_as_long_as_it_takes(connection: Connection) -> None:
    """Nothing of the connection's could get through: it has nothing to gain from a dead letter."""
    connection.send(told("a"))
    connection.refuse()
    for _ in range(3 * TRIES_MAX):
        connection.time_passes()
        connection.refuse()
    connection.time_passes()
    connection.accept()
    assert (connection.learner.recorded, connection.letters()) == (["a"], [])


STEPS = st.lists(
    st.sampled_from(["send", "send", "accept", "refuse", "some", "full", "room", "time", "turn"]), max_size=60
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
            refused = first[::2] if kind == "some" else first
            # Those recorded of its own group, too: they are for other models.
            behind = {other for names in ([*first], *others) for other in names}
            for name in refused:
                may_overtake.setdefault(name, behind)
            if kind == "some":
                connection.refuse_some(*refused)
            else:
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
