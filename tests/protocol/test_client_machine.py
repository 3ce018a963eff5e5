"""Any order of calls, partial writes, answers, refusals, lost connections and deadlines: what always holds."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handicapper.protocol.calling import requests
from handicapper.protocol.calling.outbox import Call
from handicapper.protocol.errors import BusyError, ConnectionLostError, DeadlineExceededError

from .exchange_support import NEVER, RESET, Ends

WINDOW = 4


class ExchangeMachine(RuleBasedStateMachine):
    """A server that takes each request down, and answers when and how it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends(in_flight_per_connection_max=WINDOW)
        self.calls: dict[int, Call[Any]] = {}
        self.notifications: list[Call[Any]] = []
        self.open: list[int] = []
        """Requests the server has seen on this connection and not answered."""
        self.seen: dict[int, int] = {}
        """How often each request was seen whole."""
        self.finished: set[int] = set()
        self.unpacker = msgpack.Unpacker()

    @initialize()
    def connect(self) -> None:
        self.ends.connect()

    def collect(self) -> None:
        finished, self.ends.exchange.finished = self.ends.exchange.finished, []
        for call in finished:
            assert call.done
            assert id(call) not in self.finished, "finished twice"
            self.finished.add(id(call))

    # ------------------------------------------------------------------ the client

    @rule(
        kind=st.sampled_from(["ping", "ping", "reset"]),
        watched=st.booleans(),
        seconds=st.sampled_from([0.5, 5.0, NEVER]),
    )
    def ask(self, kind: str, watched: bool, seconds: float) -> None:
        request = RESET if kind == "reset" else requests.ping()
        call = self.ends.ask(request, self.ends.now + seconds, watched=watched)
        assert call.msgid is not None
        self.calls[call.msgid] = call

    @rule()
    def notify(self) -> None:
        self.notifications.append(self.ends.notify())

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        waiting = [call for call in self.calls.values() if not call.done]
        if waiting:
            self.ends.exchange.give_up(data.draw(st.sampled_from(waiting)))

    # ------------------------------------------------------------------ the socket

    @precondition(lambda self: self.ends.exchange.state == "up")
    @rule(bytes_max=st.integers(1, 60))
    def write(self, bytes_max: int) -> None:
        chunk = self.ends.exchange.outgoing()
        if chunk is None:
            return
        part = bytes(chunk[:bytes_max])
        self.ends.exchange.sent(len(part))
        self.unpacker.feed(part)
        for message in self.unpacker:
            if message[0] == 0:
                self.open.append(message[1])
                self.seen[message[1]] = self.seen.get(message[1], 0) + 1

    @precondition(lambda self: self.ends.exchange.state == "up")
    @rule()
    def lose(self) -> None:
        self.ends.exchange.lost("gone")
        self.open.clear()
        self.unpacker = msgpack.Unpacker()

    @precondition(lambda self: self.ends.exchange.state == "down")
    @rule()
    def connect_again(self) -> None:
        self.ends.connect()

    # ------------------------------------------------------------------ the server

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["answer", "answer", "busy", "refuse"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        msgid = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if how == "answer":
            self.ends.answer(msgid, "pong" if self.calls[msgid].spec.name == "ping" else {"seq": 1})
        elif how == "busy":
            self.ends.refuse(msgid, "BUSY full; retry after 100 ms")
        else:
            self.ends.refuse(msgid, "UNKNOWN_MODEL never seen", 1)

    @rule(seconds=st.sampled_from([0.05, 0.2, 1.0]))
    def wait(self, seconds: float) -> None:
        self.ends.now += seconds
        self.ends.exchange.due(self.ends.now)

    # ------------------------------------------------------------------ what holds

    @invariant()
    def no_more_in_flight_than_allowed(self) -> None:
        assert len(self.open) <= WINDOW
        assert self.ends.exchange._outbox.in_flight <= WINDOW

    @invariant()
    def every_call_finishes_once_or_is_under_way_once(self) -> None:
        self.collect()
        under_way = [id(call) for call in self.ends.exchange.under_way()]
        assert len(under_way) == len(set(under_way))
        everything = [*self.calls.values(), *self.notifications]
        assert {id(call) for call in everything} == self.finished | set(under_way)
        assert not self.finished & set(under_way)

    @invariant()
    def a_reset_is_repeated_only_if_the_server_said_busy(self) -> None:
        for msgid, count in self.seen.items():
            call = self.calls[msgid]
            if call.spec.name == "reset":
                assert count <= 1 + call.attempts

    @invariant()
    def a_lost_connection_ends_no_call_that_may_be_repeated(self) -> None:
        for call in self.calls.values():
            if isinstance(call.error, ConnectionLostError):
                assert call.spec.name == "reset"

    def teardown(self) -> None:
        """Let the server be well: everything that is left is answered."""
        if self.ends.exchange.state == "down":
            self.ends.connect()
        left = [call for call in self.calls.values() if not call.done]
        for _ in range(10_000):
            if not self.ends.exchange.under_way():
                break
            self.write(10**6)
            for msgid in self.open:
                self.ends.answer(msgid, "pong" if self.calls[msgid].spec.name == "ping" else {"seq": 1})
            self.open.clear()
            self.ends.now += 0.1
            self.ends.exchange.due(self.ends.now)
        assert self.ends.exchange.under_way() == []
        for call in left:
            assert call.error is None or isinstance(call.error, DeadlineExceededError | BusyError), call.error
        self.collect()
        assert all(notification.error is None for notification in self.notifications)
        assert {id(call) for call in (*self.calls.values(), *self.notifications)} == self.finished


TestExchange = ExchangeMachine.TestCase
TestExchange.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
