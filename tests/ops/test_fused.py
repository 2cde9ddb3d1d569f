"""The operators of the fused forward pass against torch's own layers and the plain definition of K."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from naswot_ext import ops
from naswot_ext.errors import NaswotError

NO_POOL = (0, 0, 0, 0)
# Whole vectors and words; neither; one pixel; many channels; one channel; more lanes than a block.
SHAPES = [(6, 16, 8, 8), (3, 5, 7, 9), (2, 3, 1, 1), (2, 300, 3, 2), (5, 1, 33, 31), (130, 64, 2, 3), (2, 5000, 1, 2)]


def maps(shape: tuple[int, ...], seed: int = 0, count: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last) for _ in range(count)]


def code_words(images: int, units: int) -> Tensor:
    """Rows with room after them, all bits set, to see that what is not used is cleared and what is beyond is not."""
    width = -(-units // 512) * 8
    return torch.full((images, width + 8), -1, dtype=torch.int64)[:, :width]


def kernel_of(words: Tensor, units: int, weight: int = 1) -> Tensor:
    kernel = torch.zeros(len(words), len(words), dtype=torch.int64)
    ops.hamming_words_(kernel, words, units, weight)
    return kernel


def applied(x: Tensor, affine: Tensor | None) -> Tensor:
    return x if affine is None else x * affine[0].view(1, -1, 1, 1) + affine[1].view(1, -1, 1, 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parameters", [True, False])
def test_the_affine_is_batch_norm_in_training_mode(shape: tuple[int, ...], parameters: bool) -> None:
    (x,) = maps(shape)
    x = x * 3 + 100  # a mean far from zero, which the square of a sum would not survive
    weight, bias = torch.randn(2, shape[1]) if parameters else (None, None)
    scale, shift = ops.batch_norm_affine(x, weight, bias, 1e-5).double()
    exact = x.double()
    variance, mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    gain = (1 if weight is None else weight.double()) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(scale, gain, rtol=2e-5, atol=0)
    expected = (exact - mean.view(1, -1, 1, 1)) * gain.view(1, -1, 1, 1)
    expected = expected + (0 if bias is None else bias.double().view(1, -1, 1, 1))
    # The shift is rounded to float32 at 100 times the size of what it centres.
    assert (applied(exact, torch.stack([scale, shift])) - expected).abs().max() < 3e-5 * gain.abs().max().clamp(min=1)


def test_a_constant_channel_has_no_variance_and_no_not_a_number() -> None:
    x = torch.full((4, 8, 5, 5), 7.0).contiguous(memory_format=torch.channels_last)
    affine = ops.batch_norm_affine(x, None, None, 1e-5)
    assert applied(x, affine).abs().max() < 1e-3
    zeros = torch.zeros_like(x)
    assert torch.equal(applied(zeros, ops.batch_norm_affine(zeros, None, None, 1e-5)), zeros)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_statistics_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    (x,) = maps((64, 16, 16, 16))
    before = torch.get_num_threads()
    expected = ops.batch_norm_affine(x, None, None, 1e-5)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(ops.batch_norm_affine(x, None, None, 1e-5), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affines", list(itertools.product([False, True], repeat=3)))
def test_a_sum_its_positive_part_and_its_codes_are_torch_s(shape: tuple[int, ...], affines: tuple[bool, ...]) -> None:
    terms = maps(shape, count=3)
    given = [torch.randn(2, shape[1]) if each else None for each in affines]
    expected = applied(terms[0], given[0]) + applied(terms[1], given[1]) + applied(terms[2], given[2])
    total, rectified = torch.full_like(terms[0], torch.nan), torch.full_like(terms[0], torch.nan)
    words, nonfinite = code_words(shape[0], expected[0].numel()), torch.zeros(1, dtype=torch.int64)
    ops.combine(terms, given, [NO_POOL] * 3, total, rectified, words, nonfinite)
    assert torch.equal(total, expected)
    assert torch.equal(rectified, expected.relu())
    assert torch.equal(kernel_of(words, expected[0].numel()), ops.reference_hamming(expected))
    assert int(nonfinite) == 0
    beyond = words.as_strided((shape[0], 8), words.stride(), words.shape[1])
    assert bool((beyond == -1).all())


@pytest.mark.parametrize("outputs", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_any_number_of_terms_and_any_outputs(outputs: tuple[bool, ...], n: int, shape: tuple[int, ...]) -> None:
    terms = maps(shape, count=n)
    expected = sum(terms[1:], terms[0])
    units = expected[0].numel()
    total, rectified = (torch.full_like(terms[0], torch.nan) if wanted else None for wanted in outputs[:2])
    words = code_words(shape[0], units) if outputs[2] else None
    ops.combine(terms, [None] * n, [NO_POOL] * n, total, rectified, words, None)
    assert total is None or torch.equal(total, expected)
    assert rectified is None or torch.equal(rectified, expected.relu())
    assert words is None or torch.equal(kernel_of(words, units), ops.reference_hamming(expected))


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("pool", [(3, 1, 1), (2, 2, 0), (3, 2, 1), (5, 3, 2), (1, 1, 0)])
@pytest.mark.parametrize("shape", [(4, 16, 8, 8), (3, 5, 7, 9), (2, 3, 5, 5), (2, 20, 6, 5)])
def test_pooled_terms_are_torch_s_average_pooling(pool: tuple[int, int, int], include: bool, shape) -> None:
    (x,) = maps(shape)
    expected = F.avg_pool2d(x, *pool, count_include_pad=include)
    other, affine = torch.randn_like(expected), torch.randn(2, shape[1])
    other = other.contiguous(memory_format=torch.channels_last)
    total = torch.full_like(other, torch.nan)
    ops.combine([x], [None], [(*pool, int(include))], total, None, None, None)
    assert torch.equal(total, expected)
    ops.combine([other, x], [None, affine], [NO_POOL, (*pool, int(include))], total, None, None, None)
    assert torch.equal(total, other + applied(expected, affine))


@pytest.mark.parametrize("pool", [(3, 1, 1), (3, 2, 1), (4, 3, 2), (5, 3, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 1, 5), (2, 3, 5, 1), (2, 3, 1, 1), (2, 3, 2, 2), (2, 3, 5, 3)])
def test_maps_smaller_than_the_pooling_window(shape: tuple[int, ...], pool: tuple[int, int, int]) -> None:
    (x,) = maps(shape)
    expected = F.avg_pool2d(x, *pool, count_include_pad=False).contiguous(memory_format=torch.channels_last)
    total = torch.full_like(expected, torch.nan)
    ops.combine([x], [None], [(*pool, 0)], total, None, None, None)
    assert torch.equal(total, expected)


@pytest.mark.parametrize("target", [0, 1])
def test_a_term_that_is_not_pooled_may_be_written_to(target: int) -> None:
    terms = maps((5, 16, 6, 6), count=2)
    expected = terms[0] + terms[1]
    ops.combine(terms, [None] * 2, [NO_POOL] * 2, terms[target], terms[1 - target], None, None)
    assert torch.equal(terms[target], expected)
    assert torch.equal(terms[1 - target], expected.relu())


@pytest.mark.parametrize("shape", [(3, 16, 4, 4), (3, 5, 3, 3)])
def test_what_is_not_finite_is_counted_inactive_only_if_not_a_number_and_kept(shape: tuple[int, ...]) -> None:
    (x,) = maps(shape)
    x.permute(0, 2, 3, 1).view(-1)[:5] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e-45, -0.0])
    words, nonfinite = code_words(shape[0], x[0].numel()), torch.full((1,), 10)
    total, rectified = torch.zeros_like(x), torch.zeros_like(x)
    ops.combine([x], [None], [NO_POOL], total, rectified, words, nonfinite)
    assert int(nonfinite) == 13
    assert torch.equal(kernel_of(words, x[0].numel()), ops.reference_hamming(x))
    assert torch.equal(rectified.isnan(), x.isnan())
    assert torch.equal(rectified.nan_to_num(), x.relu().nan_to_num())


@pytest.mark.parametrize("images", [1, 2, 3, 4, 7, 128, 301])
@pytest.mark.parametrize("weight", [1, 3, -2])
def test_a_kernel_of_words_is_that_of_the_activations(images: int, weight: int) -> None:
    (x,) = maps((images, 7, 9, 11))
    words = code_words(images, 693)
    ops.combine([x], [None], [NO_POOL], None, None, words, None)
    kernel = torch.arange(images * images).reshape(images, images).T
    expected = kernel + weight * ops.reference_hamming(x)
    ops.hamming_words_(kernel, words, 693, weight)
    assert torch.equal(kernel, expected)


def test_units_without_a_bit_agree() -> None:
    assert torch.equal(kernel_of(torch.zeros(3, 0, dtype=torch.int64), 5, 2), torch.full((3, 3), 10))


def test_opcheck_passes() -> None:
    x, y = maps((3, 4, 5, 6), count=2)
    words, count = code_words(3, 120), torch.zeros(1, dtype=torch.int64)
    kernel = torch.zeros(3, 3, dtype=torch.int64)
    torch.library.opcheck(torch.ops.naswot.batch_norm_affine.default, (x, torch.ones(4), None, 1e-5))
    arguments = ([x, y], [None, torch.ones(2, 4)], [0] * 8, x.clone(), y.clone(), words.clone(), count)
    torch.library.opcheck(torch.ops.naswot.combine.default, arguments)
    torch.library.opcheck(torch.ops.naswot.hamming_words_.default, (kernel, words.contiguous(), 120, 2))


def combined(**changes: object) -> None:
    (x,) = maps((2, 8, 4, 4))
    arguments: dict[str, object] = {
        "terms": [x], "affines": [None], "pools": [NO_POOL], "total": None, "rectified": None, "words": None,
        "nonfinite": None,
    }  # fmt: skip
    ops.combine(**{**arguments, **changes})


X = maps((2, 8, 4, 4))[0]
BAD = [
    ({"terms": [X.contiguous()]}, "must be channels_last"),
    ({"terms": [X.double()]}, "must be float32"),
    ({"terms": [X[0]]}, r"must be \[B, C, H, W\]"),
    ({"terms": [X[:0]]}, "hold no number"),
    ({"affines": [None, None]}, "as many affines"),
    ({"affines": [torch.ones(2, 7)]}, r"float32 \[2, 8\]"),
    ({"pools": [(3, 0, 1, 0)]}, "cannot be pooled"),
    ({"pools": [(9, 1, 0, 0)]}, "cannot be pooled"),
    ({"terms": [X, X], "affines": [None] * 2, "pools": [NO_POOL, (2, 2, 0, 0)]}, "shape of the first one"),
    ({"total": X[:, :4].contiguous(memory_format=torch.channels_last)}, "an output is"),
    ({"words": torch.zeros(2, 7, dtype=torch.int64)}, "multiple of 8"),
    ({"words": torch.zeros(3, 8, dtype=torch.int64)}, r"int64 \[2, W\]"),
    ({"words": torch.zeros(2, 8, dtype=torch.int32)}, r"int64 \[2, W\]"),
    ({"words": torch.zeros(2, 8, dtype=torch.int64), "nonfinite": torch.zeros(1)}, "one int64 element"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_arguments_say_what_is_wrong(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NaswotError, match=message):
        combined(**changes)


def test_a_pooled_term_cannot_be_written_to() -> None:
    x = X.clone()
    with pytest.raises(NaswotError, match="is pooled and cannot be written to"):
        combined(terms=[x], pools=[(3, 1, 1, 0)], total=x)


@pytest.mark.parametrize(
    ("words", "units", "message"),
    [
        (torch.zeros(2, 8, dtype=torch.int64), -1, "units must be >= 0"),
        (torch.zeros(3, 8, dtype=torch.int64), 5, r"int64 \[2, W\]"),
        (torch.zeros(2, 9, dtype=torch.int64)[:, :8], 5, "a multiple of 8 apart"),
    ],
)
def test_bad_words_are_refused(words: Tensor, units: int, message: str) -> None:
    with pytest.raises(NaswotError, match=message):
        ops.hamming_words_(torch.zeros(2, 2, dtype=torch.int64), words, units, 1)


def test_statistics_of_nothing_are_refused() -> None:
    with pytest.raises(NaswotError, match="holds no number"):
        ops.batch_norm_affine(X[:0], None, None, 1e-5)
    with pytest.raises(NaswotError, match=r"must be \[8\]"):
        ops.batch_norm_affine(X, torch.ones(7), None, 1e-5)
