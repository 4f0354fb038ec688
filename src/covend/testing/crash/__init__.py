"""The crash kit: kills a real program at every gap between two of its I/O calls.

It watches system calls from outside (ptrace), so it needs nothing of the program: point it at
covend or at any other engine. ``survey`` counts the calls of an undisturbed run, ``crash`` runs it
again with one ``Fault``: killed before or after the n-th call, a write torn in half and then
killed, a disk that is full from there on, or an fsync that takes its time.

>>> from covend.testing.crash import Fault, Target, crash, survey   # doctest: +SKIP
>>> program = Target([sys.executable, "engine.py"], folders=[state])  # doctest: +SKIP
>>> for gap in survey(program).gaps():                               # doctest: +SKIP
...     crash(program, Fault("kill", gap))                           # doctest: +SKIP
"""

from covend.testing.crash.kit import Call, Damage, Fault, Run, Target, crash, survey, traceable

__all__ = ["Call", "Damage", "Fault", "Run", "Target", "crash", "survey", "traceable"]
