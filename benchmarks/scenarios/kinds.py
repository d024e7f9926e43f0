"""The kinds of scenarios: each sets up its cluster and clients, and returns rows and findings.

A kind takes (folder, scenario, quick) and returns the table's rows, and the findings that the
scenario's aims name.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from scenario_cluster import Client, Cluster
from network import Link, Loopback


def link_of(scenario):
    """The scenario's link, or loopback where it names no rate."""
    if not scenario.get("rate_mbit"):
        return Loopback()
    return Link(scenario["rate_mbit"], scenario.get("queue_kib", 256))


def scaled(value, quick):
    """A tenth for a quick look."""
    return max(1, value // 10) if quick else value


def layerwise(folder, scenario, quick):
    """When do the layers of a long prefix land, and what does a forward pass gain by it?"""
    rows, found = [], {}
    count, size, layers = scenario["blocks"], scenario["block_bytes"], scenario["layers"]
    with link_of(scenario) as link, Cluster(folder, link, dram=scenario["dram"]) as cluster:
        for transport in scenario["transports"]:
            with Client(cluster, transport=transport) as client:
                client.ask("put", name="layers", count=count, block_bytes=size)
                job = {"name": "layers", "count": count, "block_bytes": size, "layers": layers}
                seen = client.ask("layers", **job, rounds=scaled(scenario["rounds"], quick))
                row = {"transport": client.ask("transports")["transports"][0]}
                row |= {f"{name}_ms": seen[name]["p50_ms"] for name in seen}
                row["first_share"] = round(row["first_layer_ms"] / row["last_layer_ms"], 3)
                row["against_whole"] = round(row["last_layer_ms"] / row["whole_ms"], 3)
                rows.append(row)
            if "model_tokens" in scenario:
                with Client(cluster, transport=transport) as client:
                    rows[-1] |= client.ask("forward", tokens=scenario["model_tokens"],
                                           rounds=scaled(scenario["rounds"], quick))  # fmt: skip
    found["first_share"] = max(row["first_share"] for row in rows)
    found["against_whole"] = max(row["against_whole"] for row in rows)
    if "overlap_gain" in rows[0]:
        found["overlap_gain"] = min(row["overlap_gain"] for row in rows)
    return rows, found


def flash_fill(folder, scenario, quick):
    """What do gets take while a drive fills, and when it is full for good?"""
    rows, found = [], {}
    size, capacity = scenario["block_bytes"], scenario["flash_mib"] << 20
    of_drive = lambda share: int(share * capacity / size)  # noqa: E731
    job = {"name": "fill", "block_bytes": size, "recent": of_drive(scenario["recent"])}
    job["gets_each"] = scaled(scenario["gets_each"], quick)
    setup = {"dram": scenario["dram"], "flash_mib": scenario["flash_mib"]}
    for transport in scenario["transports"]:
        with Cluster(folder, Loopback(), **setup) as cluster:
            first = 0
            for level in scenario["levels"]:
                with Client(cluster, transport=transport) as client:
                    seen = client.ask("fill", first=first, count=of_drive(level) - first, **job)
                first = of_drive(level)
                rows.append({"transport": transport, "level": level} | seen)
        mine = [row for row in rows if row["transport"] == transport]
        later = max(row["p99_ms"] for row in mine if row["level"] > 0.9)
        ratio = round(later / mine[0]["p99_ms"], 2)
        found["p99_ratio"] = max(found.get("p99_ratio", 0), ratio)
    found["wrong"] = sum(row["wrong"] for row in rows)
    return rows, found


def flash_curve(folder, scenario, quick):
    """Gets of working sets that are ever larger than dram, with a drive behind it."""
    rows = []
    size = scenario["block_bytes"]
    for transport in scenario["transports"]:
        for factor in scenario["factors"]:
            count = int(factor * (scenario["dram_mib"] << 20) / size)
            setup = {"dram": f"{scenario['dram_mib']}MiB", "flash_mib": scenario["flash_mib"]}
            with Cluster(folder / f"{transport}-{factor}", Loopback(), **setup) as cluster:
                with Client(cluster, transport=transport) as client:
                    job = {"name": "curve", "count": count, "block_bytes": size}
                    client.ask("put", **job)
                    seen = client.ask("gets", seconds=scaled(scenario["seconds"], quick), **job,
                                      scattered=True)  # fmt: skip
            asked = seen["bytes"] / size + sum(seen["failed"].values())
            share = round(seen["bytes"] / size / max(asked, 1), 4)
            row = {"transport": transport, "of_dram": factor, "found": share}
            rows.append(row | {key: seen[key] for key in ("gb_per_s", "p50_ms", "p99_ms")})
    return rows, {"found_share": min(row["found"] for row in rows)}


def sigstop(folder, scenario, quick):
    """A server that stops in the middle of everything: does each call end by its deadline?"""
    rows = []
    count, size = scenario["blocks"], scenario["block_bytes"]
    seconds, timeout = scaled(scenario["seconds"], quick), scenario["timeout_ms"]
    with Loopback() as link, Cluster(folder, link, dram=scenario["dram"]) as cluster:
        for transport in scenario["transports"]:
            with Client(cluster, transport=transport) as client:
                client.ask("put", name="stop", count=count, block_bytes=size)
                name = client.ask("transports")["transports"][0]
                client.begin("ends_in_time", name="stop", count=count, block_bytes=size,
                             seconds=seconds, timeout_ms=timeout)  # fmt: skip
                time.sleep(seconds / 4)
                os.kill(cluster.pid("server-1"), signal.SIGSTOP)
                stopped = True
                try:
                    time.sleep(seconds / 2)
                    os.kill(cluster.pid("server-1"), signal.SIGCONT)
                    stopped = False
                    seen = client.answer()
                finally:
                    if stopped:
                        os.kill(cluster.pid("server-1"), signal.SIGCONT)
                for call, times in seen.items():
                    rows.append({"transport": name, "call": call, "deadline_ms": timeout,
                                 "calls": times["count"], "p50_ms": times["p50_ms"],
                                 "max_ms": times["max_ms"],
                                 "past_deadline_ms": times["past_deadline_ms"],
                                 "ended": times["ended"]})  # fmt: skip
    return rows, {"past_deadline_ms": max(row["past_deadline_ms"] for row in rows)}


def slow_reader(folder, scenario, quick):
    """A reader stops in the middle of its gets: what does it cost the others?"""
    rows, ratios = [], []
    count, size = scenario["blocks"], scenario["block_bytes"]
    seconds = scaled(scenario["seconds"], quick)
    job = {"name": "slow", "count": count, "block_bytes": size, "seconds": seconds}
    with link_of(scenario) as link, Cluster(folder, link, dram=scenario["dram"]) as cluster:
        for transport in scenario["transports"]:
            with contextlib.ExitStack() as stack:
                others = [
                    stack.enter_context(Client(cluster, transport=transport))
                    for _ in range(scenario["others"])
                ]
                others[0].ask("put", name="slow", count=count, block_bytes=size)
                before = measure(others, job)
                readers = [
                    stack.enter_context(Client(cluster, transport=transport))
                    for _ in range(scenario["stopped"])
                ]
                for reader in readers:
                    reader.begin("gets", **job | {"seconds": 2, "window": 32, "timeout_ms": 60_000})
                time.sleep(0.5)
                for reader in readers:
                    reader.child.send_signal(signal.SIGSTOP)
                during = measure(others, job)
                for reader in readers:
                    reader.child.send_signal(signal.SIGCONT)
                for reader in readers:
                    reader.answer()
                after = measure(others, job)
                name = others[0].ask("transports")["transports"][0]
            for when, seen in (("before", before), ("stopped", during), ("after", after)):
                rows.append({"transport": name, "readers": when} | seen)
            # The machine's own drift is in before and after alike.
            well = {name: (before[name] + after[name]) / 2 for name in ("gb_per_s", "p99_ms")}
            ratios.append((well, during))
    found = {
        "goodput_ratio": round(min(d["gb_per_s"] / b["gb_per_s"] for b, d in ratios), 3),
        "p99_ratio": round(max(d["p99_ms"] / b["p99_ms"] for b, d in ratios), 3),
    }
    return rows, found


def measure(clients, job):
    """All clients do the job at once: their sum of bytes per second, and the worst of the rest."""
    for client in clients:
        client.begin("gets", **job)
    seen = [client.answer() for client in clients]
    failed = {}
    for each in seen:
        for name, times in each["failed"].items():
            failed[name] = failed.get(name, 0) + times
    return {
        "gb_per_s": round(sum(each["gb_per_s"] for each in seen), 4),
        "p50_ms": max(each["p50_ms"] for each in seen),
        "p99_ms": max(each["p99_ms"] for each in seen),
        "p999_ms": max(each["p999_ms"] for each in seen),
        "failed": failed,
    } | ({"late": sum(each["late"] for each in seen)} if "late_ms" in job else {})


def incast(folder, scenario, quick):
    """Many servers answer one client at once, through a port slower than they are."""
    rows, found = [], {}
    line = scenario["rate_mbit"] * 1e6
    seconds = scaled(scenario["seconds"], quick)
    for fan_in in scenario["fan_in"]:
        with link_of(scenario) as link:
            naive = naive_tcp(link, fan_in, scenario["block_bytes"], seconds)
            rows.append({"sender": "naive TCP", "fan_in": fan_in}
                        | share_of_line(naive, line))  # fmt: skip
            inside = folder / f"fan-in-{fan_in}"
            with Cluster(inside, link, servers=fan_in, dram=scenario["dram"]) as cluster:
                for transport in scenario["transports"]:
                    with Client(cluster, transport=transport) as client:
                        count, size = scenario["blocks"], scenario["block_bytes"]
                        client.ask("put", name="in", count=count, block_bytes=size)
                        seen = client.ask("gets", name="in", count=count, block_bytes=size,
                                          seconds=seconds, window=scenario["window"],
                                          blocks_each=scenario["blocks_each"])  # fmt: skip
                        row = {"sender": "tarn " + client.ask("transports")["transports"][0]}
                        rows.append(row | {"fan_in": fan_in} | share_of_line(seen, line)
                                    | {"failed": seen["failed"]})  # fmt: skip
    tarn = [row["line_share"] for row in rows if row["sender"] != "naive TCP"]
    found["line_share"] = min(tarn)
    return rows, found


def share_of_line(seen, line):
    """Goodput beside the line's rate."""
    return {
        "gb_per_s": seen["gb_per_s"],
        "line_share": round(seen["gb_per_s"] * 8e9 / line, 3),
        "p50_ms": seen.get("p50_ms"),
        "p99_ms": seen.get("p99_ms"),
    }


def naive_tcp(link, fan_in, size, seconds):
    """So many senders, each answering a request with `size` bytes, all asked at once."""
    program = str(pathlib.Path(__file__).resolve().parent / "naive_tcp.py")
    command = [*link.servers_prefix, "/usr/bin/python3", program, "serve",
               link.servers_address, str(fan_in), str(size)]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        ports = json.loads(server.stdout.readline())
        command = [*link.clients_prefix, "/usr/bin/python3", program, "ask",
                   link.servers_address, json.dumps(ports), str(size), str(seconds)]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)
    finally:
        server.kill()
        server.wait()


