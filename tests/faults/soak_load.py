"""What a soaked daemon is kept busy with: writers that wait for their answers, askers, a subscriber, an operator."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from decimal import Decimal
from time import monotonic, time_ns

from handicapper.protocol import Client
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

MODELS = [f"model-{number}" for number in range(20)]
SMALL_BATCH = 16
CYCLES_A_CONNECTION = 150


class Load:
    """Threads that talk to a daemon until they are stopped, as fast as they can until they are to pace themselves."""

    def __init__(self, address: str, writers: int = 3) -> None:
        self.address = address
        self.writer_rate = 0.0
        """Inputs a second of each writer; 0: as many as it can."""
        self.inputs = [0] * writers
        """Acknowledged, by each writer."""
        self.asked = self.events = self.connections = self.snapshots = 0
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        works: list[Callable[[], None]] = [lambda n=n: self._write(n) for n in range(writers)]
        works += [self._ask, self._listen, self._operate]
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()

    @property
    def total(self) -> int:
        """Inputs acknowledged."""
        return sum(self.inputs)

    def pace(self, per_second: float) -> None:
        """Send that many inputs from now on, all writers together."""
        self.writer_rate = per_second / len(self.inputs)

    def stop(self) -> None:
        """End all threads, and wait for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60.0)
            assert not thread.is_alive(), "a client hangs"

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # told at the end of the soak
            self.errors.append(error)
            self._stop.set()

    def _client(self) -> Client:
        self.connections += 1
        return Client(self.address, client_name="soak")

    def _write(self, writer: int) -> None:
        chance, cycle, due = random.Random(writer), 0, 0.0
        while not self._stop.is_set():
            with self._client() as client:
                for _ in range(CYCLES_A_CONNECTION):
                    written = write_cycle(client, f"{writer}.{cycle}", chance)
                    self.inputs[writer] += written
                    cycle += 1
                    if rate := self.writer_rate:
                        # Late by more than a second it does not catch up.
                        due = max(due, monotonic() - 1.0) + written / rate
                        self._stop.wait(due - monotonic())
                    if self._stop.is_set():
                        return

    def _ask(self) -> None:
        with self._client() as client:
            while not self._stop.wait(0.1):
                client.thompson_sample(n=2)
                client.get_adaptive_params(MODELS[self.asked % len(MODELS)])
                client.report(MODELS[self.asked % len(MODELS)])
                if self.asked % 10 == 0:
                    client.reports()
                    client.models()
                self.asked += 1

    def _listen(self) -> None:
        def heard(_: object) -> None:
            self.events += 1

        while not self._stop.is_set():
            with self._client() as client:
                client.subscribe(None, heard)
                self._stop.wait(15.0)

    def _operate(self) -> None:
        with self._client() as client:
            while not self._stop.wait(2.0):
                client.pause(MODELS[0], reason="soak")
                client.snapshot()
                client.resume(MODELS[0])
                self.snapshots += 1


def write_cycle(client: Client, name: str, chance: random.Random) -> int:
    """Predictions, their resolutions, a signal, trades with and without a prediction, a revision; how many inputs."""
    now = time_ns()
    batch = [_prediction(f"{name}.{number}", chance, now) for number in range(SMALL_BATCH)]
    client.record_predictions(batch)
    decision = client.process_signal(_prediction(f"{name}.signal", chance, now))
    single = _prediction(f"{name}.single", chance, now)
    client.record_prediction(single)
    for item in (batch[0], single):
        client.resolve_market(_resolution(item, chance, now))
    client.resolve_markets([_resolution(item, chance, now) for item in batch[1:]])
    client.resolve_market(market_id=f"m-{name}.signal", winner="YES", resolved_at=now + 1)
    client.resolve_market(_resolution(batch[1], chance, now, revision=1))
    client.record_outcome(_trade(decision.prediction_id, decision.model_id, "YES", now))
    client.record_outcomes(
        [_trade(f"t-{name}.{number}", chance.choice(MODELS), "NO", now) for number in range(4)]
    )
    return 2 * SMALL_BATCH + 10


def _prediction(name: str, chance: random.Random, now: int) -> Prediction:
    return Prediction(
        prediction_id=f"p-{name}",
        model_id=chance.choice(MODELS),
        market_id=f"m-{name}",
        outcome="YES",
        confidence=chance.uniform(0.4, 0.95),
        predicted_at=now,
        price=Decimal("0.55"),
        size=Decimal(10),
    )


def _resolution(of: Prediction, chance: random.Random, now: int, revision: int = 0) -> MarketResolved:
    winner = chance.choice(("YES", "YES", "NO"))
    return MarketResolved(market_id=of.market_id, winner=winner, resolved_at=now + 1, revision=revision)


def _trade(prediction_id: str, model_id: str, predicted: str, now: int) -> TradeOutcome:
    return TradeOutcome(
        prediction_id=prediction_id,
        model_id=model_id,
        predicted_outcome=predicted,
        actual_outcome="YES",
        resolved_at=now + 1,
        pnl=Decimal("0.5"),
    )
