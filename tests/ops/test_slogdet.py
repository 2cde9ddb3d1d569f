"""slogdet against exact rational arithmetic and numpy, at the instruction level that this process runs."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from naswot_ext import ops
from naswot_ext.errors import NaswotError

INF = math.inf


def exact_determinant(matrix: list[list[int]]) -> int:
    """Bareiss' fraction-free elimination."""
    rows = [list(row) for row in matrix]
    sign, previous = 1, 1
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return 0
        if pivot != k:
            rows[k], rows[pivot], sign = rows[pivot], rows[k], -sign
        for i in range(k + 1, len(rows)):
            for j in range(k + 1, len(rows)):
                rows[i][j] = (rows[i][j] * rows[k][k] - rows[i][k] * rows[k][j]) // previous
        previous = rows[k][k]
    return sign * previous


def kernel_of_codes(codes: Tensor) -> Tensor:
    return ops.reference_hamming(codes)


def random_codes(images: int, units: int, seed: int) -> Tensor:
    return torch.randint(0, 2, (images, units), generator=torch.Generator().manual_seed(seed))


def assert_exact(kernels: list[list[list[int]]], tolerance: float = 1e-13) -> None:
    sign, logabsdet = ops.slogdet(torch.tensor(kernels))
    for kernel, s, value in zip(kernels, sign.tolist(), logabsdet.tolist(), strict=True):
        determinant = exact_determinant(kernel)
        if determinant == 0:
            assert (s, value) == (0.0, -INF), kernel
        else:
            assert s == math.copysign(1, determinant), kernel
            assert value == pytest.approx(math.log(abs(determinant)), rel=tolerance, abs=1e-15), kernel


def test_the_exact_determinant_is_exact() -> None:
    assert exact_determinant([[2, 1], [1, 2]]) == 3
    assert exact_determinant([[0, 1, 0], [1, 0, 0], [0, 0, 5]]) == -5
    assert exact_determinant([[1, 2], [2, 4]]) == 0


@pytest.mark.parametrize(("images", "units"), [(3, 4), (4, 3)])
def test_every_kernel_of_few_images_and_units_is_right(images: int, units: int) -> None:
    rows = list(itertools.product([0, 1], repeat=units))
    kernels = [
        [[sum(p == q for p, q in zip(a, b, strict=True)) for b in codes] for a in codes]
        for codes in itertools.product(rows, repeat=images)
    ]
    assert_exact(kernels)


def test_random_small_integer_matrices_are_right_and_signed() -> None:
    pick = random.Random(0)
    for n in range(1, 9):
        assert_exact([[[pick.randint(-3, 3) for _ in range(n)] for _ in range(n)] for _ in range(100)])


def test_a_permutation_matrix_has_the_sign_of_the_permutation_although_its_diagonal_is_zero() -> None:
    assert_exact([[[0, 1], [1, 0]]])
    assert_exact([[[0, 1, 0], [0, 0, 1], [1, 0, 0]]])
    assert_exact([[[0, 1, 1], [1, 0, -1], [2, 2, 0]]])


def test_duplicate_images_are_singular() -> None:
    codes = random_codes(128, 5000, seed=1)
    codes[77] = codes[3]
    sign, logabsdet = ops.slogdet(kernel_of_codes(codes))
    assert (sign.item(), logabsdet.item()) == (0.0, -INF)


@pytest.mark.parametrize("images", [12, 40, 128, 200])
def test_fewer_units_than_images_are_singular_without_any_duplicate(images: int) -> None:
    # K = (D + S S^T) / 2 for codes S of -1 and 1, so its rank is at most D + 1; of rank B it is regular.
    codes = random_codes(images, images - 2, seed=2)
    assert len(codes.unique(dim=0)) == images
    assert ops.slogdet(kernel_of_codes(codes))[1].item() == -INF
    regular = random_codes(images, 3 * images, seed=3)
    assert ops.slogdet(kernel_of_codes(regular))[0].item() == 1.0


def test_linear_dependence_among_four_images_in_a_large_kernel_is_singular() -> None:
    codes = random_codes(128, 20_000, seed=4)
    # 1 + 2 = 3 + 4 for the codes, and so for the rows of the kernel.
    half = codes.shape[1] // 2
    codes[3] = torch.cat([codes[1, :half], codes[2, half:]])
    codes[4] = torch.cat([codes[2, :half], codes[1, half:]])
    sign, logabsdet = ops.slogdet(kernel_of_codes(codes) * 1000)
    assert (sign.item(), logabsdet.item()) == (0.0, -INF)


