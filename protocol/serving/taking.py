"""The half of a session that takes in: messages to calls, inputs next to each other to groups.

Neighbours that are plain are decoded and checked together (:mod:`..many`); whatever is not goes one by one, which
knows every form and names every error. Both ways answer the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from ..connection import BadCall, call_of
from ..decoding import DECODE_ERRORS, is_array, one_map
from ..errors import BadMessageError, ClosedError, ProtocolError, UnauthenticatedError, UnknownMethodError
from ..framing import Chunk
from ..limits import BAD_MESSAGES_MAX
from ..log import get_logger
from ..many import RequestParts, checked_message, requests_of
from ..parts import LARGE_BYTES
from ..rows import plain_messages, plain_requests
from ..validation import check_input
from ..wording import plain, shown
from .batch_run import BatchRun
from .groups import InputGroup, SignalGroup
from .outgoing import Edge, Outgoing
from .questions import ANSWERS
from .service import Route, Service

if TYPE_CHECKING:
    from .runs import Run

__all__ = ["Taking"]

PARAMS_BYTES_A_UNIT: Final = 4_096

NEIGHBOURS_MIN: Final = 4
"""Fewer inputs are decoded one by one."""

REFUSED_UNITS: Final = 2
"""What an input that is refused costs of a turn beyond one that is right: some 20 µs, for its error and the answer."""

STRANGE_NOTIFICATIONS_MAX: Final = 10
"""Refused notifications of a connection that has not brought the token, after which it is given up."""

METHOD_CHARS_KEPT: Final = 60
"""Of the name of a method that there is not."""

_log = get_logger("server")


class Taking(Outgoing):
    """The half of a :class:`.session.Session` that takes in."""

    def __init__(self, service: Service, peer: str, edge: Edge, authenticated: bool) -> None:
        super().__init__(service, peer, edge, authenticated)
        self.unproven = False
        """Anybody who can reach the port may be the client: it came over TCP, and no token is asked for."""
        self._queue: deque[bytes] = deque()
        """Messages left for another turn."""
        self._run: Run | None = None
        self._inputs = InputGroup(self)
        self._signals = SignalGroup(self)
        self._as_array = False
        self._bad_in_a_row = 0

    @abstractmethod
    def fail(self, error: ProtocolError, msgid: int | None) -> None:
        """Take nothing more in: say why, answer what is under way, end."""

    @abstractmethod
    def _stuck(self) -> bool:
        """Whether nothing may be taken in now."""

    def submit(self) -> None:
        """Hand on the inputs gathered."""
        if self._inputs.msgids:
            group, self._inputs = self._inputs, InputGroup(self)
            group.submit()
        if self._signals.msgids:
            group, self._signals = self._signals, SignalGroup(self)
            group.submit()

    def _advance(self) -> None:
        assert self._run is not None
        if not self._run.advance():
            self._run = None

    def _handle(self, raw: bytes) -> None:
        try:
            call = call_of(raw)
        except BadCall as bad:
            self._bad(bad)
            return
        self._handle_call(raw, call)

    def _handle_call(self, raw: bytes, call: tuple[int | None, str, Raw]) -> None:
        msgid, name, params = call
        service = self.service
        route = service.routes.get(name)
        if not self._goes_on(route):
            self._queue.appendleft(raw)
            return
        self._bad_in_a_row = 0
        if msgid is None:
            service.counters.notifications += 1
        else:
            service.counters.requests += 1
        try:
            if route is None or not self.authenticated or service.stopping:
                self._refuse(route, name)
            assert route is not None
            if route.kind == "input":
                self._gather(self._inputs, route, msgid, params, raw)
            elif route.kind == "signal":
                self._gather(self._signals, route, msgid, params, raw)
            else:
                self._handle_other(route, msgid, params, len(raw))
        except Exception as error:  # noqa: BLE001  # a defect of ours costs this call its answer, not more
            self.charge(1)
            if route is None:
                self.answer_error(msgid, error, plain(name, METHOD_CHARS_KEPT), params)
            else:
                self.refuse(route, msgid, error, params)
            if msgid is None and not self.authenticated and self._refusals >= STRANGE_NOTIFICATIONS_MAX:
                self.fail(UnauthenticatedError(f"{self._refusals} notifications came and no token"), None)

    def _handle_neighbours(self, chunk: Chunk) -> list[bytes]:
        """Handle messages, inputs of one method that lie next to each other together; returns those that are left
        for another turn. Nothing is handled here if one is something unusual: all are left then."""
        if len(chunk.data) > LARGE_BYTES * len(chunk.ends):
            return chunk.messages()  # each is looked into for itself before much is made of it
        if self._take_plain(chunk):
            return []
        messages = chunk.messages()
        requests = requests_of(messages)
        if requests is None:
            return messages
        names = [name for _, _, name, _ in requests]
        start, count = 0, len(names)
        alike = names.count(names[0]) == count
        one_by_one_to = 0
        while start < count and self._budget > 0 and self._run is None and not self._stuck():
            if start >= one_by_one_to:
                end = count if alike else _end_of_run(names, start)
                route = self.service.routes.get(names[start])
                if not self._goes_on(route):
                    break
                if taken := self._take_neighbours(route, requests[start:end], messages[start:end]):
                    start += taken
                    continue
                # Not tried again with one less: that would decode every message once for each before it.
                one_by_one_to = end
            self._budget -= 1
            self._handle(messages[start])
            start += 1
        return messages[start:]

    def _take_plain(self, chunk: Chunk) -> bool:
        """Take in a chunk that is nothing but plain requests of one method."""
        count, service = len(chunk.ends), self.service
        if count < NEIGHBOURS_MIN or not self.authenticated or service.stopping:
            return False
        found = plain_requests(chunk)
        if found is None:
            return False
        route = service.routes[found.method]
        if not self._goes_on(route):
            return False
        service.counters.requests += count
        self._bad_in_a_row = 0
        self.charge(count + len(chunk.data) // PARAMS_BYTES_A_UNIT)
        group = self._signals if route.kind == "signal" else self._inputs
        group.extend(found.msgids, found.messages, len(chunk.data))
        return True

    def _take_neighbours(
        self, route: Route | None, requests: list[RequestParts], messages: list[bytes]
    ) -> int:
        """Take in requests of one method, if they are inputs or signals and there is nothing special about them;
        returns how many of them: fewer than all if too many are refused for one turn."""
        service, count = self.service, len(requests)
        if count < NEIGHBOURS_MIN or route is None or not self.authenticated or service.stopping:
            return 0
        signals = route.kind == "signal"
        if not signals and route.kind != "input":
            return 0
        assert route.many is not None
        params = route.many.decode([params for _, _, _, params in requests])
        if params is None:
            return 0
        items = plain_messages(params)
        if items is None:
            items = self._checked(params)
            count = len(items)
        service.counters.requests += count
        self._bad_in_a_row = 0
        size_bytes = sum(map(len, messages[:count]))
        self.charge(count + size_bytes // PARAMS_BYTES_A_UNIT)
        group = self._signals if signals else self._inputs
        if not any(isinstance(item, Exception) for item in items):
            group.extend([msgid for _, msgid, _, _ in requests[:count]], items, size_bytes)
            return count
        for (_, msgid, _, each), item, raw in zip(requests, items, messages, strict=False):
            if isinstance(item, Exception):
                # A copy: the params are part of one large piece, which they would keep in memory.
                group.add_refused(msgid, item, route.method.name, bytes(each), len(raw))
            else:
                group.add(msgid, item, len(raw))
        return count

    def _checked(self, params: list[Any]) -> list[Any]:
        """Checked messages, in the place of an invalid one its error, as many as the turn has time for."""
        items: list[Any] = []
        refused = 0
        for each in params:
            if items and len(items) + refused * REFUSED_UNITS >= self._budget:
                break
            item = checked_message(each)
            refused += isinstance(item, Exception)
            items.append(item)
        self.charge(refused * REFUSED_UNITS)
        return items

    def _goes_on(self, route: Route | None) -> bool:
        """Hand on what was gathered, unless a call of this route may join it; False if there was no room for it:
        then nothing may be taken in behind it."""
        kind = None if route is None else route.kind
        if (kind != "input" and self._inputs.msgids) or (kind != "signal" and self._signals.msgids):
            self.submit()
            return not self.held.active
        return True

    def _gather(self, group: InputGroup, route: Route, msgid: int | None, params: Raw, raw: bytes) -> None:
        """Decode an input and put it with its like."""
        if len(raw) > PARAMS_BYTES_A_UNIT:
            self.charge(len(raw) // PARAMS_BYTES_A_UNIT)
        try:
            try:
                # In the form that the last ones had; if it is the other one, that is found out.
                item = route.decoder.fast[self._as_array](params)
            except DECODE_ERRORS:
                self._as_array = is_array(one_map(bytes(params)))
                item = route.decoder.decode(params)
            group.add(msgid, check_input(item.message()), len(raw))
        except Exception as error:  # noqa: BLE001  # answered in its place, a defect of ours as well
            self.charge(REFUSED_UNITS)
            group.add_refused(msgid, error, route.method.name, params, len(raw))

    def _handle_other(self, route: Route, msgid: int | None, params: Raw, size_bytes: int) -> None:
        if msgid is None and not route.method.notifiable:
            raise UnknownMethodError(f"{route.method.name} cannot be sent as a notification; send a request")
        self.charge(size_bytes // PARAMS_BYTES_A_UNIT)
        decoded = route.decoder.decode(params)
        if route.kind == "batch":
            self._run = BatchRun(self, route, msgid, decoded, size_bytes)
        else:
            self._run = ANSWERS[route.method.name](self, msgid, decoded, size_bytes)
        if self._run is not None:
            self._advance()

    def _refuse(self, route: Route | None, name: str) -> None:
        """Raise what keeps a method from being served, if anything does."""
        if not self.authenticated and name != "hello":
            raise UnauthenticatedError("this connection needs hello with the token before anything else")
        if route is None:
            raise UnknownMethodError(f"no method has the name {shown(name)}; hello lists them")
        if self.service.stopping:
            raise ClosedError("the server is stopping; connect to its successor and repeat the call")

    def _bad(self, bad: BadCall) -> None:
        self._bad_in_a_row += 1
        # What went before is answered in its order all the same.
        self.submit()
        if self._bad_in_a_row > BAD_MESSAGES_MAX:
            reason = (
                f"{bad.error.message}; it was number {self._bad_in_a_row} in a row that was none, so this is "
                "something else than MessagePack-RPC: the connection is closed"
            )
            self.fail(BadMessageError(reason), bad.msgid)
            return
        self.service.counters.bad_messages += 1
        if bad.answerable:
            self.send_error(bad.msgid, bad.error)
        else:
            _log.warning("bad message", connection=self.peer, error=str(bad.error))


def _end_of_run(names: list[str], start: int) -> int:
    """Where the names that are like the first one end."""
    end = start + 1
    while end < len(names) and names[end] == names[start]:
        end += 1
    return end
