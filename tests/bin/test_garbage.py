"""The daemon's collector looks at little each time, and not again and again at what the models are made of."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.bin.daemon import garbage


class Node:
    """Something that garbage is made of."""

    other: Any = None


@pytest.fixture
def calm() -> Iterator[None]:
    end = garbage.calm_collector()
    yield
    end()


def kept(count: int) -> list[list[Any]]:
    return [[number] for number in range(count)]


@pytest.mark.usefixtures("calm")
def test_what_survived_a_collection_of_everything_is_looked_at_once() -> None:
    models = kept(2 * garbage.FREEZE_OBJECTS)
    assert len(gc.get_objects()) >= len(models)
    gc.collect()
    assert len(gc.get_objects()) < garbage.FREEZE_OBJECTS
    assert len(models) == 2 * garbage.FREEZE_OBJECTS


@pytest.mark.usefixtures("calm")
def test_little_is_not_frozen_so_that_what_becomes_garbage_of_it_is_found() -> None:
    one, other = Node(), Node()
    one.other, other.other = other, one
    gc.collect()
    frozen = gc.get_freeze_count()
    del one, other
    assert gc.collect() >= 2
    assert gc.get_freeze_count() <= frozen


@pytest.mark.usefixtures("calm")
def test_no_collection_looks_at_more_than_a_bound_however_much_comes() -> None:
    """Many models come at once: their objects stay, and a collection of everything would find them all."""
    looked_at: list[int] = []

    def look(phase: str, information: dict[str, int]) -> None:
        if phase == "start":
            young = range(information["generation"] + 1)
            looked_at.append(sum(len(gc.get_objects(generation)) for generation in young))

    gc.callbacks.append(look)
    try:
        models = kept(1_000_000)
    finally:
        gc.callbacks.remove(look)
    assert len(models) == 1_000_000
    assert len(looked_at) > 50
    assert max(looked_at) <= 3.1 * garbage.COLLECT_AFTER[0] + garbage.FREEZE_OBJECTS


def test_as_it_was_before_once_it_ends() -> None:
    before = gc.get_threshold(), len(gc.callbacks)
    end = garbage.calm_collector()
    assert gc.get_threshold() == garbage.COLLECT_AFTER
    end()
    assert (gc.get_threshold(), len(gc.callbacks)) == before
    assert gc.get_freeze_count() == 0
