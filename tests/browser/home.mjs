// A home for the browser tests: an upstream, the built binary in a directory of its own, and devices that ask.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import dgram from "node:dgram";
import http from "node:http";
import net from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const BINARY =
  process.env.PIXELSINK ?? join(process.env.CARGO_TARGET_DIR ?? join(import.meta.dirname, "../../target"), "debug/pixelsink");

/** The password of every daemon that has one. */
export const PASSWORD = "correct horse battery";

/** Gives a password at the door. */
export async function logIn(tab, password) {
  await tab.getByLabel("Password", { exact: true }).fill(password);
  await tab.getByRole("button", { name: "Log in" }).click();
}

/** The question section of a name (dots separate labels; a label may hold any character) and type. */
function question(name, type) {
  const labels = name.split(".").map((label) => Buffer.from(label, "latin1"));
  const wire = labels.flatMap((label) => [Buffer.from([label.length]), label]);
  return Buffer.concat([...wire, Buffer.from([0, type >> 8, type & 0xff, 0, 1])]);
}

/** An upstream that knows 198.51.100.1 for every name. Returns its port and how to stop it. */
export async function startUpstream() {
  const socket = dgram.createSocket("udp4");
  socket.on("message", (packet, client) => {
    let end = 12;
    while (packet[end] !== 0) end += 1 + packet[end];
    end += 5;
    const isA = packet.readUInt16BE(end - 4) === 1;
    const header = Buffer.from(packet.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(isA ? 1 : 0, 6);
    header.writeUInt16BE(0, 10);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 51, 100, 1]);
    socket.send(Buffer.concat([header, packet.subarray(12, end), isA ? answer : Buffer.alloc(0)]), client.port, client.address);
  });
  await new Promise((bound) => socket.bind(0, "127.0.0.1", bound));
  return { port: socket.address().port, stop: () => socket.close() };
}

/** Asks for the A record of a name from an address of 127.0.0.0/8; gives back the address, or null. */
export async function ask(port, name, from = "127.0.0.1", type = 1) {
  const socket = dgram.createSocket("udp4");
  await new Promise((bound) => socket.bind(0, from, bound));
  const packet = Buffer.concat([Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), question(name, type)]);
  const answer = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer for ${name}`)), 8000);
    socket.once("message", (message) => {
      clearTimeout(timer);
      resolve(message);
    });
    socket.send(packet, port, "127.0.0.1");
  });
  socket.close();
  return answer.readUInt16BE(6) === 0 ? null : [...answer.subarray(answer.length - 4)].join(".");
}

/** Waits until a question for this name is in the history: a question is remembered a moment after it is answered. */
export async function isRemembered(page, name) {
  for (let tries = 0; ; tries += 1) {
    const events = await (await fetch(`${page}/api/v1/events?name_contains=${name}&limit=1`)).json();
    if (events.length) return;
    assert.ok(tries < 100, `${name} is not remembered`);
    await new Promise((passed) => setTimeout(passed, 50));
  }
}

/** A way to the page that can be cut: all connections end at once, new ones are made as before. */
export async function startWay(page) {
  const { port, hostname } = new URL(page);
  const open = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(port, hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => (open.delete(one), other.destroy()));
      one.pipe(other);
    }
  });
  await new Promise((bound) => server.listen(0, "127.0.0.1", bound));
  const cut = () => open.forEach((socket) => socket.destroy());
  return { page: `http://127.0.0.1:${server.address().port}`, cut, stop: () => (cut(), server.close()) };
}

/** An author of lists: serves `text` at every path. */
export async function startAuthor(text) {
  const author = { text, asked: 0 };
  const server = http.createServer((_, answer) => {
    author.asked += 1;
    answer.end(author.text);
  });
  await new Promise((bound) => server.listen(0, "127.0.0.1", bound));
  author.url = `http://127.0.0.1:${server.address().port}/lists/`;
  author.stop = () => (server.closeAllConnections(), server.close());
  return author;
}

/** Starts the binary with two lists, one of them a file (`list`), two named devices and this upstream. */
export async function startDaemon(upstreamPort) {
  const directory = mkdtempSync(join(tmpdir(), "pixelsink-browser-"));
  const config = join(directory, "pixelsink.toml");
  const list = join(directory, "mine.txt");
  writeFileSync(list, "||metrics.example^\n||google.com^\n||hidden.metrics.example^$third-party\nnot a rule\n");
  writeFileSync(
    config,
    `data_dir = "${join(directory, "data")}"
dns.listen = ["127.0.0.1:0"]
web.listen = ["127.0.0.1:0"]
upstream.servers = ["udp://127.0.0.1:${upstreamPort}"]
[[lists]]
name = "trackers"
rules = ["# test", "||pixel.example^", "||beacon.example^", "||vendor.example^"]
[[lists]]
name = "mine"
path = "${list}"
[[devices]]
name = "Kitchen TV"
addresses = ["127.0.0.7"]
[[devices]]
name = "Anna's phone"
addresses = ["127.0.0.8"]
`,
  );
  // A list is looked for at its author's address and nowhere else.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/_proxy$/i.test(name)));
  const child = spawn(BINARY, ["run", "--config", config], { env, stdio: ["ignore", "inherit", "pipe"] });
  let log = "";
  await new Promise((ready, failed) => {
    const timer = setTimeout(() => failed(new Error(`not ready in time:\n${log}`)), 20000);
    child.stderr.setEncoding("utf8").on("data", (text) => {
      log += text;
      if (/ ready\n/.test(log)) {
        clearTimeout(timer);
        ready();
      }
    });
    child.once("exit", (code) => failed(new Error(`ended with ${code}:\n${log}`)));
  });
  const dns = Number(/TCP address=127\.0\.0\.1:(\d+)/.exec(log)[1]);
  const page = /the page is at (http:\S+)\//.exec(log)[1];
  const stop = async () => {
    child.removeAllListeners("exit");
    const gone = new Promise((exit) => child.once("exit", exit));
    child.kill("SIGTERM");
    const code = await gone;
    rmSync(directory, { recursive: true });
    if (code !== 0) throw new Error(`the daemon ended with ${code}:\n${log}`);
  };
  return { dns, page, directory, list, stop };
}
