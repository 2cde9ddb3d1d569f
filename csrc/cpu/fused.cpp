// The fused forward pass on the CPU: batch statistics, sums of terms with their signs, and K from the signs.
//
// All maps are channels_last: a pixel's channels lie side by side, a row of pixels is width * channels numbers. The
// loops run over such rows with one scale and shift a number, so that they never ask which channel they are in.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../naswot.h"
#include "level.h"
#include "similarities.h"

namespace naswot {
namespace {

// Numbers of a block of batch_norm_affine, which is read twice: half of a 32 KB L1 cache.
constexpr int64_t kMomentsBlock = 4096;
// Numbers of a sum at a time: with its terms in the L1 cache.
constexpr int64_t kSumBlock = 2048;
// Bytes of code words that are compared at a time: in the L2 cache.
constexpr int64_t kWordsBytes = 256 * 1024;

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// One term of a sum, prepared for rows of the result.
struct Term {
  const float* data;
  int64_t height, width;
  Pool pool;
  const float* scale = nullptr;  // a number of the row; null: as it is
  const float* shift = nullptr;
  std::vector<float> pattern;  // scale and shift, repeated along a row
  std::vector<float> columns;  // pooled: the window's columns that count, a number of the row
};

// The window's length along one axis as the divisor counts it, at output position `at`.
int64_t window(const Pool& pool, int64_t at, int64_t size) {
  const int64_t begin = at * pool.stride - pool.padding;
  const int64_t end = std::min(begin + pool.kernel, size + pool.padding);
  return pool.count_include_pad != 0 ? end - begin : std::min(end, size) - std::max<int64_t>(begin, 0);
}

Term prepare(const at::Tensor& x, const std::optional<at::Tensor>& affine, const Pool& pool, int64_t width) {
  const int64_t channels = x.size(1);
  Term term{x.const_data_ptr<float>(), x.size(2), x.size(3), pool};
  const int64_t row = width * channels;
  if (affine) {
    const float* const values = affine->const_data_ptr<float>();
    term.pattern.resize(2 * row);
    for (int64_t i = 0; i < row; ++i) {
      term.pattern[i] = values[i % channels];
      term.pattern[row + i] = values[channels + i % channels];
    }
    term.scale = term.pattern.data();
    term.shift = term.pattern.data() + row;
  }
  if (pool.kernel != 0) {
    term.columns.resize(row);
    for (int64_t i = 0; i < row; ++i) {
      term.columns[i] = static_cast<float>(window(pool, i / channels, term.width));
    }
  }
  return term;
}

// Row `at` of the pooled map of one image, to `out`.
void pool_row(const Passes& passes, const Term& term, const float* image, int64_t at, int64_t width, int64_t channels,
              float* out) {
  const Pool& pool = term.pool;
  if (pool.kernel == 3 && pool.stride == 1 && pool.padding == 1) {
    const int64_t first = std::max<int64_t>(at - 1, 0);
    const int64_t count = std::min(at + 2, term.height) - first;
    const float* rows[3] = {};
    for (int64_t r = 0; r < count; ++r) rows[r] = image + (first + r) * width * channels;
    const auto divisor = static_cast<float>(window(pool, at, term.height));
    const int64_t middle = width > 2 ? channels : 0;
    passes.pool3(out, rows, count, width, channels, divisor * term.columns[middle], divisor * term.columns[0]);
    return;
  }
  std::fill(out, out + width * channels, 0.0f);
  const int64_t top = at * pool.stride - pool.padding;
  for (int64_t y = std::max<int64_t>(top, 0); y < std::min(top + pool.kernel, term.height); ++y) {
    const float* const row = image + y * term.width * channels;
    for (int64_t k = 0; k < pool.kernel; ++k) {
      // Output columns whose k-th column of the window lies in the image.
      const int64_t offset = k - pool.padding;
      const int64_t first = offset < 0 ? (-offset + pool.stride - 1) / pool.stride : 0;
      const int64_t right = term.width - 1 - offset;  // C++ rounds a negative quotient up
      const int64_t last = right < 0 ? 0 : std::min(width, right / pool.stride + 1);
      if (pool.stride == 1) {
        passes.add(out + first * channels, row + (first + offset) * channels, (last - first) * channels);
      } else {
        for (int64_t x = first; x < last; ++x) {
          passes.add(out + x * channels, row + (x * pool.stride + offset) * channels, channels);
        }
      }
    }
  }
  passes.divide(out, term.columns.data(), static_cast<float>(window(pool, at, term.height)), width * channels);
}

// Rows of a block: whole words of bits, and enough numbers to be worth the calls.
int64_t rows_of_block(int64_t row, int64_t height) {
  for (int64_t rows = 1; rows < height; ++rows) {
    if (rows * row % 64 == 0 && rows * row >= kSumBlock) return rows;
  }
  return height;
}

}  // namespace

at::Tensor batch_norm_affine_cpu(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                 const std::optional<at::Tensor>& bias, double eps) {
  check_batch_norm_arguments(x, weight, bias);
  const int64_t channels = x.size(1);
  const int64_t pixels = x.numel() / channels;
  const int64_t lanes = std::max<int64_t>(kMomentLanes / channels, 1) * channels;
  const int64_t block = std::max(kMomentsBlock / lanes, int64_t{1}) * (lanes / channels);
  const int64_t blocks = (pixels + block - 1) / block;
  const float* const data = x.const_data_ptr<float>();
  std::vector<float> moments(blocks * 2 * channels);
  const Passes& passes = level().passes;
  at::parallel_for(0, blocks, std::max<int64_t>(32768 / (block * channels), 1), [&](int64_t first, int64_t last) {
    std::vector<float> scratch(2 * lanes);
    for (int64_t b = first; b < last; ++b) {
      float* const mean = moments.data() + b * 2 * channels;
      passes.moments(data + b * block * channels, std::min(block, pixels - b * block), channels, lanes, scratch.data(),
                     mean, mean + channels);
    }
  });

  // Chan, Golub and LeVeque's update: the moments of two parts are those of the whole without cancellation.
  const at::Tensor result = at::empty({2, channels}, x.options().memory_format(at::MemoryFormat::Contiguous));
  std::vector<double> mean(channels, 0.0);
  std::vector<double> squares(channels, 0.0);
  double before = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const float* const part = moments.data() + b * 2 * channels;
    const auto count = static_cast<double>(std::min(block, pixels - b * block));
    const double share = count / (before + count);
    for (int64_t c = 0; c < channels; ++c) {
      const double difference = part[c] - mean[c];
      mean[c] += difference * share;
      squares[c] += part[channels + c] + difference * difference * before * share;
    }
    before += count;
  }
  float* const scale = result.data_ptr<float>();
  for (int64_t c = 0; c < channels; ++c) {
    const double gain = weight ? weight->const_data_ptr<float>()[c * weight->stride(0)] : 1.0;
    const double offset = bias ? bias->const_data_ptr<float>()[c * bias->stride(0)] : 0.0;
    scale[c] = static_cast<float>(gain / std::sqrt(squares[c] / before + eps));
    scale[channels + c] = static_cast<float>(offset - mean[c] * scale[c]);
  }
  return result;
}

