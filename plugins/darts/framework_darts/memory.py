"""The memory of a fit: the weights as training keeps them, and one batch on its way through."""

from __future__ import annotations

import torch

from framework_darts.modules import Sizes, module_input

#: Copies of the weights: themselves, their gradients, two moments of Adam, the best so far.
_COPIES = 5
#: Windows that are sent through to count.
_FEW = 4
#: Bytes of each number of a window: as it is gathered, scaled and given to the module.
_GATHERED = 20
#: Bytes of each window that say where it is: its row, its end, its place in the shuffled order.
#: Beside them it has a centre and a size of each target.
_INDEX = 64


def fit_bytes(
    module: torch.nn.Module, sizes: Sizes, windows: int, batch_size: int, on_gpu: bool
) -> int:
    """Estimate what training takes beside the rows.

    Args:
        module: New.
        sizes: Of the module.
        windows: How many are learned from and looked at.
        batch_size: Windows of a step.
        on_gpu: Weights and batches are in the memory of a GPU.

    Returns:
        Bytes of the machine's memory.
    """
    index = (_INDEX + 2 * 8 * sizes.targets) * windows
    if on_gpu:
        return index
    weights = sum(parameter.nbytes for parameter in module.parameters())
    known = {parameter.data_ptr() for parameter in module.parameters()}
    saved_bytes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved_bytes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module.train()(module_input(_FEW, sizes)).prediction
        output.square().mean()
    rows = sizes.length * (sizes.targets + sizes.past + sizes.future)
    rows += sizes.horizon * (sizes.targets + sizes.future) + sizes.static
    # a step backward makes a gradient of what it passes; two of a kind are there at a time
    window = 2 * sum(saved_bytes.values()) // _FEW + _GATHERED * rows
    batch = window * min(batch_size, windows)
    return index + _COPIES * weights + batch
