"""How each kind of record is laid out on disk: one version byte, a CRC-32, a msgpack body.

The CRC covers the key too, so a record that turns up under another key is damage as well; LMDB itself
checks nothing. Evolution: a body may gain trailing fields with defaults; anything else takes a new
version byte, and every reader keeps the old ones.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Final, Literal, TypeAlias, TypeVar
from zlib import crc32

import msgspec

from ..config.rules import Posterior
from ..config.settings import LearningRules
from ..protocol.messages import TradeOutcome
from .state.book import NEVER_NS, Control
from .state.entries import Entry
from .state.events import ChangeShared, Paused, PosteriorSet, Reset, Resumed
from .state.market import Market
from .state.model_state import ModelRecord
from .state.pool_row import POOL_ID
from .state.pool_state import PoolRecord
from .state.recalibrating import array_as_list

__all__ = [
    "READ_VERSIONS",
    "SCHEMA_VERSION",
    "BookRecord",
    "DamagedRecordError",
    "LooseEntry",
    "SnapshotMeta",
    "decode_book",
    "decode_chunk",
    "decode_entry",
    "decode_loose",
    "decode_market",
    "decode_model",
    "decode_snapshot_meta",
    "encode",
    "key_number",
    "later_version",
    "number_key",
    "seal",
    "sealed_body",
    "split_chunk",
    "unseal",
]

_T = TypeVar("_T")

SCHEMA_VERSION: Final = 2
"""2: loose outcomes are not copied into the archive, which only says where they are in the journal."""
READ_VERSIONS: Final = frozenset({1, 2})
_POOL_KEY: Final = POOL_ID.encode()
_HEAD: Final = Layout("<BI")
_NUMBER: Final = Layout(">Q")


class DamagedRecordError(Exception):
    """A record cannot be trusted; the text says why."""


class TaggedControl(msgspec.Struct, array_like=True, frozen=True):
    """A pause, the end of one, a reset, a posterior that was set, or a shared change, told apart by kind."""

    seq: int
    kind: Literal["paused", "resumed", "reset", "posterior_set", "change_shared"]
    until_ns: int | None = None
    reason: str = ""
    posterior: Posterior | None = None
    change: ChangeShared | None = None

    @classmethod
    def of(cls, seq: int, event: Control) -> TaggedControl:
        """Pack an event."""
        if isinstance(event, Paused):
            return cls(seq, "paused", event.until_ns, event.reason)
        if isinstance(event, PosteriorSet):
            return cls(seq, "posterior_set", posterior=event.posterior)
        if isinstance(event, ChangeShared):
            return cls(seq, "change_shared", change=event)
        return cls(seq, "resumed" if isinstance(event, Resumed) else "reset")

    def event(self) -> Control:
        """Unpack it."""
        if self.kind == "paused":
            return Paused(self.until_ns, self.reason)
        if self.kind == "posterior_set":
            return PosteriorSet(self.posterior)
        if self.change is not None:
            return self.change
        return Resumed() if self.kind == "resumed" else Reset(self.seq)


class BookRecord(msgspec.Struct, array_like=True, frozen=True):
    """The book without its markets."""

    seq: int
    rules_history: list[tuple[int, LearningRules]]
    models: dict[str, tuple[int, list[TaggedControl]]]
    """Every known model: the last input that touched it, and its controls in order."""
    shared_until_ns: int = NEVER_NS


class SnapshotMeta(msgspec.Struct, array_like=True, frozen=True):
    """What the newest snapshot is a cut of."""

    seq: int
    taken_at_ns: int
    stale_models: list[str]
    """Models whose state is not in it (their actor was down): rebuilt from their history when opened."""


LooseEntry: TypeAlias = tuple[int, TradeOutcome | int]
"""(first, last) number of neighbouring loose outcomes; in records of schema 1 (number, outcome)."""

Chunk = tuple[int, list[Entry]]
"""(received_at_ns, entries): consecutive sequence numbers from the record's key on."""

_encoder: Final = msgspec.msgpack.Encoder(enc_hook=array_as_list)
_chunk: Final = msgspec.msgpack.Decoder(Chunk)
_market: Final = msgspec.msgpack.Decoder(Market)
_raw_chunk: Final = msgspec.msgpack.Decoder(tuple[int, list[msgspec.Raw]])
_entry: Final = msgspec.msgpack.Decoder(Entry)
_loose: Final = msgspec.msgpack.Decoder(list[LooseEntry])
_model: Final = msgspec.msgpack.Decoder(ModelRecord)
_pool: Final = msgspec.msgpack.Decoder(PoolRecord)
_book: Final = msgspec.msgpack.Decoder(BookRecord)
_snapshot: Final = msgspec.msgpack.Decoder(SnapshotMeta)


