"""The asyncio client against the real server and a real learner."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from handicapper.protocol import AsyncClient, Client
from handicapper.protocol.calling.events import EventsMissed, ModelPaused, ModelResumed
from handicapper.protocol.errors import (
    BatchError,
    ClosedError,
    ConflictError,
    ConnectionLostError,
    DeadlineExceededError,
    HandicapperError,
    InvalidValueError,
    UnauthenticatedError,
    UnknownMethodError,
    UnknownModelError,
)
from handicapper.protocol.messages import Receipt

from .client_support import (
    DEADLINE_SECONDS,
    MINUTE,
    T0,
    Peer,
    Serving,
    eventually,
    outcome,
    prediction,
    resolution,
    scripted,
    serving,
)

T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of its own, in debug mode: what is forgotten there is a warning, and so a failure."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await main

    return asyncio.run(bounded(), debug=True)


def with_client(server: Serving, use: Callable[[AsyncClient], Awaitable[T]], **options: Any) -> T:
    async def main() -> T:
        async with AsyncClient(server.unix, **options) as client:
            return await use(client)

    return run(main())


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
    lambda on: on.models(as_of=T0 + MINUTE),
    lambda on: on.report("m", as_of=T0 + MINUTE),
    lambda on: on.report("nobody"),
    lambda on: on.reports(as_of=T0 + MINUTE),
    lambda on: on.pause("m", reason="enough"),
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


# --------------------------------------------------------------------------- events


def test_events_are_iterated_over(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.record_outcome(outcome(1))
        async with client.subscribe(["models"]) as events:
            await client.pause("m", reason="enough")
            await client.resume("m")
            assert await anext(events) == ModelPaused(model_id="m", until=None, reason="enough")
            assert await anext(events) == ModelResumed(model_id="m")
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        assert client._exchange.subscription is None

    with_client(server, use)


def test_streams_of_several_tasks_each_get_what_they_asked_for(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.record_outcome(outcome(1))

        async def first(topics: list[str] | None) -> str:
            async for event in client.subscribe(topics, interval_ms=1):
                return type(event).__name__
            return "nothing"

        tasks = [asyncio.create_task(first(["models"])), asyncio.create_task(first(["parameters"]))]
        while len(client._subscribers) < 2 or client._exchange.under_way():
            await asyncio.sleep(0)
        await client.pause("m")
        await client.record_outcomes(outcome(n) for n in range(10, 50))
        assert await asyncio.gather(*tasks) == ["ModelPaused", "ParametersChanged"]

    with_client(server, use)


def test_a_stream_left_by_break_is_unsubscribed_once_it_is_forgotten(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.record_outcome(outcome(1))
        events = client.subscribe(["models"])
        await events.__aenter__()
        await client.pause("m")
        async for _ in events:
            break
        assert client._exchange.subscription is not None
        del events
        gc.collect()
        while client._exchange.subscription is not None:
            await asyncio.sleep(0)
        assert await client.ping() == "pong"

    with_client(server, use)


def test_a_stream_goes_on_after_a_lost_connection_and_ends_with_the_client(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.record_outcome(outcome(1))
        async with client.subscribe(["models"]) as events:
            connections = server.connections
            server.hang_up()
            while server.connections == connections:
                await asyncio.sleep(0)
            assert await client.ping() == "pong"
            await client.pause("m")
            assert isinstance(await anext(events), ModelPaused)
            rest = asyncio.create_task(collect(events))
            await asyncio.sleep(0)
            await client.close()
            assert await rest == []

    async def collect(events: Any) -> list[Any]:
        return [event async for event in events]

    with_client(server, use)


def test_a_stream_whose_client_cannot_go_on_ends_with_the_reason(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        async with client.subscribe() as events:
            server.hang_up()
            with pytest.raises(ConnectionLostError):
                await anext(events)
        with pytest.raises(ConnectionLostError):
            await client.ping()

    with_client(server, use, reconnect=False)


def test_a_stream_nobody_reads_drops_the_oldest_and_says_how_many() -> None:
    def talkative(peer: Peer) -> None:
        peer.greet()
        peer.answer(peer.call()[0], {"topics": ["models"], "interval_ms": 100})
        for number in range(10_003):
            peer.send([2, "model_paused", [{"model_id": str(number)}]])
        peer.answer(peer.call()[0], "pong")
        peer.wait_for_end()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client, client.subscribe(["models"]) as events:
            assert await client.ping() == "pong"
            assert await anext(events) == EventsMissed(count=3)
            assert await anext(events) == ModelPaused(model_id="3")

    with scripted(talkative) as address:
        run(main(address))


def test_a_wrong_subscription_is_refused_by_name_and_may_be_tried_again(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        stream = client.subscribe(["weather"])
        for _ in range(2):
            with pytest.raises(InvalidValueError):
                await anext(stream)
        with pytest.raises(InvalidValueError):
            await anext(client.subscribe(None, interval_ms=0))
        assert len(client._subscribers) == 0

    with_client(server, use)


def test_two_tasks_may_not_wait_for_one_stream(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        async with client.subscribe() as events:
            first = asyncio.create_task(anext(events))
            while events._waiter is None:
                await asyncio.sleep(0)
            with pytest.raises(ClosedError, match="another task waits"):
                await anext(events)
            first.cancel()

    with_client(server, use)


# ------------------------------------------------------------------------- lifetime


def test_a_client_is_of_no_use_before_it_is_connected_and_after_it_is_closed(server: Serving) -> None:
    async def main() -> None:
        client = AsyncClient(server.unix)
        for _ in range(2):
            with pytest.raises(ClosedError):
                await client.ping()
            with pytest.raises(ClosedError):
                _ = client.notify
            with pytest.raises(ClosedError):
                client.record_outcome_nowait(outcome(1))
            async with client:
                assert await client.connect() is client
                assert await client.ping() == "pong"
                break
        with pytest.raises(ClosedError):
            await client.ping()
        with pytest.raises(ClosedError, match="make another"):
            await client.connect()
        await client.close()

    run(main())


def test_calls_under_way_are_answered_before_a_client_closes(server: Serving) -> None:
    async def main() -> None:
        async with AsyncClient(server.unix) as client:
            futures = [client.record_outcome_nowait(outcome(n)) for n in range(500)]
        assert all(isinstance(future.result(), Receipt) for future in futures)

    run(main())


def test_closing_ends_the_calls_of_other_tasks() -> None:
    def silent(peer: Peer) -> None:
        peer.greet()
        peer.wait_for_end()

    async def main(address: str) -> None:
        client = await AsyncClient(address).connect()
        tasks = [asyncio.create_task(client.ping()) for _ in range(3)]
        while len(client._exchange.under_way()) < 3:
            await asyncio.sleep(0)
        await client.close(timeout=0.01)
        for task in tasks:
            with pytest.raises(ClosedError):
                await task

    with scripted(silent) as address:
        run(main(address))


def test_another_loop_is_refused_by_name(server: Serving) -> None:
    async def connect() -> AsyncClient:
        return await AsyncClient(server.unix).connect()

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(connect())

    async def use() -> None:
        with pytest.raises(ClosedError, match="another event loop"):
            await client.ping()

    asyncio.run(use())
    loop.run_until_complete(client.close())
    loop.close()


def test_nobody_listening_and_a_wrong_token_are_told_when_connecting() -> None:
    async def main(server: Serving) -> None:
        with pytest.raises(ConnectionLostError, match="No such file"):
            await AsyncClient("unix:/nowhere").connect()
        with pytest.raises(UnauthenticatedError):
            await AsyncClient(server.tcp, token="wrong").connect()
        async with AsyncClient(server.tcp, token="secret") as client:
            assert await client.ping() == "pong"
            assert (await client.record_outcomes(outcome(n) for n in range(3_000))).accepted == 3_000

    with serving(token=b"secret") as server:
        run(main(server))


def test_errors_have_the_classes_of_the_library(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(UnknownModelError):
            await client.report("nobody")
        with pytest.raises(UnknownMethodError):
            await client.call("no_such_method")

    with_client(server, use)


def test_a_client_leaves_no_connection_behind(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.ping()

    for _ in range(5):
        with_client(server, use)
    eventually(lambda: server.server.statistics.connections == 0)
