"""Linear layers on sparse batches: the same numbers as on dense ones, whatever way the weights are stored."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from src import config as configs
from src.models import build_model
from src.optim.averaging import IterateAverage


def build(name: str, shape: tuple[int, ...], outputs: int, sparse: bool) -> nn.Module:
    torch.manual_seed(0)
    return build_model(configs.build({"dataset": "libsvm/own", "model": name}), shape, outputs, sparse=sparse)


def sparse_batch(dense: Tensor, index_type: torch.dtype = torch.int32) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR tensors a beta feature
        x = dense.to_sparse_csr()
        columns, starts = x.col_indices().to(index_type), x.crow_indices().to(index_type)
        return torch.sparse_csr_tensor(starts, columns, x.values(), dense.shape)


def outputs_and_gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    outputs = model(x)
    weights = torch.arange(1.0, outputs.numel() + 1, device=outputs.device).reshape(outputs.shape)
    (outputs * weights).sum().backward()
    return [outputs.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@given(
    batch_size=st.integers(1, 7),
    features=st.integers(1, 40),
    outputs=st.integers(1, 6),
    density=st.sampled_from([0.0, 0.1, 1.0]),
    index_type=st.sampled_from([torch.int32, torch.int64]),
    stored=st.booleans(),
    name=st.sampled_from(["linear", "linear/no_bias"]),
)
def test_a_sparse_batch_gives_outputs_and_gradients_of_the_dense_one(
    batch_size: int, features: int, outputs: int, density: float, index_type: torch.dtype, stored: bool, name: str
) -> None:
    generator = torch.Generator().manual_seed(batch_size)
    shape = (batch_size, features)
    dense = torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) < density)

    expected = outputs_and_gradients(build(name, (features,), outputs, sparse=False), dense)
    found = outputs_and_gradients(build(name, (features,), outputs, sparse=stored), sparse_batch(dense, index_type))

    assert len(found) == len(expected)
    for mine, of_dense in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, of_dense, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_numbers_of_the_cpu_and_the_same_each_time() -> None:
    dense = torch.randn(64, 5000) * (torch.rand(64, 5000) < 0.01)
    model = build("linear", (5000,), 3, sparse=True)
    expected = outputs_and_gradients(model, dense)
    x, model = sparse_batch(dense).cuda(), model.cuda()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = outputs_and_gradients(model, x), outputs_and_gradients(model, x)
    finally:
        torch.use_deterministic_algorithms(False)
    for once, again, on_cpu in zip(first, second, expected, strict=True):
        assert torch.equal(once, again)
        torch.testing.assert_close(once.cpu(), on_cpu, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("init", [None, "rand", "zero"])
def test_a_model_starts_with_the_same_weights_for_sparse_data_as_for_dense(init: str | None) -> None:
    config = configs.build({"dataset": "libsvm/own", "model": "linear", "model_head_init": init})
    states = []
    for sparse in (False, True):
        torch.manual_seed(0)
        states.append(build_model(config, (30,), 4, sparse=sparse).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_weights_trained_on_sparse_data_load_into_a_model_of_dense_ones_and_back(tmp_path) -> None:
    for_sparse, for_dense = build("linear", (30,), 4, sparse=True), build("linear", (30,), 4, sparse=False)
    dense = torch.randn(5, 30)
    with torch.no_grad():
        for_sparse[1].weight.normal_()
    torch.save(for_sparse.state_dict(), tmp_path / "weights.pt")

    for_dense.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))

    torch.testing.assert_close(for_dense(dense), for_sparse(sparse_batch(dense)))
    back = build("linear", (30,), 4, sparse=True)
    back.load_state_dict(for_dense.state_dict())
    assert torch.equal(back[1].weight, for_sparse[1].weight)


def test_the_average_of_the_iterates_takes_sparse_batches_too() -> None:
    model, x = build("linear", (30,), 4, sparse=True), torch.randn(5, 30)
    average = IterateAverage(model, "poly", 0.0)
    average.update_parameters(model)
    torch.testing.assert_close(average.module(sparse_batch(x)), model(x))


def test_frozen_weights_get_no_gradient() -> None:
    model = build("linear", (30,), 4, sparse=True)
    model[1].weight.requires_grad_(False)
    model(sparse_batch(torch.randn(5, 30))).sum().backward()
    assert model[1].weight.grad is None
    assert model[1].bias.grad is not None


@pytest.mark.parametrize("name", ["tiny/lenet", "timm/resnet18", "hf/bert-base-uncased"])
def test_a_model_that_takes_no_sparse_data_says_what_to_do(name: str) -> None:
    with pytest.raises(ValueError, match=rf"'{name}' takes no sparse data.*'libsvm/own'.*raise max_dense_gb"):
        build(name, (30,), 4, sparse=True)
