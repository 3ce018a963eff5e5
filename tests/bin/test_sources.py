from __future__ import annotations

import gzip
import io
import os
import sys

import pytest

from handicapper.bin.errors import InputDataError, InputUnreadableError
from handicapper.bin.rows import read_rows
from handicapper.bin.sources import TextSource

from .streams import line, text

CONTENT = text([line(event=f"e{index}") for index in range(3)]).encode()


def events_of(path) -> list[str]:
    with TextSource(str(path)) as source:
        return [row.prediction.market_id for row in read_rows(source.text, source.name)]


@pytest.mark.parametrize("content", [CONTENT, b"\xef\xbb\xbf" + CONTENT, gzip.compress(CONTENT)])
def test_plain_byte_order_mark_and_gzip_read_the_same_whatever_the_name(tmp_path, content):
    path = tmp_path / "data.txt"
    path.write_bytes(content)
    assert events_of(path) == ["e0", "e1", "e2"]


@pytest.mark.parametrize("content", [CONTENT, gzip.compress(CONTENT)])
def test_standard_input_is_read_and_left_open(monkeypatch, tmp_path, content):
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    with open(reading, encoding="utf-8") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        with TextSource("-") as source:
            assert source.bytes_total is None
            assert source.bytes_read() == 0
            assert len(list(read_rows(source.text, source.name))) == 3
        os.fstat(reading)


def test_bytes_read_grow_to_the_size_of_the_file(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(CONTENT))
    with TextSource(str(path)) as source:
        assert source.bytes_total == path.stat().st_size
        list(source.text)
        assert source.bytes_read() == source.bytes_total


def test_a_missing_file_and_a_directory_cannot_be_opened(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InputUnreadableError, match=r"INPUT_UNREADABLE cannot open"):
            TextSource(str(path))


def test_gzip_cut_short_or_with_a_flipped_bit_is_refused(tmp_path):
    packed = gzip.compress(text([line(event=os.urandom(16).hex()) for _ in range(2000)]).encode())
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    for content in (packed[: len(packed) // 2], bytes(flipped), packed + b"rubbish"):
        path = tmp_path / "a.gz"
        path.write_bytes(content)
        with pytest.raises(InputDataError, match="damaged gzip data"):
            events_of(path)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT + b"\xff\xfe,")
    with pytest.raises(InputDataError, match="not UTF-8"):
        events_of(path)


def test_a_read_that_fails_says_which_input():
    class Failing(io.StringIO):
        def __next__(self) -> str:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputUnreadableError, match=r"cannot read a\.csv: Input/output error"):
        list(read_rows(Failing(), "a.csv"))
