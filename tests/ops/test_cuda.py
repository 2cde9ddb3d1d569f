"""The CUDA operators against the CPU ones or the plain definition, bit for bit where that is promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
import torch.nn.functional as F
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
@pytest.mark.parametrize("units", [0, 1, 31, 32, 33, 511, 512, 1023, 1025, 2600, 40_001])
def test_kernels_and_counts_equal_the_cpu_for_every_dtype_and_number_of_units(dtype: torch.dtype, units: int) -> None:
    x = normal(19, units, dtype=dtype, seed=units)
    if units:
        x[0, 0], x[3, units // 2], x[-1, -1] = torch.nan, torch.inf, -torch.inf
    assert_as_on_the_cpu(x.cuda())


@pytest.mark.parametrize("images", [1, 2, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 255, 257, 300])
@pytest.mark.parametrize("units", [891, 2048])
def test_kernels_equal_the_cpu_for_every_batch_size(images: int, units: int) -> None:
    assert_as_on_the_cpu(normal(images, units).cuda())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("images", [128, 256])
def test_many_units_are_shared_among_blocks_without_loss(dtype: torch.dtype, images: int) -> None:
    units = 2**20 + 264
    x = torch.randn(images, units, generator=torch.Generator("cuda").manual_seed(0), device="cuda").to(dtype)
    kernel = torch.zeros(images, images, dtype=torch.int64, device="cuda")
    nonfinite = torch.zeros(1, dtype=torch.int64, device="cuda")
    x[5, 77], x[-1, -1] = torch.nan, torch.inf
    ops.hamming_accumulate_(kernel, x, nonfinite)
    # A product of codes is much faster than the definition here, and exact below 2**24.
    codes = (x > 0).float()
    expected = codes @ codes.T
    codes = 1 - codes
    expected += codes @ codes.T
    assert torch.equal(kernel, expected.long())
    assert nonfinite.item() == 2


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "permuted": lambda x: x.permute(0, 2, 3, 1),
    "channel slice": lambda x: x[:, 1:4],
    "every other image": lambda x: x[::2],
    "expanded images": lambda x: x[:1].expand_as(x),
    "images innermost": lambda x: x.flatten(1).T.contiguous().T,
    "every other unit": lambda x: x[..., ::2],
    "expanded units": lambda x: x[..., :1].expand_as(x),
    "rows an odd number apart": lambda x: x.flatten(1)[:, 1:],
    "rows aligned but not whole vectors": lambda x: x.flatten(1)[:, :712].contiguous()[:, :701],
    "one number in": lambda x: x.flatten()[1 : 1 + 17 * 715].view(17, 715),
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


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """What waits for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("images", [32, 128, 200])
def test_nothing_waits_for_the_device(images: int, request: pytest.FixtureRequest) -> None:
    x = normal(images, 8, 16, 16).cuda()
    kernel = torch.zeros(images, images, dtype=torch.int64, device="cuda")
    words = torch.empty(images, 32, dtype=torch.int64, device="cuda")
    nonfinite = torch.zeros(1, dtype=torch.int64, device="cuda")
    request.getfixturevalue("no_waiting")
    ops.hamming_accumulate_(kernel, x, nonfinite)
    affine = ops.batch_norm_affine(x, None, None, 1e-5)
    ops.combine([x, x], [affine, None], [(0, 0, 0, 0), (3, 1, 1, 0)], torch.empty_like(x), None, words, nonfinite)
    ops.hamming_words_(kernel, words, 2048)
    ops.slogdet(kernel)
    ops.slogdet(kernel.expand(1024, -1, -1))


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


def test_a_thousand_determinants_in_one_call_equal_the_cpu() -> None:
    kernels = torch.stack([ops.reference_hamming(normal(128, 700, seed=s)) for s in range(8)])
    sign, logabsdet = ops.slogdet(kernels.cuda().repeat(128, 1, 1))
    expected_sign, expected = ops.slogdet(kernels)
    assert torch.equal(sign.cpu(), expected_sign.repeat(128))
    torch.testing.assert_close(logabsdet.cpu(), expected.repeat(128), rtol=4e-16, atol=1e-15)


