"""A deterministic server played through every method once, and the bytes that went each way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from handicapper.actors import Learner
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.watching import ActorRecovered, ActorStuck, ModelFailed, ModelRestarted
from handicapper.config import Persistence, Settings
from handicapper.protocol.messages import BackupReceipt, ConfigReply
from handicapper.protocol.methods import METHODS
from handicapper.protocol.server import Server

from .wire import pack

T0 = 1_700_000_000_000_000_000
DEADLINE_SECONDS = 60.0

PREDICTION: dict[str, Any] = {
    "prediction_id": "p-1", "model_id": "elo", "market_id": "game-1", "outcome": "HOME", "confidence": 0.64,
    "predicted_at": T0, "price": "0.58", "size": "100", "fee": "0.25", "expires_at": T0 + 10**12,
    "metadata": {"league": "NBA", "round": 3, "home": True, "line": -4.5, "note": None},
}  # fmt: skip
SIGNAL: dict[str, Any] = {
    "prediction_id": "s-1", "model_id": "elo", "market_id": "game-2", "outcome": "AWAY", "confidence": 0.75,
    "predicted_at": T0 + 1,
}  # fmt: skip
OUTCOME: dict[str, Any] = {
    "prediction_id": "t-1", "model_id": "vegas", "predicted_outcome": "HOME", "actual_outcome": "AWAY",
    "resolved_at": T0 + 2, "pnl": "-12.50", "confidence": 0.5,
}  # fmt: skip
FORECAST: dict[str, Any] = {"model_id": "elo", "outcome": "HOME", "confidence": 0.7}
SAMPLE: dict[str, Any] = {
    "n": 2, "as_of": T0 + 10, "models": ["elo", "vegas"], "selection_id": "sel-1", "seed": 7,
}  # fmt: skip

SCENARIO: list[tuple[str, dict[str, Any], Any]] = [
    ("hello", {"client": "golden 1.0", "protocol": [1, 0], "errors": "pair", "token": None}, {"protocol": [2, 0]}),
    ("ping", {}, 5),
    ("record_prediction", PREDICTION, PREDICTION | {"confidence": 0.65}),
    ("process_signal", SIGNAL, SIGNAL | {"price": 0.5}),
    ("market_resolved",
     {"market_id": "game-1", "resolved_at": T0 + 5, "payouts": {"HOME": 1.0, "AWAY": 0.0}, "winner": None,
      "void": False, "status": "final", "revision": 0, "source": "official"},
     {"market_id": "game-1", "resolved_at": T0 + 5, "winner": "AWAY"}),
    ("record_outcome", OUTCOME, {name: OUTCOME[name] for name in ("prediction_id", "model_id")}),
    ("record_prediction_batch",
     {"predictions": [PREDICTION, SIGNAL | {"prediction_id": "p-2"}, SIGNAL | {"prediction_id": ""}]},
     {"predictions": {"p": 1}}),
    ("market_resolved_batch",
     {"resolutions": [{"market_id": "game-2", "resolved_at": T0 + 6, "winner": "AWAY"},
                      {"market_id": "game-3", "resolved_at": T0 + 6, "void": True}]},
     {"resolutions": 1}),
    ("record_outcome_batch", {"outcomes": [OUTCOME, OUTCOME | {"pnl": "1"}]}, {}),
    ("process_signal_batch",
     {"predictions": [SIGNAL | {"prediction_id": "s-2", "market_id": "game-4", "confidence": 0.1},
                      SIGNAL | {"prediction_id": "s-3"}]},
     {"predictions": [None] * 16_385}),
    ("get_adaptive_params", {"model_id": "elo", "as_of": T0 + 10}, {"model_id": ""}),
    ("get_adaptive_params_batch", {"model_ids": ["elo", "nobody"], "as_of": T0 + 10}, {"model_ids": "elo"}),
    ("thompson_sample", SAMPLE, {"n": 0}),
    ("thompson_sample_batch",
     {"samples": [SAMPLE, SAMPLE | {"n": 1, "models": ["elo"], "mode": "mean"}]},
     {"samples": [1]}),
    ("models", {"as_of": T0 + 10}, {"as_of": "now"}),
    ("report", {"model_id": "elo", "as_of": T0 + 10}, {"model_id": "nobody"}),
    ("reports", {"as_of": T0 + 10}, {"as_of": 2**63}),
    ("pause", {"model_id": "elo", "until": T0 + 10**15, "reason": "looks odd"}, {"model_id": "nobody"}),
    ("resume", {"model_id": "elo"}, {"model_id": "nobody"}),
    ("reset", {"model_id": "vegas", "reason": "new version"}, {"model_id": "nobody"}),
    ("snapshot", {}, 5),
    ("verify", {}, 5),
    ("statistics", {}, 5),
    ("dead_letters", {}, 5),
    ("config", {}, 5),
    ("restart", {"model_id": "elo"}, {"model_id": "nobody"}),
    ("replay_dead_letters", {"ids": [1, 99]}, {"ids": [True]}),
    ("set_posterior", {"model_id": "elo", "posterior": "changepoint"}, {"model_id": "elo", "posterior": "window"}),
    ("subscribe", {"topics": ["parameters", "models"], "interval_ms": 1}, {"topics": ["prices"]}),
    ("backup", {"dest": "/var/backups/handicapper"}, {"dest": "handicapper"}),
    ("combine",
     {"market_id": None, "predictions": [FORECAST, FORECAST | {"model_id": "vegas", "confidence": 0.6}],
      "as_of": T0 + 10},
     {"market_id": "nowhere"}),
    ("pool", {"as_of": T0 + 10}, {"as_of": "now"}),
]  # fmt: skip
"""Every method once: its params, and params that are refused."""

CONFIG = ConfigReply(
    settings={"ema_alpha": 0.1, "decay_half_life_hours": "inf", "limits": {"models_max": 100_000}},
    source="/etc/handicapper/settings.toml",
    needs_restart=("limits.models_max",),
)

Played = dict[str, dict[str, bytes]]
"""By method, or by name of a notification: the bytes of each part."""


def as_array(method: str, params: dict[str, Any]) -> list[Any]:
    """The params in documented order; items of a batch alike."""
    row = METHODS[method]
    if row.item_of is not None:
        (items,) = params.values()
        return [[as_array(row.item_of, item) for item in items]]
    values = [params.get(info.name, info.default) for info in msgspec.structs.fields(row.params)]
    while values and values[-1] is None and len(values) > len(params):
        values.pop()
    return values


class Emitting:
    """A learner that can be made to tell what it tells of itself only when something goes wrong, and that keeps
    its backups where a test may write."""

    def __init__(self, learner: Learner, directory: Path) -> None:
        self._learner = learner
        self._directory = directory
        self.emit: Callable[[Any], None] = lambda _: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)

    def backup(self, dest: str) -> BackupReceipt:
        return self._learner.backup(self._directory / Path(dest).name)

    def watch(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        self.emit = listener
        return self._learner.watch(listener)


class Stream:
    """A client that keeps the bytes of what it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._data = b""

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def exchange(self, request: bytes) -> bytes:
        self.write(request)
        return await self.message()

    async def message(self) -> bytes:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                unpacker = msgpack.Unpacker()
                unpacker.feed(self._data)
                try:
                    unpacker.skip()
                except msgpack.OutOfData:
                    data = await self._reader.read(1 << 16)
                    assert data, "the server closed the connection"
                    self._data += data
                else:
                    message, self._data = self._data[: unpacker.tell()], self._data[unpacker.tell() :]
                    return message


