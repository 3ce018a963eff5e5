"""How the methods are answered that are no inputs: one function each, in one table."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from . import params as p
from .backend import Pending
from .decoding import check_items
from .errors import InvalidValueError, ProtocolUnsupportedError, UnauthenticatedError
from .feed import Subscriber
from .groups import ControlSlot, outcome_of
from .limits import PROTOCOL_VERSION
from .messages import DaemonStatistics, HelloReply, Subscription
from .methods import METHODS, TOPICS

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ANSWERS"]

MsgId = int | None
Answer = Callable[["Session", MsgId, Any], None]


# ------------------------------------------------------------------- session


def _hello(session: Session, msgid: MsgId, params: p.Hello) -> None:
    service = session.service
    major, minor = PROTOCOL_VERSION
    if params.protocol[0] != major:
        raise ProtocolUnsupportedError(
            f"protocol {list(params.protocol)} was asked for; this server speaks [{major}, {minor}]"
        )
    session.errors_as_text = params.errors == "text"
    if service.token is not None and not session.authenticated:
        token = (params.token or "").encode(errors="replace")
        if not hmac.compare_digest(token, service.token):
            error = UnauthenticatedError("the token was wrong or missing; the connection is closed")
            session.fail(error, msgid)
            return
        session.authenticated = True
    reply = HelloReply(
        server=f"handicapper {metadata.version('handicapper')}",
        protocol=PROTOCOL_VERSION,
        pid=os.getpid(),
        state_dir=service.state_dir,
        limits=service.limits,
        methods=tuple(METHODS),
        topics=TOPICS,
    )
    session.answer(msgid, reply)


def _ping(session: Session, msgid: MsgId, _params: p.NoParams) -> None:
    session.answer(msgid, "pong")


def _subscribe(session: Session, msgid: MsgId, params: p.Subscribe) -> None:
    topics = TOPICS if params.topics is None else tuple(params.topics)
    for topic in topics:
        if topic not in TOPICS:
            raise InvalidValueError("topics", topic, f"some of: {', '.join(TOPICS)}")
    feed = session.service.feed
    feed.remove(session.subscriber)
    session.subscriber = Subscriber(session, frozenset(topics), params.interval_ms) if topics else None
    session.answer(msgid, Subscription(topics=topics, interval_ms=params.interval_ms))
    feed.add(session.subscriber)


# ----------------------------------------------------------------- questions


def _room(session: Session) -> None:
    full = session.service.busy(1)
    if full is not None:
        raise full


def _when_done(session: Session, msgid: MsgId, pending: list[Pending], many: bool) -> None:
    """Answer once all are done: with a list of ``many``, else with the only one."""
    left = len(pending)

    def done() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            finish()

    def finish() -> None:
        outcomes = [outcome_of(one) for one in pending]
        error = next((error for _, error in outcomes if error is not None), None)
        if error is not None:
            session.send_error(msgid, error)
        else:
            results = [result for result, _ in outcomes]
            session.answer(msgid, results if many else results[0])
        session.leave(1)

    session.enter(None, 1)
    if not pending:
        finish()
    for one in pending:
        one.add_done_callback(lambda _: session.service.post(done))


def _params_of(session: Session, msgid: MsgId, params: p.ModelAsOf) -> None:
    _room(session)
    pending = session.service.backend.get_adaptive_params_nowait(params.model_id, as_of=params.as_of)
    _when_done(session, msgid, [pending], many=False)


def _params_of_many(session: Session, msgid: MsgId, params: p.ModelIds) -> None:
    _room(session)
    check_items("model_ids", len(params.model_ids), session.service.limits.batch_items_max)
    ask = session.service.backend.get_adaptive_params_nowait
    _when_done(session, msgid, [ask(model, as_of=params.as_of) for model in params.model_ids], many=True)


def _sampled(session: Session, params: p.Sample) -> Pending:
    """A selection under way, if it is not too large: it is drawn in the loop's thread."""
    service = session.service
    models = len(params.models) if params.models is not None else service.backend.statistics().models
    draws_max = service.limits.draws_max
    if params.n > 1 and params.n * models > draws_max:
        raise InvalidValueError(
            "n",
            params.n,
            f"at most {draws_max} draws in all: {draws_max // max(models, 1)} for each of {models}",
        )
    return service.backend.thompson_sample_nowait(
        params.n, as_of=params.as_of, models=params.models, selection_id=params.selection_id, seed=params.seed
    )


