// The compiled part of naswot: two operators.
//
//   naswot::hamming_accumulate_(Tensor(a!) kernel, Tensor activations, Tensor(b!)? nonfinite=None) -> ()
//   naswot::slogdet(Tensor kernel) -> (Tensor sign, Tensor logabsdet)
//
// The score of "Neural Architecture Search without Training" (Mellor et al., ICML 2021) is log|det K_H|, where
//
//   K_H[i, j] = N_A - d_H(c_i, c_j),
//
// c_i is the 0/1 code of all N_A rectified units for image i (1 where the pre-activation is > 0) and d_H is the
// Hamming distance. K_H is a sum over units, so a network's kernel is the exact integer sum of its layers' kernels,
// and units may be visited in any order as long as every image's code uses the same one. `hamming_accumulate_` adds
// one layer:
//
//   kernel[i, j] += D - popcount(bits_i XOR bits_j)        D units, one bit each
//
// Memory traffic: the activations are read once, 2 to 8 bytes become 1 bit, and only bits are compared. The sums
// are integers, so the result does not depend on the instruction level, the number of threads or the device.
//
// x > 0 is decided on the bits of x read as an unsigned integer u of the same width: positive numbers, denormals
// included, are 0 < u <= INF, which is (u - 1) < INF in wrapping arithmetic. Negative numbers, both zeros and NaN
// fall outside. No floating-point mode (flush to zero, denormals are zero) can change the answer.
// Non-finite numbers are (u & INF) == INF.
//
// `slogdet` is described in slogdet.h.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <optional>
#include <tuple>

namespace naswot {

void hamming_accumulate_cpu(at::Tensor& kernel, const at::Tensor& activations,
                            const std::optional<at::Tensor>& nonfinite);
void hamming_accumulate_cuda(at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite);

std::tuple<at::Tensor, at::Tensor> slogdet_cpu(const at::Tensor& kernel);
std::tuple<at::Tensor, at::Tensor> slogdet_cuda(const at::Tensor& kernel);

// Bad input is a Python ValueError that says what was wrong and what to do; naswot_ext.ops turns it into NaswotError.
void check_hamming_arguments(const at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite);
void check_slogdet_argument(const at::Tensor& kernel);

// What every in-place op does to the version counters of what it changed.
void mark_changed(const at::Tensor& kernel, const std::optional<at::Tensor>& nonfinite);

// The activations as B rows of D units, each row dense in memory and all rows in the same order of units.
// Contiguous, channels_last and every other permutation of dense memory is taken as it is; the rest is copied.
struct Rows {
  at::Tensor owner;
  int64_t count;   // B
  int64_t units;   // D
  int64_t stride;  // elements from one row to the next; 0 for expanded batches
};
Rows dense_rows(const at::Tensor& activations);

}  // namespace naswot
