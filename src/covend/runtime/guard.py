"""Ties a command's life to this process: whatever ends this one ends the command as well (S16).

A guard waits in the command's own process group for the end of this process's pipe (see
``process``), which comes however the process goes, SIGKILL included; then it kills the group. It is
there before the command is, so there is no moment without it. It goes with the group: whoever kills
that needs to know nothing of it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence

from covend.runtime.process import spawner

# The guard's parent leaves at once, so that the command has no child that it did not start. What is
# sent to the whole group short of SIGKILL ends no guard; a pipe that cannot be opened is one that
# has ended.
_SCRIPT = """
trap '' HUP INT QUIT TERM
( { read -r _ <"$0"; kill -KILL -$$; } >/dev/null 2>&1 & )
trap - HUP INT QUIT TERM
exec "$@"
"""


def guarded(command: Sequence[str]) -> list[str]:
    """The command with its guard: to be started as the leader of a new session, by any means.

    Raises ``FileNotFoundError`` when there is no such program, and ``PermissionError`` when the
    path leads to something that may not be run. Any thread.
    """
    program = command[0]
    if shutil.which(program) is None:
        there = os.path.dirname(program) and os.path.exists(program)
        why = errno.EACCES if there else errno.ENOENT
        raise OSError(why, os.strerror(why), program)
    return ["/bin/sh", "-c", _SCRIPT, spawner().life, *command]
