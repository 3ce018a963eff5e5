"""The asyncio client against the real server and a real learner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handicapper.protocol import AsyncClient, Client
from handicapper.protocol.errors import (
    BatchError,
    ConflictError,
    DeadlineExceededError,
    HandicapperError,
    InvalidValueError,
)
from handicapper.protocol.messages import Forecast, Receipt

from .aio_support import run, with_client
from .client_support import (
    MINUTE,
    T0,
    Peer,
    Serving,
    outcome,
    prediction,
    resolution,
    scripted,
    serving,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


# ---------------------------------------------------------------------------- calls

CALLS: list[Callable[[Any], Any]] = [
    lambda on: on.record_prediction(prediction(1)),
    lambda on: on.record_prediction(prediction(1, outcome="NO")),
    lambda on: on.record_prediction(prediction(2, confidence=7)),
    lambda on: on.resolve_market(market_id="k1", winner="YES", resolved_at=T0 + 2 * MINUTE),
    lambda on: on.record_outcome(outcome(3)),
    lambda on: on.process_signal(prediction(4, confidence=0.95)),
    lambda on: on.record_predictions(prediction(n) for n in range(10, 20)),
    lambda on: on.record_predictions(
        [prediction(10, size=-1), prediction(11, outcome="NO")], on_error="return"
    ),
    lambda on: on.record_predictions([prediction(10, size=-1)]),
    lambda on: on.record_predictions([], on_error="sometimes"),
    lambda on: on.resolve_markets(resolution(n) for n in range(10, 20)),
    lambda on: on.record_outcomes(outcome(n, "n") for n in range(30, 40)),
    lambda on: on.process_signals(prediction(n) for n in range(40, 50)),
    lambda on: on.process_signals([prediction(50), prediction(51, confidence=7)]),
    lambda on: on.record([prediction(60), resolution(60), outcome(61), prediction(62)]),
    lambda on: on.get_adaptive_params("m", as_of=T0),
    lambda on: on.get_adaptive_params("nobody"),
    lambda on: on.get_adaptive_params_batch(["m", "nobody"], as_of=T0),
    lambda on: on.thompson_sample(2, as_of=T0 + MINUTE, selection_id="s", models=["m", "n"], seed=3),
    lambda on: on.thompson_sample_batch([{"as_of": T0, "selection_id": "t", "seed": 1}]),
    lambda on: on.thompson_sample_batch([{"nonsense": 1}]),
    lambda on: on.thompson_sample(as_of=T0 + MINUTE, selection_id="s", mode="top_two"),
    lambda on: on.thompson_sample_batch([{"as_of": T0, "selection_id": "t", "seed": 1, "mode": "mean"}]),
    lambda on: on.thompson_sample(mode="best"),
    lambda on: on.combine("k10", as_of=T0 + MINUTE),
    lambda on: on.combine(predictions=[Forecast(model_id="m", outcome="YES", confidence=0.7)], as_of=T0),
    lambda on: on.combine("nowhere"),
    lambda on: on.pool(as_of=T0 + MINUTE),
    lambda on: on.models(as_of=T0 + MINUTE),
    lambda on: on.report("m", as_of=T0 + MINUTE),
    lambda on: on.report("nobody"),
    lambda on: on.reports(as_of=T0 + MINUTE),
    lambda on: on.pause("m", reason="enough"),
    lambda on: on.set_posterior("m", "changepoint"),
    lambda on: on.set_posterior("nobody", None),
    lambda on: on.resume("m"),
    lambda on: on.reset("m", "anew"),
    lambda on: on.verify(),
    lambda on: on.dead_letters(),
    lambda on: on.config(),
    lambda on: on.ping(),
    lambda on: on.call("no_such_method", {"a": 1}),
    lambda on: on.call("resume", ["m"]),
]


def shown(result: Any) -> str:
    """What a call gave, to be compared: errors by class and text."""
    if isinstance(result, BatchError):
        return f"{result!r} {result.result!r} {result.decisions!r}"
    return repr(result)


def test_both_clients_give_the_same_call_by_call() -> None:
    given: list[str] = []
    with serving() as server, Client(server.unix) as client:
        for call in CALLS:
            try:
                given.append(shown(call(client)))
            except HandicapperError as error:
                given.append(shown(error))

    async def use(client: AsyncClient) -> None:
        for number, call in enumerate(CALLS):
            try:
                result = shown(await call(client))
            except HandicapperError as error:
                result = shown(error)
            assert result == given[number], number
        assert (await client.statistics()).server.connections == 1
        assert (await client.snapshot()).seq > 0
        assert client.server.protocol == (1, 0)

    with serving() as server:
        with_client(server, use)


def test_calls_gathered_are_one_pipeline_and_keep_their_order(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        receipts = await asyncio.gather(*(client.record_outcome(outcome(n)) for n in range(5_000)))
        seqs = [receipt.seq for receipt in receipts]
        assert seqs == sorted(seqs)
        futures = [client.record_outcome_nowait(outcome(n)) for n in range(5_000, 6_000)]
        assert {type(receipt) for receipt in await asyncio.gather(*futures)} == {Receipt}
        decision = client.process_signal_nowait(prediction(1))
        client.record_prediction_nowait(prediction(2))
        resolved = client.resolve_market_nowait(resolution(1))
        params, sample = client.get_adaptive_params_nowait("m"), client.thompson_sample_nowait()
        assert (await decision).prediction_id == "p1"
        assert (await resolved).scored == 1
        assert (await params) is not None and (await sample).ranked
        assert (await client.statistics()).server.requests > 6_000

    with_client(server, use)


def test_more_calls_than_the_window_and_the_buffers_hold_go_through() -> None:
    async def use(client: AsyncClient) -> None:
        note = {"note": "x" * 4_000}
        calls = [client.record_prediction(prediction(n, metadata=note)) for n in range(2_000)]
        assert len(await asyncio.gather(*calls)) == 2_000

    with serving(in_flight_per_connection_max=16) as server:
        with_client(server, use)


def test_a_task_group_may_run_calls(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        async with asyncio.TaskGroup() as group:
            ping = group.create_task(client.ping())
            wrong = group.create_task(refused(client))
        assert (ping.result(), wrong.result()) == ("pong", "CONFLICT")

    async def refused(client: AsyncClient) -> str:
        await client.record_prediction(prediction(1))
        with pytest.raises(ConflictError) as error:
            await client.record_prediction(prediction(1, outcome="NO"))
        return error.value.code

    with_client(server, use)


def test_a_cancelled_call_is_given_up_and_the_connection_goes_on() -> None:
    def slow(peer: Peer) -> None:
        peer.greet()
        first, _, _ = peer.call()
        second, _, _ = peer.call()
        peer.answer(first, "late")
        peer.answer(second, "pong")
        peer.wait_for_end()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            task = asyncio.create_task(client.ping())
            while not client._exchange.under_way():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client._exchange.under_way() == []
            assert await client.ping() == "pong"

    with scripted(slow) as address:
        run(main(address))


def test_a_wait_shorter_than_the_call_is_asyncio_s_own(server: Serving) -> None:
    def silent(peer: Peer) -> None:
        peer.greet()
        peer.wait_for_end()

    async def main(address: str) -> None:
        async with AsyncClient(address, timeout_seconds=0.2) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.ping(), 0.01)
            with pytest.raises(DeadlineExceededError):
                await client.ping(timeout=0.01)
            with pytest.raises(DeadlineExceededError):
                await client.record_outcome_nowait(outcome(1))
            with pytest.raises(DeadlineExceededError):
                await client.record_outcomes((outcome(n) for n in range(9_000)), timeout=0.01)
            with pytest.raises(DeadlineExceededError):
                await client.ping(timeout=0)

    with scripted(silent) as address:
        run(main(address))


def test_bulk_calls_of_many_batches_are_one_result(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        items = [outcome(n) if n != 2_500 else outcome(n, model="") for n in range(5_000)]
        with pytest.raises(BatchError) as refused:
            await client.record_outcomes(items)
        assert refused.value.result.accepted == 4_999
        assert [index for index, _ in refused.value.result.errors] == [2_500]

    with_client(server, use)


def test_a_bulk_call_may_be_cancelled(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        task = asyncio.create_task(client.record_outcomes(outcome(n) for n in range(10**9)))
        while not client._exchange.under_way():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.ping() == "pong"

    with_client(server, use)


# ----------------------------------------------------------------- without an answer


def test_notifications_are_recorded_in_order(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.notify.record_prediction(prediction(1))
        await client.notify.process_signal(prediction(2))
        await client.notify.resolve_market(resolution(1))
        await client.notify.record_outcome(outcome(3))
        await client.notify.record_predictions(prediction(n) for n in range(10, 3_000))
        await client.notify.resolve_markets([resolution(10)])
        await client.notify.record_outcomes([outcome(4), outcome(5)])
        await client.ping()
        await client.record_outcome(outcome(6))
        known = await client.statistics()
        assert (known.predictions, known.resolutions, known.outcomes) == (2_992, 2, 4)
        with pytest.raises(InvalidValueError):
            await client.notify.record_outcome(outcome(1, model=""))
        with pytest.raises(BatchError):
            await client.notify.record_outcomes([outcome(7, model="")])

    with_client(server, use)
