// sign and log|det| of an integer matrix, the same on every device.
//
// Gaussian elimination with complete pivoting. For a positive semi-definite kernel this is pivoted Cholesky, whose
// usual rank tolerance (LAPACK dpstrf) is the one here: elimination stops, and the matrix is singular, where the
// largest remaining |entry| is at most
//
//   B * eps * (largest |diagonal entry|),   eps = 2^-52.
//
// All arithmetic is double-double (an unevaluated sum hi + lo, about 106 bits): what is left of a rank-deficient
// kernel is 2^-104 of its entries, far below the tolerance, and regular kernels near it keep full accuracy, so no
// rounding of one device or instruction level decides. Every operation is an IEEE one, written out and never
// contracted (-ffp-contract=off, --fmad=false), so the pivots are bit for bit the same everywhere. Among equal
// largest entries the first in row-major order is the pivot.
//
// The pivots are multiplied as double-double mantissas with the exponents counted apart; one logarithm at the end.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define NASWOT_INLINE __host__ __device__ __forceinline__
#else
#define NASWOT_INLINE inline
#endif

// Internal linkage: each instruction level compiles its own copy with its own flags.
namespace naswot {
namespace {

struct DoubleDouble {
  double hi;
  double lo;
};

NASWOT_INLINE DoubleDouble quick_two_sum(double a, double b) {  // |a| >= |b|
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

NASWOT_INLINE DoubleDouble two_sum(double a, double b) {
  const double sum = a + b;
  const double part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}

// a * b exactly, with one fused multiply-add or, bit for bit the same, with Dekker's split into halves.
template <bool fused>
NASWOT_INLINE DoubleDouble two_product(double a, double b) {
  const double product = a * b;
  if (fused) return {product, fma(a, b, -product)};
  constexpr double splitter = 134217729.0;  // 2^27 + 1
  const double a_scaled = splitter * a;
  const double b_scaled = splitter * b;
  const double a_hi = a_scaled - (a_scaled - a);
  const double b_hi = b_scaled - (b_scaled - b);
  const double a_lo = a - a_hi;
  const double b_lo = b - b_hi;
  return {product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
}

// a - x * y
template <bool fused>
NASWOT_INLINE DoubleDouble subtract_product(DoubleDouble a, DoubleDouble x, DoubleDouble y) {
  const DoubleDouble product = two_product<fused>(x.hi, y.hi);
  const double product_lo = product.lo + (x.hi * y.lo + x.lo * y.hi);
  const DoubleDouble sum = two_sum(a.hi, -product.hi);
  return quick_two_sum(sum.hi, sum.lo + (a.lo - product_lo));
}

template <bool fused>
NASWOT_INLINE DoubleDouble divide(DoubleDouble a, DoubleDouble b) {
  const double first = a.hi / b.hi;
  a = subtract_product<fused>(a, {first, 0.0}, b);
  const double second = a.hi / b.hi;
  a = subtract_product<fused>(a, {second, 0.0}, b);
  const DoubleDouble quotient = quick_two_sum(first, second);
  return quick_two_sum(quotient.hi, quotient.lo + a.hi / b.hi);
}

// Exact for every int64.
NASWOT_INLINE DoubleDouble from_integer(int64_t value) {
  return two_sum(static_cast<double>(value >> 32) * 4294967296.0, static_cast<double>(value & 0xFFFFFFFF));
}

// The second term is what double-double itself rounds; it matters only where the diagonal is all zero.
NASWOT_INLINE double singular_tolerance(int64_t n, double largest_diagonal, double largest_entry) {
  const double by_rank = static_cast<double>(n) * 0x1p-52 * largest_diagonal;
  const double by_rounding = static_cast<double>(n) * 0x1p-100 * largest_entry;
  return by_rank > by_rounding ? by_rank : by_rounding;
}

// The product of the pivots, as sign * mantissa * 2^exponent with 1/sqrt(2) <= mantissa < sqrt(2).
struct Determinant {
  double sign = 1.0;
  DoubleDouble mantissa = {1.0, 0.0};
  int64_t exponent = 0;

  template <bool fused>
  NASWOT_INLINE void multiply(DoubleDouble pivot) {
    if (pivot.hi < 0) {
      sign = -sign;
      pivot = {-pivot.hi, -pivot.lo};
    }
    normalise(pivot);
    const DoubleDouble product = two_product<fused>(mantissa.hi, pivot.hi);
    mantissa = quick_two_sum(product.hi, product.lo + (mantissa.hi * pivot.lo + mantissa.lo * pivot.hi));
    normalise(mantissa);
  }

  template <bool fused>
  NASWOT_INLINE double logarithm() const {
    constexpr double ln2_hi = 0x1.62e42fefa39efp-1;
    constexpr double ln2_lo = 0x1.abc9e3b39803fp-56;
    const double count = static_cast<double>(exponent);
    const DoubleDouble scale = two_product<fused>(count, ln2_hi);
    const DoubleDouble sum = two_sum(scale.hi, log(mantissa.hi));
    return sum.hi + (sum.lo + (scale.lo + count * ln2_lo + mantissa.lo / mantissa.hi));
  }

 private:
  NASWOT_INLINE void normalise(DoubleDouble& value) {
    int shift = 0;
    if (frexp(value.hi, &shift) < 0x1.6a09e667f3bcdp-1) --shift;
    exponent += shift;
    value = {ldexp(value.hi, -shift), ldexp(value.lo, -shift)};
  }
};

}  // namespace
}  // namespace naswot