def _sample(session: Session, msgid: MsgId, params: p.Sample) -> None:
    _room(session)
    _when_done(session, msgid, [_sampled(session, params)], many=False)


def _sample_many(session: Session, msgid: MsgId, params: p.Samples) -> None:
    _room(session)
    service = session.service
    check_items("samples", len(params.samples), service.limits.batch_items_max)
    decode = service.routes["thompson_sample"].decoder.decode
    samples: list[p.Sample] = [decode(raw) for raw in params.samples]
    models = service.backend.statistics().models
    draws = sum(max(sample.n, 1) * models for sample in samples)
    if len(samples) > 1 and draws > service.limits.draws_max:
        raise InvalidValueError(
            "samples", len(samples), f"at most {service.limits.draws_max} draws in all, not {draws}"
        )
    _when_done(session, msgid, [_sampled(session, sample) for sample in samples], many=True)


def _slow(ask: Callable[[Session, Any], Any]) -> Answer:
    """A question that takes long: asked on a thread."""

    def answer(session: Session, msgid: MsgId, params: Any) -> None:
        _room(session)
        session.enter(None, 1)

        def done(result: Any, error: BaseException | None) -> None:
            if error is not None:
                session.send_error(msgid, error)
            else:
                session.answer(msgid, result)
            session.leave(1)

        session.service.run_blocking(lambda: ask(session, params), done)

    return answer


def _statistics(session: Session, msgid: MsgId, _params: p.NoParams) -> None:
    service = session.service
    fields = structs.asdict(service.backend.statistics())
    session.answer(msgid, DaemonStatistics(**fields, server=service.statistics()))


def _dead_letters(session: Session, msgid: MsgId, _params: p.NoParams) -> None:
    session.answer(msgid, session.service.backend.dead_letters())


def _config(session: Session, msgid: MsgId, _params: p.NoParams) -> None:
    session.answer(msgid, session.service.config())


# ------------------------------------------------------------------ controls


def _control(send: Callable[[Session, Any], Pending]) -> Answer:
    def answer(session: Session, msgid: MsgId, params: Any) -> None:
        _room(session)
        ControlSlot(session, msgid, "control", lambda: send(session, params))

    return answer


def _snapshot(session: Session, msgid: MsgId, _params: p.NoParams) -> None:
    _room(session)
    _when_done(session, msgid, [session.service.backend.snapshot_nowait()], many=False)


def _pause(session: Session, params: p.Pause) -> Pending:
    return session.service.backend.pause_nowait(params.model_id, params.until, params.reason)


def _resume(session: Session, params: p.ModelName) -> Pending:
    return session.service.backend.resume_nowait(params.model_id)


def _reset(session: Session, params: p.Reset) -> Pending:
    return session.service.backend.reset_nowait(params.model_id, params.reason)


ANSWERS: Final[dict[str, Answer]] = {
    "hello": _hello,
    "ping": _ping,
    "subscribe": _subscribe,
    "get_adaptive_params": _params_of,
    "get_adaptive_params_batch": _params_of_many,
    "thompson_sample": _sample,
    "thompson_sample_batch": _sample_many,
    "models": _slow(lambda session, params: session.service.backend.models(as_of=params.as_of)),
    "report": _slow(
        lambda session, params: session.service.backend.report(params.model_id, as_of=params.as_of)
    ),
    "reports": _slow(lambda session, params: session.service.backend.reports(as_of=params.as_of)),
    "verify": _slow(lambda session, _: session.service.backend.verify()),
    "statistics": _statistics,
    "dead_letters": _dead_letters,
    "config": _config,
    "snapshot": _snapshot,
    "pause": _control(_pause),
    "resume": _control(_resume),
    "reset": _control(_reset),
}
"""(session, msgid, params) → answers, now or once it is known. A HandicapperError raised is the answer."""
