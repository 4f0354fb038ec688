"""The crash kit: kills a real program at every gap between two of its I/O calls.

It watches system calls from outside (ptrace), so it needs nothing of the program but that it ends
by itself: point it at covend or at any other engine. ``survey`` sees the calls of an undisturbed
run, ``Run.gaps`` gives a kill for every gap between them, and ``crash`` runs it again with one
``Fault``: killed before or after the n-th call, a write torn in half and then killed, a disk that
is full from there on, or syncs that take their time. Then start it again and compare: a whole
example, with its output, is in docs/crash-kit.md.
"""

from covend.testing.crash.kit import Call, Damage, Fault, Run, Target, crash, survey, traceable

__all__ = ["Call", "Damage", "Fault", "Run", "Target", "crash", "survey", "traceable"]
