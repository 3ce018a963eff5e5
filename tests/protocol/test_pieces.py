"""No turn of a session decodes, encodes or asks more than a bounded number of things, however many came as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import Raw, structs

from handicapper.protocol.decoding import ParamsDecoder
from handicapper.protocol.errors import ConflictError
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import BatchResult, Receipt, SignalBatch
from handicapper.protocol.serving import batch_run, runs, selecting
from handicapper.protocol.serving.groups import InputGroup
from handicapper.protocol.serving.outgoing import ANSWERS_MAX, TURN_UNITS, Outgoing
from handicapper.protocol.serving.service import POSTS_MAX
from handicapper.protocol.serving.session import Session
from handicapper.protocol.serving.taking import REFUSED_UNITS

from .fuzz_harness import Done, Harness, MemoryBackend
from .inputs import outcome, prediction
from .test_neighbours import ROOMY, unpacked
from .wire import notification, request

REFUSED_A_TURN = batch_run.PIECE_UNITS // batch_run.REFUSED_UNITS
COUNT = 1_000
VALUES_AT_ONCE = 4
"""In the largest list or tuple that one call of the encoder is to be given: an error and its place, an answer."""


class Turns:
    """How often something was done in each turn of the session."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.counts: list[int] = []
        turn = Session.turn

        def counted(session: Session, now: float) -> None:
            self.counts.append(0)
            turn(session, now)

        patch.setattr(Session, "turn", counted)

    def count(self, owner: Any, name: str) -> None:
        """Count the calls of this."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.counts[-1] += 1
            return original(*arguments, **named)

        self._patch.setattr(owner, name, counted)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


def answered(message: bytes, limits: WireLimits = ROOMY) -> tuple[list[Any], MemoryBackend]:
    backend = MemoryBackend()
    harness = Harness(backend, limits)
    harness.receive(message)
    assert harness.session.in_flight == harness.session.in_flight_bytes == harness.service.in_flight == 0
    return unpacked(b"".join(harness.sent)), backend


BAD: dict[str, Callable[[int], Any]] = {
    "of a wrong type": lambda n: {"model_id": n},
    "of a wrong value": lambda n: outcome(n, "m") | {"model_id": ""},
    "of both": lambda n: {"model_id": n} if n % 2 else outcome(n, "m") | {"prediction_id": ""},
}


@pytest.mark.parametrize("kind", BAD)
def test_few_items_are_refused_in_one_turn(turns: Turns, kind: str) -> None:
    """Each takes as long as a dozen that are right, and all of a batch may be bad."""
    turns.count(batch_run, "encode")
    told, _ = answered(request(7, "record_outcome_batch", [[BAD[kind](n) for n in range(COUNT)]]))
    assert [index for index, _ in told[0][3]["errors"]] == list(range(COUNT))
    assert max(turns.counts) <= REFUSED_A_TURN
    assert sum(turns.counts) == COUNT, "and each of them once"


def test_a_bad_item_costs_those_before_it_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are decoded together once, and then each once by itself, however many pieces that takes."""
    looked_at: list[int] = []
    many = batch_run.plain_messages

    def counted(params: list[Any]) -> Any:
        looked_at.append(len(params))
        return many(params)

    monkeypatch.setattr(batch_run, "plain_messages", counted)
    size = batch_run.PIECE_UNITS
    items = [outcome(n, "m") | ({"model_id": ""} if n % 8 == 7 else {}) for n in range(4 * size)]
    told, _ = answered(request(7, "record_outcome_batch", [items]))
    assert len(told[0][3]["errors"]) == len(items) // 8
    assert sum(looked_at) <= 2 * len(items)


def test_notifications_of_a_batch_are_refused_with_their_pieces(turns: Turns) -> None:
    turns.count(Outgoing, "answer_error")
    items = [{"model_id": n} for n in range(COUNT)]
    told, backend = answered(notification("record_outcome_batch", [items]))
    assert not told
    assert len(backend.letters) == COUNT
    assert max(turns.counts) <= REFUSED_A_TURN


