"""A client that did nothing wrong: one call after the other, a moment between them, and how long each took.

Run as ``other_client.py SOCKET ping|record``. For each line on its standard input it writes, as JSON, the seconds that
the calls took which ended since the line before.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

import msgpack

PACE_SECONDS = 0.001
T0 = 1_700_000_000_000_000_000


def params_of(kind: str, number: int) -> Any:
    if kind == "ping":
        return None
    return [f"other-{number}", "other", "YES", "YES", T0 + number]


def main() -> None:
    path, kind = sys.argv[1:]
    method = {"ping": "ping", "record": "record_outcome"}[kind]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    unpacker, seconds, number = msgpack.Unpacker(), [], 0
    while True:
        if select.select([sys.stdin], [], [], PACE_SECONDS)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(seconds), flush=True)
            seconds = []
        number += 1
        data = msgpack.packb([0, number, method, params_of(kind, number)])
        assert data is not None
        began = time.perf_counter()
        connection.sendall(data)
        answer = None
        while answer is None:
            received = connection.recv(1 << 16)
            assert received, "the server closed the connection of a client that did nothing wrong"
            unpacker.feed(received)
            answer = next(iter(unpacker), None)
        seconds.append(time.perf_counter() - began)
        assert answer[:3] == [1, number, None], answer


if __name__ == "__main__":
    main()
