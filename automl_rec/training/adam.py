"""Adam, without the compiler that torch.optim imports."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class Adam:
    """Adam (Kingma and Ba, 2015) by torch's fused kernel.

    The first optimiser of ``torch.optim`` imports torch's compiler: 1.7 s of processor time in
    every worker for nothing that is used.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self._parameters = list(parameters)
        self._learning_rate, self._betas = learning_rate, betas
        self._means = [torch.zeros_like(part) for part in self._parameters]
        self._squares = [torch.zeros_like(part) for part in self._parameters]
        self._steps = [torch.zeros(()) for _ in self._parameters]
        self._numbers = {id(part): number for number, part in enumerate(self._parameters)}

    def clear(self) -> None:
        """Forgets the slopes."""
        for part in self._parameters:
            part.grad = None

    @torch.no_grad()
    def forget(self, parameter: nn.Parameter, places: Tensor) -> None:
        """Takes the moments of a parameter back to 0 where ``places`` (bool, its shape) holds.

        Of a parameter that another optimiser steps there are none.
        """
        number = self._numbers.get(id(parameter))
        if number is not None:
            for moments in (self._means[number], self._squares[number]):
                moments.masked_fill_(places, 0.0)

    def state(self) -> dict[str, Tensor]:
        """The moments and steps of every parameter, by name; written to by `torch.Tensor.copy_`."""
        parts = {"mean": self._means, "square": self._squares, "steps": self._steps}
        return {f"{part}.{n}": t for part, tensors in parts.items() for n, t in enumerate(tensors)}

    @torch.no_grad()
    def step(self) -> None:
        """Moves every parameter that has a slope."""
        moved = [n for n, part in enumerate(self._parameters) if part.grad is not None]
        steps = [self._steps[n] for n in moved]
        torch._foreach_add_(steps, 1.0)
        torch._fused_adam_(
            [self._parameters[n] for n in moved],
            [part.grad for part in self._parameters if part.grad is not None],
            [self._means[n] for n in moved],
            [self._squares[n] for n in moved],
            [],
            steps,
            lr=self._learning_rate,
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
