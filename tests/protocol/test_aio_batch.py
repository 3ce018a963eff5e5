"""Batches of the asyncio client: many calls, one write."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.protocol import AsyncClient
from handicapper.protocol.errors import (
    ClosedError,
    ConflictError,
    DeadlineExceededError,
    InvalidValueError,
    UnknownModelError,
)

from .aio_support import run, with_client
from .client_support import (
    ANSWERED_SECONDS,
    Peer,
    Serving,
    answer_everything,
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


def test_calls_of_a_batch_take_effect_in_order_and_each_has_its_own_result(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        async with client.batch() as batch:
            signal = batch.process_signal(prediction(1, confidence=0.9))
            unknown = batch.report("nobody")
            resolved = batch.resolve_market(resolution(1))
            report = batch.report("m")
            paused = batch.pause("m", reason="enough")
            resumed = batch.resume("m")
            others: list[asyncio.Future[Any]] = [
                batch.record_prediction(prediction(2)),
                batch.record_outcome(outcome(3, "n")),
                batch.get_adaptive_params("m"),
                batch.thompson_sample(2, models=["m"], mode="mean"),
                batch.models(),
                batch.reset("n", "anew"),
                batch.set_posterior("n", "changepoint"),
                batch.ping(),
                batch.call("dead_letters"),
            ]
        assert signal.result().accepted
        assert resolved.result().scored == 1
        assert report.result().n == 1
        assert paused.result().seq < resumed.result().seq
        assert isinstance(unknown.exception(), UnknownModelError)
        assert [reply.exception() for reply in others] == [None] * len(others)

    with_client(server, use)


def test_a_batch_leaves_in_one_write() -> None:
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.greet()
        received.append(peer.socket.recv(1 << 16))
        for msgid in range(2, 102):
            peer.answer(msgid, "pong")
        peer.wait_for_end()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            async with client.batch() as batch:
                replies = [batch.ping() for _ in range(100)]
            assert {reply.result() for reply in replies} == {"pong"}

    with scripted(script) as address:
        run(main(address))
    assert received[0].count(b"\xa4ping") == 100


def test_a_batch_far_larger_than_the_window_goes_through() -> None:
    async def use(client: AsyncClient) -> None:
        async with client.batch() as batch:
            replies = [batch.record_outcome(outcome(n)) for n in range(2_000)]
        seqs = [reply.result().seq for reply in replies]
        assert seqs == sorted(seqs) and len(set(seqs)) == 2_000

    with serving(in_flight_per_connection_max=16) as server:
        with_client(server, use)


def test_a_wrong_call_is_refused_when_it_is_put_into_the_batch(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        async with client.batch() as batch:
            with pytest.raises(InvalidValueError):
                batch.record_outcome(outcome(1, model=""))
            right = batch.record_outcome(outcome(1))
            conflict = batch.record_outcome(outcome(1, actual_outcome="NO"))
        assert right.result().scored == 1
        with pytest.raises(ConflictError):
            conflict.result()

    with_client(server, use)


@pytest.mark.parametrize("how", ["await", "gather", "wait_for", "send"])
def test_waiting_for_a_result_sends_what_was_collected_so_far(server: Serving, how: str) -> None:
    async def use(client: AsyncClient) -> None:
        async with client.batch() as batch:
            first, second = batch.record_outcome(outcome(1)), batch.record_outcome(outcome(2))
            await asyncio.sleep(0)
            assert not first.done()
            if how == "await":
                await first
            elif how == "gather":
                await asyncio.gather(first)
            elif how == "wait_for":
                await asyncio.wait_for(first, 60)
            else:
                await batch.send()
            assert first.result().seq < (await second).seq
            third = batch.record_outcome(outcome(3))
            assert not third.done()
        assert third.done()

    with_client(server, use)


def test_a_batch_left_by_an_exception_sends_nothing(server: Serving) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(ZeroDivisionError):
            async with client.batch() as batch:
                reply = batch.record_outcome(outcome(1))
                _ = 1 / 0
        with pytest.raises(ClosedError, match="was not sent"):
            reply.result()
        with pytest.raises(ClosedError, match="begin another"):
            batch.ping()
        assert (await client.statistics()).outcomes == 0
        async with client.batch():
            pass
        assert await client.ping() == "pong"

    with_client(server, use)


def test_calls_of_a_batch_that_are_not_answered_in_time_are_over_their_deadline() -> None:
    def half(peer: Peer) -> None:
        peer.greet()
        for _ in range(2):
            msgid, _, _ = peer.call()
            peer.answer(msgid, "pong")
        peer.wait_for_end()

    async def main(address: str) -> list[type]:
        async with AsyncClient(address) as client:
            async with client.batch(timeout=ANSWERED_SECONDS) as batch:
                replies = [batch.ping() for _ in range(4)]
            return [type(reply.exception()) for reply in replies]

    with scripted(half) as address:
        kinds = run(main(address))
    assert kinds == [type(None), type(None), DeadlineExceededError, DeadlineExceededError]


def test_a_batch_whose_task_is_cancelled_gives_up_its_calls() -> None:
    def silent(peer: Peer) -> None:
        peer.greet()
        peer.wait_for_end()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            batch = client.batch()
            replies = [batch.ping() for _ in range(3)]
            sending = asyncio.create_task(batch.send())
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert all(reply.cancelled() for reply in replies)

    with scripted(silent) as address:
        run(main(address))


def test_a_batch_of_a_client_that_was_closed_says_so() -> None:
    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            batch = client.batch()
            left = batch.ping()
        with pytest.raises(ClosedError):
            await batch.send()
        assert isinstance(left.exception(), ClosedError)
        with pytest.raises(ClosedError):
            client.batch()

    with scripted(answer_everything) as address:
        run(main(address))


def test_what_is_forgotten_in_a_batch_is_no_warning(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(ZeroDivisionError):
            async with client.batch() as batch:
                batch.ping()
                _ = 1 / 0
        del batch
        gc.collect()

    with_client(server, use)
    assert [record for record in caplog.records if record.name == "asyncio"] == []
