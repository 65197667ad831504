import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from automl_rec_models import softmax as module
from automl_rec_models.softmax import cross_entropy


@pytest.mark.parametrize("chunk", [1, 20, 1 << 20])
def test_loss_and_slopes_are_those_of_torch_whatever_the_chunk(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_LOGITS", chunk)
    generator = torch.Generator().manual_seed(0)
    states, rows = (
        torch.randn(n, 4, dtype=torch.float64, generator=generator, requires_grad=True)
        for n in (6, 9)
    )
    targets = torch.tensor([0, 8, 3, 3, 1, 7])
    ours = cross_entropy(states, rows, targets)
    torch.testing.assert_close(ours, F.cross_entropy(states @ rows.T, targets))
    assert gradcheck(lambda x, w: 3 * cross_entropy(x, w, targets), (states, rows))
