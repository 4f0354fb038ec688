"""Dividing a soulstone's slots among several gates. Pure.

A slot may be given to one gate only after the gate it is taken from has shown that it no longer
counts on it, or two gates would fill the same slot. So what a gate is *sent* shrinks at once, and
grows only as far as what the others have acknowledged leaves room for.
"""

from __future__ import annotations

from collections.abc import Mapping


def fair_share(total: int, in_use: Mapping[str, int], waiting: Mapping[str, int]) -> dict[str, int]:
    """Slots per gate: what each uses, then what its waiting requests want, then evenly.

    >>> fair_share(4, {"a": 1, "b": 0}, {"a": 0, "b": 2})
    {'a': 2, 'b': 2}
    """
    gates = sorted(in_use)
    share = {gate: in_use[gate] for gate in gates}
    left = max(0, total - sum(share.values()))
    wanting = {gate: waiting.get(gate, 0) for gate in gates}
    while left and any(wanting.values()):
        for gate in gates:
            if left and wanting[gate]:
                share[gate] += 1
                wanting[gate] -= 1
                left -= 1
    while left and gates:
        gate = min(gates, key=lambda name: (share[name], name))
        share[gate] += 1
        left -= 1
    return share


def safe_grant(
    total: int, wanted: Mapping[str, int], acknowledged: Mapping[str, int]
) -> dict[str, int]:
    """What may be sent now: never more than ``total`` over what any gate may still believe.

    ``acknowledged`` is the most slots each gate may count on at this moment (the larger of what it
    was sent and has not confirmed, and what it has in use).
    """
    granted: dict[str, int] = {}
    room = total - sum(max(acknowledged.get(gate, 0), 0) for gate in wanted)
    for gate in sorted(wanted):
        believed = acknowledged.get(gate, 0)
        if wanted[gate] <= believed:
            granted[gate] = wanted[gate]
        else:
            extra = min(wanted[gate] - believed, max(0, room))
            granted[gate] = believed + extra
            room -= extra
    return granted
