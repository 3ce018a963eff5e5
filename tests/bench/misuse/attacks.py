"""What one connection may do to others: each attack once, on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ...protocol.daemon import Daemon
from ...protocol.inputs import outcome, prediction
from ...protocol.wire import Raw, nested, request

MODELS = 1_000
FLOOD = 200_000
MIB = 2**20
BATCH_ITEMS = 16_384
UNREAD_SECONDS = 1.0
"""How long a client that does not read stays."""

Attack = Callable[[Daemon], None]


def model(number: int) -> str:
    return f"model-{number % MODELS}"


def prepare(daemon: Daemon) -> None:
    """The models that large questions are asked about."""
    with daemon.connect() as wire:
        for start in range(0, 20 * MODELS, MODELS):
            outcomes = [outcome(start + n, model(n)) for n in range(MODELS)]
            wire.call("record_outcome_batch", {"outcomes": outcomes})


def _flood(method: str, params: Any = None, count: int = FLOOD) -> Attack:
    data = b"".join(request(n, method, params) for n in range(count))

    def attack(daemon: Daemon) -> None:
        with daemon.connect() as wire:
            wire.exchange(data, count)

    return attack


def _endless(data: bytes) -> Attack:
    """What is refused, and the connection with it."""

    def attack(daemon: Daemon) -> None:
        with daemon.connect() as wire:
            wire.exchange(data)

    return attack


def _calls(times: int, method: str, params: Any) -> Attack:
    return _flood(method, params, times)


def _unread(method: str, params: Any = None, count: int = 20_000) -> Attack:
    data = b"".join(request(n, method, params) for n in range(count))

    def attack(daemon: Daemon) -> None:
        with daemon.connect(receive_buffer_bytes=4096) as wire:
            wire.send_until_blocked(data)
            time.sleep(UNREAD_SECONDS)

    return attack


def _drip(daemon: Daemon) -> None:
    data = request(7, "ping", {"unknown": Raw(b"\xdc\x27\x10" + b"\x90" * 10_000)})
    with daemon.connect() as wire:
        for byte in data:
            wire.send(bytes([byte]))
        wire.response()


def _announcing(daemon: Daemon) -> None:
    """As much as can be looked at, and nothing is found until the last byte."""
    data = b"\xdd\x00\x0f\xf0\x00" + b"\x90" * 1_040_000 + b"\xdd\xff\xff\xff\xff"
    with daemon.connect() as wire, suppress(BrokenPipeError):
        wire.exchange(data)


def _forecasts(models: int, outcomes: int) -> list[list[Any]]:
    return [[f"m{n}", f"o{n % outcomes}", 0.5] for n in range(models)]


_MANY = 1_000_000
_NILS = Raw(b"\xdd" + _MANY.to_bytes(4, "big") + b"\xc0" * _MANY)

ATTACKS: dict[str, Attack] = {
    "200,000 pings": _flood("ping"),
    "200,000 predictions": _flood("record_prediction", prediction()),
    "200,000 signals": _flood("process_signal", prediction(model="attack-signal")),
    "200,000 refused": _flood("record_prediction", prediction(confidence=7)),
    "200,000 parameters": _flood("get_adaptive_params", {"model_id": model(1)}),
    "does not read 20,000 reports": _unread("report", {"model_id": model(1)}),
    "does not read lists of all models": _unread("models", None, 500),
    "nested 100,000 deep": _endless(request(1, "ping", nested(100_000))),
    "16 MB of 0x90": _endless(b"\x90" * 16 * MIB),
    "array32 of 2^32-1": _endless(b"\xdd\xff\xff\xff\xff" + b"\xc0" * 16 * MIB),
    "1 MiB begun, refused at its end": _announcing,
    "a message byte by byte": _drip,
    "fields of a wrong type": _calls(50_000, "record_outcome", {"model_id": 7, "resolved_at": "x"}),
    "field of 1,000,000 nils": _calls(20, "report", {"model_id": _NILS}),
    "unknown field of 1,000,000 nils": _calls(20, "ping", {"unknown": _NILS}),
    "metadata of 60,000 keys": _calls(
        10, "record_prediction", prediction(metadata={f"key{n}": n for n in range(60_000)})
    ),
    "payouts of 80,000 labels": _calls(
        10, "market_resolved", {"market_id": "k", "resolved_at": 0, "payouts": {f"o{n}": 0 for n in range(80_000)}}
    ),
    "batch of 16,384 old outcomes": _calls(10, "record_outcome_batch", [[list(outcome().values())] * BATCH_ITEMS]),
    "batch of 16,384 bad items": _calls(3, "record_outcome_batch", [[{"model_id": n} for n in range(BATCH_ITEMS)]]),
    "16,000 params": _calls(10, "get_adaptive_params_batch", [[model(n) for n in range(16_000)]]),
    "combine, 16,384 forecasts, refused": _calls(3, "combine", {"predictions": _forecasts(BATCH_ITEMS, 2)}),
    "combine, 10,000 × 3": _calls(3, "combine", {"predictions": _forecasts(10_000, 3)}),
    "combine, 1,000 × 32": _calls(20, "combine", {"predictions": _forecasts(1_000, 32)}),
    "combine, 128 × 256": _calls(
        20, "combine", {"predictions": _forecasts(128, 128), "outcomes": [f"o{n}" for n in range(256)]}
    ),
    "a selection of 20,000 draws": _calls(20, "thompson_sample", {"n": 20}),
    "a selection of 1,000 models": _calls(100, "thompson_sample", {}),
    "100 selections of 200 models": _calls(
        5, "thompson_sample_batch", [[{"models": [model(n) for n in range(200)]}] * 100]
    ),
    "1,000 models": _calls(50, "models", None),
    "1,000 reports": _calls(10, "reports", None),
    "verify": _calls(2, "verify", None),
    "snapshot": _calls(5, "snapshot", None),
}  # fmt: skip
