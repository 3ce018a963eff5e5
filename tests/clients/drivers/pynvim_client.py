"""Calls handicapper through pynvim's sessions. Usage: pynvim_client.py ADDRESS CALLS ANSWERS

CALLS and ANSWERS are files of MessagePack, as in ../driving.py. ADDRESS is a path or HOST:PORT.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgpack


def main(address: str, calls_path: str, answers_path: str) -> None:
    """Make every call, one after another, and write down what came of it."""
    from pynvim.msgpack_rpc import (  # pyright: ignore[reportMissingImports]
        socket_session,
        tcp_session,
    )

    host, _, port = address.rpartition(":")
    session = tcp_session(host, int(port)) if port.isdecimal() else socket_session(address)
    answers: list[Any] = []
    notifications: list[Any] = []
    for kind, method, args in msgpack.unpackb(Path(calls_path).read_bytes()):
        if kind == "request":
            try:
                answers.append([None, session.request(method, *args)])
            except (OSError, EOFError):
                raise
            except Exception as error:  # noqa: BLE001  # the class that pynvim raises for an error response
                answers.append([str(error), None])
        elif kind == "notify":
            session.request(method, *args, async_=True)
        else:
            while not any(
                name == method and event["params"] == answers[-1][1] for name, (event,) in notifications
            ):
                message = session.next_message()
                if message is None:
                    raise EOFError("the server closed the connection")
                notifications.append([message.name, message.args])
    Path(answers_path).write_bytes(
        msgpack.Packer().pack({"answers": answers, "notifications": notifications})
    )
    session.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
