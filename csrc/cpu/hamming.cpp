// naswot::hamming_accumulate_ on the CPU: pack a block of units of every row, compare all pairs of rows, next block.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "../naswot.h"
#include "level.h"

namespace naswot {
namespace {

// Bits of one block of all rows: stays in the L2 cache from packing to the last comparison.
constexpr int64_t kBlockBytes = 256 * 1024;
// Packed rows are whole steps of units; blocks are between the least that keeps the sums cheap and the most that helps.
constexpr int64_t kUnitStep = 64 * kWordStep;
constexpr int64_t kLeastBlock = 2 * kUnitStep;
constexpr int64_t kMostBlock = 128 * kUnitStep;
// Units that are worth a thread of their own.
constexpr int64_t kUnitsPerThread = 2048;
// Bytes of per-thread sums, all threads together: with very many images fewer threads run.
constexpr int64_t kSumBytes = int64_t{1} << 30;

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

Level::Pack pack_function(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
      return level().pack_float16;
    case at::kBFloat16:
      return level().pack_bfloat16;
    case at::kFloat:
      return level().pack_float32;
    default:
      return level().pack_float64;
  }
}

}  // namespace

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

  const at::Tensor sums = at::zeros({chunks, n_sums}, at::kLong);
  const at::Tensor counts = at::empty({chunks}, at::kLong);
  const at::Tensor bits = at::empty({chunks, packed_rows * block_units / 64}, at::kLong);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      auto* const packed = reinterpret_cast<uint64_t*>(bits.data_ptr<int64_t>()) + chunk * bits.size(1);
      auto* const distances = reinterpret_cast<uint64_t*>(sums.data_ptr<int64_t>()) + chunk * n_sums;
      int64_t count = 0;
      const int64_t end = std::min((chunk + 1) * chunk_units, rows.units);
      for (int64_t begin = chunk * chunk_units; begin < end; begin += block_units) {
        const int64_t units = std::min(block_units, end - begin);
        const int64_t used = (units + 63) / 64;
        const int64_t words = round_up(used, kWordStep);
        std::fill(packed + rows.count * words, packed + packed_rows * words, 0);
        for (int64_t i = 0; i < rows.count; ++i) {
          count += pack(source + i * row_bytes + begin * unit_bytes, units, packed + i * words);
          std::fill(packed + i * words + used, packed + (i + 1) * words, 0);
        }
        if (rows.count > 1) simd.distances(packed, packed_rows, words, words, distances);
      }
      counts.data_ptr<int64_t>()[chunk] = count;
    }
  });

  int64_t* const result = kernel.data_ptr<int64_t>();
  const int64_t* const distances = sums.const_data_ptr<int64_t>();
  const int64_t across = kernel.stride(0);
  const int64_t along = kernel.stride(1);
  for (int64_t i = 0; i < rows.count; ++i) {
    result[i * across + i * along] += rows.units;
    for (int64_t j = i + 1; j < rows.count; ++j) {
      int64_t same = rows.units;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) same -= distances[chunk * n_sums + i * packed_rows + j];
      result[i * across + j * along] += same;
      result[j * across + i * along] += same;
    }
  }
  if (nonfinite) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      *nonfinite->data_ptr<int64_t>() += counts.const_data_ptr<int64_t>()[chunk];
    }
  }
}

}  // namespace naswot
