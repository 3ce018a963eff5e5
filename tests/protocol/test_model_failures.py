"""A model that goes wrong, seen from outside: who subscribed is told over the socket, and who calls is answered."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from handicapper.config import Limits, Supervision
from handicapper.protocol import AsyncClient, Client
from handicapper.protocol.calling.events import Event, ModelFailed, ModelRestarted
from handicapper.protocol.errors import BusyError, InvalidValueError, ModelFailedError, UnknownModelError
from handicapper.protocol.serving import held

from ..actors.helpers import POISON, raising_fold
from .client_support import DEADLINE_SECONDS, SMALL, T0, Serving, eventually, outcome, serving
from .wire import Wire, pack

ONE_RESTART = replace(SMALL, supervision=Supervision(restarts_max=1, attempts_max=2))


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(settings=ONE_RESTART) as made:
        yield made


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with Client(server.unix) as made:
        made.record_outcome(outcome(0))
        made.record_outcome(outcome(1, "other"))
        yield made


def fail_once(client: Client, number: int) -> None:
    """Let the model meet an outcome that it cannot fold; the input itself is recorded."""
    assert client.record_outcome(outcome(number, confidence=POISON)).seq > 0


def test_a_restarted_and_a_failed_model_are_told_over_the_socket(client: Client) -> None:
    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.subscribe(["models"], told.put)
    with raising_fold():
        fail_once(client, 2)
        assert told.get(timeout=DEADLINE_SECONDS) == ModelRestarted(model_id="m")
        fail_once(client, 3)
        failed = told.get(timeout=DEADLINE_SECONDS)
    assert isinstance(failed, ModelFailed) and failed.model_id == "m"
    assert "the fold broke" in failed.reason
    assert told.empty()
    with pytest.raises(ModelFailedError, match="the fold broke"):
        client.report("m")
    assert client.statistics().models_failed == ("m",)
    assert {model.model_id: model.status for model in client.models()} == {"m": "failed", "other": "running"}
    assert client.record_outcome(outcome(4, "other")).scored == 1
    assert client.report("other").n == 2


def test_the_notifications_are_those_of_the_protocol(client: Client, server: Serving) -> None:
    """By hand, as a client in another language reads them."""
    with Wire(server.path) as wire:
        wire.call("subscribe", {"topics": ["models"]})
        with raising_fold():
            fail_once(client, 2)
            assert wire.event() == [2, "model_restarted", {"model_id": "m"}]
            fail_once(client, 3)
            kind, name, params = wire.event()
    assert (kind, name) == (2, "model_failed")
    assert params.keys() == {"model_id", "reason"}
    assert params["model_id"] == "m"


def test_a_stream_of_the_asyncio_client_tells_them_too(client: Client, server: Serving) -> None:
    async def main() -> list[Event]:
        told: list[Event] = []
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            AsyncClient(server.unix) as other,
            other.subscribe(["models"]) as events,
        ):
            with raising_fold():
                for number in (2, 3):
                    await other.record_outcome(outcome(number, confidence=POISON))
                    told.append(await anext(events))
        return told

    restarted, failed = asyncio.run(main(), debug=True)
    assert restarted == ModelRestarted(model_id="m")
    assert isinstance(failed, ModelFailed) and failed.model_id == "m"


def test_a_model_that_was_restarted_has_counted_everything_once(client: Client) -> None:
    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.subscribe(["models"], told.put)
    with raising_fold(times=1):
        fail_once(client, 2)
        assert told.get(timeout=DEADLINE_SECONDS) == ModelRestarted(model_id="m")
        client.record_outcomes(outcome(number) for number in range(3, 50))
    assert client.report("m").n == 49
    assert client.verify().ok
    assert told.empty()


def test_who_subscribed_to_something_else_is_not_told(client: Client, server: Serving) -> None:
    models: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.subscribe(["models"], models.put)
    with Wire(server.path) as wire:
        wire.call("subscribe", {"topics": ["drift"]})
        with raising_fold():
            fail_once(client, 2)
            models.get(timeout=DEADLINE_SECONDS)
        assert wire.call("ping") == "pong"
        assert wire.events == []


def test_a_model_given_up_is_brought_back_over_the_socket(client: Client, server: Serving) -> None:
    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.subscribe(["models"], told.put)
    with raising_fold():
        for number in (2, 3):
            fail_once(client, number)
            told.get(timeout=DEADLINE_SECONDS)
    assert client.statistics().models_failed == ("m",)
    receipt = client.restart("m")
    assert (receipt.model_id, receipt.restarted) == ("m", True)
    assert told.get(timeout=DEADLINE_SECONDS) == ModelRestarted(model_id="m")
    assert client.report("m").n == 3
    assert not client.restart("m").restarted
    with client.batch() as batch:
        batched = batch.restart("other")
    assert not batched.result().restarted
    with pytest.raises(UnknownModelError, match="nobody"):
        client.restart("nobody")

    async def main() -> None:
        async with AsyncClient(server.unix) as other:
            assert not (await other.restart("m")).restarted
            async with other.batch() as batch:
                again = batch.restart("m")
            assert not (await again).restarted

    asyncio.run(main(), debug=True)


def test_notifications_for_a_full_model_wait_for_it_in_their_order() -> None:
    settings = replace(SMALL, limits=Limits(mailbox_messages_max=4))
    with serving(settings=settings) as server, Client(server.unix) as client, Client(server.unix) as teller:
        client.record_outcomes([outcome(0), outcome(1, "other")])
        assert client.report("m").n == 1
        cell = server.learner._engine.roster.refs["m"].cell
        cell.suspend()
        for number in range(10, 14):
            client.record_outcome(outcome(number))
        with pytest.raises(BusyError, match='mailbox of model "m" is full'):
            client.record_outcome(outcome(14), timeout=0.5)  # the client itself comes again until then
        teller.notify.record_outcome(outcome(14))
        teller.notify.record_outcome(outcome(15))
        client.record_outcome(outcome(16, "other"))
        cell.resume()
        teller.record_outcome(outcome(17))
        assert [client.record_outcome(outcome(number)).duplicate for number in (14, 15)] == [True, True]
        assert client.report("m").n == 8
        statistics = client.statistics()
        assert (statistics.server.notifications_refused, client.dead_letters()) == (0, [])


def test_what_a_full_model_refused_of_notifications_for_long_can_be_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others of the connection go on; nobody could be told, so the inputs are kept."""
    monkeypatch.setattr(held, "TRIES_MAX", 3)
    settings = replace(SMALL, limits=Limits(mailbox_messages_max=4))
    with serving(settings=settings) as server, Client(server.unix) as client:
        client.record_outcomes([outcome(0), outcome(1, "other")])
        assert client.report("m").n == 1
        cell = server.learner._engine.roster.refs["m"].cell
        cell.suspend()
        for number in range(10, 14):
            client.record_outcome(outcome(number))
        client.notify.record_outcome(outcome(14))
        client.notify.record_outcome(outcome(15, "other"))
        with Wire(server.path) as wire:
            item = ["o16", "m", "YES", "YES", T0]
            wire.send(pack([2, "record_outcome_batch", {"outcomes": [item, ["o17"]]}]))
            assert wire.call("ping") == "pong"
        eventually(lambda: client.statistics().server.notifications_refused == 3)
        assert client.record_outcome(outcome(15, "other")).duplicate
        # What is wrong is refused when it is looked at, and what finds no room when that was waited for.
        bad, *letters = client.dead_letters()
        assert [letter.replayable for letter in (bad, *letters)] == [False, True, True]
        replay = client.replay_dead_letters([letters[0].id])
        ((number, error),) = replay.failed
        assert number == letters[0].id and isinstance(error, BusyError)
        cell.resume()
        eventually(lambda: cell.at_rest)
        replay = client.replay_dead_letters()
        assert replay.replayed == tuple(letter.id for letter in letters)
        assert replay.not_replayable == (bad.id,)
        assert client.report("m").n == 7
        assert client.replay_dead_letters([12_345]).unknown == (12_345,)
        with pytest.raises(InvalidValueError, match="ids"):
            client.replay_dead_letters([-1])

        async def main() -> None:
            async with AsyncClient(server.unix) as other:
                assert (await other.replay_dead_letters()).not_replayable == (bad.id,)

        asyncio.run(main(), debug=True)


def test_an_input_from_the_future_is_refused_over_the_socket_with_a_remedy(client: Client) -> None:
    with pytest.raises(InvalidValueError, match=r"resolved_at was .*limits\.future_seconds_max"):
        client.record_outcome(outcome(50, resolved_at=7_000_000_000 * 10**9))
