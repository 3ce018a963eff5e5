"""How the methods are answered that are no inputs: one function each, in one table."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, structs

from .. import params as p
from ..connection import encode
from ..decoding import check_items
from ..errors import InvalidValueError, ProtocolUnsupportedError, UnauthenticatedError
from ..limits import PROTOCOL_VERSION
from ..many import array_of
from ..messages import DaemonStatistics, HelloReply, Subscription
from ..methods import METHODS, TOPICS
from ..validation import check_path
from .backend import Pending
from .combining import CombineRun
from .groups import ControlSlot
from .runs import QuestionRun, Run
from .selecting import sample, sample_many
from .when_done import room, when_done

if TYPE_CHECKING:
    from .taking import Taking

__all__ = ["ANSWERS"]

MsgId = int | None
Answer = Callable[["Taking", MsgId, Any, int], "Run | None"]


PARAMS_UNITS: Final = 2
PARAMS_ALONE_UNITS: Final = 3
"""What parameters cost of a turn, in a batch and alone, measured against an input."""


# ------------------------------------------------------------------- session


@cache
def _release() -> str:
    return metadata.version("handicapper")


def _hello(session: Taking, msgid: MsgId, params: p.Hello, _size_bytes: int) -> None:
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


def _ping(session: Taking, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    session.answer(msgid, "pong")


def _subscribe(session: Taking, msgid: MsgId, params: p.Subscribe, _size_bytes: int) -> None:
    topics = TOPICS if params.topics is None else tuple(params.topics)
    for topic in topics:
        if topic not in TOPICS:
            raise InvalidValueError("topics", topic, f"some of: {', '.join(TOPICS)}")
    if session.gone:
        return
    session.answer(msgid, Subscription(topics=topics, interval_ms=params.interval_ms))
    session.service.feed.subscribe(session, frozenset(topics), params.interval_ms)


# ----------------------------------------------------------------- questions


def _params_of(session: Taking, msgid: MsgId, params: p.ModelAsOf, _size_bytes: int) -> None:
    room(session)
    session.charge(PARAMS_ALONE_UNITS)
    when_done(
        session,
        msgid,
        "get_adaptive_params",
        params,
        session.service.backend.get_adaptive_params_nowait(params.model_id, as_of=params.as_of),
    )


def _params_of_many(session: Taking, msgid: MsgId, params: p.ModelIds, size_bytes: int) -> Run:
    room(session)
    check_items("model_ids", len(params.model_ids), session.service.limits.batch_items_max)
    ask = session.service.backend.get_adaptive_params_nowait
    models = params.model_ids
    return QuestionRun(
        session,
        msgid,
        "get_adaptive_params_batch",
        len(models),
        lambda index: ask(models[index], as_of=params.as_of),
        PARAMS_UNITS,
        size_bytes,
    )


def _combine(session: Taking, msgid: MsgId, params: p.Combine, size_bytes: int) -> Run:
    room(session)
    return CombineRun(session, msgid, params, size_bytes)


def _encoded(result: Any) -> Raw:
    """A result as it travels; a list item by item, for while one call encodes no other thread gets a word in."""
    if isinstance(result, list):
        return Raw(array_of(len(result), [encode(item) for item in result]))
    return Raw(encode(result))


def _slow(method: str, ask: Callable[[Taking, Any], Any]) -> Answer:
    """A question that takes long: asked on a thread."""

    def answer(session: Taking, msgid: MsgId, params: Any, _size_bytes: int) -> None:
        room(session)
        session.enter(None, 1)
        session.slow_questions += 1
        place = session.lanes.place(method)

        def say(result: Any, error: BaseException | None) -> None:
            session.slow_questions -= 1
            if error is not None:
                session.answer_error(msgid, error, method, params)
            else:
                session.answer(msgid, result)
            session.leave(1)

        def done(result: Any, error: BaseException | None) -> None:
            place.answer(lambda: say(result, error))

        session.service.run_blocking(lambda: _encoded(ask(session, params)), done, lambda: not session.gone)

    return answer


def _backup(session: Taking, params: p.Backup) -> Any:
    return session.service.backend.backup(params.dest)


def _checked_backup(session: Taking, msgid: MsgId, params: p.Backup, size_bytes: int) -> None:
    """It writes files with the daemon's rights, so whoever asks has to have shown that he may."""
    if session.unproven:
        raise UnauthenticatedError(
            "a backup is not made for whoever can reach a TCP port; ask over the unix socket, or start the daemon "
            "with --token-file"
        )
    if not os.path.isabs(check_path("dest", params.dest)):
        raise InvalidValueError("dest", params.dest, "an absolute path, as the daemon sees it")
    _slow("backup", _backup)(session, msgid, params, size_bytes)


