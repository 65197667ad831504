"""The hyperparameters of the training loop, which every model trained by gradient declares."""

from automl_rec.plugin.domain import Choice, Domain, Float, Integer

BATCH_SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384)


def gradient_training(
    *,
    learning_rate: float = 1e-3,
    batch_size: int = 2048,
    batch_sizes: tuple[int, ...] = BATCH_SIZES,
    epochs: int = 200,
    patience: int = 10,
) -> dict[str, Domain]:
    """Domains of the training loop, with a model's own published defaults.

    Args:
        learning_rate: Adam's; searched from 1e-4 to 1e-1, logarithmically.
        batch_size: positives a step.
        batch_sizes: those a search may choose from.
        epochs: passes over the interactions at most; fixed unless a space names it.
        patience: evaluations on validation without a gain before training ends; fixed unless a
            space names it.
    """
    return {
        "learning_rate": Float(1e-4, 1e-1, learning_rate, log=True),
        "batch_size": Choice(batch_sizes, batch_size),
        "epochs": Integer(1, 2000, epochs, log=True, search=False),
        "patience": Integer(1, 1000, patience, log=True, search=False),
        "evaluate_every": Integer(1, 100, 1, search=False),
    }
