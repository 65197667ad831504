import subprocess
import sys

import pytest
import torch
from torch import nn

from automl_rec.training.adam import Adam


@pytest.mark.slow
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.98)])
def test_it_moves_as_torchs_own(betas: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((5, 3), (4,), (2,))]
    ours, theirs = ([nn.Parameter(part.clone()) for part in start] for _ in range(2))
    mine, other = Adam(ours, 0.01, betas), torch.optim.Adam(theirs, 0.01, betas)
    for step in range(20):
        for parts in (ours, theirs):
            chosen = parts[:2] if step % 3 else parts[:1]  # a slope for some, or none
            sum(((part - 0.3) ** 4).sum() for part in chosen).backward()  # type: ignore[union-attr]
        mine.step()
        other.step()
        mine.clear()
        other.zero_grad()
    for part, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(part, reference, rtol=1e-6, atol=1e-7)
    assert torch.equal(ours[2].detach(), start[2])
    assert not torch.equal(ours[1].detach(), start[1])


def test_what_is_forgotten_starts_anew() -> None:
    part, fresh = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    adam = Adam([part], 0.1)
    for _ in range(5):
        part.grad = torch.ones(3)
        adam.step()
    adam.forget(part, torch.tensor([True, False, False]))
    adam.forget(fresh, torch.ones(3, dtype=torch.bool))  # of another optimiser: nothing is known
    before = part.detach().clone()
    part.grad = torch.zeros(3)
    adam.step()
    assert part[0] == before[0]
    assert (part[1:] != before[1:]).all()


@pytest.mark.slow
def test_a_step_imports_no_compiler() -> None:
    program = (
        "import sys, torch; from torch import nn; from automl_rec.training.adam import Adam\n"
        "part = nn.Parameter(torch.ones(2)); adam = Adam([part], 0.1)\n"
        "part.sum().backward(); adam.step(); print('torch._dynamo' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
