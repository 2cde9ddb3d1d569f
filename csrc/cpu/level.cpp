// The run-time choice of the instruction level.
#include "level.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <sstream>

namespace naswot {
namespace {

struct Candidate {
  const Level* level;
  bool supported;
};

// Lowest first.
std::vector<Candidate> candidates() {
  std::vector<Candidate> all{{&kScalar, true}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq");
  all.push_back({&kAvx2, avx2});
  all.push_back({&kAvx512, avx512});
#endif
  return all;
}

const Level& choose() {
  const char* wanted = std::getenv("NASWOT_CPU_LEVEL");
  const Level* best = nullptr;
  bool known = false;
  for (const Candidate& candidate : candidates()) {
    const bool named = wanted == nullptr || *wanted == '\0' || std::string(wanted) == candidate.level->name;
    known = known || named;
    if (named && candidate.supported) best = candidate.level;
  }
  if (best != nullptr) return *best;
  std::ostringstream names;
  for (const std::string& name : level_names(true)) names << " " << name;
  TORCH_CHECK_VALUE(false, "NASWOT_CPU_LEVEL=", wanted, known ? " is not supported by this processor" : " is unknown",
                    ". Unset it, or use one of:", names.str(), ".");
}

}  // namespace

const Level& level() {
  static const Level& chosen = choose();
  return chosen;
}

std::vector<std::string> level_names(bool supported_only) {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates()) {
    if (candidate.supported || !supported_only) names.emplace_back(candidate.level->name);
  }
  return names;
}

}  // namespace naswot
