"""The sans-io heart of both clients, and the server at the other end of it: no socket, no clock."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from handicapper.protocol.calling import requests
from handicapper.protocol.calling.exchange import Exchange
from handicapper.protocol.calling.outbox import Call
from handicapper.protocol.calling.requests import Request
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import HelloReply
from handicapper.protocol.params import Hello

from .client_support import outcome

NEVER = 1e9


class Ends:
    """An exchange, and the server at the other end of it."""

    def __init__(self, reconnect: bool = True, **limits: Any) -> None:
        self.exchange = Exchange(Hello(), "unix:/x", reconnect=reconnect, jitter=lambda: 0.0)
        self.limits = limits
        self.now = 0.0

    def connect(self) -> Ends:
        self.exchange.connected()
        (hello,) = self.sent()
        assert hello[2] == "hello"
        self.greet(hello[1])
        return self

    def greet(self, msgid: int, protocol: tuple[int, int] = (1, 0)) -> None:
        reply = HelloReply(
            server="s",
            protocol=protocol,
            pid=1,
            state_dir="",
            limits=WireLimits(**self.limits),
            methods=(),
            topics=(),
        )
        self.answer(msgid, msgspec.to_builtins(reply))

    def ask(self, request: Request[Any] | None = None, deadline: float = NEVER, **options: Any) -> Call[Any]:
        request = requests.ping() if request is None else request
        msgid, data = self.exchange.encoded(request)
        call: Call[Any] = Call(request.spec, msgid, data, deadline)
        self.exchange.add(call, **options)
        return call

    def notify(self, number: int = 1) -> Call[Any]:
        request = requests.record_outcome(outcome(number), {})
        call: Call[Any] = Call(request.spec, None, self.exchange.encoded_notification(request), NEVER)
        self.exchange.add(call)
        return call

    def sent(self, bytes_max: int | None = None) -> list[Any]:
        """Take what goes out, up to so many bytes; the whole messages in it."""
        unpacker = msgpack.Unpacker()
        left = bytes_max
        while left != 0 and (chunk := self.exchange.outgoing()) is not None:
            part = bytes(chunk if left is None else chunk[:left])
            left = None if left is None else left - len(part)
            unpacker.feed(part)
            self.exchange.sent(len(part))
        return list(unpacker)

    def receive(self, message: Any) -> None:
        self.exchange.received(msgpack.packb(message), self.now)

    def answer(self, msgid: int | None, result: Any = "pong") -> None:
        self.receive([1, msgid, None, result])

    def refuse(self, msgid: int | None, text: str, fault: int = 0) -> None:
        self.receive([1, msgid, [fault, text], None])


RESET = requests.reset("m", "")
