"""Carries the bytes of an :class:`~.exchange.Exchange` over one non-blocking socket after the other. Never sleeps."""

from __future__ import annotations

import os
import select
import socket
from time import monotonic
from typing import Final

from ..addresses import Address
from ..errors import ConnectionLostError, HandicapperError
from .dialing import Backoff, Dialer, quiet_close, quiet_shutdown
from .exchange import Exchange

__all__ = ["NEVER", "Carrier"]

NEVER: Final = float("inf")
RECEIVE_BYTES: Final = 2**18
READS_MAX: Final = 16
"""Reads in one go: other threads want the lock too."""
_READABLE: Final = select.POLLIN | select.POLLERR | select.POLLHUP | select.POLLNVAL


class Carrier:
    """One connection at a time, made again after it was lost. Guarded by the lock of whoever owns it."""

    def __init__(self, address: Address, exchange: Exchange, connect_timeout_seconds: float) -> None:
        self.exchange = exchange
        self.failure: HandicapperError | None = None
        """How the newest connection, or the attempt to make one, ended."""
        self.stalled = False
        """The socket took no more, or failed: whoever reads has to see to it."""
        self._address = address
        self._connect_timeout_seconds = connect_timeout_seconds
        self._dialer = Dialer(address)
        self._backoff = Backoff()
        self._socket: socket.socket | None = None
        self._connecting = False
        self._attempt_at = 0.0
        self._greeted_by = NEVER
        self._write_failed = False
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)

    # -------------------------------------------------------------------- looks

    @property
    def polled(self) -> tuple[int, int]:
        """Descriptor, -1 if there is none, and what to poll it for."""
        if self._socket is None:
            return -1, 0
        wanted = select.POLLOUT if self._connecting else select.POLLIN | (select.POLLOUT * self.stalled)
        return self._socket.fileno(), wanted

    @property
    def more_targets(self) -> bool:
        """Whether another address of the same host is left to be tried at once."""
        return self._dialer.more

    def next_at(self) -> float:
        """When the next thing happens by itself."""
        due = self.exchange.next_due()
        at = NEVER if due is None else due
        if self._socket is None:
            return min(at, self._attempt_at) if self.exchange.wanted else at
        return min(at, self._greeted_by)

    def text(self, reason: str) -> str:
        """Why there is no connection, for an error."""
        return f"no connection to {self._address}: {reason}"

    # --------------------------------------------------------------- connecting

    def should_dial(self, now: float) -> bool:
        """Whether it is time to connect."""
        return self._socket is None and now >= self._attempt_at and self.exchange.wanted

    def dial(self) -> socket.socket | OSError:
        """Begin to connect. Looking up a host name may block, so this alone is done without the lock."""
        try:
            return self._dialer.begin()
        except OSError as error:
            return error

    def dialled(self, begun: socket.socket | OSError) -> None:
        """Go on with what :meth:`dial` gave."""
        if isinstance(begun, OSError):
            self.drop(str(begun))
            return
        self._socket = begun
        self._connecting = True
        self.stalled = self._write_failed = False
        self._greeted_by = monotonic() + self._connect_timeout_seconds

    def _outcome(self, made: socket.socket) -> None:
        """The attempt to connect has ended, one way or the other."""
        error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.drop(os.strerror(error))
            return
        self._connecting = False
        self._dialer.succeeded()
        self.exchange.connected()

    # ------------------------------------------------------------------- moving

    def step(self, happened: int) -> None:
        """Do what the socket and the clock allow; ``happened`` is what polling the socket said."""
        now = monotonic()
        if self._socket is not None:
            if self._connecting and happened:
                self._outcome(self._socket)
            elif happened & _READABLE or self._write_failed:
                self._read(self._socket, now)
        if now >= self._greeted_by:
            self.drop(f"no answer to hello within {self._connect_timeout_seconds:g} s")
        self.exchange.due(now)
        if self.exchange.stuck:
            self.drop("the server answers nothing any more")
        self.stalled = self._write_failed
        self.write()

    def write(self) -> None:
        """Write until everything is written or the socket takes no more."""
        made, exchange = self._socket, self.exchange
        if made is None or self._connecting or self.stalled:
            return
        while (chunk := exchange.outgoing()) is not None:
            try:
                exchange.sent(made.send(chunk, socket.MSG_NOSIGNAL))
            except BlockingIOError:
                self.stalled = True
                return
            except OSError:
                # Why the server closed can still be read.
                self.stalled = self._write_failed = True
                return

    def _read(self, made: socket.socket, now: float) -> None:
        """Read what is there, and notice the end."""
        try:
            for _ in range(READS_MAX):
                count = made.recv_into(self._buffer)
                if not count:
                    self.drop("the server closed the connection")
                    return
                self.exchange.received(bytes(self._view[:count]), now)
                if self._greeted_by != NEVER and self.exchange.state == "up":
                    self._greeted_by = NEVER
                    self._backoff.succeeded()
                if count < RECEIVE_BYTES and not self._write_failed:
                    return
        except BlockingIOError:
            if self._write_failed:
                self.drop("the server reads no more")
        except HandicapperError as error:
            self.drop(error)
        except OSError as error:
            self.drop(str(error))

    # --------------------------------------------------------------------- ends

    def drop(self, reason: HandicapperError | str) -> None:
        """End the connection, or the attempt to make one; the next comes after a while."""
        self.close()
        self.failure = ConnectionLostError(self.text(reason)) if isinstance(reason, str) else reason
        # A name may stand for several addresses, which are tried in one go.
        self._attempt_at = 0.0 if self._dialer.more else monotonic() + self._backoff.failed()
        self.exchange.lost(reason)

    def hang_up(self) -> None:
        """Have whoever reads find the connection ended."""
        if self._socket is not None:
            quiet_shutdown(self._socket)

    def close(self) -> None:
        """Give the socket back."""
        made, self._socket = self._socket, None
        self._connecting = self.stalled = self._write_failed = False
        self._greeted_by = NEVER
        if made is not None:
            quiet_close(made)