def largest(value: Any) -> int:
    """The length of the longest list or tuple in it."""
    if isinstance(value, list | tuple):
        return max([len(value), *map(largest, value)])
    if isinstance(value, BatchResult):
        return largest(value.errors)
    if isinstance(value, SignalBatch):
        return max(largest(value.errors), largest(value.decisions))
    return 1


@pytest.mark.parametrize(
    ("method", "params", "length"),
    [
        ("record_outcome_batch", [outcome(n, "m") for n in range(COUNT)], None),
        ("record_outcome_batch", [{"model_id": n} for n in range(COUNT)], None),
        ("process_signal_batch", [prediction(n) for n in range(COUNT)], None),
        ("process_signal_batch", [{"model_id": n} for n in range(COUNT)], None),
        ("get_adaptive_params_batch", [f"m{n}" for n in range(COUNT)], COUNT),
        ("thompson_sample_batch", [{"n": 1}] * COUNT, COUNT),
    ],
)
def test_what_is_answered_as_one_is_encoded_in_pieces(
    monkeypatch: pytest.MonkeyPatch, method: str, params: list[Any], length: int | None
) -> None:
    given: list[Any] = []
    answer = Outgoing.answer

    def seen(session: Outgoing, msgid: int | None, result: Any) -> None:
        given.append(result)
        answer(session, msgid, result)

    monkeypatch.setattr(Outgoing, "answer", seen)
    told, _ = answered(request(7, method, [params]))
    assert told[0][2] is None
    assert max(map(largest, given)) <= VALUES_AT_ONCE
    assert length is None or len(told[0][3]) == length


def test_questions_of_a_batch_are_asked_and_encoded_in_pieces(turns: Turns) -> None:
    turns.count(runs, "encode")
    told, _ = answered(request(7, "get_adaptive_params_batch", [[f"m{n}" for n in range(COUNT)]]))
    assert len(told[0][3]) == COUNT
    assert max(turns.counts) <= runs.PIECE_UNITS
    assert sum(turns.counts) == COUNT


def test_decisions_are_answered_in_order_with_nil_for_what_is_refused() -> None:
    ids = [f"{'conflict' if n % 3 == 1 else 'p'}-{n}" for n in range(600)]
    items: list[Any] = [prediction(prediction_id=name) for name in ids]
    items[5::7] = [{"model_id": n} for n in range(len(items[5::7]))]
    told, _ = answered(request(7, "process_signal_batch", [items]))
    result = told[0][3]
    bad = [n for n in range(600) if n % 3 == 1 or n % 7 == 5]
    assert [n for n, decision in enumerate(result["decisions"]) if decision is None] == bad
    assert [index for index, _ in result["errors"]] == bad
    assert len(result["decisions"]) == 600


def test_the_first_error_of_a_batch_of_questions_answers_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: MemoryBackend, model_id: str, **__: Any) -> Done:
        return Done(error=ConflictError(model_id)) if model_id in {"m3", "m500"} else Done(Raw(b"\xc0"))

    monkeypatch.setattr(MemoryBackend, "get_adaptive_params_nowait", ask)
    told, _ = answered(request(7, "get_adaptive_params_batch", [[f"m{n}" for n in range(COUNT)]]))
    assert told == [[1, 7, [1, "CONFLICT m3"], None]]


# ------------------------------------------------------------- requests one behind the other


