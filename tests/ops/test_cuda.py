"""The CUDA operators against the CPU ones, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from naswot_ext import ops
from naswot_ext.errors import NaswotError

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.skipif(not ops.build_info()["cuda"], reason="the library was built without CUDA"),
]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def kernel_and_count(activations: Tensor) -> tuple[Tensor, Tensor]:
    images, device = len(activations), activations.device
    kernel = torch.arange(images * images, device=device).view(images, images)
    nonfinite = torch.full((1,), 7, device=device)
    ops.hamming_accumulate_(kernel, activations, nonfinite)
    return kernel, nonfinite


def assert_as_on_the_cpu(on_gpu: Tensor) -> None:
    for ours, expected in zip(kernel_and_count(on_gpu), kernel_and_count(on_gpu.cpu()), strict=True):
        assert torch.equal(ours.cpu(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [0, 1, 31, 32, 33, 1023, 1025, 40_001])
def test_kernels_and_counts_equal_the_cpu_for_every_dtype_and_number_of_units(dtype: torch.dtype, units: int) -> None:
    x = normal(19, units, dtype=dtype, seed=units)
    if units:
        x[0, 0], x[3, units // 2], x[-1, -1] = torch.nan, torch.inf, -torch.inf
    assert_as_on_the_cpu(x.cuda())


@pytest.mark.parametrize("images", [1, 2, 15, 16, 17, 128, 129, 300])
def test_kernels_equal_the_cpu_for_every_batch_size(images: int) -> None:
    assert_as_on_the_cpu(normal(images, 3, 33, 9).cuda())


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "permuted": lambda x: x.permute(0, 2, 3, 1),
    "channel slice": lambda x: x[:, 1:4],
    "every other image": lambda x: x[::2],
    "expanded images": lambda x: x[:1].expand_as(x),
    "images innermost": lambda x: x.flatten(1).T.contiguous().T,
    "every other unit": lambda x: x[..., ::2],
    "expanded units": lambda x: x[..., :1].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_equal_the_cpu_for_every_layout(layout: str, dtype: torch.dtype) -> None:
    assert_as_on_the_cpu(LAYOUTS[layout](normal(18, 5, 11, 13, dtype=dtype).cuda()))


def test_special_values_have_the_codes_of_the_cpu() -> None:
    denormal = 1e-40
    values = [0.0, -0.0, denormal, -denormal, 3e38, -3e38, torch.inf, -torch.inf, torch.nan]
    assert_as_on_the_cpu(torch.tensor(values)[:, None].repeat(1, 45).cuda())


def test_a_strided_kernel_is_filled_in_place() -> None:
    x = normal(9, 70)
    kernel = torch.zeros(18, 18, dtype=torch.int64, device="cuda")[::2, 1::2].T
    ops.hamming_accumulate_(kernel, x.cuda())
    assert torch.equal(kernel.cpu(), ops.reference_hamming(x))


def test_work_follows_the_current_stream() -> None:
    x = normal(32, 100_000).cuda()
    kernel = torch.zeros(32, 32, dtype=torch.int64, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        ops.hamming_accumulate_(kernel, x)
        sign, _ = ops.slogdet(kernel)
    stream.synchronize()
    assert torch.equal(kernel.cpu(), ops.reference_hamming(x.cpu()))
    assert sign.item() == 1.0


def test_nothing_waits_for_the_device() -> None:
    x = normal(32, 1000).cuda()
    kernel = torch.zeros(32, 32, dtype=torch.int64, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        ops.hamming_accumulate_(kernel, x)
        ops.slogdet(kernel)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("images", [1, 2, 31, 32, 33, 128, 200])
def test_determinants_equal_the_cpu(images: int) -> None:
    kernels = torch.stack([ops.reference_hamming(normal(images, 4 * images, seed=s)) for s in range(5)])
    kernels[1] = 0
    kernels[2, -1], kernels[2, :, -1] = kernels[2, 0].clone(), kernels[2, :, 0].clone()
    kernels[3] -= 2 * images  # not positive definite
    sign, logabsdet = ops.slogdet(kernels.cuda())
    expected_sign, expected = ops.slogdet(kernels)
    assert torch.equal(sign.cpu(), expected_sign)
    # The pivots are the same bits; the devices' logarithms may differ in the last one.
    torch.testing.assert_close(logabsdet.cpu(), expected, rtol=4e-16, atol=1e-15)


def test_empty_matrices_and_batches() -> None:
    assert [t.tolist() for t in ops.slogdet(torch.zeros(0, 0, dtype=torch.int64, device="cuda"))] == [1.0, 0.0]
    assert [t.tolist() for t in ops.slogdet(torch.zeros(0, 5, 5, dtype=torch.int64, device="cuda"))] == [[], []]


def test_opcheck_passes() -> None:
    kernel = torch.zeros(5, 5, dtype=torch.int64, device="cuda")
    torch.library.opcheck(torch.ops.naswot.hamming_accumulate_.default, (kernel, normal(5, 33).cuda(), None))
    torch.library.opcheck(torch.ops.naswot.slogdet.default, (kernel,))


def test_tensors_on_two_devices_are_refused() -> None:
    kernel = torch.zeros(4, 4, dtype=torch.int64)
    with pytest.raises(NaswotError, match=r"kernel is on cpu but activations are on cuda"):
        ops.hamming_accumulate_(kernel, normal(4, 9).cuda())
    with pytest.raises(NaswotError, match=r"kernel is on cuda:0 but activations are on cpu"):
        ops.hamming_accumulate_(kernel.cuda(), normal(4, 9))
