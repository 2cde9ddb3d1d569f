// The compiled part of naswot: two operators that any network's score is made of,
//
//   naswot::hamming_accumulate_(Tensor(a!) kernel, Tensor activations, Tensor(b!)? nonfinite=None) -> ()
//   naswot::slogdet(Tensor kernel) -> (Tensor sign, Tensor logabsdet)
//
// and three for the fused forward pass of convolutional cells (naswot_ext/fused.py):
//
//   naswot::batch_norm_affine(Tensor x, Tensor? weight, Tensor? bias, float eps) -> Tensor
//   naswot::combine(Tensor[] terms, Tensor?[] affines, int[] pools, Tensor(a!)? sum, Tensor(b!)? rectified,
//                   Tensor(c!)? words, Tensor(d!)? nonfinite) -> ()
//   naswot::hamming_words_(Tensor(a!) kernel, Tensor words, int units, int weight) -> ()
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
//
// The fused forward pass. Between two convolutions, a cell normalises, pools, adds and rectifies: many passes over the
// same memory, and memory is what it costs. Here it is two. `batch_norm_affine` reads a convolution's output y once and
// gives BatchNorm's batch statistics as two numbers a channel, so that BatchNorm(y) = y * scale + shift. `combine` reads
// all terms t of a node's sum once and writes what the next operations read:
//
//   s = sum_t pool_t(y_t) * scale_t + shift_t      `sum` = s, `rectified` = max(s, 0), `words` = the bits s > 0
//
// `hamming_words_` is hamming_accumulate_ on such bits: kernel[i, j] += weight * (units - popcount(words_i XOR words_j)),
// where `weight` counts how often the same units are rectified.
#pragma once

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace naswot {

void hamming_accumulate_cpu(at::Tensor& kernel, const at::Tensor& activations,
                            const std::optional<at::Tensor>& nonfinite);
void hamming_accumulate_cuda(at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite);

std::tuple<at::Tensor, at::Tensor> slogdet_cpu(const at::Tensor& kernel);
std::tuple<at::Tensor, at::Tensor> slogdet_cuda(const at::Tensor& kernel);

// x [B, C, H, W] to [2, C], float32: scale and shift of BatchNorm in training mode. The means and variances are over
// B, H, W, the variances biased. Summed in an order that depends on the shape alone.
at::Tensor batch_norm_affine_cpu(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                 const std::optional<at::Tensor>& bias, double eps);
at::Tensor batch_norm_affine_cuda(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& bias, double eps);

// Terms [B, C, H_t, W_t]; affines [2, C] or none; pools: kPoolFields numbers a term. `words` [B, W]: see check_words.
// `sum` or `rectified` may be one of the terms that are not pooled.
using Affines = c10::List<std::optional<at::Tensor>>;
void combine_cpu(at::TensorList terms, const Affines& affines, at::IntArrayRef pools,
                 const std::optional<at::Tensor>& sum, const std::optional<at::Tensor>& rectified,
                 const std::optional<at::Tensor>& words, const std::optional<at::Tensor>& nonfinite);
void combine_cuda(at::TensorList terms, const Affines& affines, at::IntArrayRef pools,
                  const std::optional<at::Tensor>& sum, const std::optional<at::Tensor>& rectified,
                  const std::optional<at::Tensor>& words, const std::optional<at::Tensor>& nonfinite);

void hamming_words_cpu(at::Tensor& kernel, const at::Tensor& words, int64_t units, int64_t weight);
void hamming_words_cuda(at::Tensor& kernel, const at::Tensor& words, int64_t units, int64_t weight);

// Bad input is a Python ValueError that says what was wrong and what to do; naswot_ext.ops turns it into NaswotError.
void check_hamming_arguments(const at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite);
void check_slogdet_argument(const at::Tensor& kernel);
void check_batch_norm_arguments(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                const std::optional<at::Tensor>& bias);
// Rows of code words: int64 [B, W], stride(1) = 1, W and stride(0) multiples of kWordsStep, one bit a unit, zeros after.
// There may be fewer bits than `units`: in those that are left out, all images agree.
void check_words_arguments(const at::Tensor& kernel, const at::Tensor& words, int64_t units);

// Average pooling as of torch.nn.functional.avg_pool2d; kernel 0: none.
struct Pool {
  int64_t kernel, stride, padding, count_include_pad;
  int64_t size(int64_t input) const { return kernel == 0 ? input : (input + 2 * padding - kernel) / stride + 1; }
};
constexpr int64_t kPoolFields = 4;
constexpr int64_t kWordsStep = 8;
// What `combine` works on, checked.
struct Combination {
  std::vector<Pool> pools;                         // a term
  std::vector<std::optional<at::Tensor>> affines;  // a term
  int64_t images, channels, height, width;         // of the sum
};
Combination check_combine_arguments(at::TensorList terms, const Affines& affines, at::IntArrayRef pools,
                                    const std::optional<at::Tensor>& sum, const std::optional<at::Tensor>& rectified,
                                    const std::optional<at::Tensor>& words, const std::optional<at::Tensor>& nonfinite);

// What every in-place op does to the version counters of what it changed.
void mark_changed(const at::Tensor& kernel, const std::optional<at::Tensor>& nonfinite);

// From now on the process keeps the memory of freed tensors for its next ones; see naswot_ext.ops.
void keep_freed_memory();

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
