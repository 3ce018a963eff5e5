"""What a daemon has to do besides serving: start, say so, listen, log, reload, watch its parent, stop.

:mod:`.running` puts it together; the command is :mod:`handicapper.bin.serve`.
"""
