"""A well-behaved client in a process of its own: it measures what it has to wait, and checks every answer.

Run as ``bystander.py ADDRESS NAME``; ADDRESS is JSON, a path or [host, port]. It says ``{"ready": true}`` once
it was served, goes on until its standard input ends, then asks for everything again and says what it saw.
"""

from __future__ import annotations

import json
import math
import select
import socket
import sys
import time
from typing import Any

import msgpack

T0 = 1_700_000_000_000_000_000
PACE_SECONDS = 0.002
"""Between two rounds, so that there is a processor left for the attack."""
ROUNDS_PER_RESOLUTION = 4
PARAMS = {"confidence_threshold", "weight", "ema_accuracy", "adapted", "calibration_map"}


class Bystander:
    def __init__(self, address: Any, name: str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(120.0)
        self._socket.connect(address if isinstance(address, str) else tuple(address))
        self._unpacker = msgpack.Unpacker()
        self._msgid = 0
        self._name = name
        self._seq = 0
        self._recorded: list[dict[str, Any]] = []
        self._resolved = 0
        self.busy = 0
        self.mistakes: list[str] = []
        self.seconds: dict[str, list[float]] = {"question": [], "input": []}

    def _call(self, kind: str, method: str, params: dict[str, Any] | None = None) -> Any:
        while True:
            began = time.perf_counter()
            error, result = self._exchange(method, params)
            self.seconds[kind].append(time.perf_counter() - began)
            if error is None:
                return result
            if not error[1].startswith("BUSY "):
                self.mistakes.append(f"{method}: {error}")
                return None
            self.busy += 1

    def _exchange(self, method: str, params: dict[str, Any] | None) -> tuple[Any, Any]:
        self._msgid += 1
        data = msgpack.packb([0, self._msgid, method, params])
        assert data is not None
        self._socket.sendall(data)
        while True:
            for kind, msgid, error, result in self._unpacker:
                self._expect(
                    (kind, msgid) == (1, self._msgid), f"answered {kind}, {msgid}, not {self._msgid}"
                )
                return error, result
            data = self._socket.recv(1 << 16)
            if not data:
                raise EOFError("the server closed the connection of a client that did nothing wrong")
            self._unpacker.feed(data)

    def _expect(self, right: bool, what: str) -> None:
        if not right:
            self.mistakes.append(what)

    def round(self) -> None:
        """One prediction, its resolution now and then, and two questions."""
        number = len(self._recorded)
        prediction = {
            "prediction_id": f"{self._name}-{number}", "model_id": self._name, "market_id": f"{self._name}-{number}",
            "outcome": "YES", "confidence": 0.7, "predicted_at": T0 + number,
        }  # fmt: skip
        receipt = self._call("input", "record_prediction", prediction) or {}
        self._recorded.append(prediction)
        self._expect(receipt.get("seq", 0) > self._seq, f"after {self._seq} came {receipt}")
        self._expect(not receipt.get("duplicate"), f"a new prediction was a duplicate: {receipt}")
        self._seq = receipt.get("seq", self._seq)
        if number % ROUNDS_PER_RESOLUTION == 0:
            resolution = {
                "market_id": f"{self._name}-{number}",
                "resolved_at": T0 + number + 1,
                "winner": "YES",
            }
            receipt = self._call("input", "market_resolved", resolution) or {}
            self._expect(receipt.get("scored") == 1, f"a resolution scored nothing: {receipt}")
            self._resolved += 1
        params = self._call("question", "get_adaptive_params", {"model_id": self._name}) or {}
        self._expect(params.keys() == PARAMS, f"params were {params}")
        self._expect(self._call("question", "ping") == "pong", "ping was not answered pong")

    def reckon(self) -> None:
        """Everything acknowledged is still known, and was counted once."""
        for first in range(0, len(self._recorded), 1000):
            chunk = self._recorded[first : first + 1000]
            result = self._call("input", "record_prediction_batch", {"predictions": chunk})
            self._expect(result["duplicates"] == len(chunk), f"lost: {len(chunk)} sent again gave {result}")
        report = self._call("question", "report", {"model_id": self._name})
        learned = (report["n"], report["accuracy"])
        self._expect(learned == (self._resolved, 1.0), f"{self._resolved} resolved right, learned {learned}")

    def figures(self) -> dict[str, Any]:
        return {
            "mistakes": self.mistakes[:10],
            "busy": self.busy,
            "recorded": len(self._recorded),
            **{kind: _percentiles(seconds) for kind, seconds in self.seconds.items()},
        }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        "p50_ms": ordered[last // 2] * 1e3,
        "p99_ms": ordered[math.ceil(last * 0.99)] * 1e3,
        "max_ms": ordered[last] * 1e3,
    }


def main() -> None:
    bystander = Bystander(json.loads(sys.argv[1]), sys.argv[2])
    bystander.round()
    print(json.dumps({"ready": True}), flush=True)
    while not select.select([sys.stdin], [], [], PACE_SECONDS)[0]:
        bystander.round()
    bystander.round()
    figures = bystander.figures()
    bystander.reckon()
    print(json.dumps(figures | {"mistakes": bystander.mistakes[:10]}), flush=True)


if __name__ == "__main__":
    main()
