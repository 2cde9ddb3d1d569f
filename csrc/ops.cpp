// Schemas, checks and the Python module. The math is in naswot.h.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/library.h>

#if defined(__linux__)
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <vector>

#include "cpu/level.h"
#include "naswot.h"
#include "naswot_build.h"  // written by setup.py

namespace naswot {

namespace {

void check_kernel(const char* op, const at::Tensor& kernel) {
  TORCH_CHECK_VALUE(kernel.scalar_type() == at::kLong, op, ": kernel must be int64, got ", kernel.scalar_type(),
                    ". Create it with torch.zeros(B, B, dtype=torch.int64).");
  TORCH_CHECK_VALUE(kernel.dim() == 2 && kernel.size(0) == kernel.size(1), op, ": kernel must be square [B, B], got ",
                    kernel.sizes(), ".");
  const int64_t inner = std::min(kernel.stride(0), kernel.stride(1));
  const int64_t outer = std::max(kernel.stride(0), kernel.stride(1));
  TORCH_CHECK_VALUE(kernel.numel() <= 1 || (inner >= 1 && outer >= inner * kernel.size(0)), op,
                    ": kernel entries share memory (strides ", kernel.strides(),
                    ", as of an expanded tensor). Pass kernel.clone().");
}

void check_nonfinite(const char* op, const at::Tensor& nonfinite, const at::Device& device) {
  TORCH_CHECK_VALUE(nonfinite.scalar_type() == at::kLong && nonfinite.numel() == 1, op,
                    ": nonfinite must be one int64 element, got ", nonfinite.scalar_type(), " ", nonfinite.sizes(),
                    ". Create it with torch.zeros(1, dtype=torch.int64).");
  TORCH_CHECK_VALUE(nonfinite.device() == device, op, ": nonfinite is on ", nonfinite.device(), " but the rest is on ",
                    device, ". Move it with .to(device).");
}

// Dense memory in one of the two orders, alike for all images.
bool is_dense(const at::Tensor& x) {
  return x.is_contiguous() || x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

void check_map(const char* what, const at::Tensor& x, const at::Tensor& like) {
  TORCH_CHECK_VALUE(x.dim() == 4, what, " must be [B, C, H, W], got ", x.sizes(), ".");
  const bool half = x.scalar_type() == at::kBFloat16 && x.is_cuda();
  TORCH_CHECK_VALUE(x.scalar_type() == at::kFloat || half, what, " must be float32 (or, on CUDA, bfloat16), got ",
                    x.scalar_type(), ".");
  TORCH_CHECK_VALUE(x.device() == like.device() && x.scalar_type() == like.scalar_type(), what, " is ",
                    x.scalar_type(), " on ", x.device(), " but the first tensor is ", like.scalar_type(), " on ",
                    like.device(), ".");
  if (x.is_cuda()) {
    TORCH_CHECK_VALUE(is_dense(x), what, " must be contiguous or channels_last memory, got strides ", x.strides(), ".");
  } else {
    TORCH_CHECK_VALUE(x.is_contiguous(at::MemoryFormat::ChannelsLast), what, " must be channels_last, got strides ",
                      x.strides(), ". Convert it with .contiguous(memory_format=torch.channels_last).");
  }
}

void check_words(const char* op, const at::Tensor& words, int64_t images, int64_t bits) {
  TORCH_CHECK_VALUE(words.scalar_type() == at::kLong && words.dim() == 2 && words.size(0) == images, op,
                    ": words must be int64 [", images, ", W], got ", words.scalar_type(), " ", words.sizes(), ".");
  TORCH_CHECK_VALUE(words.size(1) % kWordsStep == 0 && words.size(1) * 64 >= bits, op, ": words must be a multiple of ",
                    kWordsStep, " wide with at least ", bits, " bits, got ", words.size(1), ".");
  // The strides of a tensor without numbers say nothing.
  TORCH_CHECK_VALUE(words.numel() == 0 || (words.stride(1) == 1 && words.stride(0) % kWordsStep == 0 &&
                                           (words.stride(0) >= words.size(1) || images == 1)),
                    op, ": words must be rows of dense memory, a multiple of ", kWordsStep, " apart, got strides ",
                    words.strides(), ".");
}

}  // namespace

void check_hamming_arguments(const at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite) {
  check_kernel("hamming_accumulate_", kernel);
  TORCH_CHECK_VALUE(activations.dim() >= 1, "hamming_accumulate_: activations must be [B, ...], got a scalar.");
  const auto dtype = activations.scalar_type();
  TORCH_CHECK_VALUE(dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf,
                    "hamming_accumulate_: activations must be float32, float64, bfloat16 or float16, got ", dtype,
                    ". Convert them with .float().");
  TORCH_CHECK_VALUE(activations.size(0) == kernel.size(0), "hamming_accumulate_: kernel is for ", kernel.size(0),
                    " images but activations ", activations.sizes(), " hold ", activations.size(0),
                    ". The batch size must not change.");
  TORCH_CHECK_VALUE(activations.size(0) >= 1, "hamming_accumulate_: activations hold no image; B must be >= 1.");
  TORCH_CHECK_VALUE(kernel.device() == activations.device(), "hamming_accumulate_: kernel is on ", kernel.device(),
                    " but activations are on ", activations.device(), ". Move one with .to(device).");
  if (nonfinite) check_nonfinite("hamming_accumulate_", *nonfinite, kernel.device());
}

void check_slogdet_argument(const at::Tensor& kernel) {
  TORCH_CHECK_VALUE(kernel.scalar_type() == at::kLong, "slogdet: kernel must be int64, got ", kernel.scalar_type(),
                    ". For floating-point matrices use torch.linalg.slogdet.");
  TORCH_CHECK_VALUE((kernel.dim() == 2 || kernel.dim() == 3) && kernel.size(-1) == kernel.size(-2),
                    "slogdet: kernel must be square [B, B] or [n, B, B], got ", kernel.sizes(), ".");
}

void check_batch_norm_arguments(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                const std::optional<at::Tensor>& bias) {
  check_map("batch_norm_affine: x", x, x);
  TORCH_CHECK_VALUE(x.numel() > 0, "batch_norm_affine: x holds no number, its shape is ", x.sizes(), ".");
  for (const auto& parameter : {weight, bias}) {
    TORCH_CHECK_VALUE(!parameter || (parameter->scalar_type() == x.scalar_type() && parameter->dim() == 1 &&
                                     parameter->size(0) == x.size(1) && parameter->device() == x.device()),
                      "batch_norm_affine: weight and bias must be [", x.size(1), "], ", x.scalar_type(), ", on ",
                      x.device(), ".");
  }
}

void check_words_arguments(const at::Tensor& kernel, const at::Tensor& words, int64_t units) {
  check_kernel("hamming_words_", kernel);
  check_words("hamming_words_", words, kernel.size(0), 0);
  TORCH_CHECK_VALUE(units >= 0, "hamming_words_: units must be >= 0, got ", units, ".");
  TORCH_CHECK_VALUE(kernel.device() == words.device(), "hamming_words_: kernel is on ", kernel.device(),
                    " but words are on ", words.device(), ". Move one with .to(device).");
}

Combination check_combine_arguments(at::TensorList terms, const Affines& affines, at::IntArrayRef pools,
                                    const std::optional<at::Tensor>& sum, const std::optional<at::Tensor>& rectified,
                                    const std::optional<at::Tensor>& words,
                                    const std::optional<at::Tensor>& nonfinite) {
  const auto n = static_cast<int64_t>(terms.size());
  TORCH_CHECK_VALUE(n >= 1, "combine: there must be at least one term.");
  TORCH_CHECK_VALUE(static_cast<int64_t>(affines.size()) == n && static_cast<int64_t>(pools.size()) == kPoolFields * n,
                    "combine: ", n, " terms need as many affines and ", kPoolFields, " numbers of pooling each, got ",
                    affines.size(), " and ", pools.size(), ".");
  const at::Tensor& first = terms[0];
  Combination all;
  for (int64_t t = 0; t < n; ++t) {
    const at::Tensor& x = terms[t];
    check_map("combine: a term", x, first);
    const int64_t* fields = pools.data() + kPoolFields * t;
    const Pool pool{fields[0], fields[1], fields[2], fields[3]};
    TORCH_CHECK_VALUE(pool.kernel == 0 || (pool.kernel > 0 && pool.stride > 0 && pool.padding >= 0 &&
                                           2 * pool.padding <= pool.kernel &&
                                           std::min(x.size(2), x.size(3)) + 2 * pool.padding >= pool.kernel),
                      "combine: a term ", x.sizes(), " cannot be pooled with kernel ", pool.kernel, ", stride ",
                      pool.stride, ", padding ", pool.padding, ".");
    if (t == 0) {
      all.images = x.size(0);
      all.channels = x.size(1);
      all.height = pool.size(x.size(2));
      all.width = pool.size(x.size(3));
    }
    TORCH_CHECK_VALUE(x.size(0) == all.images && x.size(1) == all.channels && pool.size(x.size(2)) == all.height &&
                          pool.size(x.size(3)) == all.width,
                      "combine: term ", t, " ", x.sizes(), " does not give the shape of the first one, [", all.images,
                      ", ", all.channels, ", ", all.height, ", ", all.width, "].");
    const std::optional<at::Tensor> affine = affines.get(t);
    TORCH_CHECK_VALUE(!affine || (affine->scalar_type() == at::kFloat && affine->is_contiguous() &&
                                  affine->dim() == 2 && affine->size(0) == 2 && affine->size(1) == all.channels &&
                                  affine->device() == first.device()),
                      "combine: an affine must be float32 [2, ", all.channels, "], contiguous, on ", first.device(), ".");
    all.pools.push_back(pool);
    all.affines.push_back(affine);
  }
  TORCH_CHECK_VALUE(first.numel() > 0, "combine: the terms hold no number, the first is ", first.sizes(), ".");
  for (const auto& output : {sum, rectified}) {
    if (!output) continue;
    check_map("combine: an output", *output, first);
    TORCH_CHECK_VALUE(output->size(0) == all.images && output->size(1) == all.channels &&
                          output->size(2) == all.height && output->size(3) == all.width,
                      "combine: an output is ", output->sizes(), " but the sum is [", all.images, ", ", all.channels,
                      ", ", all.height, ", ", all.width, "].");
    for (int64_t t = 0; t < n; ++t) {
      TORCH_CHECK_VALUE(all.pools[t].kernel == 0 || !output->is_alias_of(terms[t]), "combine: term ", t,
                        " is pooled and cannot be written to in the same pass. Give another output.");
    }
  }
  if (words) {
    check_words("combine", *words, all.images, all.channels * all.height * all.width);
    TORCH_CHECK_VALUE(words->device() == first.device(), "combine: words are on ", words->device(),
                      " but the terms are on ", first.device(), ".");
  }
  if (nonfinite) check_nonfinite("combine", *nonfinite, first.device());
  return all;
}

void mark_changed(const at::Tensor& kernel, const std::optional<at::Tensor>& nonfinite) {
  kernel.unsafeGetTensorImpl()->bump_version();
  if (nonfinite) nonfinite->unsafeGetTensorImpl()->bump_version();
}

void keep_freed_memory() {
#if defined(__GLIBC__)
  // The most that glibc takes, half of its largest heap.
  constexpr int largest = 32 << 20;
  mallopt(M_MMAP_THRESHOLD, largest);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  // Room for the maps of a network, in addresses only, for which the system may take large pages: feature maps are
  // streams of thousands of small ones otherwise.
  mallopt(M_TOP_PAD, 8 * largest);
  void* const block = std::malloc(largest - 4096);
  mallopt(M_TOP_PAD, 2 * largest);
  auto begin = reinterpret_cast<uintptr_t>(block);
  const auto end = reinterpret_cast<uintptr_t>(sbrk(0));
  std::free(block);
  constexpr uintptr_t page = 2 << 20;
  begin = (begin + page - 1) / page * page;
  if (block != nullptr && begin < end && end - begin <= 16 * uintptr_t{largest}) {
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a wish: whether it is met does not matter
  }
#endif
}

Rows dense_rows(const at::Tensor& activations) {
  const int64_t count = activations.size(0);
  const int64_t units = count == 0 ? 0 : activations.numel() / count;
  std::vector<int64_t> order;
  for (int64_t d = 1; d < activations.dim(); ++d) {
    if (activations.size(d) != 1) order.push_back(d);
  }
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return activations.stride(a) < activations.stride(b); });
  int64_t expected = 1;
  bool dense = true;
  for (const int64_t d : order) {
    dense = dense && activations.stride(d) == expected;
    expected *= activations.size(d);
  }
  if (dense || units == 0) return {activations, count, units, activations.stride(0)};
  return {activations.contiguous(), count, units, units};
}

}  // namespace naswot

