"""Being told what changes: the streams of the asyncio client."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.protocol import AsyncClient
from handicapper.protocol.calling.events import EventsMissed, ModelPaused, ModelResumed
from handicapper.protocol.errors import (
    ClosedError,
    ConnectionLostError,
    InvalidValueError,
)

from .aio_support import run, with_client
from .client_support import (
    Peer,
    Serving,
    outcome,
    scripted,
    serving,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


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
