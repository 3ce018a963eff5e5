"""How the methods are answered that are no inputs: one function each, in one table."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from .. import params as p
from ..decoding import check_items
from ..errors import InvalidValueError, ProtocolUnsupportedError, UnauthenticatedError
from ..limits import PROTOCOL_VERSION
from ..messages import DaemonStatistics, HelloReply, Subscription
from ..methods import METHODS, TOPICS
from .backend import Pending
from .feed import Subscriber
from .groups import ControlSlot, outcome_of
from .runs import QuestionRun, Run

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ANSWERS"]

MsgId = int | None
Answer = Callable[["Session", MsgId, Any, int], "Run | None"]


PARAMS_UNITS: Final = 2
SELECTION_UNITS: Final = 8
DRAWS_A_UNIT: Final = 8
"""What questions cost of a turn, measured against an input: parameters, a selection, the draws in it."""


# ------------------------------------------------------------------- session


@cache
def _release() -> str:
    return metadata.version("handicapper")


def _hello(session: Session, msgid: MsgId, params: p.Hello, _size_bytes: int) -> None:
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
        server=f"handicapper {_release()}",
        protocol=PROTOCOL_VERSION,
        pid=os.getpid(),
        state_dir=service.state_dir,
        limits=service.limits,
        methods=tuple(METHODS),
        topics=TOPICS,
    )
    session.answer(msgid, reply)


def _ping(session: Session, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    session.answer(msgid, "pong")


def _subscribe(session: Session, msgid: MsgId, params: p.Subscribe, _size_bytes: int) -> None:
    topics = TOPICS if params.topics is None else tuple(params.topics)
    for topic in topics:
        if topic not in TOPICS:
            raise InvalidValueError("topics", topic, f"some of: {', '.join(TOPICS)}")
    if session.gone:
        return
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


def _when_done(session: Session, msgid: MsgId, pending: Pending) -> None:
    """Answer once it is done."""

    def done() -> None:
        result, error = outcome_of(pending)
        if error is not None:
            session.send_error(msgid, error)
        else:
            session.answer(msgid, result)
        session.leave(1)

    session.enter(None, 1)
    pending.add_done_callback(lambda _: session.service.post(done))


def _params_of(session: Session, msgid: MsgId, params: p.ModelAsOf, _size_bytes: int) -> None:
    _room(session)
    session.charge(1)
    _when_done(
        session,
        msgid,
        session.service.backend.get_adaptive_params_nowait(params.model_id, as_of=params.as_of),
    )


def _params_of_many(session: Session, msgid: MsgId, params: p.ModelIds, size_bytes: int) -> Run:
    _room(session)
    check_items("model_ids", len(params.model_ids), session.service.limits.batch_items_max)
    ask = session.service.backend.get_adaptive_params_nowait
    asks = [partial(ask, model, as_of=params.as_of) for model in params.model_ids]
    return QuestionRun(session, msgid, asks, PARAMS_UNITS, size_bytes)


def _draws(session: Session, params: p.Sample) -> int:
    """How many draws a selection takes, if that is not too many: they are drawn in the loop's thread."""
    service = session.service
    known = service.backend.model_count()
    models = known if params.models is None else min(len(params.models), known)
    if params.models is not None:
        check_items("models", len(params.models), service.limits.batch_items_max)
    draws, draws_max = params.n * models, service.limits.draws_max
    if params.n > 1 and draws > draws_max:
        each = max(draws_max // max(models, 1), 1)
        expected = f"at most {draws_max} draws in all: {each} for each of {models} models"
        raise InvalidValueError("n", params.n, expected)
    return max(draws, models)


def _sampling(session: Session, params: p.Sample) -> Callable[[], Pending]:
    return partial(
        session.service.backend.thompson_sample_nowait,
        params.n,
        as_of=params.as_of,
        models=params.models,
        selection_id=params.selection_id,
        seed=params.seed,
    )


def _sample(session: Session, msgid: MsgId, params: p.Sample, _size_bytes: int) -> None:
    _room(session)
    session.charge(SELECTION_UNITS + _draws(session, params) // DRAWS_A_UNIT)
    _when_done(session, msgid, _sampling(session, params)())


def _sample_many(session: Session, msgid: MsgId, params: p.Samples, size_bytes: int) -> Run:
    _room(session)
    limits = session.service.limits
    check_items("samples", len(params.samples), limits.batch_items_max)
    decode = session.service.routes["thompson_sample"].decoder.decode
    samples: list[p.Sample] = [decode(raw, f"samples[{index}].") for index, raw in enumerate(params.samples)]
    draws = sum(_draws(session, sample) for sample in samples)
    if len(samples) > 1 and draws > limits.draws_max:
        raise InvalidValueError(
            "samples", len(samples), f"at most {limits.draws_max} draws in all, not {draws}"
        )
    units = SELECTION_UNITS + draws // DRAWS_A_UNIT // max(len(samples), 1)
    return QuestionRun(session, msgid, [_sampling(session, sample) for sample in samples], units, size_bytes)


def _slow(ask: Callable[[Session, Any], Any]) -> Answer:
    """A question that takes long: asked on a thread."""

    def answer(session: Session, msgid: MsgId, params: Any, _size_bytes: int) -> None:
        _room(session)
        session.enter(None, 1)
        session.slow_questions += 1

        def done(result: Any, error: BaseException | None) -> None:
            session.slow_questions -= 1
            if error is not None:
                session.send_error(msgid, error)
            else:
                session.answer(msgid, result)
            session.leave(1)

        session.service.run_blocking(lambda: ask(session, params), done, lambda: not session.gone)

    return answer


def _statistics(session: Session, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    service = session.service
    fields = structs.asdict(service.backend.statistics())
    session.charge(4)
    session.answer(msgid, DaemonStatistics(**fields, server=service.statistics()))


def _dead_letters(session: Session, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    letters = session.service.backend.dead_letters()
    session.charge(len(letters) // 8)
    session.answer(msgid, letters)


def _config(session: Session, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    session.charge(16)
    session.answer(msgid, session.service.config())


# ------------------------------------------------------------------ controls


def _control(send: Callable[[Session, Any], Pending]) -> Answer:
    def answer(session: Session, msgid: MsgId, params: Any, _size_bytes: int) -> None:
        _room(session)
        ControlSlot(session, msgid, "control", lambda: send(session, params))

    return answer


def _snapshot(session: Session, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    _room(session)
    _when_done(session, msgid, session.service.backend.snapshot_nowait())


def _restart(session: Session, msgid: MsgId, params: p.ModelName, _size_bytes: int) -> None:
    _room(session)
    _when_done(session, msgid, session.service.backend.restart_nowait(params.model_id))


def _replay(session: Session, params: p.LetterIds) -> Any:
    if params.ids is not None:
        check_items("ids", len(params.ids), session.service.limits.batch_items_max)
    return session.service.backend.replay_dead_letters(params.ids)


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
    "restart": _restart,
    "replay_dead_letters": _slow(_replay),
}
"""(session, msgid, params) → answers, now or once it is known. A HandicapperError raised is the answer."""
