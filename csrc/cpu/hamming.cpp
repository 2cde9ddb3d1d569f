// naswot::hamming_accumulate_ on the CPU: pack a block of units of every row, compare all pairs of rows, next block.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "../naswot.h"
#include "level.h"
#include "similarities.h"

namespace naswot {
namespace {

// Bits of one block of all rows: stays in the L1 cache from packing to the last comparison.
constexpr int64_t kBlockBytes = 32 * 1024;
// Numbers of the next block that are brought near, into the L2 cache, during the comparisons.
constexpr int64_t kAheadBytes = 512 * 1024;
// Packed rows are whole steps of units; blocks are between the least that keeps the sums cheap and the most that helps.
constexpr int64_t kUnitStep = 64 * kWordStep;
constexpr int64_t kLeastBlock = 4 * kUnitStep;
constexpr int64_t kMostBlock = 128 * kUnitStep;
// Units that are worth a thread of their own.
constexpr int64_t kUnitsPerThread = 2048;
// Bytes of per-thread sums, all threads together: with very many images fewer threads run.
constexpr int64_t kSumBytes = int64_t{1} << 30;

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

Level::Pack pack_function(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
      return level().pack_rows_float16;
    case at::kBFloat16:
      return level().pack_rows_bfloat16;
    case at::kFloat:
      return level().pack_rows_float32;
    default:
      return level().pack_rows_float64;
  }
}

}  // namespace

// In small squares, so that their mirror images are written row by row, too: columns of a kernel of 2^n images share
// cache sets.
void add_similarities(at::Tensor& kernel, const int64_t* distances, int64_t chunks, int64_t packed_rows,
                      int64_t units, int64_t weight) {
  constexpr int64_t side = 8;
  int64_t* const result = kernel.data_ptr<int64_t>();
  const int64_t count = kernel.size(0);
  const int64_t across = kernel.stride(0);
  const int64_t along = kernel.stride(1);
  for (int64_t top = 0; top < count; top += side) {
    const int64_t bottom = std::min(top + side, count);
    for (int64_t left = top; left < count; left += side) {
      const int64_t right = std::min(left + side, count);
      int64_t same[side][side];
      for (int64_t i = top; i < bottom; ++i) {
        int64_t* const row = same[i - top];
        for (int64_t j = left; j < right; ++j) row[j - left] = units;
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
          const int64_t* const from = distances + (chunk * packed_rows + i) * packed_rows;
          for (int64_t j = left; j < right; ++j) row[j - left] -= from[j];
        }
      }
      if (left == top) {
        for (int64_t i = top; i < bottom; ++i) {
          same[i - top][i - top] = units;
          for (int64_t j = top; j < i; ++j) same[i - top][j - top] = same[j - top][i - top];
        }
      }
      for (int64_t i = top; i < bottom; ++i) {
        for (int64_t j = left; j < right; ++j) result[i * across + j * along] += weight * same[i - top][j - left];
      }
      if (left == top) continue;
      for (int64_t j = left; j < right; ++j) {
        for (int64_t i = top; i < bottom; ++i) result[j * across + i * along] += weight * same[i - top][j - left];
      }
    }
  }
}

void hamming_accumulate_cpu(at::Tensor& kernel, const at::Tensor& activations,
                            const std::optional<at::Tensor>& nonfinite) {
  check_hamming_arguments(kernel, activations, nonfinite);
  const Rows rows = dense_rows(activations);
  if (rows.units == 0) return;
  mark_changed(kernel, nonfinite);
  const Level& simd = level();
  const Level::Pack pack = pack_function(rows.owner.scalar_type());
  const int64_t row_bytes = rows.stride * rows.owner.element_size();
  const int64_t unit_bytes = rows.owner.element_size();
  const char* const source = static_cast<const char*>(rows.owner.const_data_ptr());

  // With fewer units than threads could share, or sums too large for every thread, some threads stay idle.
  const int64_t packed_rows = round_up(rows.count, kRowStep);
  const int64_t n_sums = packed_rows * packed_rows;
  const int64_t threads = std::min({at::in_parallel_region() ? int64_t{1} : int64_t{at::get_num_threads()},
                                    (rows.units + kUnitsPerThread - 1) / kUnitsPerThread,
                                    std::max<int64_t>(kSumBytes / 8 / n_sums, 1)});
  const int64_t chunk_units = round_up((rows.units + threads - 1) / threads, kUnitStep);
  const int64_t chunks = (rows.units + chunk_units - 1) / chunk_units;
  const int64_t cached_units = 8 * kBlockBytes / packed_rows / kUnitStep * kUnitStep;
  const int64_t block_units = std::min(chunk_units, std::clamp(cached_units, kLeastBlock, kMostBlock));

  const at::Tensor sums = at::empty({chunks, n_sums}, at::kLong);
  const at::Tensor counts = at::empty({chunks}, at::kLong);
  const at::Tensor bits = at::empty({chunks, packed_rows * block_units / 64}, at::kLong);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      auto* const packed = reinterpret_cast<uint64_t*>(bits.data_ptr<int64_t>()) + chunk * bits.size(1);
      auto* const distances = reinterpret_cast<uint64_t*>(sums.data_ptr<int64_t>()) + chunk * n_sums;
      std::fill(distances, distances + n_sums, 0);
      int64_t count = 0;
      const int64_t end = std::min((chunk + 1) * chunk_units, rows.units);
      for (int64_t begin = chunk * chunk_units; begin < end; begin += block_units) {
        const int64_t units = std::min(block_units, end - begin);
        const int64_t used = (units + 63) / 64;
        const int64_t words = round_up(used, kWordStep);
        count += pack(source + begin * unit_bytes, row_bytes, rows.count, units, packed, words);
        for (int64_t i = 0; i < rows.count; ++i) std::fill(packed + i * words + used, packed + (i + 1) * words, 0);
        std::fill(packed + rows.count * words, packed + packed_rows * words, 0);
        if (rows.count == 1) continue;
        Ahead ahead;
        if (const int64_t next = begin + units; next < end) {
          ahead.bytes = std::min(block_units, end - next) * unit_bytes;
          ahead.rows = std::min(rows.count, kAheadBytes / ahead.bytes);
          ahead.numbers = source + next * unit_bytes;
          ahead.row_bytes = row_bytes;
        }
        simd.distances_while(packed, packed_rows, words, words, distances, ahead);
      }
      counts.data_ptr<int64_t>()[chunk] = count;
    }
  });

  add_similarities(kernel, sums.const_data_ptr<int64_t>(), chunks, packed_rows, rows.units, 1);
  if (nonfinite) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      *nonfinite->data_ptr<int64_t>() += counts.const_data_ptr<int64_t>()[chunk];
    }
  }
}

}  // namespace naswot
