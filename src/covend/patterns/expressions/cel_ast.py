"""The syntax tree of a CEL expression as its compiler writes it down, a protocol buffer.

The names of fields are those of cel.expr.CheckedExpr and what is in it. Only what is named here is
taken apart; all else is kept as the bytes that it is. Constants are never taken apart, so that
numbers and bytes are the only kinds of field that have to be written.
"""

from __future__ import annotations

from typing import Any

WRAPPED = 2
"""Where a serialised expression holds its CheckedExpr."""

TYPE_MAP, EXPR = 3, 4
"""Of a CheckedExpr."""
ID, CONST, IDENT, SELECT, CALL, LIST, STRUCT, COMPREHENSION = 2, 3, 4, 5, 6, 7, 8, 9
"""Of an Expr: its id, and the one of these that it is."""
OPERAND, FIELD = 1, 2
"""Of a Select."""
TARGET, FUNCTION, ARGS = 1, 2, 3
"""Of a Call."""
ITER_VAR, ITER_RANGE, ACCU_VAR, ACCU_INIT, LOOP_CONDITION, LOOP_STEP, RESULT = 1, 2, 3, 4, 5, 6, 7
"""Of a Comprehension, which every macro is: a fold of ``iter_range`` into ``accu_var``."""
ELEMENTS = 1
"""Of a CreateList."""
ENTRIES, MAP_KEY, VALUE = 2, 3, 4
"""Of a CreateStruct its entries, and what each of them has: a map literal is one, too."""
PRIMITIVE, WELL_KNOWN, LIST_TYPE, MAP_TYPE = 3, 5, 6, 7
"""Of a Type, the one of these that it is."""

Message = dict[int, list[Any]]


def checked(compiled: bytes) -> Message:
    """The CheckedExpr in a serialised expression."""
    return message(message(compiled)[WRAPPED][0])


def types(checked_expr: Message) -> dict[int, Message]:
    """The type of each part whose type is known, by the part's id."""
    entries = [message(entry) for entry in checked_expr.get(TYPE_MAP, [])]
    return {entry[1][0]: message(entry[2][0]) for entry in entries}


def id_of(expr: Message) -> int:
    """The id of an expression; 0 for one that was made here."""
    found: int = expr.get(ID, [0])[0]
    return found


def parts(expr: Message) -> list[bytes]:
    """The expressions directly in one that is no comprehension."""
    if SELECT in expr:
        return message(expr[SELECT][0])[OPERAND]
    if CALL in expr:
        call = message(expr[CALL][0])
        return [*call.get(TARGET, []), *call.get(ARGS, [])]
    if LIST in expr:
        return message(expr[LIST][0]).get(ELEMENTS, [])
    if STRUCT in expr:
        entries = [message(entry) for entry in message(expr[STRUCT][0]).get(ENTRIES, [])]
        return [
            part for entry in entries for part in (*entry.get(MAP_KEY, []), *entry.get(VALUE, []))
        ]
    return []


def ident(name: str) -> bytes:
    """The expression that is a variable."""
    return written({IDENT: [written({1: [name.encode()]})]})


def constant(value: bool | int) -> bytes:
    """The expression that is this value, not less than 0."""
    return written({CONST: [written({2 if isinstance(value, bool) else 3: [int(value)]})]})


def list_of(*items: bytes) -> bytes:
    """The expression that makes a list of others."""
    return written({LIST: [written({ELEMENTS: list(items)})]})


def call(function: str, *arguments: bytes) -> bytes:
    """The expression that calls a function or an operator."""
    called = {FUNCTION: [function.encode()], ARGS: list(arguments)}
    return written({CALL: [written(called)]})


def text(fields: Message, field: int) -> str:
    found: bytes = fields.get(field, [b""])[0]
    return found.decode()


def message(data: bytes) -> Message:
    """The fields of one protocol buffer message: numbers as int, all else as bytes."""
    found: Message = {}
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        match key & 7:
            case 0:
                value, at = _number(data, at)
            case 2:
                length, at = _number(data, at)
                value, at = data[at : at + length], at + length
            case wire:
                length = 8 if wire == 1 else 4
                value, at = data[at : at + length], at + length
        found.setdefault(key >> 3, []).append(value)
    return found


def written(fields: Message) -> bytes:
    """The message that has these fields, none of which is a fixed-size number."""
    found = bytearray()
    for field, values in fields.items():
        for value in values:
            if isinstance(value, int):
                found += _varint(field << 3) + _varint(value)
            else:
                found += _varint(field << 3 | 2) + _varint(len(value)) + value
    return bytes(found)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins here, and where it ends."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