def number_key(number: int) -> bytes:
    """Key of a sequence number: eight bytes, big endian, so that keys sort by number.

    >>> number_key(258)
    b'\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x02'
    """
    return _NUMBER.pack(number)


def key_number(key: bytes) -> int:
    """The number of a key.

    Raises:
        DamagedRecordError: the key has not eight bytes.

    """
    if len(key) != _NUMBER.size:
        raise DamagedRecordError(f"the key has {len(key)} bytes instead of {_NUMBER.size}")
    return _NUMBER.unpack(key)[0]


def encode(body: object) -> bytes:
    """The msgpack body of a record."""
    return _encoder.encode(body)


def seal(key: bytes, body: bytes) -> bytes:
    """The stored value: version, CRC of key and body, body."""
    return _HEAD.pack(SCHEMA_VERSION, crc32(body, crc32(key))) + body


def sealed_body(value: memoryview) -> memoryview:
    """The body of a sealed value, unchecked and in place."""
    return value[_HEAD.size :]


def unseal(key: bytes, value: bytes) -> bytes:
    """The body, checked.

    Raises:
        DamagedRecordError: too short, of an unknown version, or its CRC does not match.

    >>> unseal(b"k", seal(b"k", b"body"))
    b'body'
    """
    if len(value) < _HEAD.size:
        raise DamagedRecordError(f"only {len(value)} bytes long")
    version, crc = _HEAD.unpack_from(value)
    body = value[_HEAD.size :]
    if crc != crc32(body, crc32(key)):
        raise DamagedRecordError("its CRC does not match")
    if version not in READ_VERSIONS:
        raise DamagedRecordError(f"its record version is {version}, this release reads {SCHEMA_VERSION}")
    return body


def later_version(key: bytes, value: bytes) -> int:
    """The version of a whole record that a later release wrote; 0 for any other.

    >>> later_version(b"k", b"\\x07" + seal(b"k", b"body")[1:]), later_version(b"k", seal(b"k", b"body"))
    (7, 0)
    """
    if len(value) < _HEAD.size:
        return 0
    version, crc = _HEAD.unpack_from(value)
    whole = crc == crc32(value[_HEAD.size :], crc32(key))
    return version if whole and version > SCHEMA_VERSION else 0


def _decode(decoder: msgspec.msgpack.Decoder[_T], key: bytes, value: bytes) -> _T:
    body = unseal(key, value)
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DamagedRecordError(f"its CRC matches but it cannot be decoded: {error}") from error


def decode_chunk(key: bytes, value: bytes) -> tuple[int, int, list[Entry]]:
    """(first sequence number, received_at_ns, entries) of a journal record."""
    received_at_ns, entries = _decode(_chunk, key, value)
    return key_number(key), received_at_ns, entries


def split_chunk(key: bytes, value: bytes) -> tuple[int, list[msgspec.Raw]]:
    """(first sequence number, entries for :func:`decode_entry`) of a journal record: for whoever wants few of them."""
    _, entries = _decode(_raw_chunk, key, value)
    return key_number(key), entries


def decode_entry(entry: msgspec.Raw) -> Entry:
    """One entry of a journal record.

    Raises:
        DamagedRecordError: it cannot be decoded.

    """
    try:
        return _entry.decode(entry)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DamagedRecordError(f"its CRC matches but it cannot be decoded: {error}") from error


def decode_market(key: bytes, value: bytes) -> Market:
    """A market of the snapshot or of the archive."""
    return _decode(_market, key, value)


def decode_loose(key: bytes, value: bytes) -> list[LooseEntry]:
    """Loose outcomes of the archive, oldest first; the key is the number of the oldest that was ever among them."""
    return _decode(_loose, key, value)


def decode_model(key: bytes, value: bytes) -> ModelRecord | PoolRecord:
    """A model's state, or the pool's."""
    return _decode(_pool, key, value) if key == _POOL_KEY else _decode(_model, key, value)


def decode_book(key: bytes, value: bytes) -> BookRecord:
    """The book without its markets."""
    return _decode(_book, key, value)


def decode_snapshot_meta(key: bytes, value: bytes) -> SnapshotMeta:
    """What the snapshot is a cut of."""
    return _decode(_snapshot, key, value)
