"""Hyperparameters that several embeddings declare; needs no torch."""

from automl_rec.plugin import Choice, Domain, Float

CODEC: dict[str, Domain] = {"precision": Choice(("fp32", "fp16", "int8"), "fp32")}
"""How the finished rows are stored."""


def sized_by(*knobs: str, default: float = 0.25) -> dict[str, Domain]:
    """The hyperparameters that size a scheme: by a share of the full tables' bytes, or its own.

    Args:
        knobs: what else it can be sized by; none if only by bytes.
        default: the share, unless a space says otherwise.
    """
    only_if = {"sized_by": ("budget",)} if knobs else {}
    budget = Float(0.001, 1.0, default, log=True, only_if=only_if)
    if not knobs:
        return {"budget": budget}
    return {"sized_by": Choice(("budget", *knobs), "budget", search=False), "budget": budget}
