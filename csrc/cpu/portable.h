// Loops shared by the instruction levels; each includes them after its target pragma and compiles its own copy.
#pragma once

#include <cmath>
#include <cstdint>

#include "../formats.h"
#include "../slogdet.h"
#include "level.h"

namespace naswot {
namespace {

template <class Format>
int64_t count_nonfinite(const typename Format::Bits* numbers, int64_t units) {
  int64_t count = 0;
  for (int64_t u = 0; u < units; ++u) count += (numbers[u] & Format::infinity) == Format::infinity;
  return count;
}

// Asks for the lines of Ahead in the order in which they will be packed.
class Prefetcher {
 public:
  explicit Prefetcher(const Ahead& ahead) : ahead_(ahead) {}

  // The next line of kRowStep rows, while there are as many rows left.
  void step() {
    if (ahead_.rows < kRowStep) return;
    const char* const at = ahead_.numbers + done_;
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRowStep; ++r) __builtin_prefetch(at + r * ahead_.row_bytes, 0, 2);
    done_ += 64;
    if (done_ >= ahead_.bytes) {
      done_ = 0;
      ahead_.numbers += kRowStep * ahead_.row_bytes;
      ahead_.rows -= kRowStep;
    }
  }

 private:
  Ahead ahead_;
  int64_t done_ = 0;
};

// Units in natural order. Eight 0/1 bytes become eight bits by one multiplication, which adds byte k's bit, shifted
// to the top byte's bit k, without carries.
template <class Format>
int64_t pack_portable(const typename Format::Bits* numbers, int64_t units, uint64_t* words) {
  using Bits = typename Format::Bits;
  constexpr Bits magnitude_bits = static_cast<Bits>(~Bits{0}) >> 1;
  Bits largest = 0;
  for (int64_t begin = 0; begin < units; begin += 64) {
    alignas(64) uint8_t active[64] = {};
    const int64_t count = units - begin < 64 ? units - begin : 64;
    const Bits* x = numbers + begin;
    for (int64_t u = 0; u < count; ++u) {
      const Bits magnitude = x[u] & magnitude_bits;
      largest = magnitude > largest ? magnitude : largest;
      active[u] = static_cast<Bits>(x[u] - 1) < Format::infinity;
    }
    uint64_t word = 0;
    for (int byte = 0; byte < 8; ++byte) {
      uint64_t eight = 0;
      for (int u = 0; u < 8; ++u) eight |= static_cast<uint64_t>(active[8 * byte + u]) << (8 * u);
      word |= (eight * 0x0102040810204080u >> 56) << (8 * byte);
    }
    words[begin / 64] = word;
  }
  return largest < Format::infinity ? 0 : count_nonfinite<Format>(numbers, units);
}

// `rows` rows of `units` numbers packed side by side; for the levels with vectors to define.
template <class Format, int64_t rows>
int64_t pack_together(const char* numbers, int64_t row_bytes, int64_t units, uint64_t* words, int64_t stride);

// Level::Pack of those levels: kRowStep rows at a time, then what is left.
template <class Format>
int64_t pack_rows(const char* numbers, int64_t row_bytes, int64_t rows, int64_t units, uint64_t* words,
                  int64_t stride) {
  int64_t nonfinite = 0;
  int64_t r = 0;
  for (; r + kRowStep <= rows; r += kRowStep) {
    nonfinite += pack_together<Format, kRowStep>(numbers + r * row_bytes, row_bytes, units, words + r * stride, stride);
  }
  for (; r < rows; ++r) {
    nonfinite += pack_together<Format, 1>(numbers + r * row_bytes, row_bytes, units, words + r * stride, stride);
  }
  return nonfinite;
}

inline void swap(double& a, double& b) {
  const double held = a;
  a = b;
  b = held;
}

// hi + lo -= factor * (pivot_hi + pivot_lo), elementwise; returns the largest |hi|.
template <bool fused>
double eliminate_row(double* __restrict hi, double* __restrict lo, const double* __restrict pivot_hi,
                     const double* __restrict pivot_lo, DoubleDouble factor, int64_t count) {
  double largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < count; ++j) {
    const DoubleDouble entry = subtract_product<fused>({hi[j], lo[j]}, factor, {pivot_hi[j], pivot_lo[j]});
    hi[j] = entry.hi;
    lo[j] = entry.lo;
    const double size = __builtin_fabs(entry.hi);
    largest = size > largest ? size : largest;
  }
  return largest;
}

template <bool fused>
void slogdet_portable(const int64_t* kernel, int64_t n, double* scratch, double* sign, double* logabsdet) {
  const int64_t width = slogdet_width(n);
  double* const hi = scratch;
  double* const lo = scratch + n * width;
  double largest = 0;
  double largest_diagonal = 0;
  int64_t pivot_row = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      const DoubleDouble entry = j < n ? from_integer(kernel[i * n + j]) : DoubleDouble{0, 0};
      hi[i * width + j] = entry.hi;
      lo[i * width + j] = entry.lo;
      const double size = __builtin_fabs(entry.hi);
      if (size > largest) {
        largest = size;
        pivot_row = i;
      }
    }
    const double size = __builtin_fabs(hi[i * width + i]);
    largest_diagonal = size > largest_diagonal ? size : largest_diagonal;
  }
  const double tolerance = singular_tolerance(n, largest_diagonal, largest);

  Determinant determinant;
  for (int64_t k = 0; k < n; ++k) {
    if (largest <= tolerance) {
      *sign = 0;
      *logabsdet = -HUGE_VAL;
      return;
    }
    double* const pivot_hi = hi + k * width;
    double* const pivot_lo = lo + k * width;
    if (pivot_row != k) {
      determinant.sign = -determinant.sign;
      for (int64_t j = k; j < n; ++j) {
        swap(pivot_hi[j], hi[pivot_row * width + j]);
        swap(pivot_lo[j], lo[pivot_row * width + j]);
      }
    }
    int64_t pivot_column = k;
    while (__builtin_fabs(pivot_hi[pivot_column]) != largest) ++pivot_column;
    if (pivot_column != k) {
      determinant.sign = -determinant.sign;
      for (int64_t i = k; i < n; ++i) {
        swap(hi[i * width + k], hi[i * width + pivot_column]);
        swap(lo[i * width + k], lo[i * width + pivot_column]);
      }
    }
    const DoubleDouble pivot = {pivot_hi[k], pivot_lo[k]};
    determinant.template multiply<fused>(pivot);

    // Columns up to k are zero from here on, so that whole vectors can be worked on, from a multiple of kWordStep.
    pivot_hi[k] = pivot_lo[k] = 0;
    const int64_t begin = (k + 1) / kWordStep * kWordStep;
    largest = 0;
    for (int64_t i = k + 1; i < n; ++i) {
      double* const row_hi = hi + i * width;
      double* const row_lo = lo + i * width;
      const DoubleDouble factor = divide<fused>({row_hi[k], row_lo[k]}, pivot);
      row_hi[k] = row_lo[k] = 0;
      const double size = eliminate_row<fused>(row_hi + begin, row_lo + begin, pivot_hi + begin, pivot_lo + begin,
                                               factor, width - begin);
      if (size > largest) {
        largest = size;
        pivot_row = i;
      }
    }
  }
  *sign = determinant.sign;
  *logabsdet = determinant.template logarithm<fused>();
}

}  // namespace
}  // namespace naswot