void combine_cpu(at::TensorList terms, const Affines& affines, at::IntArrayRef pools,
                 const std::optional<at::Tensor>& sum, const std::optional<at::Tensor>& rectified,
                 const std::optional<at::Tensor>& words, const std::optional<at::Tensor>& nonfinite) {
  const Combination all = check_combine_arguments(terms, affines, pools, sum, rectified, words, nonfinite);
  const int64_t row = all.width * all.channels;
  const int64_t units = all.height * row;
  std::vector<Term> prepared;
  for (size_t t = 0; t < terms.size(); ++t) {
    prepared.push_back(prepare(terms[t], all.affines[t], all.pools[t], all.width));
  }
  for (const auto& output : {sum, rectified, words}) {
    if (output) output->unsafeGetTensorImpl()->bump_version();
  }
  float* const sums = sum ? sum->data_ptr<float>() : nullptr;
  float* const positives = rectified ? rectified->data_ptr<float>() : nullptr;
  auto* const bits = words ? reinterpret_cast<uint64_t*>(words->data_ptr<int64_t>()) : nullptr;
  const int64_t words_used = (units + 63) / 64;
  const int64_t block = rows_of_block(row, all.height);
  const Passes& passes = level().passes;
  std::vector<int64_t> counts(all.images, 0);
  // Where rows are whole words of bits, the last term goes straight to the outputs.
  const bool direct = row % 64 == 0;
  at::parallel_for(0, all.images, std::max<int64_t>(32768 / units, 1), [&](int64_t first, int64_t last) {
    std::vector<float> scratch(block * row + row);
    float* const total = scratch.data();
    float* const pooled = total + block * row;
    for (int64_t image = first; image < last; ++image) {
      uint64_t* const code = bits == nullptr ? nullptr : bits + image * words->stride(0);
      const auto write = [&](const float* before, const float* x, const float* scale, const float* shift, int64_t begin,
                             int64_t n) {
        const int64_t at = image * units + begin;
        counts[image] += passes.finish(before, x, scale, shift, n, sums == nullptr ? nullptr : sums + at,
                                       positives == nullptr ? nullptr : positives + at,
                                       code == nullptr ? nullptr : code + begin / 64);
      };
      for (int64_t begin = 0; begin < all.height; begin += block) {
        const int64_t end = std::min(begin + block, all.height);
        for (size_t t = 0; t < prepared.size(); ++t) {
          const Term& term = prepared[t];
          const float* const map = term.data + image * term.height * term.width * all.channels;
          for (int64_t y = begin; y < end; ++y) {
            const float* x = map + y * row;
            if (term.pool.kernel != 0) {
              pool_row(passes, term, map, y, all.width, all.channels, pooled);
              x = pooled;
            }
            float* const out = total + (y - begin) * row;
            if (direct && t + 1 == prepared.size()) {
              write(t == 0 ? nullptr : out, x, term.scale, term.shift, y * row, row);
            } else if (term.scale == nullptr && t == 0) {
              std::memcpy(out, x, row * sizeof(float));
            } else if (term.scale == nullptr) {
              passes.add(out, x, row);
            } else {
              (t == 0 ? passes.affine : passes.add_affine)(out, x, term.scale, term.shift, row);
            }
          }
        }
        if (!direct) write(nullptr, total, nullptr, nullptr, begin * row, (end - begin) * row);
      }
      if (code != nullptr) std::fill(code + words_used, code + words->size(1), 0);
    }
  });
  if (nonfinite && bits != nullptr) {
    nonfinite->unsafeGetTensorImpl()->bump_version();
    for (const int64_t count : counts) *nonfinite->data_ptr<int64_t>() += count;
  }
}

