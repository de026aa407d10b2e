"""Tables in markdown of one run's results: medians over the rounds."""

import json
import statistics

MARKER = "<!-- side-by-side -->"
CLOSED = ["blocked", "hot", "cached", "mix"]
# A round in which the rest of the machine (the stub upstream counted) used more cores than this is left out, if others are there.
CALM = 0.5


def line(what, fields):
    """What the terminal shows of a result while the run goes on."""
    if what == "start":
        first = f"first {fields['first_s']:.2f} s, " if fields["first_s"] else ""
        return f"start {first}{fields['start_s']:.2f} s, {fields['memory']['rss']:.0f} MiB"
    if what == "closed":
        lost = f" LOST {fields['lost']}" if fields["lost"] else ""
        return f"{fields['workload']} {fields['qps']}/s {fields['cpu_us']:.1f} us{lost}"
    if what in ("check", "open"):
        told = [f"{key.upper()} {fields[key]}" for key in ("wrong", "lost", "not_sent", "drops") if fields.get(key)]
        return " ".join([fields["workload"], *told, f"of {fields['sent']}", fields.get("first_wrong", "")]) if told else ""
    if what == "reload":
        noticed = f"silent {fields['silence_ms']:.0f} ms, lost {fields['lost']}"
        return f"reload {fields['reload_s']:.2f} s, {noticed}, memory x{fields['peak_ratio']}"
    return f"ERROR {fields['error']}" if what == "error" else ""


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def shown(value, form="{:,.0f}"):
    return "–" if value is None else form.format(value)


def table(head, rows):
    ruler = "| --- |" + " ---: |" * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", ruler, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


class Results:
    def __init__(self, path):
        with open(path) as file:
            self.records = [json.loads(line) for line in file]
        self.machine = next(record for record in self.records if record["what"] == "machine")
        self.versions = {record["server"]: record["version"] for record in self.records if record["what"] == "server"}
        self.servers = list(self.versions)

    def of(self, server, what, workload=None):
        found = [
            r
            for r in self.records
            if r["what"] == what and r["server"] == server and (not workload or r["workload"] == workload)
        ]
        return [record for record in found if record.get("others", 0) < CALM] or found

    def median(self, server, what, *keys, workload=None):
        values = []
        for value in self.of(server, what, workload):
            for key in keys:
                value = (value or {}).get(key)
            values.append(value)
        return median(values)


def closed_loop(results):
    floor = {w: results.median("floor-plain", "closed", "cpu_us", workload=w) for w in CLOSED}
    speed, cost = [], []
    for server in results.servers:
        speed_row, cost_row = [server], [server]
        for workload in CLOSED:
            qps, share, cpu = (
                results.median(server, "closed", key, workload=workload) for key in ("qps", "core_share", "cpu_us")
            )
            speed_row.append("–" if qps is None else f"{qps:,.0f} ({share:.2f})")
            ratio = f" ({cpu / floor[workload]:.1f}×)" if cpu is not None and floor[workload] else ""
            cost_row.append(shown(cpu, "{:.2f}") + ratio)
        speed.append(speed_row)
        cost.append(cost_row)
    return [
        "Queries a second under dnsperf on one core, and the share of that core which the server used (under 0.9 dnsperf was the limit, "
        "and the next table tells more):\n",
        table(["server", *CLOSED], speed),
        "CPU time of the server, user and system, µs a query, and how many times that of floor-plain:\n",
        table(["server", *CLOSED], cost),
    ]


def latency(results):
    parts = []
    for workload, rate in (("light", results.machine["light_rate"]), ("busy", results.machine["busy_rate"])):
        rows = []
        for server in results.servers:
            row = [server]
            for kind in ("blocked", "allowed", "miss"):
                for key in ("p50_us", "p99_us", "p999_us"):
                    row.append(shown(results.median(server, "open", kind, key, workload=workload)))
            row.append(shown(results.median(server, "open", "cpu_us", workload=workload), "{:.1f}"))
            rows.append(row)
        head = [f"{kind} {key}" for kind in ("blocked", "cached", "miss") for key in ("p50", "p99", "p99.9")]
        parts += [
            f"Latency in µs of the mix at a fixed {rate:,} queries a second:\n",
            table(["server", *head, "CPU µs a query"], rows),
        ]
    rows = [
        [
            server,
            *(
                shown(results.median(server, "open", kind, key, workload="slow"))
                for kind, key in (
                    ("blocked", "p99_us"),
                    ("allowed", "p50_us"),
                    ("allowed", "p99_us"),
                    ("miss", "p50_us"),
                    ("miss", "p99_us"),
                )
            ),
        ]
        for server in results.servers
    ]
    head = ["server", "blocked p99", "cached p50", "cached p99", "miss p50", "miss p99"]
    return [*parts, "The same at the light rate when the upstream takes 20 ms:\n", table(head, rows)]


