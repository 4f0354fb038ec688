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
``gathered + [item]``, and each such list is there until the evaluation ends: ten thousand items
took 1.6 GB. So they gather into a list of two lists, and add the second, which is short, to the
first when it is full.
"""

from __future__ import annotations

from typing import Final

from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

from covend.patterns import cel_compiled as at
from covend.patterns.cel_compiled import Message, call, constant, ident, list_of, message, written

FULL = 100
"""The root of how often macros go round: most is saved there."""

_IN_ORDER = "@in_order"
"""No source can name this function, nor the variables below."""
_RANGE, _KEY, _GATHERED, _UNUSED = "@range", "@key", "@result", "#unused"

_HOLDS = {
    at.SELECT: (1,),
    at.CALL: (at.TARGET, at.ARGUMENTS),
    at.LIST: (1,),
    at.LOOP: (at.RANGE, at.BEGUN, at.GOES_ON, at.STEP, at.RESULT),
}
"""In which of its fields an expression of each kind holds others."""


def rewritten(serialized: bytes) -> bytes | None:
    """A serialised expression with its macros changed; None: there is nothing to change.

    The environment that takes it must have ``IN_ORDER``.
    """
    outer = message(serialized)
    checked = message(outer[at.WRAPPED][0])
    lists = {part for part, kind in at.types(checked).items() if at.LIST_TYPE in kind}
    macros = _Macros(lists)
    checked[at.EXPR] = [macros.changed_in(checked[at.EXPR][0])]
    outer[at.WRAPPED] = [written(checked)]
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
        if at.STRUCT in expr:
            struct = message(expr[at.STRUCT][0])
            entries = struct.get(at.ENTRIES, [])
            struct[at.ENTRIES] = [self._within(entry, (at.KEY, at.VALUE)) for entry in entries]
            expr[at.STRUCT] = [written(struct)]
        if at.LOOP in expr:
            expr[at.LOOP] = [self._macro(message(expr[at.LOOP][0]))]
        return written(expr)

    def _within(self, data: bytes, fields: tuple[int, ...]) -> bytes:
        """A message that holds expressions in these fields."""
        holder = message(data)
        for field in fields:
            if field in holder:
                holder[field] = [self.changed_in(part) for part in holder[field]]
        return written(holder)

    def _macro(self, loop: Message) -> bytes:
        range_ = message(loop[at.RANGE][0])
        if at.LIST not in range_:
            self.changed |= _gathers_in_two(loop)
        if range_.get(at.ID, [0])[0] not in self.lists:
            loop[at.RANGE] = [_keys_of_a_map(loop[at.RANGE][0])]
            self.changed = True
        return written(loop)


def _keys_of_a_map(range_: bytes) -> bytes:
    """The keys of a range that is a map, in order; else the range."""
    found = ident(_RANGE)
    is_map = call("_==_", call("type", found), call("type", written({at.STRUCT: [b""]})))
    listing = _loop(_KEY, found, _GATHERED, list_of(), go_on=True)
    listing[at.STEP] = [call("_+_", ident(_GATHERED), list_of(ident(_KEY)))]
    listing[at.RESULT] = [ident(_GATHERED)]
    _gathers_in_two(listing)
    keys = call(_IN_ORDER, written({at.LOOP: [written(listing)]}))
    binding = _loop(_UNUSED, list_of(), _RANGE, range_, go_on=False)
    binding[at.STEP] = [found]
    binding[at.RESULT] = [call("_?_:_", is_map, keys, found)]
    return written({at.LOOP: [written(binding)]})


def _loop(item: str, range_: bytes, gathered: str, begun: bytes, *, go_on: bool) -> Message:
    return {
        at.ITEM: [item.encode()],
        at.RANGE: [range_],
        at.GATHERED: [gathered.encode()],
        at.BEGUN: [begun],
        at.GOES_ON: [constant(go_on)],
    }


def _gathers_in_two(loop: Message) -> bool:
    """Let a macro that gathers a list do so in two; False: it gathers none."""
    gathered = loop[at.GATHERED][0].decode()
    step = message(loop[at.STEP][0])
    if at.CALL not in step or at.LIST not in message(loop[at.BEGUN][0]):
        return False
    called = message(step[at.CALL][0])
    if at.text(called, at.FUNCTION) == "_?_:_":  # a condition: gathers, or leaves it as it is
        condition, gathers, leaves = called[at.ARGUMENTS]
        added = message(message(gathers)[at.CALL][0])[at.ARGUMENTS][1]
        step_in_two = call("_?_:_", condition, _add_in_two(gathered, added), leaves)
    else:
        step_in_two = _add_in_two(gathered, called[at.ARGUMENTS][1])
    first, second = (call("_[_]", ident(gathered), constant(at_)) for at_ in (0, 1))
    loop[at.BEGUN] = [list_of(list_of(), list_of())]
    loop[at.STEP] = [step_in_two]
    loop[at.RESULT] = [call("_+_", first, second)]
    return True


def _add_in_two(gathered: str, added: bytes) -> bytes:
    first, second = (call("_[_]", ident(gathered), constant(at_)) for at_ in (0, 1))
    full = call("_>=_", call("size", second), constant(FULL))
    return list_of(
        call("_+_", first, call("_?_:_", full, second, list_of())),
        call("_+_", call("_?_:_", full, list_of(), second), added),
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
