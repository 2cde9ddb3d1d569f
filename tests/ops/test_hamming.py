"""hamming_accumulate_ against the plain definition, at the instruction level that this process runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from naswot_ext import ops
from naswot_ext.errors import NaswotError

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def kernel_of(activations: Tensor) -> Tensor:
    kernel = torch.zeros(len(activations), len(activations), dtype=torch.int64)
    ops.hamming_accumulate_(kernel, activations)
    return kernel


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_the_level_asked_for_is_the_one_that_runs() -> None:
    supported = ops.build_info()["cpu_levels_supported"]
    assert ops.build_info()["cpu_level"] == (os.environ.get("NASWOT_CPU_LEVEL") or supported[-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [0, 1, 63, 64, 65, 511, 513, 5000])
def test_the_kernel_is_the_definition_for_every_dtype_and_number_of_units(dtype: torch.dtype, units: int) -> None:
    x = normal(7, units, dtype=dtype, seed=units)
    assert torch.equal(kernel_of(x), ops.reference_hamming(x))


@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 31, 64, 127, 128, 129, 300])
def test_the_kernel_is_the_definition_for_every_batch_size(images: int, threads: int) -> None:
    x = normal(images, 1100, seed=images)
    assert torch.equal(kernel_of(x), ops.reference_hamming(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("images", "units"), [(3, 140_001), (67, 9_000), (130, 33_001), (300, 14_001)])
def test_several_blocks_and_threads_add_up(images: int, units: int, dtype: torch.dtype, threads: int) -> None:
    x = normal(images, units, dtype=dtype)
    # A product of codes is much faster than the definition here, and exact below 2**24.
    codes = (x > 0).float()
    expected = codes @ codes.T + (1 - codes) @ (1 - codes).T
    assert torch.equal(kernel_of(x), expected.long())


LAYOUTS: dict[str, Callable[[torch.dtype], Tensor]] = {
    "contiguous": lambda d: normal(6, 5, 7, 9, dtype=d),
    "channels_last": lambda d: normal(6, 5, 7, 9, dtype=d).to(memory_format=torch.channels_last),
    "channels_last_3d": lambda d: normal(6, 5, 3, 7, 9, dtype=d).to(memory_format=torch.channels_last_3d),
    "permuted dense rows": lambda d: normal(6, 5, 7, 9, dtype=d).permute(0, 2, 3, 1),
    "channel slice": lambda d: normal(6, 8, 7, 9, dtype=d)[:, 2:7],
    "every other image": lambda d: normal(12, 5, 7, 9, dtype=d)[::2],
    "expanded over images": lambda d: normal(1, 5, 7, 9, dtype=d).expand(6, 5, 7, 9),
    "unaligned start": lambda d: normal(6 * 315 + 1, dtype=d)[1:].view(6, 315),
    "only images": lambda d: normal(6, dtype=d),
    "size-one dimensions": lambda d: normal(6, 1, 315, 1, dtype=d).transpose(1, 3),
    "images innermost": lambda d: normal(315, 6, dtype=d).T,
    "every other unit": lambda d: normal(6, 5, 7, 18, dtype=d)[..., ::2],
    "cropped": lambda d: normal(6, 5, 7, 9, dtype=d)[..., 1:8],
    "expanded over units": lambda d: normal(6, 5, 1, 1, dtype=d).expand(6, 5, 7, 9),
}
COPIED = {"images innermost", "every other unit", "cropped", "expanded over units"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kernel_is_the_definition_for_every_layout(dtype: torch.dtype, layout: str) -> None:
    x = LAYOUTS[layout](dtype)
    assert torch.equal(kernel_of(x), ops.reference_hamming(x))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_rows_that_are_not_dense_are_copied(layout: str) -> None:
    x = LAYOUTS[layout](torch.float32)
    with torch.autograd.profiler.profile() as profile:
        kernel_of(x)
    names = {event.name for event in profile.function_events}
    assert "naswot::hamming_accumulate_" in names
    assert ("aten::clone" in names) == (layout in COPIED)


def test_a_negated_view_is_read_as_the_numbers_that_it_shows() -> None:
    x = torch.complex(normal(5, 70), normal(5, 70, seed=1)).conj().imag
    assert x.is_neg()
    assert torch.equal(kernel_of(x), ops.reference_hamming(x))


def test_more_than_two_to_the_31_activations_are_counted_right() -> None:
    if ops.build_info()["cpu_level"] == "scalar":
        pytest.skip("the scalar level takes too long for this size")
    x = normal(1, 7_200_000, dtype=torch.bfloat16).expand(300, -1)
    x[0, 5] = torch.inf
    nonfinite = torch.zeros(1, dtype=torch.int64)
    kernel = torch.zeros(300, 300, dtype=torch.int64)
    ops.hamming_accumulate_(kernel, x, nonfinite)
    assert x.numel() > 2**31
    assert (kernel == 7_200_000).all()
    assert nonfinite.item() == 300


def test_layers_add_up_in_a_kernel_of_any_strides() -> None:
    first, second = normal(9, 100), normal(9, 3, 8, 8, seed=1)
    start = torch.arange(18 * 18).view(18, 18)
    kernel = start.clone()[::2, 1::2].T
    expected = kernel + ops.reference_hamming(first) + ops.reference_hamming(second)
    ops.hamming_accumulate_(kernel, first)
    ops.hamming_accumulate_(kernel, second)
    assert torch.equal(kernel, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeats", [1, 9, 64])
def test_special_values_have_the_codes_of_the_definition(dtype: torch.dtype, repeats: int) -> None:
    info = torch.finfo(dtype)
    denormal = info.smallest_normal * info.eps
    special = [
        0.0,
        -0.0,
        denormal,
        -denormal,
        info.smallest_normal,
        info.max,
        info.min,
        torch.inf,
        -torch.inf,
        torch.nan,
    ]
    # One value an image, so that the kernel tells every code.
    x = torch.tensor(special, dtype=dtype)[:, None].expand(-1, repeats).contiguous()
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    negative_nan = (x[-1:].view(integer) | torch.iinfo(integer).min).view(dtype)
    x = torch.cat([x, negative_nan])
    assert x[2, 0] > 0
    active = torch.tensor([0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 0], dtype=torch.bool)
    assert torch.equal(kernel_of(x), (active[:, None] == active).long() * repeats)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [1, 17, 64, 300, 70_000])
def test_nonfinite_activations_are_counted_beside_what_was_counted_before(dtype: torch.dtype, units: int) -> None:
    x = normal(5, units, dtype=dtype)
    x[0, 0], x[1, units // 2], x[4, -1], x[3, -1] = torch.nan, torch.inf, -torch.inf, torch.finfo(dtype).max
    nonfinite = torch.tensor([100])
    kernel = torch.zeros(5, 5, dtype=torch.int64)
    ops.hamming_accumulate_(kernel, x, nonfinite)
    assert nonfinite.item() == 103
    assert torch.equal(kernel, ops.reference_hamming(x))


def test_flushing_denormals_changes_no_code() -> None:
    x = torch.full((2, 100), 1e-40)
    x[1] = -1
    torch.set_flush_denormal(True)
    try:
        kernel = kernel_of(x)
    finally:
        torch.set_flush_denormal(False)
    assert kernel.tolist() == [[100, 0], [0, 100]]


def test_activations_that_require_grad_are_taken_without_warning_or_graph() -> None:
    x = normal(4, 50).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel = kernel_of(x)
        x.sum().backward()
    assert torch.equal(kernel, ops.reference_hamming(x))
    assert not kernel.requires_grad


def test_an_update_moves_the_version_counter_of_the_kernel() -> None:
    kernel = torch.zeros(4, 4, dtype=torch.int64)
    before = kernel._version
    ops.hamming_accumulate_(kernel, normal(4, 5))
    assert kernel._version == before + 1


@pytest.mark.parametrize("with_count", [False, True])
def test_opcheck_passes(with_count: bool) -> None:
    kernel = torch.zeros(5, 5, dtype=torch.int64)
    nonfinite = torch.zeros(1, dtype=torch.int64) if with_count else None
    for x in (normal(5, 3, 4, 4), normal(5, 33).requires_grad_()):
        torch.library.opcheck(torch.ops.naswot.hamming_accumulate_.default, (kernel, x, nonfinite))


INT = torch.int64
BAD: dict[str, tuple[Callable[[], tuple[Tensor, ...]], str]] = {
    "float kernel": (lambda: (torch.zeros(4, 4), normal(4, 9)), "kernel must be int64, got Float"),
    "kernel that requires grad": (
        lambda: (torch.zeros(4, 4, requires_grad=True), normal(4, 9)),
        "kernel must be int64",
    ),
    "flat kernel": (lambda: (torch.zeros(16, dtype=INT), normal(4, 9)), "kernel must be square"),
    "oblong kernel": (lambda: (torch.zeros(4, 5, dtype=INT), normal(4, 9)), r"square \[B, B\], got \[4, 5\]"),
    "other batch size": (
        lambda: (torch.zeros(4, 4, dtype=INT), normal(5, 9)),
        "kernel is for 4 images but activations .* hold 5",
    ),
    "no image": (lambda: (torch.zeros(0, 0, dtype=INT), normal(0, 9)), "hold no image"),
    "scalar": (lambda: (torch.zeros(1, 1, dtype=INT), torch.tensor(1.0)), "got a scalar"),
    "integer activations": (lambda: (torch.zeros(4, 4, dtype=INT), torch.ones(4, 9, dtype=INT)), "got Long"),
    "bool activations": (lambda: (torch.zeros(4, 4, dtype=INT), torch.ones(4, 9) > 0), "got Bool"),
    "complex activations": (
        lambda: (torch.zeros(4, 4, dtype=INT), torch.ones(4, 9, dtype=torch.complex64)),
        "got ComplexFloat",
    ),
    "expanded kernel": (lambda: (torch.zeros(4, 1, dtype=INT).expand(4, 4), normal(4, 9)), "share memory"),
    "overlapping kernel": (
        lambda: (torch.zeros(7, dtype=INT).as_strided((4, 4), (1, 1)), normal(4, 9)),
        "share memory",
    ),
    "int32 count": (
        lambda: (torch.zeros(4, 4, dtype=INT), normal(4, 9), torch.zeros(1, dtype=torch.int32)),
        "nonfinite must be one int64 element, got Int",
    ),
    "two counts": (lambda: (torch.zeros(4, 4, dtype=INT), normal(4, 9), torch.zeros(2, dtype=INT)), "nonfinite"),
    "sparse activations": (
        lambda: (torch.zeros(4, 4, dtype=INT), normal(4, 9).to_sparse()),
        "activations is torch.sparse_coo",
    ),
    "meta activations": (
        lambda: (torch.zeros(4, 4, dtype=INT), normal(4, 9).to("meta")),
        "kernel is on cpu but activations are on meta",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_what_is_wrong_and_changes_nothing(case: str) -> None:
    make, message = BAD[case]
    arguments = make()
    before = arguments[0].clone()
    with pytest.raises(NaswotError, match=message):
        ops.hamming_accumulate_(*arguments)
    assert torch.equal(arguments[0], before)


def test_the_raw_operator_raises_value_error() -> None:
    with pytest.raises(ValueError, match="kernel must be int64"):
        torch.ops.naswot.hamming_accumulate_(torch.zeros(4, 4), normal(4, 9))
