"""Build of `naswot_ext._C`; everything that is not compiled is in pyproject.toml.

Environment: `NASWOT_FORCE_CUDA` (1: fail without CUDA; 0: never CUDA; unset: CUDA where torch and a toolkit have
it, no GPU needed), `CUDA_HOME`, `TORCH_CUDA_ARCH_LIST`, `MAX_JOBS`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import torch
from setuptools import setup

ROOT = Path(__file__).parent.resolve()
CSRC = ROOT / "csrc"
GENERATED = ROOT / "build" / "generated"


def cuda_home() -> Path | None:
    """A toolkit with both a compiler and a runtime library to link; None where there is none.

    `nvcc` on the PATH may be a wrapper script, so it is asked where its toolkit is.
    """
    candidates = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    candidates += sorted(glob.glob("/usr/local/cuda-*"), reverse=True)
    if nvcc := shutil.which("nvcc"):
        command = [nvcc, "--dryrun", "-x", "cu", os.devnull]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if top := re.search(r"^#\$ TOP=(.+)$", told.stderr, re.MULTILINE):
            candidates.append(top[1].strip())
        candidates.append(str(Path(nvcc).resolve().parent.parent))
    homes = (Path(c).resolve() for c in candidates if c)
    return next((home for home in homes if (home / "bin" / "nvcc").is_file() and cudart_folder(home)), None)


def cudart_folder(home: Path) -> Path | None:
    """The folder of the toolkit's libcudart."""
    folders = [home / "lib64", home / "lib", *sorted(home.glob("targets/*/lib"))]
    return next((folder for folder in folders if list(folder.glob("libcudart.so*"))), None)


def cuda_release(home: Path) -> str:
    """The toolkit's version, such as 13.0."""
    text = subprocess.run([home / "bin" / "nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\d+\.\d+)", text)
    if found is None:
        raise SystemExit(f"{home}/bin/nvcc does not tell its version. Mend CUDA_HOME or set NASWOT_FORCE_CUDA=0.")
    return found[1]


def choose_cuda() -> tuple[Path | None, str]:
    """The toolkit to build with, or None and the reason."""
    force = os.environ.get("NASWOT_FORCE_CUDA", "")
    if force not in ("", "0", "1"):
        raise SystemExit(f"NASWOT_FORCE_CUDA={force!r} is not understood. Use 1, 0 or leave it unset.")
    if force == "0":
        return None, "NASWOT_FORCE_CUDA=0"
    home, reason = None, ""
    if torch.version.cuda is None:
        reason = f"torch {torch.__version__} is built without CUDA"
    elif (home := cuda_home()) is None:
        reason = "no CUDA toolkit (nvcc and libcudart) in CUDA_HOME, /usr/local/cuda* or beside nvcc on the PATH"
    elif (release := cuda_release(home)).split(".")[0] != torch.version.cuda.split(".")[0]:
        home, reason = None, f"torch is for CUDA {torch.version.cuda} but the toolkit in {home} is {release}"
    if force == "1" and home is None:
        raise SystemExit(f"NASWOT_FORCE_CUDA=1 but {reason}. Install the toolkit of torch's CUDA or set CUDA_HOME.")
    return home, reason


def source_fingerprint() -> str:
    """SHA-256 over the names and bytes of all sources in csrc/."""
    digest = hashlib.sha256()
    for path in sorted(p for p in CSRC.rglob("*") if p.suffix in (".h", ".cpp", ".cu")):
        digest.update(f"{path.relative_to(CSRC).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def compiler() -> str:
    """The first line that the C++ compiler says of itself."""
    command = os.environ.get("CXX", "c++")
    told = subprocess.run([*command.split(), "--version"], capture_output=True, text=True, check=False)
    return told.stdout.splitlines()[0] if told.stdout else command


HOME, REASON = choose_cuda()
if HOME is not None:
    os.environ["CUDA_HOME"] = str(HOME)  # torch reads it while it is imported
    if not os.environ.get("TORCH_CUDA_ARCH_LIST") and not torch.cuda.is_available():
        os.environ["TORCH_CUDA_ARCH_LIST"] = "8.0;9.0+PTX"

from torch.utils.cpp_extension import BuildExtension, CppExtension, CUDAExtension  # noqa: E402

FACTS = {
    "source_fingerprint": source_fingerprint(),
    "cuda": HOME is not None,
    "cuda_version": cuda_release(HOME) if HOME is not None else None,
    "torch": torch.__version__,
    "compiler": compiler(),
}


class Build(BuildExtension):
    """Builds, then records what was built for those who do not want to import torch to know."""

    def finalize_options(self) -> None:
        super().finalize_options()
        # pip would have a fresh folder each time; here ninja compiles only what changed.
        self.build_temp = str(ROOT / "build" / "objects")

    def run(self) -> None:
        print(f"naswot: CUDA {FACTS['cuda_version']} from {HOME}" if HOME else f"naswot: CPU only ({REASON})")
        write_facts_header()
        super().run()
        (ROOT / "naswot_ext" / "_build.json").write_text(json.dumps(FACTS, indent=2) + "\n")


def write_facts_header() -> None:
    """The facts as C strings; only rewritten, and so only compiled anew, where they changed."""
    facts = {
        "TORCH_VERSION": FACTS["torch"],
        "SOURCE_FINGERPRINT": FACTS["source_fingerprint"],
        "COMPILER": FACTS["compiler"],
        "CUDA_VERSION": FACTS["cuda_version"] or "",
        "CUDA_ARCHITECTURES": os.environ.get("TORCH_CUDA_ARCH_LIST", "native") if HOME else "",
    }
    text = "".join(f"#define NASWOT_{name} {json.dumps(value)}\n" for name, value in facts.items())
    path = GENERATED / "naswot_build.h"
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# at::parallel_for is serial without OpenMP. Only compiled with, not linked: the runtime is the one that torch brought,
# whose threads torch.set_num_threads() sets. Clang's code would need another runtime, so there it stays serial.
OPENMP = [] if "clang" in str(FACTS["compiler"]) else ["-fopenmp"]
# No contraction of a * b + c: see csrc/slogdet.h.
# The two -Wno-*initialized: GCC's own AVX-512 headers use undefined vectors on purpose.
WARNINGS = ["-Wall", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]
FLAGS = ["-O3", "-ffp-contract=off", "-fvisibility=hidden", *WARNINGS, *OPENMP]


def sources(pattern: str) -> list[str]:
    """Paths below the project, as setuptools wants them."""
    return [path.relative_to(ROOT).as_posix() for path in sorted(CSRC.glob(pattern))]


extension = (CppExtension if HOME is None else CUDAExtension)(
    "naswot_ext._C",
    sources("*.cpp") + sources("cpu/*.cpp") + (sources("cuda/*.cu") if HOME is not None else []),
    include_dirs=[str(GENERATED)],
    define_macros=[("NASWOT_WITH_CUDA", "1")] if HOME is not None else [],
    depends=sources("**/*.h"),
    extra_compile_args={"cxx": FLAGS, "nvcc": ["-O3", "--fmad=false"]},
    library_dirs=[str(cudart_folder(HOME))] if HOME is not None else [],
)
setup(ext_modules=[extension], cmdclass={"build_ext": Build})
