"""The bring-your-own example on real images and real ground truth, made small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import yaml

from tests.workflow.conftest import Project


def test_the_bring_your_own_config_runs_on_real_files(
    new_project: Project, checkout: Path, real_data: Callable[[str], Path]
) -> None:
    config = yaml.safe_load((checkout / "config" / "nasbench201.yaml").read_text())
    space = config["spaces"]["nasbench201"]
    for options in (space["benchmark"], *config["datasets"].values()):
        options["path"] = str(real_data(Path(options["path"]).name))
    space["architectures"] = 12
    config |= {"batch_size": 8, "proxies": ["naswot"], "results": "results", "statistics": {"bootstrap": 20}}
    config["searches"] = {"runs": 5, "algorithms": {"naswot": {"n_samples": [5]}, "optimal": {"n_samples": [5]}}}
    new_project.config = config
    new_project.run()
    correlations = pd.read_csv(new_project.folder / "results/tables/correlations.csv")
    assert len(correlations) == 8  # two sets of images, two of ground truth, two splits
    assert correlations["kendall"].between(-1, 1).all()
    searches = pd.read_csv(new_project.folder / "results/tables/searches.csv")
    found = searches.pivot_table(index=["scored_on", "dataset", "split"], columns="algorithm", values="mean")
    assert len(found) == 8
    assert (searches["search_seconds"] > 0)[searches["algorithm"] == "naswot"].all()
