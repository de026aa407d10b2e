"""The loads: dnsperf for the closed loop, our own load generator for fixed rates, for checks and for a reload."""

import json
import os
import re
import shutil
import subprocess
import threading
import time

from lib import dns, proc
from lib.server import Failed, pinned

# Queries under way at once in a closed loop: enough that the server never waits.
WINDOW = 100
CLIENTS = 20
# What is asked while a list is reloaded, a second.
RELOAD_RATE = 1000
# New names in the list that is reloaded; one is asked after the other, since each answer "allowed" may be cached.
PROBES = 10_000


def loadgen(server, queries, cpu, **options):
    command = [f"{server.env['BIN']}/loadgen", str(server.port), queries, *(f"{key}={value}" for key, value in options.items())]
    done = subprocess.run(pinned(cpu, command), capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"loadgen: {done.stderr}")
    return json.loads(done.stdout)


def dnsperf(server, queries, cpu, seconds):
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", queries, "-l", str(seconds), "-t", "2"]
    done = subprocess.run(pinned(cpu, [*command, "-q", str(WINDOW), "-c", str(CLIENTS)]), capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"dnsperf: {done.stderr[-500:]}")

    def number(label):
        found = re.search(rf"{re.escape(label)}\s+([0-9.]+)", done.stdout)
        return float(found[1]) if found else 0.0

    sent, answers = int(number("Queries sent:")), int(number("Queries completed:"))
    return {
        "sent": sent,
        "answers": answers,
        "lost": int(number("Queries lost:")),
        "qps": round(number("Queries per second:")),
        "average_us": round(number("Average Latency (s):") * 1e6, 1),
    }


def measured(server, load):
    """Runs a load and adds what the server's tree and the rest of the machine used meanwhile."""
    clients = os.times()
    drops = proc.udp_drops(server.port)
    cpu, busy, begun = proc.cpu_seconds(server.pid), proc.busy_seconds(), time.monotonic()
    result = load()
    took, cpu = time.monotonic() - begun, proc.cpu_seconds(server.pid) - cpu
    after = os.times()
    client = after.children_user + after.children_system - clients.children_user - clients.children_system
    if not result["answers"]:
        raise Failed("no answers")
    return {
        **result,
        "cpu_us": round(cpu / result["answers"] * 1e6, 3),
        # Of what is lost, this came to a server that was too slow to take it.
        "drops": proc.udp_drops(server.port) - drops,
        "core_share": round(cpu / took, 3),
        # The stub upstream is in here as well.
        "others": round(max(0.0, (proc.busy_seconds() - busy - cpu - client) / took), 3),
    }


class PeakWatch:
    """The most memory that a tree holds at once: by the kernel's count for each process, or as seen every 20 ms."""

    def __init__(self, pid):
        self.pid, self.seen, self.over = pid, 0.0, threading.Event()
        proc.forget_peak(pid)
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.over.wait(0.02):
            self.seen = max(self.seen, proc.memory(self.pid)["rss"])

    def end(self):
        self.over.set()
        self.thread.join()
        return max(self.seen, proc.memory(self.pid)["peak"])


def reload(server, folder, cpu, limit=240):
    """What clients notice while the server takes a new list: silence, lost queries; and what it costs."""
    names = [f"r{number}.reload-probe.example" for number in range(PROBES)]
    new = {}
    for kind, prefix in (("DOMAINS", ""), ("HOSTS", "0.0.0.0 ")):
        new[kind] = f"{server.dir}/new.{kind.lower()}"
        shutil.copy(server.env[kind], new[kind])
        with open(new[kind], "a") as file:
            file.writelines(f"{prefix}{name}\n" for name in names)
    if dns.says(server.port, names[0], 2) != "allowed":
        raise Failed("the new names are blocked before the reload")
    before = proc.memory(server.pid)["rss"]
    watch = PeakWatch(server.pid)
    command = [f"{server.env['BIN']}/loadgen", str(server.port), f"{folder}/known.q", f"seconds={limit + 10}"]
    clients = subprocess.Popen(
        pinned(cpu, [*command, f"rate={RELOAD_RATE}", f"sources={CLIENTS}", "timeout=2000"]), stdout=subprocess.PIPE, text=True
    )
    try:
        time.sleep(1)
        cpu_before, begun, took = proc.cpu_seconds(server.pid), time.monotonic(), None
        told = server.reload(**new)
        for name in names[1:]:
            if dns.says(server.port, name, 1) == "blocked":
                took = time.monotonic() - begun
                break
            if time.monotonic() - begun > limit:
                break
            time.sleep(0.02)
        code = told.wait()
        cpu_used = proc.cpu_seconds(server.pid) - cpu_before
        time.sleep(1)
    finally:
        clients.terminate()
        heard = json.loads(clients.communicate()[0])
        peak = watch.end()
    if took is None:
        raise Failed(f"reload: no new name is blocked after {limit} s (its command ended with {code})")
    return {
        "reload_s": round(took, 3),
        "silence_ms": heard["silence_ms"],
        "sent": heard["sent"],
        "lost": heard["lost"],
        "not_sent": heard["not_sent"],
        "wrong": heard["wrong"],
        "p99_us": heard["all"]["p99_us"],
        "max_us": heard["all"]["max_us"],
        "cpu_s": round(cpu_used, 2),
        "rss_before": before,
        "peak": round(peak, 2),
        "peak_ratio": round(peak / before, 2),
        "rss_after": proc.memory(server.pid)["rss"],
    }
