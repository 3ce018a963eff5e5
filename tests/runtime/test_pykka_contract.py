"""What we rely on in pykka without it being promised. If one of these fails, a new release changed it."""

from __future__ import annotations

import inspect
import weakref
from typing import Any, ClassVar

import pykka
import pytest
from pykka import messages
from pykka._envelope import Envelope

from handicapper.actors.runtime import Latch, LeanFuture, PooledActor, PooledRef


class Inbox:
    def __init__(self) -> None:
        self.envelopes: list[Envelope[Any]] = []

    def put(self, envelope: Envelope[Any], /) -> None:
        self.envelopes.append(envelope)

    def get(self) -> Envelope[Any]:
        return self.envelopes.pop(0)

    def empty(self) -> bool:
        return not self.envelopes


class Hooked(pykka.Actor):
    """An actor made of the three hooks only; nothing ever runs it."""

    calls: ClassVar[list[str]] = []

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        Hooked.calls.append("inbox")
        return Inbox()

    @staticmethod
    def _create_future() -> LeanFuture[Any]:
        Hooked.calls.append("future")
        return LeanFuture()

    def _start_actor_loop(self) -> None:
        Hooked.calls.append("loop")


@pytest.fixture
def hooked() -> Any:
    Hooked.calls.clear()
    ref = Hooked.start()
    yield ref
    pykka.ActorRegistry.unregister(ref)  # noqa: TID251 - pykka's own start put this test's actor there


def inbox_of(ref: Any) -> Inbox:
    return ref.actor_inbox


def test_the_three_hooks_are_abstract_methods_of_actor() -> None:
    assert pykka.Actor.__abstractmethods__ == {"_create_actor_inbox", "_create_future", "_start_actor_loop"}


def test_start_creates_the_inbox_and_then_starts_the_loop(hooked: Any) -> None:
    assert Hooked.calls == ["inbox", "loop"]


def test_envelope_has_exactly_a_message_and_a_place_for_the_reply() -> None:
    assert list(Envelope.__slots__) == ["message", "reply_to"]
    assert Envelope("m").reply_to is None
    assert Envelope("m", "f").reply_to == "f"  # pyright: ignore[reportArgumentType]


def test_tell_puts_an_envelope_without_reply_into_the_inbox(hooked: Any) -> None:
    hooked.tell("hello")
    (envelope,) = inbox_of(hooked).envelopes
    assert (envelope.message, envelope.reply_to) == ("hello", None)


def test_ask_makes_a_future_by_the_hook_and_puts_it_into_the_envelope(hooked: Any) -> None:
    future = hooked.ask("hello", block=False)
    (envelope,) = inbox_of(hooked).envelopes
    assert envelope.message == "hello"
    assert envelope.reply_to is future
    assert isinstance(future, LeanFuture)
    assert Hooked.calls[-1] == "future"


def test_stop_asks_with_the_stop_message(hooked: Any) -> None:
    hooked.stop(block=False)
    assert isinstance(inbox_of(hooked).envelopes[0].message, messages._ActorStop)


def test_is_alive_asks_only_whether_actor_stopped_is_set(hooked: Any) -> None:
    hooked.actor_stopped = Latch()
    assert hooked.is_alive()
    hooked.actor_stopped.set()
    assert not hooked.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        hooked.tell("late")


def test_ref_takes_these_attributes_from_its_actor_and_keeps_only_a_weak_reference(hooked: Any) -> None:
    assert set(vars(hooked)) == {
        "_actor_weakref",
        "actor_class",
        "actor_inbox",
        "actor_stopped",
        "actor_urn",
    }
    assert isinstance(hooked._actor_weakref, weakref.ref)


def test_actor_init_sets_only_what_pooled_actor_sets() -> None:
    class Plain(PooledActor):
        pass

    assert set(vars(Plain())) == set(vars(Hooked()))


def test_future_keeps_its_hook_in_the_attribute_we_default() -> None:
    assert pykka.Future()._get_hook is None
    assert set(vars(pykka.Future())) == {"_get_hook", "_get_hook_result"}


def test_handle_receive_understands_the_proxy_messages(hooked: Any) -> None:
    actor = Hooked()
    assert actor._handle_receive(messages.ProxyGetAttr(("calls",))) is Hooked.calls
    assert messages.ProxyCall._fields == ("attr_path", "args", "kwargs")
    assert messages.ProxySetAttr._fields == ("attr_path", "value")


def test_lifecycle_hooks_have_the_signatures_we_call() -> None:
    assert list(inspect.signature(pykka.Actor.on_failure).parameters) == [
        "self",
        "exception_type",
        "exception_value",
        "traceback",
    ]
    assert list(inspect.signature(pykka.Actor.on_start).parameters) == ["self"]
    assert list(inspect.signature(pykka.Actor.on_stop).parameters) == ["self"]


def test_pooled_ref_is_a_pykka_ref() -> None:
    assert issubclass(PooledRef, pykka.ActorRef)
    assert issubclass(LeanFuture, pykka.Future)