def start_and_memory(results):
    rows = []
    for server in results.servers:
        checked = results.of(server, "check") + results.of(server, "open") if results.of(server, "start") else []
        wrong, answers = sum(r["wrong"] for r in checked), sum(r["answers"] for r in checked)
        lost = sum(r["lost"] for r in checked + results.of(server, "closed"))
        memory = []
        for what in ("start", "memory"):
            rss, anon = (shown(results.median(server, what, "memory", part), "{:,.1f}") for part in ("rss", "anon"))
            memory.append(f"{rss} ({anon})")
        rows.append(
            [
                server,
                shown(results.median(server, "start", "first_s"), "{:.2f}"),
                shown(results.median(server, "start", "start_s"), "{:.3f}"),
                *memory,
                f"{wrong / answers * 100:.3f} %" if answers else "–",
                f"{lost:,}",
            ]
        )
    head = [
        "server",
        "first start, s",
        "start, s",
        "memory after start, MiB (anonymous)",
        "after load",
        "wrong answers",
        "lost queries",
    ]
    return [
        "Start to the first blocked answer, resident memory, and what went wrong in all loads together:\n",
        table(head, rows),
    ]


def reload(results):
    columns = [
        ("reload_s", "{:.2f}"),
        ("silence_ms", "{:,.0f}"),
        ("p99_us", "{:,.0f}"),
        ("cpu_s", "{:.2f}"),
        ("peak_ratio", "{:.2f}×"),
        ("rss_after", "{:,.0f}"),
    ]
    rows = []
    for server in results.servers:
        if done := results.of(server, "reload"):
            lost, sent = (sum(record[key] for record in done) for key in ("lost", "sent"))
            row = [shown(results.median(server, "reload", key), form) for key, form in columns]
            rows.append([server, *row[:2], f"{lost:,} of {sent:,}", *row[2:]])
    head = [
        "server",
        "new name blocked, s",
        "longest silence, ms",
        "lost queries",
        "p99, µs",
        "CPU, s",
        "peak memory",
        "memory after, MiB",
    ]
    return [
        "A new list under 1,000 queries a second (servers that only a restart tells of it are left out):\n",
        table(head, rows),
    ]


def tables(path):
    results = Results(path)
    m = results.machine
    made_up = f", {m['made_up']:,} of them made up" if m["made_up"] else ""
    parts = [
        f"{m['date']}, {m['processor']}, {m['cpus']} CPUs, Linux {m['kernel']}: a list of {m['list_size']:,} names{made_up}; "
        f"{m['rounds']} round(s), {m['seconds']:g} s a load; medians.\n",
        *closed_loop(results),
        *latency(results),
        *start_and_memory(results),
        *reload(results),
    ]
    for record in results.records:
        if record["what"] == "settle":
            mix = results.median(record["server"], "closed", "answers", workload="mix")
            parts.append(
                f"{record['server']} used {record['cpu_s']:.2f} s of CPU time in the {record['seconds']} s after the loads, "
                f"for what it writes down later ({mix:,.0f} queries of the mix were the last).\n"
            )
        if record["what"] == "error":
            parts.append(f"{record['server']}, round {record['round']}: {record['error']}\n")
    parts.append(
        "Versions: " + "; ".join(version for version in dict.fromkeys(results.versions.values()) if version != "-") + ".\n"
    )
    others = [record["others"] for record in results.records if "others" in record]
    if others:
        parts.append(
            f"Others used {median(others):.2f} cores meanwhile (median; {max(others):.2f} at worst; the stub upstream is counted).\n"
        )
    return "\n".join(parts)


def write_docs(path, text):
    """Puts the tables between the two markers of a page; at its end, when it has none."""
    with open(path) as file:
        page = file.read()
    before, *rest = page.split(MARKER)
    if len(rest) not in (0, 2):
        raise SystemExit(f"{path} must have {MARKER} twice, or not at all")
    after = rest[1] if rest else "\n"
    before = before if rest else f"{before.rstrip()}\n\n## Side by side\n\n"
    with open(path, "w") as file:
        file.write(f"{before}{MARKER}\n{text}{MARKER}{after}")
