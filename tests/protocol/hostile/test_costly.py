"""Messages that are dear to refuse, and calls that are dear to answer, one behind the other."""

from __future__ import annotations

from typing import Any

import pytest

from ..daemon import Daemon
from ..inputs import T0, outcome, prediction
from ..wire import Raw, request
from .conftest import MIB, Watch

MANY = 1_000_000
TIMES = 20
"""If each stayed in memory, that would be four times what may."""
FEWER_TIMES = {"batch of 16,384 bad items": 6}
"""Each takes a second: 16,384 errors are written."""
COSTLY_GROWTH_BYTES_MAX = 4 * 96 * MIB
"""1 MiB becomes up to a million objects, some 64 bytes each with their places in a list, or fewer larger ones; two
such messages may be there at a time."""
EXPENSIVE: dict[str, tuple[bytes, str | None]] = {
    "unknown field of 1,000,000 nils": (
        request(7, "ping", {"unknown": Raw(b"\xdd" + MANY.to_bytes(4, "big") + b"\xc0" * MANY)}), None,
    ),
    "unknown field of 1,000,000 arrays": (
        request(7, "ping", {"unknown": Raw(b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY)}), None,
    ),
    "id of 1,000,000 nils": (
        request(7, "report", {"model_id": Raw(b"\xdd" + MANY.to_bytes(4, "big") + b"\xc0" * MANY)}), "INVALID_VALUE",
    ),
    "id of 1,000,000 bytes": (request(7, "report", {"model_id": "x" * MANY}), "INVALID_VALUE"),
    "method of 1,000,000 bytes": (request(7, "x" * MANY), "UNKNOWN_METHOD"),
    "method of 1,000,000 nils": (
        request(7, Raw(b"\xdd" + MANY.to_bytes(4, "big") + b"\xc0" * MANY)), "BAD_MESSAGE",
    ),
    "batch of 1,000,000 nils": (
        request(7, "record_outcome_batch", {"outcomes": Raw(b"\xdd" + MANY.to_bytes(4, "big") + b"\xc0" * MANY)}),
        "TOO_LARGE",
    ),
    "batch of 16,384 bad items": (
        request(7, "record_outcome_batch", {"outcomes": [{"model_id": n} for n in range(16_384)]}), None,
    ),
    "metadata of 60,000 keys": (
        request(7, "record_prediction", prediction(metadata={f"key{n}": n for n in range(60_000)})), "INVALID_VALUE",
    ),
    "payouts of 80,000 labels": (
        request(7, "market_resolved", {"market_id": "k", "resolved_at": T0,
                                       "payouts": {f"label{n}": 0 for n in range(80_000)}}), "INVALID_VALUE",
    ),
    "integer of 1,000,000 digits": (
        request(7, "record_outcome", outcome(pnl="1" * MANY)), "INVALID_VALUE",
    ),
    "models of 200,000 names": (
        request(7, "thompson_sample", {"models": [f"m{n % 1000}" for n in range(200_000)]}), None,
    ),
    "a message of 1,000,000 nils": (b"\xdd" + MANY.to_bytes(4, "big") + b"\xc0" * MANY, "BAD_MESSAGE"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPENSIVE)
def test_expensive_rubbish_is_answered_and_holds_up_others_little(
    daemon: Daemon, watch: Watch, name: str
) -> None:
    data, code = EXPENSIVE[name]
    assert len(data) <= MIB, "it would be refused for its size alone"
    times = FEWER_TIMES.get(name, TIMES)
    with watch(f"{times} × {name}", growth_bytes_max=COSTLY_GROWTH_BYTES_MAX), daemon.connect() as wire:
        messages = wire.exchange(data * times, times)
    assert len(messages) == times
    if code is not None:
        assert all(message[2][1].partition(" ")[0] == code for message in messages)


def forecasts(models: int, outcomes: int) -> list[list[Any]]:
    """Of one market, by so many models, of so many outcomes."""
    return [[f"m{n}", f"o{n % outcomes}", 0.5] for n in range(models)]


COSTLY_CALLS: dict[str, tuple[int, str, Any]] = {
    "hello": (20_000, "hello", None),
    "statistics": (20_000, "statistics", None),
    "config": (2_000, "config", None),
    "subscribe": (20_000, "subscribe", None),
    "report": (2_500, "report", {"model_id": "attack"}),
    "reports": (500, "reports", None),
    "verify": (5, "verify", None),
    "snapshot": (20, "snapshot", None),
    "batch of 256 nils": (1_000, "record_outcome_batch", [[None] * 256]),
    "batch of 256 old outcomes": (200, "record_outcome_batch", [[list(outcome().values())] * 256]),
    "batch of 16,000 old outcomes": (30, "record_outcome_batch", [[list(outcome().values())] * 16_000]),
    "16,000 params": (25, "get_adaptive_params_batch", [["attack"] * 16_000]),
    "100 selections": (20, "thompson_sample_batch", [[{}] * 100]),
    "100 models of 100 outcomes combined": (100, "combine", {"predictions": forecasts(100, 100)}),
    "1,000 models of 32 outcomes combined": (20, "combine", {"predictions": forecasts(1_000, 32)}),
    "a selection of 20,000 draws": (20, "thompson_sample", {"n": 20_000, "models": ["attack"]}),
}
"""What a client may ask for, as often as it likes: how often here (for some seconds: hundreds of turns), and what."""


@pytest.mark.parametrize("name", COSTLY_CALLS)
def test_costly_calls_one_behind_the_other_are_answered_and_hold_up_others_little(
    daemon: Daemon, watch: Watch, name: str
) -> None:
    count, method, params = COSTLY_CALLS[name]
    data = b"".join(request(n, method, params) for n in range(count))
    with watch(f"{count:,} × {name}", growth_bytes_max=COSTLY_GROWTH_BYTES_MAX), daemon.connect() as wire:
        wire.call("record_outcome", outcome())
        messages = wire.exchange(data, count)
    assert {message[1] for message in messages} == set(range(count))
    assert all(message[2] is None for message in messages)
