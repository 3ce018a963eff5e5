"""The blocking client against the real server and a real learner."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from handicapper.actors import Learner
from handicapper.config import Limits
from handicapper.protocol import Client
from handicapper.protocol.errors import (
    BatchError,
    ClosedError,
    ConflictError,
    ConnectionLostError,
    HandicapperError,
    InvalidValueError,
    PredictedAfterResolutionError,
    StaleRevisionError,
    TooLargeError,
    UnauthenticatedError,
    UnknownMethodError,
    UnknownModelError,
)
from handicapper.protocol.messages import BatchResult, Forecast, Receipt

from .client_support import (
    MINUTE,
    SMALL,
    T0,
    Serving,
    outcome,
    prediction,
    resolution,
    serving,
    short_directory,
)

LATER = T0 + 10_000 * MINUTE
FORECASTS = [
    Forecast(model_id="m", outcome="YES", confidence=0.7),
    Forecast(model_id="n", outcome="NO", confidence=0.6),
]


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with Client(server.unix) as made:
        yield made


def teach(learner: Any, model: str = "m", numbers: range = range(30)) -> None:
    learner.record_predictions(prediction(n, model, confidence=0.5 + n % 40 / 100) for n in numbers)
    learner.resolve_markets(resolution(n, winner="YES" if n % 3 else "NO") for n in numbers)


# ------------------------------------------------------- exchangeable with a learner


def told(call: Callable[[], Any]) -> Any:
    """What a call gives: its result, or the class and text of its error."""
    try:
        return plain(call())
    except HandicapperError as error:
        if isinstance(error, BatchError):
            return BatchError, plain(error.result), error.decisions
        return type(error), error.code, str(error)


def plain(result: Any) -> Any:
    """A result that can be compared: exceptions by class and text."""
    if isinstance(result, BatchResult):
        shown = [(index, type(error), str(error)) for index, error in result.errors]
        return (
            result.total,
            result.accepted,
            result.duplicates,
            result.scored,
            result.revised,
            shown,
            result.seq,
        )
    return result


IN_ORDER: list[Callable[[Any], Any]] = [
    lambda on: on.record_prediction(
        prediction(1, price=Decimal("0.58"), size=Decimal(10), fee=Decimal("0.1"))
    ),
    lambda on: on.record_prediction(
        prediction(1, price=Decimal("0.58"), size=Decimal(10), fee=Decimal("0.1"))
    ),
    lambda on: on.record_prediction(prediction(1, confidence=0.9)),
    lambda on: on.record_prediction(
        prediction_id="p2",
        model_id="m",
        market_id="k2",
        outcome="YES",
        confidence=1,
        predicted_at=datetime(2024, 1, 1, tzinfo=UTC),
        expires_at=datetime(2024, 2, 1, tzinfo=UTC),
        price="0.25",
        size=3,
        metadata={"a": 1, "b": None, "c": "ü", "d": 0.5, "e": True},
    ),
    lambda on: on.record_prediction(prediction(3, confidence=1.2)),
    lambda on: on.record_prediction(prediction(3, price=0.5)),
    lambda on: on.record_prediction(prediction(3, predicted_at=datetime(2024, 1, 1))),
    lambda on: on.record_prediction(),
    lambda on: on.record_prediction(prediction(3), model_id="m"),
    lambda on: on.record_prediction(outcome(3)),
    lambda on: on.record_prediction(nonsense=1),
    lambda on: on.resolve_market(resolution(1)),
    lambda on: on.resolve_market(resolution(1)),
    lambda on: on.resolve_market(resolution(1, winner="NO")),
    lambda on: on.resolve_market(resolution(1, winner="NO", revision=3, source="court")),
    lambda on: on.resolve_market(resolution(1, void=True, revision=2)),
    lambda on: on.resolve_market(resolution(4, payouts={"YES": 0.25, "NO": 0.75})),
    lambda on: on.resolve_market(resolution(5, void=True)),
    lambda on: on.resolve_market(market_id="k6", resolved_at=T0, winner="YES", status="proposed"),
    lambda on: on.resolve_market(market_id="k6", resolved_at=T0),
    lambda on: on.record_prediction(prediction(4, predicted_at=T0 + 100 * MINUTE)),
    lambda on: on.record_outcome(outcome(1)),
    lambda on: on.record_outcome(outcome(1)),
    lambda on: on.record_outcome(outcome(2, pnl=Decimal("-1.25"), confidence=0.5)),
    lambda on: on.record_outcome(outcome(2, pnl=Decimal("-1.26"))),
    lambda on: on.process_signal(prediction(20, confidence=0.95)),
    lambda on: on.process_signal(prediction(20, confidence=0.95)),
    lambda on: on.process_signal(prediction(21, confidence=0.05)),
    lambda on: on.process_signal(prediction(21, confidence=0.06)),
    lambda on: on.process_signals(prediction(n, confidence=0.9) for n in range(22, 26)),
    lambda on: on.process_signals(
        [prediction(26), prediction(27, confidence=2.0), prediction(20, outcome="NO")]
    ),
    lambda on: on.record_predictions(prediction(n) for n in range(100, 120)),
    lambda on: on.record_predictions(
        [prediction(100), prediction(101, size=-1), prediction(102, outcome="NO"), 7]
    ),
    lambda on: on.record_predictions([prediction(103, fee=1.5)], on_error="return"),
    lambda on: on.record_predictions([], on_error="sometimes"),
    lambda on: on.record_predictions([]),
    lambda on: on.resolve_markets(resolution(n, winner="NO" if n % 4 else "YES") for n in range(100, 120)),
    lambda on: on.record_outcomes(outcome(n, "n") for n in range(200, 220)),
    lambda on: on.record(
        [prediction(300), resolution(300), outcome(301), outcome(302), prediction(303), "x"]
    ),
    lambda on: on.record(
        [resolution(300), prediction(304, confidence=-1), resolution(300, winner="NO")], on_error="return"
    ),
    lambda on: on.get_adaptive_params("m", as_of=LATER),
    lambda on: on.get_adaptive_params("nobody"),
    lambda on: on.get_adaptive_params(""),
    lambda on: on.thompson_sample(3, as_of=LATER, selection_id="s", seed=2**64 - 1),
    lambda on: on.thompson_sample(
        as_of=datetime(2024, 5, 1, tzinfo=UTC), models=["m", "zz"], selection_id="s"
    ),
    lambda on: on.thompson_sample(seed=2**64),
    lambda on: on.thompson_sample(2, as_of=LATER, selection_id="s", mode="mean"),
    lambda on: on.thompson_sample(as_of=LATER, selection_id="s", seed=1, mode="top_two"),
    lambda on: on.thompson_sample(mode="best"),
    lambda on: on.combine("k100", as_of=LATER),
    lambda on: on.combine(predictions=FORECASTS, as_of=LATER),
    lambda on: on.combine(),
    lambda on: on.combine("nowhere"),
    lambda on: on.combine(predictions=[Forecast(model_id="m", outcome="YES", confidence=2.0)]),
    lambda on: on.pool(as_of=LATER),
    lambda on: on.thompson_sample(models="m"),
    lambda on: on.models(as_of=LATER),
    lambda on: on.report("m", as_of=LATER),
    lambda on: on.report("nobody"),
    lambda on: on.reports(as_of=LATER),
    lambda on: on.pause(
        "m", until=datetime(2100, 1, 1, tzinfo=timezone(timedelta(hours=2))), reason="why not"
    ),
    lambda on: on.pause("nobody"),
    lambda on: on.set_posterior("m", "changepoint"),
    lambda on: on.set_posterior("m", None),
    lambda on: on.set_posterior("nobody", None),
    lambda on: on.set_posterior("m", "window"),
    lambda on: on.pause("m", reason="x\ny"),
    lambda on: on.process_signal(prediction(400, confidence=0.95)),
    lambda on: on.resume("m"),
    lambda on: on.reset("m", "anew"),
    lambda on: on.reset("nobody"),
    lambda on: on.get_adaptive_params("m", as_of=LATER),
    lambda on: on.dead_letters(),
]


def test_a_client_gives_what_an_embedded_learner_gives_call_by_call(client: Client) -> None:
    with short_directory() as directory, Learner(directory / "state", SMALL) as learner:
        for number, call in enumerate(IN_ORDER):
            expected, given = told(lambda call=call: call(learner)), told(lambda call=call: call(client))
            assert given == expected, number


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.record_prediction(prediction(5, outcome="NO")), ConflictError),
        (lambda c: c.resolve_market(resolution(5, winner="NO", revision=0)), ConflictError),
        (lambda c: c.resolve_market(resolution(6, winner="NO", revision=1)), StaleRevisionError),
        (
            lambda c: c.record_prediction(prediction(99, market_id="k5", predicted_at=LATER)),
            PredictedAfterResolutionError,
        ),
        (lambda c: c.report("nobody"), UnknownModelError),
        (lambda c: c.call("no_such_method"), UnknownMethodError),
        (lambda c: c.call("report", {"model_id": 7}), InvalidValueError),
        (lambda c: c.thompson_sample(200_000), InvalidValueError),
        (lambda c: c.reset("m", "x" * 1025), InvalidValueError),
    ],
)
def test_every_error_of_the_server_has_the_class_it_has_in_process(
    client: Client, call: Callable[[Client], Any], error: type[HandicapperError]
) -> None:
    teach(client)
    client.resolve_market(resolution(6, winner="YES", revision=2))
    with pytest.raises(error) as raised:
        call(client)
    assert raised.value.code == error.code


def test_questions_about_the_daemon_are_answered(client: Client, server: Serving) -> None:
    teach(client)
    assert client.ping() == "pong"
    assert client.server.protocol == (1, 0)
    assert client.statistics().server.connections == 1
    assert client.statistics().predictions == 30
    assert client.snapshot().models == 1
    assert client.verify().ok
    assert client.config().settings == {"a": 1}
    assert client.dead_letters() == []
    assert client.get_adaptive_params_batch(["m", "nobody"])[1] is None
    samples = client.thompson_sample_batch([{"n": 2, "seed": 1}, {"models": ["m"]}])
    assert [len(sample.ranked) for sample in samples] == [1, 1]
    assert client.call("ping") == "pong"
    assert client.call("get_adaptive_params", ["m"]) == client.get_adaptive_params("m")
    assert client.call("record_outcome", {"prediction_id": "x", "model_id": "m", "predicted_outcome": "Y",
                                          "actual_outcome": "Y", "resolved_at": T0}).seq > 0  # fmt: skip


def test_what_was_recorded_is_in_the_learner(client: Client, server: Serving) -> None:
    teach(client)
    assert server.learner.report("m", as_of=LATER) == client.report("m", as_of=LATER)
    assert server.learner.report("m").n == 30


# --------------------------------------------------------------------------- bulk


def test_a_bulk_call_of_many_batches_is_one_result(client: Client) -> None:
    result = client.record_outcomes(outcome(n) for n in range(5_000))
    assert (result.total, result.accepted, result.scored, result.errors) == (5_000, 5_000, 5_000, ())
    again = client.record_outcomes(outcome(n) for n in range(5_000))
    assert (again.accepted, again.duplicates) == (0, 5_000)


def test_refused_items_of_every_batch_keep_their_place(client: Client) -> None:
    client.record_outcome(outcome(2_500))
    wrong = {10: outcome(10, model=""), 1_500: outcome(1_500, confidence=7)}
    contradicting = {2_500: outcome(2_500, actual_outcome="OTHER"), 2_999: outcome(10_000, actual_outcome="")}
    items = [(wrong | contradicting).get(n, outcome(n)) for n in range(3_000)]
    with pytest.raises(BatchError) as refused:
        client.record_outcomes(items)
    result = refused.value.result
    assert [index for index, _ in result.errors] == [10, 1_500, 2_500, 2_999]
    assert [type(error) for _, error in result.errors] == [
        InvalidValueError,
        InvalidValueError,
        ConflictError,
        InvalidValueError,
    ]
    assert result.accepted == 2_996


def test_large_items_are_spread_over_as_many_messages_as_it_takes() -> None:
    with serving(message_bytes_max=20_000, batch_items_max=50) as server, Client(server.unix) as client:
        heavy = {"note": "x" * 4_000}
        items = [prediction(n, metadata=heavy if n % 2 else None) for n in range(300)]
        assert client.record_predictions(items).accepted == 300
        assert server.learner.statistics().predictions == 300


def test_an_item_larger_than_the_server_takes_is_refused_alone() -> None:
    with serving(message_bytes_max=1_000) as server, Client(server.unix) as client:
        items = [prediction(1), prediction(2, metadata={"note": "x" * 2_000}), prediction(3)]
        result = client.record_predictions(items, on_error="return")
        assert result.accepted == 2
        assert [(index, type(error)) for index, error in result.errors] == [(1, TooLargeError)]


def test_items_that_the_learner_had_no_room_for_are_sent_again() -> None:
    small = replace(SMALL, limits=Limits(in_flight_inputs_max=300))
    with serving(settings=small) as server, Client(server.unix) as client:
        assert client.record_outcomes(outcome(n) for n in range(6_000)).accepted == 6_000
        assert len(client.process_signals(prediction(n) for n in range(3_000))) == 3_000
        assert len(client.models()) == 1


# ----------------------------------------------------------------------- lifetime


def test_a_closed_client_refuses_every_call(server: Serving) -> None:
    client = Client(server.unix)
    client.close()
    client.close()
    for call in (
        client.ping,
        client.batch,
        lambda: client.notify,
        lambda: client.record_outcome_nowait(outcome(1)),
        lambda: client.record_outcomes([outcome(1)]),
        lambda: client.subscribe(None, print),
    ):
        with pytest.raises(ClosedError, match="the client is closed"):
            call()


def test_calls_under_way_are_answered_before_a_client_closes(server: Serving) -> None:
    with Client(server.unix) as client:
        replies = [client.record_outcome_nowait(outcome(n)) for n in range(500)]
    assert all(isinstance(reply.result(), Receipt) for reply in replies)


def test_a_client_that_was_not_closed_says_so_when_it_is_forgotten(server: Serving) -> None:
    client = Client(server.unix)
    with pytest.warns(ResourceWarning, match="unclosed <Client unix:"):
        del client


def test_nobody_listening_is_a_lost_connection_and_says_where(server: Serving) -> None:
    with pytest.raises(ConnectionLostError, match=r"no connection to unix:.*nobody: .*No such file"):
        Client(server.unix.replace("socket", "nobody"))
    port = server.tcp
    server.stop()
    with pytest.raises(ConnectionLostError, match="refused"):
        Client(port)


@contextmanager
def raising(kind: type[HandicapperError]) -> Iterator[None]:
    with pytest.raises(kind):
        yield


@pytest.mark.parametrize("token", ["secret", b"secret"])
def test_a_token_opens_a_tcp_connection(token: str | bytes) -> None:
    with serving(token=b"secret") as server:
        with Client(server.tcp, token=token) as client:
            assert client.ping() == "pong"
        for wrong in (None, "", "Secret", b"\xff"):
            with raising(UnauthenticatedError):
                Client(server.tcp, token=wrong)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_connects_over_tcp_by_number_and_by_name(server: Serving, host: str) -> None:
    with Client(server.tcp.replace("127.0.0.1", host)) as client:
        assert client.record_outcomes(outcome(n) for n in range(3_000)).accepted == 3_000


def test_importing_the_messages_does_not_import_the_clients() -> None:
    code = (
        "import sys; import handicapper.protocol.messages; "
        "print([m for m in ('socket', 'asyncio', 'handicapper.protocol.client') if m in sys.modules]); "
        "from handicapper.protocol import Client, AsyncClient; import handicapper.protocol as p; "
        "print(Client.__name__, AsyncClient.__name__, hasattr(p, 'Nothing'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "Client AsyncClient False"]
