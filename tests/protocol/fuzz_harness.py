"""One connection without a socket and without a learner: bytes in, in any pieces; answers out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgpack

from handicapper.protocol.errors import (
    BusyError,
    ConflictError,
    HandicapperError,
    UnknownMarketError,
    UnknownModelError,
)
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import (
    AdaptiveParams,
    BackupReceipt,
    ConfigReply,
    DeadLetterReplay,
    Forecast,
    PooledForecast,
    PoolReport,
    Receipt,
    RestartReceipt,
    Selection,
    SignalDecision,
    SnapshotReceipt,
    Statistics,
    VerifyReport,
)
from handicapper.protocol.serving.service import Service
from handicapper.protocol.serving.session import Session
from handicapper.protocol.validation import check_forecast

from .samples import example

LIMITS = WireLimits(
    message_bytes_max=1024,
    depth_max=8,
    batch_items_max=16,
    in_flight_per_connection_max=8,
    in_flight_requests_max=16,
)
"""Small, so that a short input meets them."""
TURNS_MAX = 10_000
"""More than any input here needs; reached only by a session that goes round in circles."""


class Done:
    """A result that is there already."""

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self._result, self._error = result, error

    def get(self, timeout: float | None = None) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def is_set(self) -> bool:
        return True

    def exception(self) -> BaseException | None:
        return self._error

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        callback(self)


FULL_FOR = "full"
"""The model of which nothing is taken in, until the session tries again by itself."""


class MemoryBackend:
    """Takes everything in, numbers it, and refuses a few ids, so that those paths are taken too."""

    def __init__(self) -> None:
        self.seq = 0
        self.relieved = False
        self.letters: list[tuple[str, HandicapperError]] = []

    def _receipt(self, item: Any) -> Receipt | HandicapperError:
        if getattr(item, "prediction_id", "").startswith("conflict"):
            return ConflictError("for the test")
        self.seq += 1
        return Receipt(seq=self.seq)

    def record_checked_nowait(self, inputs: Sequence[Any]) -> Done:
        if not self.relieved and any(getattr(item, "model_id", "") == FULL_FOR for item in inputs):
            raise BusyError("full, for the test", 1)
        return Done([self._receipt(item) for item in inputs])

    def process_checked_nowait(self, predictions: Iterable[Any]) -> Done:
        decided = [self._receipt(prediction) for prediction in predictions]
        return Done([example(SignalDecision) if isinstance(one, Receipt) else one for one in decided])

    def get_adaptive_params_nowait(self, model_id: str, *, as_of: int | None = None) -> Done:
        return Done(example(AdaptiveParams) if model_id != "unknown" else None)

    def thompson_sample_nowait(self, n: int = 1, **_: Any) -> Done:
        return Done(example(Selection))

    def thompson_sample_at_once(self, n: int = 1, **_: Any) -> Any:
        return example(Selection) if n == 1 else None

    def combining_nowait(
        self, market_id: str | None = None, *, forecasts: Sequence[Forecast] = (), **_: Any
    ) -> Done:
        if market_id is not None:
            return Done(error=UnknownMarketError(market_id))
        for index, forecast in enumerate(forecasts):
            assert check_forecast(f"predictions[{index}]", forecast) == forecast, "checked before"
        return Done(self._combined(len(forecasts)))

    def _combined(self, count: int) -> Iterator[int]:
        yield count
        return example(PooledForecast)

    def pool(self, *, as_of: int | None = None) -> PoolReport:
        return example(PoolReport)

    def pause_nowait(self, model_id: str, until: int | None = None, reason: str = "") -> Done:
        return self._control(model_id)

    def resume_nowait(self, model_id: str) -> Done:
        return self._control(model_id)

    def reset_nowait(self, model_id: str, reason: str = "") -> Done:
        return self._control(model_id)

    def set_posterior_nowait(self, model_id: str, posterior: str | None = None) -> Done:
        return self._control(model_id)

    def restart_nowait(self, model_id: str) -> Done:
        done = self._control(model_id)
        return done if done.exception() is not None else Done(example(RestartReceipt))

    def _control(self, model_id: str) -> Done:
        if model_id == "unknown":
            return Done(error=UnknownModelError(model_id))
        self.seq += 1
        return Done(Receipt(seq=self.seq))

    def snapshot_nowait(self) -> Done:
        return Done(example(SnapshotReceipt))

    def models(self, *, as_of: int | None = None) -> list[Any]:
        return []

    def report(self, model_id: str, *, as_of: int | None = None) -> Any:
        raise UnknownModelError(model_id)

    def reports(self, *, as_of: int | None = None) -> list[Any]:
        return []

    def verify(self) -> VerifyReport:
        return example(VerifyReport)

    def backup(self, dest: str) -> BackupReceipt:
        return example(BackupReceipt)

    def model_count(self) -> int:
        return 3

    def statistics(self) -> Statistics:
        return example(Statistics)

    def dead_letters(self) -> list[Any]:
        return []

    def replay_dead_letters(self, ids: Iterable[int] | None = None) -> DeadLetterReplay:
        return DeadLetterReplay(replayed=(), failed=(), not_replayable=(), unknown=tuple(ids or ()))

    def add_dead_letter(self, recipient: str, reason: HandicapperError, message: object) -> None:
        self.letters.append((recipient, reason))

    def watch(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        return lambda: None


class Timer:
    """Something to be called later; ``seconds`` are only written down."""

    def __init__(self, seconds: float, action: Callable[[], object]) -> None:
        self.seconds = seconds
        self._action: Callable[[], object] | None = action

    @property
    def cancelled(self) -> bool:
        return self._action is None

    def cancel(self) -> None:
        self._action = None

    def fire(self) -> None:
        if self._action is not None:
            self._action()


class Harness:
    """A session between a client that is a list of bytes and a :class:`MemoryBackend`."""

    def __init__(
        self, backend: MemoryBackend | None = None, limits: WireLimits = LIMITS, token: bytes | None = None
    ) -> None:
        self.backend = MemoryBackend() if backend is None else backend
        self.sent: list[bytes] = []
        self.finished = False
        self._turn_due = False
        self.timers: list[Timer] = []
        self.service = Service(
            self.backend,
            limits,
            wake=lambda: None,
            later=self._later,
            config=lambda: ConfigReply(settings={}, source=None),
            token=token,
        )
        self.service.run_blocking = self._run_now  # type: ignore[method-assign]
        self.session = Session(self.service, "test", self, needs_token=token is not None)

    def _later(self, seconds: float, action: Callable[[], object]) -> Timer:
        self.timers.append(Timer(seconds, action))
        return self.timers[-1]

    @staticmethod
    def _run_now(
        work: Callable[[], Any],
        done: Callable[[Any, BaseException | None], None],
        wanted: Callable[[], bool],
    ) -> None:
        assert wanted()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  # what a thread would hand back
            done(None, error)
        else:
            done(result, None)

    # The edge of the session.

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def finish(self) -> None:
        self.finished = True

    def turn_soon(self) -> None:
        self._turn_due = True

    def read(self, wanted: bool) -> None:
        pass

    # The client.

    def receive(self, data: bytes) -> None:
        if not self.finished and not self.session.faulty and not self.session.receive_alone(data):
            self.session.receive(data)
            self.session.turn(0.0)
        self._settle()

    def end(self) -> None:
        self.session.end_of_input()
        self._settle()

    def _settle(self) -> None:
        """What the event loop does until there is nothing left to do."""
        for _ in range(TURNS_MAX):
            self.service.drain()
            if self._turn_due:
                self._turn_due = False
                self.session.turn(0.0)
            elif self.timers:
                self.backend.relieved = True
                self.timers.pop(0).fire()
                self.service.drain()
                self.backend.relieved = False
            elif not self.service._inbox:
                return
        raise AssertionError("the session never comes to rest")

    def messages(self) -> list[Any]:
        return list(msgpack.Unpacker(_Stream(self.sent), strict_map_key=False))


class _Stream:
    """Bytes to be read by an Unpacker, which then refuses what is cut off."""

    def __init__(self, parts: list[bytes]) -> None:
        self._data = b"".join(parts)

    def read(self, count: int) -> bytes:
        data, self._data = self._data[:count], self._data[count:]
        return data