def test_few_requests_are_refused_in_one_turn(turns: Turns) -> None:
    turns.count(InputGroup, "add_refused")
    bad = [request(n, "record_outcome", outcome(n, "m") | {"model_id": ""}) for n in range(COUNT)]
    told, _ = answered(b"".join(bad))
    assert [message[1] for message in told] == list(range(COUNT))
    assert max(turns.counts) <= -(-TURN_UNITS // (1 + REFUSED_UNITS))
    assert sum(turns.counts) == COUNT


def test_few_questions_for_parameters_are_answered_in_one_turn(turns: Turns) -> None:
    turns.count(MemoryBackend, "get_adaptive_params_nowait")
    told, _ = answered(b"".join(request(n, "get_adaptive_params", ["m"]) for n in range(COUNT)))
    assert [message[1] for message in told] == list(range(COUNT))
    assert max(turns.counts) <= TURN_UNITS // 4
    assert sum(turns.counts) == COUNT


class Late(Done):
    """A result that is there when the test says so."""

    def __init__(self, result: Any) -> None:
        super().__init__(result)
        self.callbacks: list[Callable[[Any], Any]] = []

    def is_set(self) -> bool:
        return False

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self.callbacks.append(callback)


def test_refusals_that_waited_for_one_input_are_answered_in_several_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late: list[Late] = []

    def record(_: MemoryBackend, inputs: Sequence[Any]) -> Late:
        late.append(Late([Receipt(seq=1) for _ in inputs]))
        return late[-1]

    monkeypatch.setattr(MemoryBackend, "record_checked_nowait", record)
    harness = Harness(MemoryBackend(), ROOMY)
    harness.receive(request(0, "record_outcome", outcome()))
    for number in range(1, 3_000):
        harness.receive(request(number, "record_outcome", {"model_id": 7}))
    assert not harness.sent
    goes = [0]
    send = Outgoing.send_error

    def counted(session: Outgoing, msgid: int | None, error: BaseException) -> None:
        goes[-1] += 1
        send(session, msgid, error)

    post = harness.service.post
    monkeypatch.setattr(Outgoing, "send_error", counted)
    monkeypatch.setattr(harness.service, "post", lambda *posted: (goes.append(0), post(*posted)))
    for pending in late:
        for callback in pending.callbacks:
            callback(pending)
    harness.receive(b"")
    assert [message[1] for message in unpacked(b"".join(harness.sent))] == list(range(3_000))
    assert sum(goes) == 2_999
    assert max(goes) <= ANSWERS_MAX


def test_so_many_answers_are_handled_between_two_looks_at_the_sockets() -> None:
    harness = Harness(MemoryBackend(), ROOMY)
    done: list[int] = []
    woken: list[None] = []
    service = harness.service
    service._wake = lambda: woken.append(None)
    for number in range(3 * POSTS_MAX):
        service.post(done.append, number)
    for goes in range(1, 4):
        service.drain()
        assert done == list(range(goes * POSTS_MAX))
        assert len(woken) == min(goes + 1, 3), "it is called again, as long as something is left"


def test_selections_of_a_batch_are_decoded_and_asked_in_pieces(turns: Turns) -> None:
    turns.count(selecting, "_ask_sample")
    turns.count(ParamsDecoder, "decode")
    told, _ = answered(request(7, "thompson_sample_batch", [[{"n": 1}] * COUNT]))
    assert len(told[0][3]) == COUNT
    assert max(turns.counts) <= 1 + 2 * runs.PIECE_UNITS // selecting.SELECTION_UNITS
    assert sum(turns.counts) == 1 + 2 * COUNT


def test_draws_of_a_batch_are_bounded_in_all_and_said_where() -> None:
    message = request(7, "thompson_sample_batch", [[{"n": 5, "models": ["a"]}] * 100])
    told, _ = answered(message, structs.replace(ROOMY, draws_max=50))
    assert told[0][2][1] == (
        "INVALID_VALUE samples was 100; expected at most 50 draws in all, not 55 in the first 11"
    )


def test_few_large_selections_of_a_batch_are_asked_in_one_turn(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cost what they draw."""
    models, count = 80, 200
    monkeypatch.setattr(MemoryBackend, "model_count", lambda _: models)
    turns.count(selecting, "_ask_sample")
    told, _ = answered(request(7, "thompson_sample_batch", [[{"n": 1}] * count]))
    assert len(told[0][3]) == count
    each = selecting.SELECTION_UNITS + models // selecting.DRAWS_A_UNIT
    assert max(turns.counts) == -(-runs.PIECE_UNITS // each)
