"""How macros go round: what is changed in a compiled expression before it is evaluated.

**Over a map in the order of its keys, in every process (P2).** The evaluator's maps are hash tables
with another seed in each process, and so is the order in which its macros go over them: what
``m.map(k, k)`` gives, which of two errors is told, and how many rounds it takes ``m.exists(k, …)``
to find one. So each range that may be a map is put into

    type(range) == type({}) ? in_order(range.map(key, key)) : range

where ``range`` is bound, so that it is evaluated once. Ranges that are known to be lists stay as
they are. Listing the keys of a map takes as many of an evaluation's rounds as there are keys. What
Python cannot tell apart comes back as one: an unsigned key of a map literal is an ``int``.

**Gathering without a copy for each round (P15).** ``map`` and ``filter`` are folds of
``accu_var + [item]``, and each such list is there until the evaluation ends: ten thousand items
took 1.6 GB. So they gather into a list of two lists, and add the second, which is short, to the
first when it is full.
"""

from __future__ import annotations

from typing import Final

from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

from covend.patterns.expressions import cel_ast
from covend.patterns.expressions.cel_ast import (
    Message,
    call,
    constant,
    ident,
    list_of,
    message,
    written,
)

FULL = 100
"""Items of the short list when it is added to the first: the root of how often macros go round,
by which the copies of both lists together are the fewest."""

_IN_ORDER = "@in_order"
"""No source can name this function, nor the variables below."""
_RANGE, _KEY, _ACCUMULATED, _UNUSED = "@range", "@key", "@result", "#unused"

_HOLDS = {
    cel_ast.SELECT: (cel_ast.OPERAND,),
    cel_ast.CALL: (cel_ast.TARGET, cel_ast.ARGS),
    cel_ast.LIST: (cel_ast.ELEMENTS,),
    cel_ast.COMPREHENSION: (
        cel_ast.ITER_RANGE,
        cel_ast.ACCU_INIT,
        cel_ast.LOOP_CONDITION,
        cel_ast.LOOP_STEP,
        cel_ast.RESULT,
    ),
}
"""In which of its fields an expression of each kind holds others."""


def rewritten(serialized: bytes) -> bytes | None:
    """A serialised expression with its macros changed; None: there is nothing to change.

    The environment that takes it must have ``IN_ORDER``.
    """
    outer = message(serialized)
    checked = message(outer[cel_ast.WRAPPED][0])
    lists = {part for part, kind in cel_ast.types(checked).items() if cel_ast.LIST_TYPE in kind}
    macros = _Macros(lists)
    checked[cel_ast.EXPR] = [macros.changed_in(checked[cel_ast.EXPR][0])]
    outer[cel_ast.WRAPPED] = [written(checked)]
    return written(outer) if macros.changed else None


class _Macros:
    """The macros of one expression; ``lists`` are its parts that are known to be lists."""

    def __init__(self, lists: set[int]) -> None:
        self.lists = lists
        self.changed = False

    def changed_in(self, data: bytes) -> bytes:
        """An expression, with all that are in it."""
        expr = message(data)
        for kind, fields in _HOLDS.items():
            if kind in expr:
                expr[kind] = [self._within(expr[kind][0], fields)]
        if cel_ast.STRUCT in expr:
            struct = message(expr[cel_ast.STRUCT][0])
            entries = struct.get(cel_ast.ENTRIES, [])
            struct[cel_ast.ENTRIES] = [
                self._within(entry, (cel_ast.MAP_KEY, cel_ast.VALUE)) for entry in entries
            ]
            expr[cel_ast.STRUCT] = [written(struct)]
        if cel_ast.COMPREHENSION in expr:
            expr[cel_ast.COMPREHENSION] = [self._macro(message(expr[cel_ast.COMPREHENSION][0]))]
        return written(expr)

    def _within(self, data: bytes, fields: tuple[int, ...]) -> bytes:
        """A message that holds expressions in these fields."""
        holder = message(data)
        for field in fields:
            if field in holder:
                holder[field] = [self.changed_in(part) for part in holder[field]]
        return written(holder)

    def _macro(self, macro: Message) -> bytes:
        iter_range = message(macro[cel_ast.ITER_RANGE][0])
        if cel_ast.LIST not in iter_range:
            self.changed |= _gathers_in_two(macro)
        if cel_ast.id_of(iter_range) not in self.lists:
            macro[cel_ast.ITER_RANGE] = [_keys_of_a_map(macro[cel_ast.ITER_RANGE][0])]
            self.changed = True
        return written(macro)


