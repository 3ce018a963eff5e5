"""The asyncio client from connecting to closing, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from handicapper.protocol import AsyncClient
from handicapper.protocol.errors import (
    ClosedError,
    ConnectionLostError,
    UnauthenticatedError,
    UnknownMethodError,
    UnknownModelError,
)
from handicapper.protocol.messages import Receipt

from .aio_support import run, with_client
from .client_support import (
    Peer,
    Serving,
    eventually,
    outcome,
    scripted,
    serving,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


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
