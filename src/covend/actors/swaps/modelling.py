"""From the configuration to the deciders' model: the same facts in the will's own words. Pure."""

from __future__ import annotations

from covend.config import Box
from covend.will import model as will


def model_of(box: Box, capacities: dict[str, int] | None = None) -> will.Model:
    """The static model of a checked configuration.

    ``capacities`` are the measured ones, for devices whose capacity is not declared.
    """
    measured = capacities or {}
    whim = box.whim
    return will.Model(
        devices=[
            will.Device(d.name, d.capacity if d.capacity is not None else measured.get(d.name, 0))
            for d in box.device
        ],
        soulstones=[
            will.Soulstone(
                name=s.name,
                memory=dict(s.memory),
                serves=s.serves,
                authority=s.authority,
                discipline=s.discipline,
                slots=s.slots,
                lexicon=s.lexicon,
                load_seconds=s.load_seconds,
                service_seconds=s.service_seconds,
                prefill_rate=s.prefill_rate,
            )
            for s in box.soulstone
        ],
        covens=[
            will.Coven(c.name, c.soulstones, c.devices, c.coexists, c.inertia) for c in box.coven
        ],
        roles=[will.Role(r.name, r.tiers) for r in box.role],
        rules=will.Rules(
            kappa=whim.kappa,
            kappa_dominant=whim.kappa_dominant,
            kappa_dominant_max=whim.kappa_dominant_max,
            budget_low=whim.budget_low,
            budget_high=whim.budget_high,
            budget_window=whim.budget_window,
            think=whim.think,
            linger=whim.linger,
            lower_factor=whim.lower_factor,
            weights=dict(whim.weights),
            inertia=dict(whim.inertia),
            sla=dict(whim.sla),
            ingest_window_weight=whim.ingest_window_weight,
            ingest_max_wait=whim.ingest_max_wait,
            tier_up_seconds=whim.tier_up_seconds,
            lexical_reserve=box.lexical_reserve or 0,
        ),
    )
