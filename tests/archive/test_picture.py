"""The graph of the rules, drawn without Graphviz."""

from __future__ import annotations

from pathlib import Path

from naswot_ext.archive.picture import draw, layers, read_dot, write_dot

DOT = """digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
	0[label = "all", color = "0.02 0.6 0.85", style="rounded"];
	1[label = "table", color = "0.24 0.6 0.85", style="rounded"];
	2[label = "score", color = "0.55 0.6 0.85", style="rounded"];
	3[label = "truth", color = "0.45 0.6 0.85", style="rounded"];
	1 -> 0
	2 -> 1
	3 -> 1
	3 -> 0
}
"""


def test_rules_and_their_order_are_read_from_dot() -> None:
    names, edges = read_dot(DOT)
    assert names == ["all", "score", "table", "truth"]
    assert edges == [("score", "table"), ("table", "all"), ("truth", "all"), ("truth", "table")]


def test_the_graph_is_written_alike_whatever_the_order_that_it_came_in() -> None:
    lines = DOT.splitlines(keepends=True)
    other = "".join([lines[0], *lines[2:-1][::-1], lines[-1]])
    assert write_dot(other) == write_dot(DOT)
    assert '    "score" -> "table";\n' in write_dot(DOT)


def test_each_rule_stands_below_all_that_goes_into_it() -> None:
    names, edges = read_dot(DOT)
    rows = layers(names, edges)
    depth = {name: i for i, row in enumerate(rows) for name in row}
    assert all(depth[a] < depth[b] for a, b in edges)
    assert sorted(name for row in rows for name in row) == sorted(names)


def test_rows_are_ordered_so_that_edges_do_not_cross() -> None:
    rows = layers(["a", "b", "c", "x", "y", "z"], [("a", "z"), ("b", "y"), ("c", "x")])
    assert rows in ([["a", "b", "c"], ["z", "y", "x"]], [["c", "b", "a"], ["x", "y", "z"]])


def test_a_picture_is_drawn_in_both_formats_and_also_of_nothing(tmp_path: Path) -> None:
    draw(DOT, tmp_path / "a.png", tmp_path / "a.pdf")
    draw("digraph snakemake_dag {\n}\n", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "a.pdf").read_bytes()[:4] == b"%PDF"
    assert (tmp_path / "b.png").stat().st_size > 0
