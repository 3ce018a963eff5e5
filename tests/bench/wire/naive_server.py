"""The floor: what one writes in an afternoon. asyncio streams, sqlite, a commit for every outcome.

It speaks the same MessagePack-RPC (``record_outcome`` with array params only) and keeps the least of the
bookkeeping: a prediction counts once, an EMA, a posterior that forgets.

Usage: ``naive_server.py SOCKET DATABASE JOURNAL_MODE``; sqlite's default is ``delete``, ``wal`` is the usual tuning.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

import msgpack
from msgspec.msgpack import encode

_HALF_LIFE_NS = 604_800e9


def open_database(path: str, journal_mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(
        f"""
        PRAGMA journal_mode = {journal_mode};
        PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS outcomes (prediction_id TEXT PRIMARY KEY, model_id TEXT, x REAL, at INTEGER);
        CREATE TABLE IF NOT EXISTS models (
            model_id TEXT PRIMARY KEY, n INTEGER, ema REAL, successes REAL, failures REAL, at INTEGER
        );
        """
    )
    return database


def record_outcome(database: sqlite3.Connection, params: list[Any]) -> dict[str, Any]:
    prediction_id, model_id, predicted, actual, at = params[:5]
    x = 1.0 if predicted == actual else 0.0
    database.execute("BEGIN IMMEDIATE")
    added = database.execute(
        "INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?)", (prediction_id, model_id, x, at)
    )
    if added.rowcount:
        row = database.execute("SELECT * FROM models WHERE model_id = ?", (model_id,)).fetchone()
        _, n, ema, successes, failures, as_of = row or (model_id, 0, 0.5, 0.0, 0.0, at)
        factor = 2.0 ** (-abs(at - as_of) / _HALF_LIFE_NS)
        if at >= as_of:
            successes, failures = successes * factor + x, failures * factor + (1.0 - x)
        else:
            successes, failures = successes + x * factor, failures + (1.0 - x) * factor
        learned = (model_id, n + 1, 0.1 * x + 0.9 * ema, successes, failures, max(at, as_of))
        database.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?)", learned)
    database.execute("COMMIT")
    return {"scored": added.rowcount}


async def serve(path: str, database: sqlite3.Connection) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = msgpack.Unpacker()
        while data := await reader.read(1 << 16):
            unpacker.feed(data)
            for _, msgid, _, params in unpacker:
                writer.write(encode([1, msgid, None, record_outcome(database, params)]))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(handle, path)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], open_database(sys.argv[2], sys.argv[3])))
