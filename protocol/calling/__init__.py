"""The client's side of the wire: what both clients share, and the parts of each.

Reading order: :mod:`.exchange` (what was asked and is owed, without a socket), :mod:`.requests` (calls to
params), :mod:`.link` and :mod:`.aio_link` (sockets around it). The clients themselves are
:mod:`handicapper.protocol.client` and :mod:`handicapper.protocol.aio`.
"""
