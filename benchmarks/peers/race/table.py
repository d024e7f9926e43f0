"""The table: as text, as JSON, and as what the picture is drawn from."""

import dataclasses
import os
import pathlib
import platform
import subprocess
import time

from . import ROOT, schedule
from .figures import verdict
from .runner import cell_rows


def as_json(rows, plan, place, skipped, seconds):
    """Everything of a run, for programs; the text table and the picture are made from it."""
    return {
        "machine": machine(),
        "commit": commit(),
        "seconds": round(seconds, 1),
        "plan": dataclasses.asdict(plan),
        "cores": {"client": list(place.client_cores), "server": list(place.server_cores)},
        "p99_operations_min": schedule.P99_OPERATIONS_MIN,
        "peers": [peer_json(row) for row in rows],
        "cells": [cell for group in groups_of(rows) for cell in group_json(rows, group)],
        "skipped": [{"group": group, "cell": cell.label} for group, cell in skipped],
    }


def groups_of(rows):
    return list(dict.fromkeys(row.peer.group for row in rows))


def peer_json(row):
    peer = row.peer
    return {
        "name": peer.name,
        "group": peer.group,
        "kind": peer.kind,
        "version": peer.version,
        "note": peer.note,
        "start_s": row.start_s,
        "error": row.error,
        "cell_errors": {cell.label: text for cell, text in row.cell_errors.items()},
    }


def group_json(rows, group):
    """A dict for each cell of a group; `lost` is None where one side has no figures."""
    kinds = {row.peer.name: row.peer.kind for row in rows}
    found = []
    for cell, figures in cell_rows(rows, group).items():
        who = verdict(cell.op, figures, kinds)
        found.append(
            {
                "group": group,
                **dataclasses.asdict(cell),
                "label": cell.label,
                "rows": {n: dataclasses.asdict(f) for n, f in figures.items() if f},
                "tarn": who and who.tarn,
                "best_peer": who and who.peer,
                "ratio": who and round(who.ratio, 3),
                "lost": who and who.lost,
            }
        )
    return found


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [x.partition(": ")[2] for x in cpuinfo.splitlines() if x.startswith("model name")]
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "unix_s": int(time.time()),
    }


def commit():
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def time_label(us):
    """ "13", "4.3m": microseconds, m for milliseconds."""
    if us is None:
        return "-"
    if us < 1000:
        return f"{us:.0f}" if us >= 10 else f"{us:.1f}"
    return f"{us / 1000:.1f}m" if us < 100_000 else f"{us / 1000:.0f}m"


def figures_label(op, row):
    """ "2.16 13/63": GB/s, p50/p99; of exists the times alone."""
    times = f"{time_label(row['p50_us'])}/{time_label(row['p99_us'])}"
    return times if op == "exists" else f"{row['gb_per_s']:.2f} {times}"


def cpu_label(row):
    """ "0.14+0.17": core-seconds per GB, client and server."""
    parts = (row["client_cpu_s_per_gb"], row["server_cpu_s_per_gb"])
    return "+".join("-" if part is None else f"{part:.2f}" for part in parts)


def aligned(lines):
    """Columns of text; the first one flush left."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            word.ljust(width) if i == 0 else word.rjust(width)
            for i, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def block(report, group, op, inflight):
    """The lines of one operation and window: a row for each peer, a column for each size."""
    cells = [
        cell
        for cell in report["cells"]
        if (cell["group"], cell["op"], cell["inflight"]) == (group, op, inflight)
    ]
    if not cells:
        return []
    if op == "exists":
        head = f"exists of {schedule.EXISTS_KEYS:,} keys, half there: p50/p99 us"
    else:
        head = f"{op}, {inflight} in flight: GB/s p50/p99 us"
    lines = [[f"{group}: {head}"]]
    lines[0] += ["" if op == "exists" else schedule.size_label(c["block_bytes"]) for c in cells]
    for peer in report["peers"]:
        if peer["group"] != group or peer["error"]:
            continue
        lines.append([mark(peer, cells)])
        lines[-1] += [label(op, cell, peer["name"]) for cell in cells]
    return [*aligned(lines), ""]


def mark(peer, cells):
    """The name; limits in brackets, Tarn with a star."""
    name = {"limit": f"({peer['name']})", "tarn": f"* {peer['name']}"}
    return "  " + name.get(peer["kind"], peer["name"])


def label(op, cell, name):
    """The figures, with "<" where Tarn's best row has lost the cell, "!" at who has won it."""
    row = cell["rows"].get(name)
    if row is None:
        return "-"
    sign = ""
    if cell["lost"]:
        sign = "!" if name == cell["best_peer"] else "<" if name == cell["tarn"] else ""
    return sign + figures_label(op, row)