@pytest.mark.parametrize("scale", [1, 10**6, 10**12])
def test_regular_kernels_of_nearly_equal_images_are_exact(scale: int) -> None:
    # N_A is large and images differ in few units: the condition number is near `scale`.
    pick = random.Random(scale)
    kernels = []
    for images in (2, 5, 16, 40):
        codes = random_codes(images, 3 * images, seed=pick.randint(0, 99))
        kernels.append((kernel_of_codes(codes) + scale).tolist())
    for kernel in kernels:
        assert exact_determinant(kernel) > 0
        assert_exact([kernel])


def test_the_numerical_rank_decides_at_the_stated_tolerance() -> None:
    # The pivots of [[N, N - 1], [N - 1, N]] are N and 2 - 1/N; the tolerance is 2 * 2**-52 * N.
    near, far = 2**52 + 1, 2**52 - 1
    assert ops.slogdet(torch.tensor([[near, near - 1], [near - 1, near]]))[0].item() == 0.0
    assert_exact([[[far, far - 1], [far - 1, far]]])


def test_entries_beyond_two_to_the_53_are_exact() -> None:
    most = 2**63 - 1
    assert_exact([[[most, 1], [-most, 2**54 + 1]], [[-(2**63), 0], [7, most]], [[3, most], [most, 5]]])


@pytest.mark.parametrize("images", [1, 2, 7, 8, 9, 32, 100, 128, 129, 257])
def test_regular_kernels_agree_with_numpy(images: int) -> None:
    kernel = kernel_of_codes(random_codes(images, 4000, seed=images))
    sign, logabsdet = ops.slogdet(kernel)
    expected = np.linalg.slogdet(kernel.double().numpy())
    assert sign.item() == expected.sign
    assert logabsdet.item() == pytest.approx(expected.logabsdet, rel=1e-11)


def test_a_batch_is_a_loop_for_any_number_of_threads() -> None:
    kernels = torch.stack([kernel_of_codes(random_codes(33, 40 + s, seed=s)) for s in range(9)])
    kernels[4] = 0
    one_by_one = [ops.slogdet(kernel) for kernel in kernels]
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            sign, logabsdet = ops.slogdet(kernels)
            assert sign.tolist() == [s.item() for s, _ in one_by_one]
            assert logabsdet.tolist() == [v.item() for _, v in one_by_one]
    finally:
        torch.set_num_threads(before)


def test_any_strides_give_the_determinant_of_the_numbers_shown() -> None:
    wide = torch.randint(-9, 9, (10, 6, 12), generator=torch.Generator().manual_seed(5))
    view = wide[::2, :, ::2].transpose(1, 2)
    assert ops.slogdet(view)[1].tolist() == ops.slogdet(view.contiguous())[1].tolist()


def test_empty_zero_and_identity_matrices() -> None:
    assert [t.tolist() for t in ops.slogdet(torch.zeros(0, 0, dtype=torch.int64))] == [1.0, 0.0]
    assert [t.tolist() for t in ops.slogdet(torch.zeros(0, 5, 5, dtype=torch.int64))] == [[], []]
    assert [t.tolist() for t in ops.slogdet(torch.zeros(2, 0, 0, dtype=torch.int64))] == [[1.0, 1.0], [0.0, 0.0]]
    assert [t.tolist() for t in ops.slogdet(torch.zeros(5, 5, dtype=torch.int64))] == [0.0, -INF]
    assert [t.tolist() for t in ops.slogdet(torch.eye(130, dtype=torch.int64))] == [1.0, 0.0]


def test_opcheck_passes() -> None:
    for shape in [(5, 5), (3, 5, 5)]:
        torch.library.opcheck(torch.ops.naswot.slogdet.default, (torch.ones(shape, dtype=torch.int64),))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.zeros(4, 4), "int64, got Float"),
        (torch.zeros(4, 4, dtype=torch.int32), "int64, got Int"),
        (torch.zeros(4, 5, dtype=torch.int64), r"square .* got \[4, 5\]"),
        (torch.zeros(4, dtype=torch.int64), "square"),
        (torch.zeros(1, 2, 3, 3, dtype=torch.int64), "square"),
        (torch.zeros(4, 4, dtype=torch.int64).to_sparse(), "kernel is torch.sparse_coo"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(kernel: Tensor, message: str) -> None:
    with pytest.raises(NaswotError, match=message):
        ops.slogdet(kernel)
