"""A server under test, and the stub upstream: set up, started, told of a new list, ended. Only what was started here is ended."""

import os
import shutil
import signal
import subprocess
import sys
import time

from lib import dns, proc

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_TIMEOUT = 300


class Failed(Exception):
    """What a server did not do; the run goes on with the next one."""


def compile_helpers(folder):
    os.makedirs(folder, exist_ok=True)
    for name in ("floor", "loadgen", "upstream"):
        source, binary = f"{HERE}/src/{name}.c", f"{folder}/{name}"
        if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
            subprocess.run(["cc", "-O2", "-o", binary, source], check=True)


def end_orderly():
    """Makes SIGTERM end the script as an exception does, so that what it started is ended as well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def pinned(cpu, command):
    return ["taskset", "-c", str(cpu), *command]


def end(process):
    """Ends a process of ours and what it started: asks first."""
    members = proc.tree(process.pid)
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        for member in reversed(members):
            try:
                os.kill(member, number)
            except OSError:
                pass
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            process.poll()
            members = [member for member in members if os.path.exists(f"/proc/{member}")]
            if not members:
                return
            time.sleep(0.02)


class Upstream:
    def __init__(self, bin_dir, port, cpu, delay_ms=20, varied=False):
        command = [f"{bin_dir}/upstream", str(port), str(delay_ms), *(["varied"] if varied else [])]
        self.process = subprocess.Popen(pinned(cpu, command))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


class Server:
    """One server in one round. `adapter` is a name in adapters/, or the path of a file."""

    def __init__(self, adapter, *, work, lists, port, up_port, cpu):
        self.file = adapter if os.path.sep in adapter else f"{HERE}/adapters/{adapter}.sh"
        self.name = os.path.basename(self.file).removesuffix(".sh")
        self.dir, self.port, self.cpu = f"{work}/run/{self.name}", port, cpu
        self.process = None
        self.env = dict(
            os.environ,
            BENCH=HERE,
            BIN=f"{work}/bin",
            DIR=self.dir,
            PORT=str(port),
            UP_PORT=str(up_port),
            DOMAINS=f"{lists}/list.domains",
            HOSTS=f"{lists}/list.hosts",
        )

    @property
    def pid(self):
        return self.process.pid

    def command(self, function):
        return ["bash", "-euo", "pipefail", "-c", f'. "$BENCH/adapters/common.bash"; . "{self.file}"; {function}']

    def call(self, function, **env):
        return subprocess.run(self.command(function), env=dict(self.env, **env), capture_output=True, text=True)

    def setting(self, name, default):
        return int(self.call(f'echo "${{{name}:-{default}}}"').stdout)

    def is_here(self):
        return os.path.exists(self.file) and self.call("need").returncode == 0

    def version(self):
        return self.call("version").stdout.strip()

    def can_reload(self):
        return self.call("declare -F reload").returncode == 0

    def prepare(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        done = self.call("prepare")
        if done.returncode:
            raise Failed(f"prepare: {(done.stdout + done.stderr)[-500:]}")

    def start(self, blocked, allowed, check=True):
        """Seconds until the last name of the list is blocked; after that, other names resolve as well."""
        log = f"{self.dir}/server.log"
        with open(log, "w") as out:
            begun = time.monotonic()
            self.process = subprocess.Popen(
                pinned(self.cpu, self.command("start")), env=self.env, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        while (said := dns.says(self.port, blocked)) != "blocked":
            if self.process.poll() is not None:
                with open(log, errors="replace") as text:
                    raise Failed(f"ended at its start: {text.read()[-800:]}")
            if time.monotonic() - begun > START_TIMEOUT:
                raise Failed(f"{blocked} is not blocked after {START_TIMEOUT} s: {said}")
            time.sleep(0.002)
        took = time.monotonic() - begun
        for _ in range(100):
            if not check or dns.says(self.port, allowed, 1) == "allowed":
                return took
            time.sleep(0.05)
        raise Failed(f"{allowed} does not resolve")

    def reload(self, **env):
        """Starts to tell it of a new list."""
        log = open(f"{self.dir}/reload.log", "w")
        with log:
            return subprocess.Popen(
                self.command("reload"), env=dict(self.env, PID=str(self.pid), **env), stdout=log, stderr=log
            )

    def stop(self):
        if self.process:
            end(self.process)
            self.process = None
