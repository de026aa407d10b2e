"""The list and the query files that every server gets: the same seed makes the same bytes.

The names are real ones from a file of the caller's, one a line. What a list needs beyond them, and the names that are not
listed, are made of their labels.
"""

import json
import os
import random
import re
import subprocess

DOMAIN = re.compile(r"^(?=.{4,200}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]*[a-z0-9]$")
WORDS = (
    "ads track pixel metric stat beacon click count tag log event collect analytic data cdn img api edge cloud media shop "
    "news mail play game home blue red green fast smart north south river stone"
).split()
TLDS = (
    ["com"] * 50 + ["net"] * 10 + ["org"] * 8 + ["io"] * 6 + ["de"] * 6 + ["app", "dev", "info", "eu", "fr", "uk", "nl", "it"]
)
HOSTS = ["www"] * 30 + [""] * 15 + ["api"] * 12 + ["cdn"] * 8 + ["static"] * 6 + ["img"] * 5 + ["assets", "m", "login", "edge"]
# What a browser asks.
TYPES = ["A"] * 60 + ["AAAA"] * 30 + ["HTTPS"] * 10
SEED = 1
# A file of this many queries is asked over and over; but for the mix under dnsperf, see `unique_lines`.
LINES = 50_000
ALLOWED = 2_000
HOT = 300
# What a home asks: 15 % blocked, 10 % that no cache knows, the rest cached.
MIX_BLOCKED, MIX_UNIQUE = 0.15, 0.10


def real_names(path):
    """The names of a file, each once, in its order; zstd when it ends in .zst."""
    if path.endswith(".zst"):
        text = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout.decode(errors="replace")
    else:
        with open(path, errors="replace") as file:
            text = file.read()
    names = (line.strip().lower().rstrip(".") for line in text.splitlines())
    return list(dict.fromkeys(name for name in names if DOMAIN.match(name)))


class Names:
    def __init__(self, path, size):
        self.rng = random.Random(SEED)
        real = real_names(path) if path else []
        self.rng.shuffle(real)
        labels = {label for name in real for label in [name.split(".")[-2]] if len(label) > 3 and label != "slow"}
        self.labels = sorted(labels) or WORDS
        self.listed = real[:size]
        self.made_up = size - len(self.listed)
        taken = set(self.listed)
        while len(self.listed) < size:
            name = f"{self.rng.choice(WORDS)}{self.rng.randrange(1000)}.{self.combined()}"
            if name not in taken and DOMAIN.match(name):
                taken.add(name)
                self.listed.append(name)
        self.taken = taken

    def combined(self):
        return f"{self.rng.choice(self.labels)}{self.rng.choice(['', '-'])}{self.rng.choice(WORDS)}.{self.rng.choice(TLDS)}"

    def allowed(self, count, hosts):
        """So many names that are not listed, nor is anything above them."""
        found = {}
        while len(found) < count:
            host = self.rng.choice(hosts)
            name = f"{host}.{self.combined()}" if host else self.combined()
            labels = name.split(".")
            above = (".".join(labels[i:]) for i in range(len(labels)))
            if len(name) < 60 and DOMAIN.match(name) and not any(part in self.taken for part in above):
                found[name] = None
        return list(found)


def zipf(rng, items, count):
    return rng.choices(items, [1 / (place + 1) for place in range(len(items))], k=count)


def write(path, rows):
    """Twice: with tags for our load generator (.q), without for dnsperf (.dnsperf)."""
    with open(f"{path}.q", "w") as tagged, open(f"{path}.dnsperf", "w") as plain:
        for name, qtype, tag in rows:
            tagged.write(f"{name} {qtype} {tag}\n")
            plain.write(f"{name} {qtype}\n")


def make(folder, names_file, size, unique_lines):
    """Writes all files into `folder`, unless they are there already; says what they are made of.

    `unique_lines`: how long the mix for dnsperf must be so that no unique name comes twice in a run.
    """
    stat = os.stat(names_file) if names_file else None
    wanted = {"names": stat and [stat.st_size, int(stat.st_mtime)], "size": size, "unique_lines": unique_lines, "seed": SEED}
    about = f"{folder}/about.json"
    if os.path.exists(about):
        with open(about) as file:
            made = json.load(file)
        if made["wanted"] == wanted:
            return made
    os.makedirs(folder, exist_ok=True)
    names = Names(names_file, size)
    with open(f"{folder}/list.domains", "w") as domains, open(f"{folder}/list.hosts", "w") as hosts:
        for name in sorted(names.listed):
            domains.write(f"{name}\n")
            hosts.write(f"0.0.0.0 {name}\n")
    rng, allowed, bases = names.rng, names.allowed(ALLOWED, HOSTS), names.allowed(500, [""])
    hot = rng.sample(names.listed, min(HOT, size))

    def typed(names, tag):
        return [(name, rng.choice(TYPES), tag) for name in names]

    def mixed(lines, bases, unique_of):
        blocked, unique = int(lines * MIX_BLOCKED), int(lines * MIX_UNIQUE)
        rows = typed(zipf(rng, hot, blocked), "b") + typed(zipf(rng, allowed, lines - blocked - unique), "a")
        rows += typed((unique_of(number, base) for number, base in enumerate(rng.choices(bases, k=unique))), "m")
        rng.shuffle(rows)
        return rows

    write(f"{folder}/blocked", typed(rng.choices(names.listed, k=LINES), "b"))
    write(f"{folder}/hot", typed(zipf(rng, hot, LINES), "b"))
    write(f"{folder}/cached", typed(zipf(rng, allowed, LINES), "a"))
    write(f"{folder}/known", [row for row in mixed(LINES, bases, lambda _, base: base) if row[2] != "m"])
    write(f"{folder}/warm", [(name, qtype, "a") for name in allowed for qtype in ("A", "AAAA", "HTTPS")])
    # Our load generator makes the first label of a miss by itself; dnsperf needs it in the file.
    write(f"{folder}/mix", mixed(LINES, bases, lambda _, base: base))
    write(f"{folder}/slow", mixed(LINES, bases, lambda _, base: f"slow.{base}"))
    write(f"{folder}/unique", mixed(unique_lines, bases, lambda number, base: f"u{number:07d}.{base}"))
    made = {"wanted": wanted, "names": size, "made_up": names.made_up, "blocked": max(names.listed), "allowed": allowed[0]}
    with open(about, "w") as file:
        json.dump(made, file)
    return made