TORCH_LIBRARY(naswot, m) {
  m.def("hamming_accumulate_(Tensor(a!) kernel, Tensor activations, Tensor(b!)? nonfinite=None) -> ()");
  m.def("slogdet(Tensor kernel) -> (Tensor sign, Tensor logabsdet)");
  m.def("batch_norm_affine(Tensor x, Tensor? weight, Tensor? bias, float eps) -> Tensor");
  m.def(
      "combine(Tensor[] terms, Tensor?[] affines, int[] pools, Tensor(a!)? sum, Tensor(b!)? rectified, "
      "Tensor(c!)? words, Tensor(d!)? nonfinite) -> ()");
  m.def("hamming_words_(Tensor(a!) kernel, Tensor words, int units, int weight) -> ()");
}

TORCH_LIBRARY_IMPL(naswot, CPU, m) {
  m.impl("hamming_accumulate_", &naswot::hamming_accumulate_cpu);
  m.impl("slogdet", &naswot::slogdet_cpu);
  m.impl("batch_norm_affine", &naswot::batch_norm_affine_cpu);
  m.impl("combine", &naswot::combine_cpu);
  m.impl("hamming_words_", &naswot::hamming_words_cpu);
}

#ifdef NASWOT_WITH_CUDA
TORCH_LIBRARY_IMPL(naswot, CUDA, m) {
  m.impl("hamming_accumulate_", &naswot::hamming_accumulate_cuda);
  m.impl("slogdet", &naswot::slogdet_cuda);
  m.impl("batch_norm_affine", &naswot::batch_norm_affine_cuda);
  m.impl("combine", &naswot::combine_cuda);
  m.impl("hamming_words_", &naswot::hamming_words_cuda);
}
#endif