def _statistics(session: Taking, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    service = session.service
    fields = structs.asdict(service.backend.statistics())
    session.charge(4)
    session.answer(msgid, DaemonStatistics(**fields, server=service.statistics()))


def _dead_letters(session: Taking, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    letters = session.service.backend.dead_letters()
    session.charge(len(letters) // 8)
    session.answer(msgid, letters)


def _config(session: Taking, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    session.charge(16)
    session.answer(msgid, session.service.config())


# ------------------------------------------------------------------ controls


def _control(method: str, send: Callable[[Taking, Any], Pending]) -> Answer:
    def answer(session: Taking, msgid: MsgId, params: Any, _size_bytes: int) -> None:
        room(session)
        ControlSlot(session, msgid, method, params, lambda: send(session, params))

    return answer


def _snapshot(session: Taking, msgid: MsgId, _params: p.NoParams, _size_bytes: int) -> None:
    room(session)
    when_done(session, msgid, "snapshot", None, session.service.backend.snapshot_nowait())


def _restart(session: Taking, msgid: MsgId, params: p.ModelName, _size_bytes: int) -> None:
    room(session)
    pending = session.service.backend.restart_nowait(params.model_id)
    when_done(session, msgid, "restart", params, pending)


def _replay(session: Taking, params: p.LetterIds) -> Any:
    if params.ids is not None:
        check_items("ids", len(params.ids), session.service.limits.batch_items_max)
    return session.service.backend.replay_dead_letters(params.ids)


def _pause(session: Taking, params: p.Pause) -> Pending:
    return session.service.backend.pause_nowait(params.model_id, params.until, params.reason)


def _resume(session: Taking, params: p.ModelName) -> Pending:
    return session.service.backend.resume_nowait(params.model_id)


def _reset(session: Taking, params: p.Reset) -> Pending:
    return session.service.backend.reset_nowait(params.model_id, params.reason)


def _set_posterior(session: Taking, params: p.SetPosterior) -> Pending:
    return session.service.backend.set_posterior_nowait(params.model_id, params.posterior)


ANSWERS: Final[dict[str, Answer]] = {
    "hello": _hello,
    "ping": _ping,
    "subscribe": _subscribe,
    "get_adaptive_params": _params_of,
    "get_adaptive_params_batch": _params_of_many,
    "thompson_sample": sample,
    "thompson_sample_batch": sample_many,
    "combine": _combine,
    "pool": _slow("pool", lambda session, params: session.service.backend.pool(as_of=params.as_of)),
    "models": _slow("models", lambda session, params: session.service.backend.models(as_of=params.as_of)),
    "report": _slow(
        "report", lambda session, params: session.service.backend.report(params.model_id, as_of=params.as_of)
    ),
    "reports": _slow("reports", lambda session, params: session.service.backend.reports(as_of=params.as_of)),
    "verify": _slow("verify", lambda session, _: session.service.backend.verify()),
    "statistics": _statistics,
    "dead_letters": _dead_letters,
    "config": _config,
    "snapshot": _snapshot,
    "backup": _checked_backup,
    "pause": _control("pause", _pause),
    "resume": _control("resume", _resume),
    "reset": _control("reset", _reset),
    "set_posterior": _control("set_posterior", _set_posterior),
    "restart": _restart,
    "replay_dead_letters": _slow("replay_dead_letters", _replay),
}
"""(session, msgid, params) → answers, now or once it is known. A HandicapperError raised is the answer."""
