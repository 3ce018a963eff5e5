"""Everything that is run: the ``handicapper`` command and the shell scripts beside it."""
