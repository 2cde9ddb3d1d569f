"""The graph of the rules as a picture, drawn from Snakemake's dot text without Graphviz."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from matplotlib.patches import FancyBboxPatch

from naswot_ext.figures import canvas, save, style

Edge = tuple[str, str]
_WIDTH, _HEIGHT = 1.5, 0.75  # inches a box takes, with the space around it


def read_dot(dot: str) -> tuple[list[str], list[Edge]]:
    """The names of the rules and which goes into which, sorted, of `snakemake --rulegraph dot`."""
    labels = dict(re.findall(r'^\s*(\d+)\[label = "([^"\\]+)', dot, re.MULTILINE))
    edges = re.findall(r"^\s*(\d+) -> (\d+)", dot, re.MULTILINE)
    # Snakemake's order is another each time.
    return sorted(labels.values()), sorted((labels[a], labels[b]) for a, b in edges)


def write_dot(dot: str) -> str:
    """Snakemake's rule graph in an order that is always the same, for Graphviz."""
    names, edges = read_dot(dot)
    lines = [*(f'    "{name}";' for name in names), *(f'    "{a}" -> "{b}";' for a, b in edges)]
    return "\n".join(["digraph rules {", *lines, "}"]) + "\n"


def layers(names: Iterable[str], edges: Iterable[Edge]) -> list[list[str]]:
    """The names in rows: each below all that goes into it, and near to them, so that few edges cross.

    Longest paths and barycentres, after Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical
    system structures", IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981.
    """
    names, edges = list(names), list(edges)
    before: dict[str, list[str]] = {name: [a for a, b in edges if b == name] for name in names}
    depth: dict[str, int] = {}

    def find(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((find(other) for other in before[name]), default=-1)
        return depth[name]

    rows: list[list[str]] = [[] for _ in range(1 + max(map(find, names), default=-1))]
    for name in names:
        rows[depth[name]].append(name)
    after = {name: [b for a, b in edges if a == name] for name in names}
    for _ in range(4):
        _sort_by(rows, before)
        _sort_by(rows[::-1], after)
    return rows


def _sort_by(rows: list[list[str]], neighbours: dict[str, list[str]]) -> None:
    place: dict[str, float] = {}
    for row in rows:
        for i, name in enumerate(row):
            place[name] = (i + 0.5) / len(row)

        def centre(name: str) -> float:
            found = [place[other] for other in neighbours[name] if other in place]
            return sum(found) / len(found) if found else place[name]

        row.sort(key=centre)
        for i, name in enumerate(row):
            place[name] = (i + 0.5) / len(row)


def draw(dot: str, *paths: str | os.PathLike[str]) -> None:
    """Draw Snakemake's rule graph into .png or .pdf files: files flow from the top to the bottom."""
    names, edges = read_dot(dot)
    rows = layers(names, edges)
    with style():
        width = max([len(row) for row in rows] or [1])
        figure = canvas(_WIDTH * width, _HEIGHT * max(len(rows), 1))
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(max(len(rows), 1), 0)
        at = {name: ((i + 0.5) * width / len(row), y + 0.5) for y, row in enumerate(rows) for i, name in enumerate(row)}
        for a, b in edges:
            (x0, y0), (x1, y1) = at[a], at[b]
            axes.annotate(
                "",
                (x1, y1 - 0.2),
                (x0, y0 + 0.2),
                arrowprops={"arrowstyle": "-|>", "color": "0.65", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
            )
        for name, (x, y) in at.items():
            box = FancyBboxPatch(
                (x - 0.44, y - 0.18), 0.88, 0.36, boxstyle="round,pad=0,rounding_size=0.06", fc="white", ec="0.25"
            )
            axes.add_patch(box)
            axes.text(x, y, name.replace("_", " "), ha="center", va="center", fontsize=7.5)
        save(figure, *paths, dpi=150)
