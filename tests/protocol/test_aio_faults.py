"""The asyncio client where connections are lost and servers misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from handicapper.protocol import AsyncClient
from handicapper.protocol.errors import (
    BadMessageError,
    BusyError,
    ConnectionLostError,
    DeadlineExceededError,
    HandicapperError,
    ProtocolUnsupportedError,
    UnframeableError,
)
from handicapper.protocol.messages import Receipt

from .client_support import (
    DEADLINE_SECONDS,
    SOON_SECONDS,
    Cut,
    Peer,
    Serving,
    answer_everything,
    cut,
    outcome,
    prediction,
    scripted,
    serving,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


@pytest.fixture
def proxy(server: Serving) -> Iterator[Cut]:
    with cut(server) as made:
        yield made


def with_client(address: str, use: Callable[[AsyncClient], Awaitable[Any]], **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), AsyncClient(address, **options) as client:
            await use(client)

    asyncio.run(main(), debug=True)


def test_an_input_whose_answer_was_lost_is_sent_again_and_counted_once(server: Serving, proxy: Cut) -> None:
    async def use(client: AsyncClient) -> None:
        for n in range(10):
            proxy.lose_answers = 2
            assert (await client.record_outcome(outcome(n))).duplicate
        proxy.lose_answers = 3
        receipts = await asyncio.gather(*(client.record_outcome(outcome(n)) for n in range(100, 1_100)))
        assert {type(receipt) for receipt in receipts} == {Receipt}
        proxy.lose_answers = 2
        result = await client.record_outcomes(outcome(n) for n in range(2_000, 6_000))
        assert result.accepted + result.duplicates == 4_000
        assert (await client.report("m")).n == 5_010

    with_client(proxy.address, use)
    assert proxy.lost == 25


def test_a_reset_whose_answer_was_lost_is_not_repeated(server: Serving, proxy: Cut) -> None:
    async def use(client: AsyncClient) -> None:
        await client.record_outcome(outcome(1))
        proxy.lose_answers = 1
        with pytest.raises(ConnectionLostError, match="look before repeating it"):
            await client.reset("m")
        assert (await client.report("m")).n == 0

    with_client(proxy.address, use)


def test_calls_made_while_the_server_is_away_are_answered_once_it_is_back(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        await client.record_outcome(outcome(1))
        await asyncio.to_thread(server.stop)
        waiting = [asyncio.create_task(client.record_outcome(outcome(n))) for n in range(2, 5)]
        with pytest.raises(DeadlineExceededError, match=r"no connection to unix:"):
            await client.ping(timeout=SOON_SECONDS)
        notified = asyncio.create_task(client.notify.record_prediction(prediction(1)))
        await asyncio.to_thread(server.start)
        await asyncio.gather(*waiting, notified)
        assert (await client.report("m")).n == 4

    with_client(server.unix, use)


def test_connections_cut_again_and_again_lose_nothing(server: Serving) -> None:
    over = threading.Event()

    def cutting() -> None:
        while not over.wait(0.002):
            server.hang_up()

    async def use(client: AsyncClient) -> None:
        cutter = threading.Thread(target=cutting)
        cutter.start()
        try:
            for start in range(0, 2_000, 100):
                calls = [client.record_outcome(outcome(n)) for n in range(start, start + 100)]
                await asyncio.gather(*calls)
            await client.record_outcomes(outcome(n) for n in range(2_000, 4_000))
        finally:
            over.set()
            await asyncio.to_thread(cutter.join)
        assert (await client.report("m")).n == 4_000

    with_client(server.unix, use)


def test_without_reconnecting_a_lost_connection_ends_the_client_s_use(server: Serving, proxy: Cut) -> None:
    async def use(client: AsyncClient) -> None:
        proxy.lose_answers = 1
        with pytest.raises(ConnectionLostError, match="repeating it is safe"):
            await client.record_outcome(outcome(1))
        for call in (
            client.ping(),
            client.record_outcomes([outcome(1)]),
            client.notify.record_outcome(outcome(1)),
        ):
            with pytest.raises(ConnectionLostError):
                await call

    with_client(proxy.address, use, reconnect=False)


def test_a_late_answer_is_dropped_and_the_connection_goes_on() -> None:
    late = threading.Event()

    def slow(peer: Peer) -> None:
        peer.greet()
        first, _, _ = peer.call()
        assert late.wait(DEADLINE_SECONDS)
        second, _, _ = peer.call()
        peer.answer(first, "late")
        peer.answer(second, "pong")
        peer.wait_for_end()

    async def use(client: AsyncClient) -> None:
        with pytest.raises(DeadlineExceededError):
            await client.ping(timeout=SOON_SECONDS)
        late.set()
        assert await client.ping() == "pong"

    with scripted(slow) as address:
        with_client(address, use)


def test_a_server_that_answers_nothing_any_more_is_left() -> None:
    def deaf(peer: Peer) -> None:
        peer.greet(in_flight_per_connection_max=2)
        peer.wait_for_end()

    async def use(client: AsyncClient) -> None:
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                await client.ping(timeout=SOON_SECONDS)
        assert await client.ping() == "pong"

    with scripted(deaf, answer_everything) as address:
        with_client(address, use)


@pytest.mark.parametrize("garbage", [b"\xc1" * 100, b"HTTP/1.1 400 Bad Request", b"\x94\x01", b""])
def test_garbage_ends_the_connection_and_the_call_is_made_on_the_next(garbage: bytes) -> None:
    def babbles(peer: Peer) -> None:
        peer.greet()
        peer.call()
        peer.socket.sendall(garbage)

    async def use(client: AsyncClient) -> None:
        assert await client.ping() == "pong"

    with scripted(babbles, babbles, answer_everything) as address:
        with_client(address, use)


@pytest.mark.parametrize(
    ("garbage", "error"),
    [
        (b"\xc1", UnframeableError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadMessageError),
        (b"", ConnectionLostError),
    ],
)
def test_what_is_no_daemon_is_noticed_when_it_is_greeted(
    garbage: bytes, error: type[HandicapperError]
) -> None:
    def other(peer: Peer) -> None:
        peer.call()
        peer.socket.sendall(garbage)

    async def main(address: str) -> None:
        with pytest.raises(error):
            await AsyncClient(address).connect()

    with scripted(other) as address:
        asyncio.run(main(address), debug=True)


def test_a_server_that_never_greets_is_given_up_after_the_connect_timeout() -> None:
    async def main(address: str) -> None:
        with pytest.raises(ConnectionLostError, match=r"it took longer than 0\.05 s"):
            await AsyncClient(address, connect_timeout_seconds=SOON_SECONDS).connect()

    with scripted(Peer.wait_for_end) as address:
        asyncio.run(main(address), debug=True)


def test_connecting_may_be_cancelled() -> None:
    async def main(address: str) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_SECONDS):
                await AsyncClient(address).connect()

    with scripted(Peer.wait_for_end) as address:
        asyncio.run(main(address), debug=True)


def test_another_major_version_is_refused_at_first_and_later() -> None:
    def newer(peer: Peer) -> None:
        peer.greet(protocol=(2, 0))
        peer.wait_for_end()

    def closes(peer: Peer) -> None:
        peer.greet()
        peer.call()

    async def use(client: AsyncClient) -> None:
        with pytest.raises(ProtocolUnsupportedError):
            await client.ping()

    async def connect(address: str) -> None:
        with pytest.raises(ProtocolUnsupportedError):
            await AsyncClient(address).connect()

    with scripted(newer) as address:
        asyncio.run(connect(address), debug=True)
    with scripted(closes, newer) as address:
        with_client(address, use)


def test_a_full_server_is_asked_again_until_the_deadline() -> None:
    def full(peer: Peer) -> None:
        peer.greet()
        for _ in range(3):
            peer.refuse(peer.call()[0], 0, "BUSY 3 of 3 in flight; retry after 10 ms")
        peer.answer(peer.call()[0], "pong")
        peer.refuse(peer.call()[0], 0, "BUSY 3 of 3 in flight; retry after 60000 ms")
        peer.wait_for_end()

    async def use(client: AsyncClient) -> None:
        assert await client.ping() == "pong"
        with pytest.raises(BusyError):
            await client.ping()

    with scripted(full) as address:
        with_client(address, use)


def test_a_notification_waits_for_a_server_that_reads_no_more() -> None:
    reading = threading.Event()

    def reads_late(peer: Peer) -> None:
        peer.greet()
        assert reading.wait(DEADLINE_SECONDS)
        while True:
            message = peer.message()
            if message[0] == 0:
                peer.answer(message[1], "pong")

    async def use(client: AsyncClient) -> None:
        note = {"note": "x" * 4_000}
        client.timeout_seconds = 0.2
        with pytest.raises(DeadlineExceededError):
            for n in range(10_000):
                await client.notify.record_prediction(prediction(n, metadata=note))
        reading.set()
        client.timeout_seconds = DEADLINE_SECONDS
        await client.notify.record_prediction(prediction(10_001))
        assert await client.ping() == "pong"

    with scripted(reads_late) as address:
        with_client(address, use)
