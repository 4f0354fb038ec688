"""Members that an expression asks of what has none such: it would fail whenever it is evaluated.

The compiler takes any member of a map for one that may be there. What some names hold is known,
though: a condition on ``know.statuss`` is never met, and nobody would hear why.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping

from covend.patterns.expressions import cel_ast
from covend.patterns.expressions.cel_ast import Message, message, text

_COMPREHENDED = (
    cel_ast.ITER_RANGE,
    cel_ast.ACCU_INIT,
    cel_ast.LOOP_CONDITION,
    cel_ast.LOOP_STEP,
    cel_ast.RESULT,
)


def unknown_member(compiled: bytes, known: Mapping[str, Collection[str]]) -> str | None:
    """What is wrong with the first member that a name has not, and what would be right, or None.

    ``known`` are the members of the names that are known; a macro's variable of the same name is
    another one.
    """
    expr = cel_ast.checked(compiled)[cel_ast.EXPR][0]
    for name, member in _members(message(expr), frozenset(known)):
        if member not in known[name]:
            near = difflib.get_close_matches(member, known[name], n=1, cutoff=0.6)
            right = (
                f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known[name]))}"
            )
            return f"{name} has no member {member}; {right}"
    return None


def _members(expr: Message, names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Each member of one of these names that is asked for, in the order of the source."""
    if cel_ast.COMPREHENSION in expr:
        loop = message(expr[cel_ast.COMPREHENSION][0])
        inside = names - {text(loop, cel_ast.ITER_VAR), text(loop, cel_ast.ACCU_VAR)}
        for field in _COMPREHENDED:
            over = names if field in (cel_ast.ITER_RANGE, cel_ast.ACCU_INIT) else inside
            yield from _members(message(loop[field][0]), over)
        return
    if cel_ast.SELECT in expr:
        select = message(expr[cel_ast.SELECT][0])
        operand = message(select[cel_ast.OPERAND][0])
        if cel_ast.IDENT in operand:
            name = text(message(operand[cel_ast.IDENT][0]), 1)
            if name in names:
                yield name, text(select, cel_ast.FIELD)
    for part in cel_ast.parts(expr):
        yield from _members(message(part), names)
