"""The archive's records of loose outcomes: which inputs they are. The outcomes themselves are in the journal.

A record is found by the last key that does not come after the number looked for. In records of schema 1 each number
has its outcome beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..protocol.messages import TradeOutcome
from .log import get_logger
from .log_file import Record
from .records import DamagedRecordError, LooseEntry, decode_loose, encode, key_number, number_key, seal
from .state.loose import Spans, spans_without
from .store import Store

__all__ = ["loose_records", "loose_records_without"]

SPANS_A_RECORD: Final = 256
"""Spans that share a record: to find out whether a number is among them, so many are decoded."""

_log = get_logger("persister")


def loose_records(spans: Spans, key: bytes = b"") -> list[Record]:
    """The records of some spans; the first of them under ``key`` if that is given, and in any case there is one then.

    >>> [key_number(key) for key, _ in loose_records([(first, first) for first in range(1, 600, 2)])]
    [1, 513]
    """
    records: list[Record] = []
    for start in range(0, len(spans), SPANS_A_RECORD):
        some = spans[start : start + SPANS_A_RECORD]
        records.append(_sealed(number_key(some[0][0]) if start or not key else key, some))
    return records or ([_sealed(key, [])] if key else [])


def loose_records_without(store: Store, ordinals: Iterable[int]) -> list[Record]:
    """The records that hold any of these numbers, made anew without them."""
    wanted: dict[bytes, tuple[list[LooseEntry], list[int]]] = {}
    for ordinal in sorted(ordinals):
        record = store.loose_outcomes_at(ordinal)
        if record is None:
            continue
        key = record[0]
        try:
            if key not in wanted:
                wanted[key] = decode_loose(*record), []
        except DamagedRecordError as error:
            _log.error("loose outcomes cannot be read", first_seq=key_number(key), error=str(error))
            continue
        wanted[key][1].append(ordinal)
    records: list[Record] = []
    for key, (held, gone) in wanted.items():
        copies = [(seq, outcome) for seq, outcome in held if isinstance(outcome, TradeOutcome)]
        spans = [(first, last) for first, last in held if not isinstance(last, TradeOutcome)]
        if copies:
            left: list[LooseEntry] = [each for each in copies if each[0] not in gone]
            if len(left) < len(copies):
                records.append(_sealed(key, left))
        elif (some := spans_without(spans, gone)) != spans:
            records += loose_records(some, key)
    return records


def _sealed(key: bytes, held: object) -> Record:
    return key, seal(key, encode(held))