def test_empty_matrices_and_batches() -> None:
    assert [t.tolist() for t in ops.slogdet(torch.zeros(0, 0, dtype=torch.int64, device="cuda"))] == [1.0, 0.0]
    assert [t.tolist() for t in ops.slogdet(torch.zeros(0, 5, 5, dtype=torch.int64, device="cuda"))] == [[], []]


FORMATS = [torch.contiguous_format, torch.channels_last]
MAP_DTYPES = [torch.float32, torch.bfloat16]
NO_POOL = (0, 0, 0, 0)


def a_map(*shape: int, dtype: torch.dtype, layout: torch.memory_format, seed: int = 0, shifted: bool = False) -> Tensor:
    """On the GPU; `shifted` by one number, so that no vector of it is aligned."""
    x = normal(*shape, dtype=dtype, seed=seed).to(memory_format=layout)
    memory = torch.empty(x.numel() + shifted, dtype=dtype, device="cuda")
    return memory[int(shifted) :].as_strided(x.shape, x.stride()).copy_(x)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 7, 9), (128, 16, 32, 32), (64, 64, 8, 8), (2, 2080, 2, 2)])
def test_batch_statistics_are_those_of_float64(
    shape: tuple[int, ...], shifted: bool, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    centre = 30 * normal(1, shape[1], 1, 1).cuda()
    x = a_map(*shape, dtype=dtype, layout=layout, shifted=shifted).add_(centre)
    weight, bias = normal(2 * shape[1]).to(dtype).cuda()[::2], normal(shape[1], seed=1).to(dtype).cuda()
    scale, shift = ops.batch_norm_affine(x, weight, bias, 1e-5)
    mean = x.double().mean((0, 2, 3))
    expected = weight.double() / (x.double().var((0, 2, 3), correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(scale.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(shift.double(), bias.double() - mean * scale.double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", FORMATS)
def test_batch_statistics_are_the_same_bits_each_time_and_close_to_the_cpu(layout: torch.memory_format) -> None:
    x = a_map(32, 16, 32, 32, dtype=torch.float32, layout=layout)
    affine = ops.batch_norm_affine(x, None, None, 1e-5)
    for _ in range(5):
        assert torch.equal(ops.batch_norm_affine(x, None, None, 1e-5), affine)
    on_cpu = ops.batch_norm_affine(x.cpu().to(memory_format=torch.channels_last), None, None, 1e-5)
    torch.testing.assert_close(affine.cpu(), on_cpu, rtol=1e-6, atol=1e-6)


def test_batch_statistics_survive_a_mean_far_from_zero_and_an_outlier() -> None:
    x = 1e4 + 1e-2 * normal(8, 4, 16, 16).cuda()
    x[0, 1:, 0, 0] = torch.tensor([-3e6, torch.inf, torch.nan], device="cuda")
    scale, shift = ops.batch_norm_affine(x, None, None, 1e-5)
    expected = 1 / (x[:, :2].double().var((0, 2, 3), correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(scale[:2].double(), expected, rtol=1e-6, atol=0)
    assert scale[2:].isnan().all()
    assert shift[2:].isnan().all()


def pooled(x: Tensor, kernel: int, stride: int, padding: int, count_include_pad: int) -> Tensor:
    """Average pooling by its definition: the window's sum in row-major order, then one division."""
    if kernel == 0:
        return x
    ones = F.pad(torch.ones_like(x), [padding] * 4, value=float(count_include_pad))
    padded = F.pad(x, [padding] * 4)
    total = count = torch.zeros((), device=x.device)
    for i in range(kernel):
        for j in range(kernel):
            rows = slice(i, padded.shape[2] - kernel + i + 1, stride)
            columns = slice(j, padded.shape[3] - kernel + j + 1, stride)
            total = total + padded[:, :, rows, columns]
            count = count + ones[:, :, rows, columns]
    return total / count


def summed(
    terms: Sequence[Tensor], affines: Sequence[Tensor | None], pools: Sequence[tuple[int, int, int, int]]
) -> Tensor:
    """The sum of `combine` by its definition, in float32."""
    total = None
    for x, affine, pool in zip(terms, affines, pools, strict=True):
        term = pooled(x.float(), *pool)
        if affine is not None:
            term = term * affine[0].view(1, -1, 1, 1)
            term = term + affine[1].view(1, -1, 1, 1)
        total = term if total is None else total + term
    assert total is not None
    return total


def assert_same(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=0, equal_nan=True)


# The sum's shape, and each term's pooling.
SUMS: dict[str, tuple[tuple[int, int, int, int], list[tuple[int, int, int, int]]]] = {
    "one term": ((5, 16, 8, 8), [NO_POOL]),
    "a cell's node": ((128, 16, 32, 32), [NO_POOL, (3, 1, 1, 0), NO_POOL]),
    "a small node": ((64, 64, 8, 8), [(3, 1, 1, 0), NO_POOL]),
    "padding counted": ((7, 8, 6, 12), [(3, 1, 1, 1), NO_POOL]),
    "halved": ((6, 8, 16, 16), [(2, 2, 0, 0)]),
    "odd sizes": ((3, 5, 7, 9), [(3, 1, 1, 0), NO_POOL]),
    "odd pooling": ((3, 24, 4, 12), [(5, 1, 2, 0), (3, 2, 1, 0), (2, 1, 1, 1)]),
    "many images": ((200, 4, 2, 2), [NO_POOL, NO_POOL]),
    "as many terms as there may be": ((2, 16, 5, 4), [NO_POOL] * 8),
    "one unit": ((1, 1, 1, 1), [NO_POOL]),
}


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_its_rectified_values_and_its_codes_are_the_definition(
    name: str, shifted: bool, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    shape, pools = SUMS[name]
    images, channels, height, width = shape
    terms: list[Tensor] = []
    affines: list[Tensor | None] = []
    for t, (window, stride, padding, _) in enumerate(pools):
        size = [(n - 1) * stride + window - 2 * padding if window else n for n in (height, width)]
        terms.append(a_map(images, channels, *size, dtype=dtype, layout=layout, seed=t, shifted=shifted))
        affines.append(normal(2, channels, seed=t).cuda() if t % 2 == 0 else None)
    terms[0][0, 0, 0, 0], terms[0][-1, -1, -1, -1] = torch.nan, -torch.inf
    expected = summed(terms, affines, pools)

    columns = -(-expected[0].numel() // 512) * 8
    buffer = torch.full((images, columns + 24), -1, device="cuda")
    words, nonfinite = buffer[:, 8 : columns + 16], torch.full((1,), 3, device="cuda")
    total, rectified = torch.full_like(expected, 7, dtype=dtype), torch.full_like(expected, 7, dtype=dtype)
    total, rectified = total.to(memory_format=layout), rectified.to(memory_format=layout)
    ops.combine(terms, affines, pools, total, rectified, words, nonfinite)
    assert_same(total, expected.to(dtype))
    assert_same(rectified, expected.relu().to(dtype))
    assert nonfinite.item() == 3 + (~expected.isfinite()).sum().item()

    kernel = torch.zeros(images, images, dtype=torch.int64, device="cuda")
    from_words = kernel.clone()
    ops.hamming_accumulate_(kernel, expected)
    ops.hamming_words_(from_words, words, expected[0].numel())
    assert torch.equal(from_words, kernel)
    # One bit a unit, the rest zero, and nothing beside the words.
    bits = (words[:, :, None] >> torch.arange(64, device="cuda") & 1).sum((1, 2))
    assert torch.equal(bits, (expected > 0).flatten(1).sum(1))
    assert (buffer[:, :8] == -1).all()
    assert (buffer[:, columns + 16 :] == -1).all()


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_terms_can_be_changed_in_place(dtype: torch.dtype, layout: torch.memory_format) -> None:
    x, y, z = (a_map(9, 16, 12, 12, dtype=dtype, layout=layout, seed=s) for s in range(3))
    affine = normal(2, 16).cuda()
    terms, affines, pools = [x, y, z], [affine, None, affine], [NO_POOL, NO_POOL, (3, 1, 1, 0)]
    expected = summed(terms, affines, pools)
    ops.combine(terms, affines, pools, y, x, None, None)
    assert_same(y, expected.to(dtype))
    assert_same(x, expected.relu().to(dtype))


@pytest.mark.parametrize("images", [1, 2, 17, 64, 65, 128, 129, 300])
@pytest.mark.parametrize("columns", [0, 8, 16, 104, 1000])
def test_kernels_of_words_equal_the_cpu(images: int, columns: int) -> None:
    buffer = torch.randint(-(2**62), 2**62, (images, columns + 16), generator=torch.Generator().manual_seed(columns))
    for first in (0, 8):
        words = buffer[:, first : first + columns]
        expected = torch.arange(images * images).view(images, images)
        kernel = expected.cuda().T.contiguous().T
        ops.hamming_words_(kernel, buffer.cuda()[:, first : first + columns], 64 * columns + 5, 3)
        ops.hamming_words_(expected, words, 64 * columns + 5, 3)
        assert torch.equal(kernel.cpu(), expected)


def test_what_the_kernels_cannot_do_is_refused() -> None:
    x = a_map(2, 8, 4, 4, dtype=torch.float32, layout=torch.contiguous_format)
    other = x.to(memory_format=torch.channels_last)
    with pytest.raises(NaswotError, match=r"at most 8 terms, got 9"):
        ops.combine([x] * 9, [None] * 9, [NO_POOL] * 9, x.clone(), None, None, None)
    with pytest.raises(NaswotError, match=r"all terms and outputs must be contiguous, or all channels_last"):
        ops.combine([x, other], [None] * 2, [NO_POOL] * 2, x.clone(), None, None, None)
    with pytest.raises(NaswotError, match=r"term 1 is pooled and cannot be written to"):
        ops.combine([x, x], [None] * 2, [NO_POOL, (3, 1, 1, 0)], x, None, None, None)


def test_opcheck_passes() -> None:
    kernel = torch.zeros(5, 5, dtype=torch.int64, device="cuda")
    words = torch.zeros(5, 8, dtype=torch.int64, device="cuda")
    x = normal(5, 4, 3, 3).cuda()
    naswot = torch.ops.naswot
    torch.library.opcheck(naswot.hamming_accumulate_.default, (kernel, normal(5, 33).cuda(), None))
    torch.library.opcheck(naswot.slogdet.default, (kernel,))
    torch.library.opcheck(naswot.batch_norm_affine.default, (x, None, None, 1e-5))
    torch.library.opcheck(naswot.combine.default, ([x], [None], [0] * 4, x.clone(), None, words, None))
    torch.library.opcheck(naswot.hamming_words_.default, (kernel, words, 36, 1))


def test_tensors_on_two_devices_are_refused() -> None:
    kernel = torch.zeros(4, 4, dtype=torch.int64)
    with pytest.raises(NaswotError, match=r"kernel is on cpu but activations are on cuda"):
        ops.hamming_accumulate_(kernel, normal(4, 9).cuda())
    with pytest.raises(NaswotError, match=r"kernel is on cuda:0 but activations are on cpu"):
        ops.hamming_accumulate_(kernel.cuda(), normal(4, 9))
