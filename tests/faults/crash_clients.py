"""Clients of a daemon that is killed: they keep what was answered, and send it again to the next one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from .crash_requests import Request, make_requests
from .lifecycle import Peer

IN_FLIGHT = 16
STEPS_MAX = 400


class Key(NamedTuple):
    """Which request: the place-th of a step."""

    round_number: int
    client: int
    number: int
    place: int


class Answers:
    """What was answered in one round, by any of its clients."""

    def __init__(self) -> None:
        self.known: dict[Key, Any] = {}
        self.sent: list[Key] = []
        """Also those that were not answered; of each client in order."""
        self.errors: list[tuple[Key, Any]] = []
        self._enough = threading.Condition()

    def wait(self, count: int, seconds: float) -> None:
        """Until so many were answered."""
        with self._enough:
            self._enough.wait_for(lambda: len(self.known) >= count, seconds)

    def sending(self, key: Key) -> None:
        with self._enough:
            self.sent.append(key)

    def answered(self, key: Key, error: Any, result: Any) -> None:
        with self._enough:
            if error is None:
                self.known[key] = result
            else:
                self.errors.append((key, error))
            self._enough.notify_all()


def steps(seed: int, round_number: int, client: int) -> Iterator[tuple[Key, Request]]:
    """What a client sends in a round."""
    for number in range(STEPS_MAX):
        for place, request in enumerate(make_requests(seed, round_number, client, number)):
            yield Key(round_number, client, number, place), request


def work(address: str, requests: Iterator[tuple[Key, Request]], answers: Answers) -> None:
    """Send with a few in flight until the connection ends, or there is no more to send."""
    waiting: deque[tuple[int, Key]] = deque()
    try:
        with Peer(address) as peer:
            for key, request in requests:
                answers.sending(key)
                waiting.append((peer.send(request.method, request.params), key))
                if len(waiting) >= IN_FLIGHT and not _take(peer, waiting, answers):
                    return
            while waiting and _take(peer, waiting, answers):
                pass
    except (BrokenPipeError, ConnectionError, FileNotFoundError):
        return


def _take(peer: Peer, waiting: deque[tuple[int, Key]], answers: Answers) -> bool:
    """Take one answer in; False at the end of the connection. They need not come in order."""
    message = peer.next()
    if message is None:
        return False
    _, msgid, error, result = message
    place = next(place for place, (sent, _) in enumerate(waiting) if sent == msgid)
    key = waiting[place][1]
    del waiting[place]
    answers.answered(key, error, result)
    return True


def start_clients(
    address: str, seed: int, round_number: int, clients: int
) -> tuple[Answers, list[threading.Thread]]:
    """Several clients at work, each on a connection of its own."""
    answers = Answers()
    threads = [
        threading.Thread(target=work, args=(address, steps(seed, round_number, client), answers))
        for client in range(clients)
    ]
    for thread in threads:
        thread.start()
    return answers, threads


def lost(key: Key, request: Request, before: Any, again: Any) -> str:
    """What is wrong with the answer to a repeat of what had been answered; empty if nothing is."""
    if request.method.endswith("_batch"):
        known = again["duplicates"] == again["total"] == before["total"] and not again["errors"]
    else:
        known = again.get("duplicate") is True and again["seq"] == before["seq"]
    if known and request.method == "process_signal":
        fields = ("accepted", "confidence_threshold", "weight", "size_multiplier")
        known = all(again[field] == before[field] for field in fields)
    return "" if known else f"{key} {request.method}: was {before}, now {again}"