def hedge(folder, scenario, quick):
    """One of two servers that hold each block stalls now and then: how long are the gets' tails?"""
    rows = []
    count, size = scenario["blocks"], scenario["block_bytes"]
    seconds = scaled(scenario["seconds"], quick)
    job = {"name": "hedge", "count": count, "block_bytes": size, "seconds": seconds, "window": 1}
    job["late_ms"] = scenario["stall_ms"] / 2
    with Loopback() as link, Cluster(folder, link, servers=2, dram=scenario["dram"]) as cluster:
        for transport in scenario["transports"]:
            with contextlib.ExitStack() as stack:
                connect = lambda share: stack.enter_context(  # noqa: E731
                    Client(cluster, transport=transport, hedge_fraction=share)
                )
                clients = {share: connect(share) for share in scenario["hedge_fractions"]}
                any_client = next(iter(clients.values()))
                any_client.ask("put", name="hedge", count=count, block_bytes=size, copies=2)
                for state in ("well", "stalls"):
                    for share, client in clients.items():
                        seen = hedge_row(cluster, scenario, state, client, job)
                        name = client.ask("transports")["transports"][0]
                        row = {"transport": name, "server_1": state, "hedge_fraction": share}
                        rows.append(row | seen)
    return rows, hedge_ratios(rows, max(scenario["hedge_fractions"]))