void hamming_words_cpu(at::Tensor& kernel, const at::Tensor& words, int64_t units, int64_t weight) {
  check_words_arguments(kernel, words, units);
  if (units == 0) return;
  mark_changed(kernel, std::nullopt);
  const Level& simd = level();
  const int64_t rows = words.size(0);
  const int64_t packed_rows = round_up(rows, kRowStep);
  const int64_t width = words.size(1);
  const int64_t n_sums = packed_rows * packed_rows;
  const auto* const bits = reinterpret_cast<const uint64_t*>(words.const_data_ptr<int64_t>());
  const int64_t block = std::max(kWordsBytes / 8 / packed_rows / kWordStep * kWordStep, kWordStep);
  const int64_t blocks = (width + block - 1) / block;
  const int64_t threads =
      std::max<int64_t>(std::min<int64_t>(at::in_parallel_region() ? 1 : at::get_num_threads(), blocks), 1);
  const at::Tensor sums = at::zeros({threads, n_sums}, at::kLong);
  at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t thread = first; thread < last; ++thread) {
      auto* const distances = reinterpret_cast<uint64_t*>(sums.data_ptr<int64_t>()) + thread * n_sums;
      std::vector<uint64_t> padded(packed_rows == rows ? 0 : packed_rows * block, 0);
      for (int64_t b = blocks * thread / threads; b < blocks * (thread + 1) / threads; ++b) {
        const int64_t count = std::min(block, width - b * block);
        const uint64_t* from = bits + b * block;
        int64_t stride = words.stride(0);
        if (packed_rows != rows) {
          for (int64_t i = 0; i < rows; ++i) {
            std::copy(from + i * stride, from + i * stride + count, padded.data() + i * block);
          }
          from = padded.data();
          stride = block;
        }
        simd.distances(from, packed_rows, count, stride, distances);
      }
    }
  });
  add_similarities(kernel, sums.const_data_ptr<int64_t>(), threads, packed_rows, units, weight);
}

}  // namespace naswot
