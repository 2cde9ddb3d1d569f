"""The runs of a search that builds networks: one after the other on one device, resumable, nothing lost."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ext import devices, proxy_names
from naswot_ext.datasets import load_batch
from naswot_ext.errors import NaswotError
from naswot_ext.fingerprint import fingerprint
from naswot_ext.forward import read_device
from naswot_ext.partial import partial_file
from naswot_ext.precision import numerics
from naswot_ext.provenance import software, write_table
from naswot_ext.scoring import prepare_process
from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting, run_seed_of
from naswot_ext.spaces import SPACES, SearchSpace

COLUMNS = {"run": "int64", "seed": "int64", "arch": "str", "seconds": "float64", "evaluations": "int64"}


def run_networks(
    algorithm: str,
    options: Mapping[str, Any],
    space: SearchSpace,
    sampled: npt.NDArray[np.int64],
    images: Mapping[int, str | os.PathLike[str]],
    runs: Iterable[int],
    seed: int,
    output: str | os.PathLike[str],
    *,
    device: str = "cpu",
    threads: int = 1,
    progress: bool = True,
) -> None:
    """Make the runs of these numbers and write them, a row each, to the Parquet file `output`.

    A finished run stands in ``output + ".partial"`` at once, and the one under way keeps a checkpoint beside it, so
    that a later call with the same arguments and code goes on from there.

    Args:
        algorithm: a search that builds networks, by name.
        options: its options.
        space: the search space, opened with its network options.
        sampled: indices of the architectures that were drawn, for a search that chooses among them.
        images: {seed: file of images that `datasets.save_batch` wrote}; run r takes seed r modulo their number.
        runs: the numbers of the runs.
        seed: the seed that their seeds derive from.
        output: the table, with the columns run, seed, arch, seconds and evaluations.
        device: where networks live.
        threads: threads of the CPU.
        progress: whether to say on standard error how far it is.

    Raises:
        NaswotError: an algorithm that is unknown or looks up, images without the labels that it needs, a device that
            is not there, an `output` that cannot be written, and whatever the algorithm itself complains about.
    """
    search = SEARCHES.get(algorithm)
    if not isinstance(search, NetworkSearch):
        raise NaswotError(f"The search {algorithm} builds no networks: it looks up scores or accuracies.")
    output, numbers = Path(output), list(runs)
    read_device(device)
    prepare_process(threads)
    batches = {each: load_batch(path) for each, path in images.items()}
    for each, path in images.items():
        if search.needs_labels and batches[each].labels is None:
            raise NaswotError(
                f"The search {algorithm} needs the labels of the images, and those of {path} have none. Give the data "
                "set labels (an array `labels` in its .npz file)."
            )
    named = [*(options.get(key) for key in ("proxy", "first")), *options.get("proxies", [])]
    proxies = [name for name in named if name]
    facts: dict[str, Any] = {
        "space": space.name,
        "network": space.network,
        "search": algorithm,
        "options": dict(options),
        "sampled": hashlib.sha256(np.ascontiguousarray(sampled).tobytes()).hexdigest(),
        "images": {str(each): hashlib.sha256(Path(path).read_bytes()).hexdigest() for each, path in images.items()},
        "runs": numbers,
        "seed": seed,
        "initialisations": len(images),
        "device": device.partition(":")[0],
        "threads": threads,
        "code": fingerprint(
            __name__, SEARCHES.module(algorithm), SPACES.module(space.name), *proxy_names.module_of(proxies)
        ),
        **({"files": files} if (files := proxy_names.digest_of(proxies)) else {}),
        **software(),
    }
    label = "/".join(output.with_suffix("").parts[-4:])

    def say(text: str) -> None:
        if progress:
            print(f"{label}: {text}", file=sys.stderr, flush=True)

    with numerics("float32"), devices.running_on(device), partial_file(output, facts) as partial:
        if partial is None:
            return
        for number in numbers[partial.rows :]:
            network_seed = list(images)[number % len(images)]
            batch = batches[network_seed]
            setting = Setting(
                space=space,
                sampled=sampled,
                images=batch.images,
                labels=batch.labels,
                classes=batch.classes,
                options=options,
                number=number,
                seed=run_seed_of(seed, number),
                network_seed=network_seed,
                device=device,
                checkpoint=output.with_name(f"{output.name}.run-{number}.checkpoint"),
                say=say,
                code=json.dumps([facts["code"], software()], sort_keys=True),
            )
            outcome = _checked(search.run(setting), algorithm, space)
            partial.append([{"run": number, "seed": setting.seed, **outcome._asdict()}])
            setting.checkpoint.unlink(missing_ok=True)
            say(f"run {number}: {outcome.arch or 'no architecture'} in {outcome.seconds:.1f} s")
        write_table(partial.table(COLUMNS), output, **facts)


def _checked(outcome: Outcome, algorithm: str, space: SearchSpace) -> Outcome:
    """What a search found, with the architecture in the form of its space."""
    if not math.isfinite(outcome.seconds):
        raise NaswotError(f"The search {algorithm} took {outcome.seconds} seconds, which is no time.")
    return outcome._replace(arch=space.canonical(outcome.arch) if outcome.arch else "")
