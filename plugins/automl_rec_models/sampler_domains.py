"""The hyperparameters that name how positives and negatives are drawn."""

from collections.abc import Mapping

from automl_rec.plugin import Choice, Domain, Float, Value


def sampler_domains(
    *samplers: str, only_if: Mapping[str, tuple[Value, ...]] | None = None
) -> dict[str, Domain]:
    """The domains ``sampler``, ``exponent`` and ``draw``.

    Args:
        *samplers: those that suit the model, the one it was published with first.
        only_if: hyperparameters, and their values, under which negatives are sampled.
    """
    return {
        "sampler": Choice(samplers, samplers[0], only_if=only_if or {}),
        "exponent": Float(0.25, 1.0, 0.75, only_if={"sampler": ("popularity",)}),
        "draw": Choice(("edge", "user"), "edge"),
    }