def _keys_of_a_map(iter_range: bytes) -> bytes:
    """The keys of a range that is a map, in order; else the range."""
    found = ident(_RANGE)
    is_map = call("_==_", call("type", found), call("type", written({cel_ast.STRUCT: [b""]})))
    listing = _comprehension(_KEY, found, _ACCUMULATED, list_of(), loop_condition=True)
    listing[cel_ast.LOOP_STEP] = [call("_+_", ident(_ACCUMULATED), list_of(ident(_KEY)))]
    listing[cel_ast.RESULT] = [ident(_ACCUMULATED)]
    _gathers_in_two(listing)
    keys = call(_IN_ORDER, written({cel_ast.COMPREHENSION: [written(listing)]}))
    binding = _comprehension(_UNUSED, list_of(), _RANGE, iter_range, loop_condition=False)
    binding[cel_ast.LOOP_STEP] = [found]
    binding[cel_ast.RESULT] = [call("_?_:_", is_map, keys, found)]
    return written({cel_ast.COMPREHENSION: [written(binding)]})


def _comprehension(
    iter_var: str, iter_range: bytes, accu_var: str, accu_init: bytes, *, loop_condition: bool
) -> Message:
    """One whose ``loop_step`` and ``result`` are yet to be said."""
    return {
        cel_ast.ITER_VAR: [iter_var.encode()],
        cel_ast.ITER_RANGE: [iter_range],
        cel_ast.ACCU_VAR: [accu_var.encode()],
        cel_ast.ACCU_INIT: [accu_init],
        cel_ast.LOOP_CONDITION: [constant(loop_condition)],
    }


def _gathers_in_two(macro: Message) -> bool:
    """Let a macro that gathers a list do so in two; False: it gathers none."""
    accu_var = macro[cel_ast.ACCU_VAR][0].decode()
    loop_step = message(macro[cel_ast.LOOP_STEP][0])
    if cel_ast.CALL not in loop_step or cel_ast.LIST not in message(macro[cel_ast.ACCU_INIT][0]):
        return False
    called = message(loop_step[cel_ast.CALL][0])
    if cel_ast.text(called, cel_ast.FUNCTION) == "_?_:_":  # gathers, or leaves it as it is
        condition, gathers, leaves = called[cel_ast.ARGS]
        added = message(message(gathers)[cel_ast.CALL][0])[cel_ast.ARGS][1]
        step_in_two = call("_?_:_", condition, _add_in_two(accu_var, added), leaves)
    else:
        step_in_two = _add_in_two(accu_var, called[cel_ast.ARGS][1])
    first, second = _both_lists(accu_var)
    macro[cel_ast.ACCU_INIT] = [list_of(list_of(), list_of())]
    macro[cel_ast.LOOP_STEP] = [step_in_two]
    macro[cel_ast.RESULT] = [call("_+_", first, second)]
    return True


def _add_in_two(accu_var: str, added: bytes) -> bytes:
    """The second list with what is added, the first with the second once that is full."""
    first, second = _both_lists(accu_var)
    full = call("_>=_", call("size", second), constant(FULL))
    return list_of(
        call("_+_", first, call("_?_:_", full, second, list_of())),
        call("_+_", call("_?_:_", full, list_of(), second), added),
    )


def _both_lists(accu_var: str) -> tuple[bytes, bytes]:
    return (
        call("_[_]", ident(accu_var), constant(0)),
        call("_[_]", ident(accu_var), constant(1)),
    )


def _sorted(keys: list[object]) -> list[object]:
    """Texts by their code points; a literal may mix bools, numbers and texts."""
    return sorted(keys, key=lambda key: (type(key).__name__, key))


IN_ORDER: Final = cel.FunctionDecl(
    _IN_ORDER,
    [
        cel.Overload(
            id="in_order",
            return_type=cel.Type("list<dyn>"),
            parameters=[cel.Type("list<dyn>")],
            is_member=False,
            impl=_sorted,
        )
    ],
)
"""The function that an expression from ``rewritten`` calls."""
