"""Captions say what was run, and in what it is unlike the paper's."""

from __future__ import annotations

from typing import Any

import yaml

from naswot_ext.experiments import notes
from tests.conftest import REPOSITORY

CUTS = [60, 70, 80, 90]


def papers(scale: str) -> dict[str, Any]:
    config = yaml.safe_load((REPOSITORY / "config" / "paper.yaml").read_text())
    small = config["scales"]["small"]["papers"]
    full = config["papers"]
    return full if scale == "full" else {name: {**full[name], **small.get(name, {})} for name in full}


def test_an_ablation_says_how_its_networks_are_chosen_and_in_what_it_is_smaller() -> None:
    options = {"networks": 6, "samples": 4, "batch_sizes": [32, 64, 128]}
    chosen, samples, sizes = notes.ablation(options)
    assert chosen.startswith(
        "6 networks (the paper: 10), each from another 5 % of the ranks by accuracy, from the median"
    )
    assert samples == "4 samples (the paper: 20) of each change"
    assert sizes == "batch sizes 32, 64, 128 (the paper: 32, 64, 128, 256)"
    assert notes.ablation_2020({"networks": 4, "samples": 1}) == [
        "4 networks (the paper: 8) drawn at random",
        "1 sample of each change (the paper does not say how many)",
    ]


def test_a_training_says_on_how_much_and_for_how_long() -> None:
    (told,) = notes.training({"networks": 3, "epochs": 1, "images": 1000, "batch_size": 64})
    assert told == (
        "3 networks (the paper: 10) above 90 %, each trained for 1 epoch (the paper: 100) on 1000 images "
        "(NAS-Bench-201: 25000) in batches of 64 (NAS-Bench-201: 256)"
    )


def test_bands_say_how_many_networks_each_has_and_that_quantiles_may_cut_them() -> None:
    assert notes.histograms({"networks": 3}, CUTS) == ["3 networks (the paper: 5) in each of 5 bands of accuracy"]
    each, cuts = notes.kernels({"networks": 1}, CUTS)
    assert each == "1 network a band of accuracy"
    assert cuts == "bands are cut at 60, 70, 80 and 90 %, or at quantiles where those leave one empty"


def test_the_cheap_networks_of_a_library_are_no_random_choice() -> None:
    few, initialisations = notes.library({"networks": "light", "initialisations": 2}, 12, 70)
    assert few == "12 of 70 networks, those scored in seconds, not a random choice"
    assert initialisations == "the mean of 2 initialisations (the paper: 10)"
    assert notes.library({"networks": ["nin_cifar10"], "initialisations": 1}, 1, 70)[0].endswith(
        "that the config names"
    )
    assert notes.library({"networks": "all", "initialisations": 10}, 70, 70)[0] == "all 70 networks"


def test_seconds_say_which_are_of_whole_searches_and_on_what() -> None:
    assert notes.seconds("icml2021", "the CPU") == (
        "NASWOT's seconds: sums of looked-up scoring seconds, on the CPU (the paper: a GTX 1080 Ti)"
    )
    assert "of whole searches for N = 10, 100, else sums of looked-up" in notes.seconds("arxiv2020", "a GPU", [10, 100])


def test_images_are_told_beside_those_of_the_paper_where_they_differ() -> None:
    assert notes.images("arxiv2020", [64]) == "64 images a score (the paper: 256)"
    assert notes.images("icml2021", [128]) == "128 images a score"


def test_at_the_papers_scale_nothing_is_unlike_the_paper() -> None:
    full = papers("full")
    told = [
        *notes.ablation(full["ablation"]),
        *notes.training(full["training"]),
        *notes.histograms(full["histograms"], CUTS),
        *notes.library(full["library"], 70, 70),
        notes.ablation_2020(full["ablation_2020"])[0],
    ]
    assert not [text for text in told if "(the paper: " in text or "(NAS-Bench-201: " in text]


def test_at_the_small_scale_each_says_what_is_unlike_the_paper() -> None:
    small = papers("small")
    for told in (
        notes.ablation(small["ablation"]),
        notes.ablation_2020(small["ablation_2020"]),
        notes.training(small["training"]),
        notes.histograms(small["histograms"], CUTS),
        notes.library(small["library"], 12, 70),
    ):
        assert any("(the paper: " in text for text in told)