def play(directory: Path, in_arrays: bool) -> Played:
    """Play the scenario on a fresh server, with params as maps or as arrays."""
    return asyncio.run(_play(directory, in_arrays))


async def _play(directory: Path, in_arrays: bool) -> Played:
    directory.mkdir()
    # Relative: a unix socket's path takes 107 bytes.
    path = os.path.relpath(directory / "socket")
    settings = Settings(persistence=Persistence(save_interval_secs=86_400.0))
    with Learner(directory / "state", settings, clock=ManualClock(T0 + 10**9)) as learner:
        backend = Emitting(learner, directory)
        server = Server(backend, state_dir="/var/lib/handicapper", config=lambda: CONFIG)
        await server.start_unix(path)
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            return await _converse(Stream(reader, writer), in_arrays, backend)
        finally:
            writer.close()
            await writer.wait_closed()
            await server.stop(DEADLINE_SECONDS)


async def _converse(stream: Stream, in_arrays: bool, backend: Emitting) -> Played:
    played: Played = {}
    for number, (method, params, refused) in enumerate(SCENARIO, 1):
        form = as_array(method, params) if in_arrays else params
        request = pack([0, number, method, form])
        error_request = pack([0, 2**32 - number, method, refused])
        if method == "dead_letters":
            await stream.exchange(pack([2, "ping", None]) + pack([0, 0, "ping", None]))
        played[method] = {
            "request_array" if in_arrays else "request": request,
            "response": await stream.exchange(request),
            "error_request": error_request,
            "error": await stream.exchange(error_request),
        }
    return played | await _notified(stream, backend)


async def _notified(stream: Stream, backend: Emitting) -> Played:
    """What a subscriber of everything is told; the scenario subscribed to it near its end."""
    causes: list[tuple[str, Any]] = [
        ("model_paused", ["pause", {"model_id": "elo", "until": T0 + 10**15, "reason": "looks odd"}]),
        ("model_resumed", ["resume", {"model_id": "elo"}]),
        ("parameters_changed", ["record_outcome", OUTCOME | {"prediction_id": "t-9", "model_id": "elo"}]),
        ("model_reset", ["reset", {"model_id": "vegas"}]),
        ("model_posterior_set", ["set_posterior", {"model_id": "vegas", "posterior": None}]),
        ("model_restarted", ModelRestarted("elo")),
        ("model_failed", ModelFailed("elo", "restarted 6 times, last: ValueError: x")),
        ("actor_stuck", ActorStuck("model/elo", "Delivery", 12.5)),
        ("actor_recovered", ActorRecovered("model/elo", 30.0)),
    ]
    told: Played = {}
    for name, cause in causes:
        if isinstance(cause, list):
            stream.write(pack([0, 0, *cause]))
        else:
            backend.emit(cause)
        while name not in told:
            message = await stream.message()
            decoded = msgpack.unpackb(message)
            if decoded[:2] == [2, name]:
                told[name] = {"notification": message}
    return told
