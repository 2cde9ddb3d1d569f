"""What a caption says of a measurement: what was run, and in what it is unlike the paper's.

`PUBLISHED` has what the papers say of theirs: Mellor et al., ICML 2021, figures 5 and 6; arXiv 2006.04647 version 1,
section 3 and figures 1, 4 and 5. Imports nothing heavy: the workflow reads it at every start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# By section of the config's `papers`, and by paper. What a paper leaves out is not in it.
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "ablation": {"networks": 10, "samples": 20, "batch_sizes": [32, 64, 128, 256]},
    "ablation_2020": {"networks": 8},
    "training": {"networks": 10, "epochs": 100},
    "histograms": {"networks": 5},  # 25 in five bands
    "library": {"initialisations": 10},
    "icml2021": {"images": 128, "device": "a GTX 1080 Ti"},
    "arxiv2020": {"images": 256, "device": "a GTX 1080 Ti"},
}
# How NAS-Bench-201 trained (Dong & Yang, ICLR 2020, section 2.2); the paper does not say that it did otherwise.
_TRAINED = {"images": 25_000, "batch_size": 256}


def beside(here: int, published: int, what: str, whose: str = "the paper") -> str:
    """A number of things, `what` in the singular, with the published number where that is another."""
    return f"{here} {what}{'s' * (here != 1)}" + (f" ({whose}: {published})" if here != published else "")


def images(paper: str, sizes: Sequence[int]) -> str:
    """On how many images networks were scored; `sizes` ascend, and are several where scores differ in it."""
    of_paper = PUBLISHED[paper]["images"]
    told = "" if list(sizes) == [of_paper] else f" (the paper: {of_paper})"
    return f"{' or '.join(map(str, sizes))} images a score{told}"


def ablation(options: Mapping[str, Any]) -> list[str]:
    """Of figure 5 of 2021; `options` are those of `papers.ablation`."""
    of_paper = PUBLISHED["ablation"]
    networks = beside(options["networks"], of_paper["networks"], "network")
    listed, published = (", ".join(map(str, sizes["batch_sizes"])) for sizes in (options, of_paper))
    return [
        f"{networks}, each from another 5 % of the ranks by accuracy, from the median up (so we read the paper's "
        "percentile ranges)",
        f"{beside(options['samples'], of_paper['samples'], 'sample')} of each change",
        f"batch sizes {listed}" + (f" (the paper: {published})" if listed != published else ""),
    ]


def ablation_2020(options: Mapping[str, Any]) -> list[str]:
    """Of figure 4 of 2020; `options` are those of `papers.ablation_2020`."""
    samples = options["samples"]
    return [
        f"{beside(options['networks'], PUBLISHED['ablation_2020']['networks'], 'network')} drawn at random",
        f"{beside(samples, samples, 'sample')} of each change (the paper does not say how many)",
    ]


def training(options: Mapping[str, Any]) -> list[str]:
    """Of figure 6 of 2021; `options` are those of `papers.training`."""
    of_paper = PUBLISHED["training"]
    taken, of_benchmark = options["batch_size"], _TRAINED["batch_size"]
    return [
        f"{beside(options['networks'], of_paper['networks'], 'network')} above 90 %, each trained for "
        f"{beside(options['epochs'], of_paper['epochs'], 'epoch')} on "
        f"{beside(options['images'], _TRAINED['images'], 'image', 'NAS-Bench-201')} in batches of {taken}"
        + (f" (NAS-Bench-201: {of_benchmark})" if taken != of_benchmark else "")
    ]


def kernels(options: Mapping[str, Any], cuts: Sequence[float]) -> list[str]:
    """Of figure 1 of 2021: bands of accuracy between cuts (percent), as `choose.by_bands` makes them."""
    each = options["networks"]
    listed = f"{', '.join(f'{cut:g}' for cut in cuts[:-1])} and {cuts[-1]:g} %"
    return [
        f"{beside(each, each, 'network')} a band of accuracy",
        f"bands are cut at {listed}, or at quantiles where those leave one empty",
    ]


def histograms(options: Mapping[str, Any], cuts: Sequence[float]) -> list[str]:
    """Of figure 1 of 2020: bands of accuracy between cuts."""
    each = beside(options["networks"], PUBLISHED["histograms"]["networks"], "network")
    return [f"{each} in each of {len(cuts) + 1} bands of accuracy"]


def library(options: Mapping[str, Any], chosen: int, known: int) -> list[str]:
    """Of figure 5 of 2020: `chosen` networks of the `known` ones whose accuracy pytorchcv states."""
    light = options["networks"] == "light"
    told = "those scored in seconds, not a random choice" if light else "those that the config names"
    initialisations = beside(options["initialisations"], PUBLISHED["library"]["initialisations"], "initialisation")
    return [
        f"all {known} networks" if chosen == known else f"{chosen} of {known} networks, {told}",
        f"the mean of {initialisations}",
    ]


def seconds(paper: str, device: str, live: Sequence[int] = ()) -> str:
    """What the seconds of training-free searches are; those of `live` numbers of samples built their networks."""
    looked_up = "sums of looked-up scoring seconds"
    numbers = ", ".join(map(str, live))
    told = f"of whole searches for N = {numbers}, else {looked_up}" if live else looked_up
    return f"NASWOT's seconds: {told}, on {device} (the paper: {PUBLISHED[paper]['device']})"
