"""Draws the picture of a run: GB/s over the size, a panel for each group, operation and window.

python plot.py REPORT.json PICTURE.png, in an environment that has matplotlib.
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = plt.get_cmap("tab10").colors + plt.get_cmap("Set2").colors


def size_label(block_bytes):
    if block_bytes < 1 << 20:
        return f"{block_bytes >> 10}K"
    return f"{block_bytes / (1 << 20):.3g}M"


def style(peer, index):
    if peer["kind"] == "tarn":
        return {"linewidth": 2.6, "color": COLOURS[index], "marker": "o", "markersize": 4}
    if peer["kind"] == "limit":
        return {"linewidth": 1.2, "color": "0.55", "linestyle": ("--", ":")[index % 2]}
    return {"linewidth": 1.2, "color": COLOURS[index], "marker": ".", "markersize": 4}


def panel(axes, report, group, op, window):
    """One panel; sizes are evenly spaced, the rate begins at 0."""
    cells = sorted(
        (
            cell
            for cell in report["cells"]
            if (cell["group"], cell["op"], cell["inflight"]) == (group, op, window)
        ),
        key=lambda cell: cell["block_bytes"],
    )
    peers = [peer for peer in report["peers"] if peer["group"] == group and not peer["error"]]
    for index, peer in enumerate(peers):
        points = [
            (at, cell["rows"][peer["name"]]["gb_per_s"])
            for at, cell in enumerate(cells)
            if peer["name"] in cell["rows"]
        ]
        if points:
            axes.plot(*zip(*points, strict=True), label=peer["name"], **style(peer, index))
    axes.set_xticks(range(len(cells)), [size_label(cell["block_bytes"]) for cell in cells])
    axes.tick_params(labelsize=7)
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.25)
    axes.set_title(f"{group}: {op}, {window} in flight", fontsize=9)


def draw(report, picture):
    groups = list(dict.fromkeys(cell["group"] for cell in report["cells"]))
    windows = report["plan"]["windows"]
    rows = [(group, op) for group in groups for op in ("get", "put")]
    figure, grid = plt.subplots(
        len(rows), len(windows), figsize=(4.2 * len(windows) + 2, 2.9 * len(rows)), squeeze=False
    )
    for line, (group, op) in zip(grid, rows, strict=True):
        for axes, window in zip(line, windows, strict=True):
            panel(axes, report, group, op, window)
        line[0].set_ylabel("GB/s", fontsize=8)
        line[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    machine = report["machine"]
    figure.suptitle(f"Tarn {report['commit']} beside its peers: {machine['cpu']}", fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        draw(json.load(file), sys.argv[2])
