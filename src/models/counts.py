"""The size of a model: parameters, and the operations of a forward pass."""

from __future__ import annotations

import torch
from torch import nn


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """The number of parameters, and of trained parameters."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def count_flops(model: nn.Module, input_shape: tuple[int, ...], text: bool = False) -> int | None:
    """Floating-point operations of a forward pass on one sample; None if they cannot be counted.

    Matrix products and convolutions are counted, in evaluation mode, a multiply-add as two. The sample is a float32
    tensor of `input_shape`; for a `text` of input_shape (n_tokens,), a dictionary of int64 input_ids and attention_mask.
    Model and random generators are not changed.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    sample = torch.zeros(1, *input_shape, device=device)
    x = {"input_ids": sample.long(), "attention_mask": torch.ones_like(sample).long()} if text else sample
    training = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # operations in it and in fused attention are not counted
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            torch.func.functional_call(model.eval(), buffers, (x,))
        return counter.get_total_flops() or None
    except Exception:  # raised by the model; if it is a real fault, the first batch raises it too
        return None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, was_training in training.items():
            module.training = was_training
