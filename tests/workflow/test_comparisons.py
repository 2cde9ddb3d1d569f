"""What compares searches in a run: tables and figures of unequal runs, in which every search has its own name."""

from __future__ import annotations

import pandas as pd

from tests.workflow.conftest import Project


def test_searches_with_unequal_runs_and_a_draw_of_all_are_compared(new_project: Project) -> None:
    new_project.config["searches"]["algorithms"] = {
        "random": None,
        "naswot@mine": {"n_samples": [2], "proxy": ["params", "naswot"]},
        "funnel": {"runs": 2, "keep": 2},
    }
    figures = [f"results/figures/nasbench201/noise/{name}.png" for name in ("search_wins", "search_ranks", "searches")]
    new_project.run(*figures, "results/tables/searches.csv", "results/tables/searches_tests.csv")
    assert all((new_project.folder / figure).read_bytes().startswith(b"\x89PNG") for figure in figures)
    rows = pd.read_csv(new_project.folder / "results/tables/searches.csv").drop_duplicates("algorithm")
    assert rows.set_index("algorithm").loc["funnel", ["n_samples", "runs"]].tolist() == ["all", 2]
    tests = pd.read_csv(new_project.folder / "results/tables/searches_tests.csv")
    names = {*tests["search_a"], *tests["search_b"]}
    assert names == {"random", "naswot (mine) over params, N = 2", "NASWOT (mine), N = 2", "funnel, N = all"}
    with_funnel = tests["search_b"] == "funnel, N = all"
    assert set(tests[with_funnel]["runs"]) == {2}
    assert set(tests[~with_funnel]["runs"]) == {new_project.config["searches"]["runs"]}
