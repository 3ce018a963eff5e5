"""A backup of the real daemon, asked for over its sockets by whoever may, and by whoever may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import verify_state
from handicapper.protocol import AsyncClient, Client
from handicapper.protocol.errors import (
    BackupFailedError,
    InvalidValueError,
    RemoteError,
    UnauthenticatedError,
    error_from_wire,
)
from handicapper.protocol.messages import BackupReceipt
from handicapper.protocol.methods import METHODS

from .client_support import Serving, outcome, prediction, serving
from .daemon import Daemon
from .daemon import serving as daemon_serving
from .wire import Wire


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with daemon_serving(tmp_path_factory.mktemp("backup")) as daemon:
        yield daemon


@pytest.fixture
def wire(daemon: Daemon) -> Iterator[Wire]:
    with daemon.connect("unix") as wire:
        yield wire


def test_what_the_connection_sent_before_is_in_the_copy(wire: Wire, tmp_path: Path) -> None:
    """Inputs, a backup and more inputs in one write."""
    calls: list[tuple[str, Any]] = [("record_outcome", outcome_params(n)) for n in range(50)]
    calls.append(("backup", {"dest": str(tmp_path / "copy")}))
    calls += [("record_outcome", outcome_params(n)) for n in range(50, 100)]
    answers = wire.pipeline(calls)
    assert [error for _, _, error, _ in answers if error is not None] == []
    results = {msgid: result for _, msgid, _, result in answers}
    (receipt,) = (result for result in results.values() if result.keys() == {"seq", "bytes", "seconds"})
    report = verify_state(tmp_path / "copy")
    assert (report.ok, report.last_seq) == (True, receipt["seq"])
    assert receipt["seq"] >= sorted(result["seq"] for result in results.values())[49]


def outcome_params(number: int) -> dict[str, Any]:
    made = outcome(number)
    return {name: getattr(made, name) for name in ("prediction_id", "model_id", "predicted_outcome")} | {
        "actual_outcome": made.actual_outcome,
        "resolved_at": made.resolved_at,
    }


@pytest.mark.parametrize("dest", ["relative/path", "", ".", "~/copy"])
def test_relative_path_is_refused(dest: str, wire: Wire) -> None:
    refused = wire.refusal("backup", {"dest": dest})
    assert (refused.fault, refused.code) == (1, "INVALID_VALUE")
    assert "dest was " in refused.text


def test_path_with_something_there_is_refused(wire: Wire, tmp_path: Path) -> None:
    refused = wire.refusal("backup", [str(tmp_path / "none" / "deeper")])
    assert (refused.fault, refused.code) == (1, "INVALID_VALUE")
    (tmp_path / "file").write_bytes(b"mine")
    assert wire.refusal("backup", [str(tmp_path / "file")]).code == "INVALID_VALUE"
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_directory_that_cannot_be_written_is_a_fault_of_ours(wire: Wire) -> None:
    refused = wire.refusal("backup", ["/proc/self/copy"])
    assert (refused.fault, refused.code) == (0, "BACKUP_FAILED")
    assert wire.call("statistics")["state"] == "accepting"


def test_whoever_can_reach_a_tcp_port_is_not_made_a_backup(daemon: Daemon, tmp_path: Path) -> None:
    """Any local user can; and the connection goes on."""
    with daemon.connect("tcp") as wire:
        refused = wire.refusal("backup", [str(tmp_path / "copy")])
        assert (refused.fault, refused.code) == (1, "UNAUTHENTICATED")
        assert "--token-file" in refused.text
        assert wire.call("ping") == "pong"
    assert not (tmp_path / "copy").exists()


def test_whoever_brings_the_token_is(tmp_path: Path) -> None:
    with serving(token=b"secret") as server, Client(server.tcp, token="secret") as client:
        client.record_prediction(prediction(1))
        assert client.backup(tmp_path / "copy").seq == client.statistics().durable_seq
    assert verify_state(tmp_path / "copy").ok


Ask = Callable[[Serving, Any], BackupReceipt]


def blocking(server: Serving, dest: Any) -> BackupReceipt:
    with Client(server.unix) as client:
        return client.backup(dest, timeout=60.0)


def in_asyncio(server: Serving, dest: Any) -> BackupReceipt:
    async def ask() -> BackupReceipt:
        async with AsyncClient(server.unix) as client:
            return await client.backup(dest, timeout=60.0)

    return asyncio.run(ask())


def in_a_batch(server: Serving, dest: Any) -> BackupReceipt:
    with Client(server.unix) as client:
        with client.batch() as batch:
            batch.record_prediction(prediction(7))
            reply = batch.call("backup", {"dest": str(dest)})
        return reply.result()


@pytest.mark.parametrize("ask", [blocking, in_asyncio, in_a_batch])
def test_every_client_asks_for_one(ask: Ask, tmp_path: Path) -> None:
    with serving() as server:
        receipt = ask(server, tmp_path / "copy")
        assert type(receipt) is BackupReceipt
        assert verify_state(tmp_path / "copy").last_seq == receipt.seq
        with pytest.raises(InvalidValueError, match="nothing is yet"):
            ask(server, tmp_path / "copy")


@pytest.mark.parametrize("dest", ["", "x\0y", 5, "x" * 5000, "\udcff", None])
def test_clients_refuse_what_is_no_path_before_sending_it(dest: Any) -> None:
    with serving() as server, Client(server.unix) as client:
        before = client.statistics().server.requests
        with pytest.raises(InvalidValueError, match="dest was "):
            client.backup(dest)
        assert client.statistics().server.requests == before + 1


def test_backup_is_not_sent_twice_by_itself() -> None:
    """The second would find the first one's copy in its place."""
    assert not METHODS["backup"].idempotent
    error = error_from_wire([0, "BACKUP_FAILED the disk is full"])
    assert isinstance(error, BackupFailedError) and not isinstance(error, RemoteError)
    assert error_from_wire([1, "UNAUTHENTICATED x"]).__class__ is UnauthenticatedError
