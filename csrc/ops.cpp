// Schemas, checks and the Python module. The math is in naswot.h.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "cpu/level.h"
#include "naswot.h"
#include "naswot_build.h"  // written by setup.py

namespace naswot {

void check_hamming_arguments(const at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite) {
  TORCH_CHECK_VALUE(kernel.scalar_type() == at::kLong, "hamming_accumulate_: kernel must be int64, got ",
                    kernel.scalar_type(), ". Create it with torch.zeros(B, B, dtype=torch.int64).");
  TORCH_CHECK_VALUE(kernel.dim() == 2 && kernel.size(0) == kernel.size(1),
                    "hamming_accumulate_: kernel must be square [B, B], got ", kernel.sizes(), ".");
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
  const int64_t inner = std::min(kernel.stride(0), kernel.stride(1));
  const int64_t outer = std::max(kernel.stride(0), kernel.stride(1));
  TORCH_CHECK_VALUE(kernel.numel() == 1 || (inner >= 1 && outer >= inner * kernel.size(0)),
                    "hamming_accumulate_: kernel entries share memory (strides ", kernel.strides(),
                    ", as of an expanded tensor). Pass kernel.clone().");
  if (nonfinite) {
    TORCH_CHECK_VALUE(nonfinite->scalar_type() == at::kLong && nonfinite->numel() == 1,
                      "hamming_accumulate_: nonfinite must be one int64 element, got ", nonfinite->scalar_type(), " ",
                      nonfinite->sizes(), ". Create it with torch.zeros(1, dtype=torch.int64).");
    TORCH_CHECK_VALUE(nonfinite->device() == kernel.device(), "hamming_accumulate_: nonfinite is on ",
                      nonfinite->device(), " but kernel is on ", kernel.device(), ". Move it with .to(device).");
  }
}

void check_slogdet_argument(const at::Tensor& kernel) {
  TORCH_CHECK_VALUE(kernel.scalar_type() == at::kLong, "slogdet: kernel must be int64, got ", kernel.scalar_type(),
                    ". For floating-point matrices use torch.linalg.slogdet.");
  TORCH_CHECK_VALUE((kernel.dim() == 2 || kernel.dim() == 3) && kernel.size(-1) == kernel.size(-2),
                    "slogdet: kernel must be square [B, B] or [n, B, B], got ", kernel.sizes(), ".");
}

void mark_changed(const at::Tensor& kernel, const std::optional<at::Tensor>& nonfinite) {
  kernel.unsafeGetTensorImpl()->bump_version();
  if (nonfinite) nonfinite->unsafeGetTensorImpl()->bump_version();
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
}

TORCH_LIBRARY_IMPL(naswot, CPU, m) {
  m.impl("hamming_accumulate_", &naswot::hamming_accumulate_cpu);
  m.impl("slogdet", &naswot::slogdet_cpu);
}

#ifdef NASWOT_WITH_CUDA
TORCH_LIBRARY_IMPL(naswot, CUDA, m) {
  m.impl("hamming_accumulate_", &naswot::hamming_accumulate_cuda);
  m.impl("slogdet", &naswot::slogdet_cuda);
}
#endif

// Codes are piecewise constant: there is nothing to differentiate, so activations that require grad just pass.
TORCH_LIBRARY_IMPL(naswot, Autograd, m) {
  m.impl("hamming_accumulate_", torch::CppFunction::makeFallthrough());
  m.impl("slogdet", torch::CppFunction::makeFallthrough());
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "Registers torch.ops.naswot and tells how it was built; see naswot_ext.ops.";
  m.def("levels", [] { return naswot::level_names(false); }, "Instruction levels compiled in, lowest first.");
  m.def("supported_levels", [] { return naswot::level_names(true); }, "Those that this processor runs.");
  m.def("level", [] { return std::string(naswot::level().name); },
        "The level in use; ValueError when NASWOT_CPU_LEVEL names one that is unknown or not supported.");
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
