"""What /proc says of a process and all that it started: CPU time, memory, packets that its sockets lost."""

import os

TICK = os.sysconf("SC_CLK_TCK")
MEMORY = {"VmRSS": "rss", "RssAnon": "anon", "VmHWM": "peak"}


def stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def tree(pid):
    """`pid` and its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(stat(entry)[1]), []).append(int(entry))
            except OSError:
                pass  # It has ended meanwhile.
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_seconds(pid):
    """User and system time of the tree, of what has ended and was waited for as well."""
    ticks = 0
    for member in tree(pid):
        try:
            ticks += sum(int(field) for field in stat(member)[11:15])
        except OSError:
            pass
    return ticks / TICK


def memory(pid):
    """MiB that the tree holds: resident, the anonymous part, and the most since `forget_peak`."""
    total = dict.fromkeys(MEMORY.values(), 0.0)
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/status") as file:
                for line in file:
                    key, _, value = line.partition(":")
                    if key in MEMORY:
                        total[MEMORY[key]] += int(value.split()[0]) / 1024
        except OSError:
            pass
    return {key: round(value, 2) for key, value in total.items()}


def forget_peak(pid):
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            pass


def busy_seconds():
    """CPU time that the whole machine has used."""
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICK


def udp_drops(port):
    """Packets for the sockets at a port that the kernel threw away because the server did not take them."""
    drops = 0
    for path in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(path) as file:
                for line in file.readlines()[1:]:
                    fields = line.split()
                    if int(fields[1].split(":")[1], 16) == port:
                        drops += int(fields[-1])
        except OSError:
            pass
    return drops