def cpu_block(report, group):
    """CPU time at the size nearest to 2 MiB and the window nearest to 8."""
    cells = [c for c in report["cells"] if c["group"] == group and c["op"] in ("get", "put")]
    if not cells:
        return []

    def distance(cell):
        return abs(cell["block_bytes"] - 2 * schedule.MIB), abs(cell["inflight"] - 8)

    nearest = min(distance(cell) for cell in cells)
    cells = [cell for cell in cells if distance(cell) == nearest]
    lines = [[f"{group}: CPU, core-s per GB, client+server", *(c["label"] for c in cells)]]
    for peer in report["peers"]:
        if peer["group"] == group and not peer["error"]:
            rows = [c["rows"].get(peer["name"]) for c in cells]
            lines.append([mark(peer, cells), *("-" if r is None else cpu_label(r) for r in rows)])
    return [*aligned(lines), ""]


def losses(report, reasons):
    """The lines of all cells in which a peer was ahead of Tarn's best row, worst first."""
    lost = sorted((c for c in report["cells"] if c["lost"]), key=lambda c: c["ratio"])
    judged = sum(c["lost"] is not None for c in report["cells"])
    lines = [f"Tarn's best row is behind the best peer in {len(lost)} of {judged} cells:"]
    for cell in lost:
        ours, theirs = cell["rows"][cell["tarn"]], cell["rows"][cell["best_peer"]]
        lines.append(
            f"  {cell['ratio']:.2f}  {cell['group']}: {cell['label']}: {cell['tarn']} "
            f"{figures_label(cell['op'], ours)}, {cell['best_peer']} "
            f"{figures_label(cell['op'], theirs)}; {reason(cell, reasons)}"
        )
    return lines


def reason(cell, reasons):
    """The first sentence whose conditions the cell meets."""
    for known in reasons:
        if all(cell[name] in values for name, values in known["when"].items()):
            return known["because"]
    return "reason: not known yet"


def text(report, reasons=()):
    """The whole table."""
    lines = []
    for group in dict.fromkeys(peer["group"] for peer in report["peers"]):
        for op in ("get", "put"):
            for inflight in report["plan"]["windows"]:
                lines += block(report, group, op, inflight)
        lines += block(report, group, "exists", 1)
        lines += cpu_block(report, group)
    lines.append("Who ran:")
    for peer in report["peers"]:
        lines.append("  " + peer_line(peer))
        lines += [f"    {cell}: {words}" for cell, words in peer["cell_errors"].items()]
    if report["skipped"]:
        lines.append("No time was left for: " + ", ".join(c["cell"] for c in report["skipped"]))
    lines += ["", *losses(report, reasons), "", legend(report)]
    return "\n".join(lines) + "\n"


def peer_line(peer):
    if peer["error"]:
        return f"{peer['name']} ({peer['group']}): did not run: {peer['error']}"
    note = f"; {peer['note']}" if peer["note"] else ""
    return f"{peer['name']}: {peer['version'] or '-'}, ready in {peer['start_s']:.1f} s{note}"


def legend(report):
    found = report["machine"]
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB, kernel "
        f"{found['kernel']}; clients on cores {report['cores']['client']}, servers on "
        f"{report['cores']['server']}; {report['plan']['rounds']} rounds, "
        f"{report['seconds']:.0f} s; commit {report['commit']}. GB = 1e9 bytes, median of the "
        f"rounds; m = ms; p99 only on {report['p99_operations_min']} operations or more. * Tarn, "
        "() limit, ! ahead of Tarn's best row, which is marked <."
    )