def hedge_row(cluster, scenario, state, client, job):
    """Gets while server-1 is well, or stalls again and again."""
    before = client.ask("counters")["asked_twice"]
    ended = threading.Event()
    stalls = threading.Thread(target=stall, args=(cluster, scenario, ended))
    if state == "stalls":
        stalls.start()
    try:
        seen = measure([client], job)
    finally:
        ended.set()
        if state == "stalls":
            stalls.join()
    seen["asked_twice"] = client.ask("counters")["asked_twice"] - before
    return seen


def hedge_ratios(rows, share):
    """Of the clients that hedge: the worst p99.9 with stalls over that without, and gets that
    waited for half a stall or longer, for each one of the clients that do not."""
    hedged = [row for row in rows if row["hedge_fraction"] == share]
    well = {row["transport"]: row["p999_ms"] for row in hedged if row["server_1"] == "well"}
    stalled = [row for row in hedged if row["server_1"] == "stalls"]
    late = sum(row["late"] for row in stalled)
    late_of_others = sum(
        row["late"]
        for row in rows
        if row["hedge_fraction"] != share and row["server_1"] == "stalls"
    )
    return {
        "p999_ratio": round(max(r["p999_ms"] / well[r["transport"]] for r in stalled), 2),
        "late_ratio": round(late / max(late_of_others, 1), 2),
    }


def stall(cluster, scenario, ended):
    """Stops server-1 for `stall_ms` out of each `every_ms` until `ended`."""
    pid = cluster.pid("server-1")
    try:
        while not ended.wait((scenario["every_ms"] - scenario["stall_ms"]) / 1e3):
            os.kill(pid, signal.SIGSTOP)
            ended.wait(scenario["stall_ms"] / 1e3)
            os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)