// Codes are piecewise constant: there is nothing to differentiate, so activations that require grad just pass.
// The fused pass is for scoring and has no gradient either.
TORCH_LIBRARY_IMPL(naswot, Autograd, m) {
  for (const char* name : {"hamming_accumulate_", "slogdet", "batch_norm_affine", "combine", "hamming_words_"}) {
    m.impl(name, torch::CppFunction::makeFallthrough());
  }
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "Registers torch.ops.naswot and tells how it was built; see naswot_ext.ops.";
  m.def("levels", [] { return naswot::level_names(false); }, "Instruction levels compiled in, lowest first.");
  m.def("supported_levels", [] { return naswot::level_names(true); }, "Those that this processor runs.");
  m.def("level", [] { return std::string(naswot::level().name); },
        "The level in use; ValueError when NASWOT_CPU_LEVEL names one that is unknown or not supported.");
  m.def("keep_freed_memory", &naswot::keep_freed_memory, "See naswot_ext.ops.keep_freed_memory.");
  m.attr("torch_version") = NASWOT_TORCH_VERSION;
  m.attr("source_fingerprint") = NASWOT_SOURCE_FINGERPRINT;
  m.attr("compiler") = NASWOT_COMPILER;
#ifdef NASWOT_WITH_CUDA
  m.attr("cuda_version") = NASWOT_CUDA_VERSION;
  m.attr("cuda_architectures") = NASWOT_CUDA_ARCHITECTURES;
#else
  m.attr("cuda_version") = pybind11::none();
  m.attr("cuda_architectures") = "";
#endif
}
