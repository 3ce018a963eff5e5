"""The server's side of the wire: sessions take turns, groups of inputs go on together.

Reading order: :mod:`.session` (bytes to messages, in turns), :mod:`.taking` (messages to calls), :mod:`.groups`
(calls to the learner, and back in order), :mod:`.held` (what it has no room for), :mod:`.questions` (everything
that is no input), :mod:`.lanes` (the order of their answers), :mod:`.outgoing` (answers), :mod:`.service` (what
sessions share), :mod:`.feed` (notifications), :mod:`.socket_edge` (a socket around a session).
:mod:`handicapper.protocol.server` listens.
"""
