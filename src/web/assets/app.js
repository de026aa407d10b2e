// Makes the page live. Without this script everything works, by loading pages.
// What the server renders is never rendered a second time here: when something happened, the page asks for itself
// again and takes over the parts that changed. Only rows of the live log are built here, as text, never as HTML.

const ROWS_MAX = 300;
const main = document.querySelector("main");

// ---- Parts that are taken over from a fresh copy of the page.

const FOCUSABLE = "a, button, input, summary";
let refreshing = false;
let wanted = false;

// Takes a fresh copy now. `force`: also for parts that somebody points at.
async function load(force) {
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
    if (answer.ok) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"), force);
  } catch {
    // The daemon is restarting or the network is gone; the live stream says so and tries again.
  }
}

// Takes a fresh copy soon. A slow machine is asked less often: at most a tenth of its time goes into this page.
async function refresh() {
  wanted = true;
  if (refreshing) return;
  refreshing = true;
  wanted = false;
  const began = performance.now();
  await load(false);
  setTimeout(() => {
    refreshing = false;
    if (wanted || document.querySelector("[data-busy]")) refresh();
  }, Math.max(1000, 10 * (performance.now() - began)));
}

function takeOver(fresh, force) {
  const parts = (page) => page.querySelectorAll("[data-part]");
  if (parts(fresh).length !== parts(document).length) return takeOverWhole(fresh.querySelector("main"));
  for (const old of parts(document)) {
    const part = fresh.querySelector(`[data-part="${CSS.escape(old.dataset.part)}"]`);
    if (!part || part.innerHTML === old.dataset.seen || isSelected(old) || (!force && isAimedAt(old))) continue;
    const focused = old.contains(document.activeElement) ? meaning(document.activeElement) : undefined;
    const open = [...old.querySelectorAll("details")].map((it) => it.open);
    old.dataset.seen = part.innerHTML;
    old.replaceChildren(...document.importNode(part, true).childNodes);
    old.querySelectorAll("details").forEach((it, index) => (it.open = open[index] ?? false));
    if (focused) [...old.querySelectorAll(FOCUSABLE)].find((it) => meaning(it) === focused)?.focus();
  }
  showState(state);
}

// The first question turns the welcome into an overview.
function takeOverWhole(content) {
  main.replaceChildren(...document.importNode(content, true).childNodes);
  main.dataset.live = content.dataset.live ?? "";
  disconnect();
  connect();
}

// What tells a control from others when rows have moved: the focus must not slip to another row's button.
function meaning(control) {
  return `${control.localName} ${control.form?.elements.rule?.value ?? control.getAttribute("href") ?? control.textContent}`;
}

function isSelected(element) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && selection.containsNode(element, true);
}

// Nothing may move while a pointer is over its buttons.
function isAimedAt(element) {
  return matchMedia("(hover: hover)").matches && element.querySelector(".act:hover") !== null;
}

// ---- Buttons that act in place.

let acted = { on: undefined, at_ms: -Infinity };

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[data-act]")) return;
  event.preventDefault();
  const button = event.submitter;
  const address = button?.getAttribute("formaction") ?? form.getAttribute("action");
  const body = new URLSearchParams(new FormData(form));
  // The second click of a double click would meet the button that undoes the first.
  const on = form.elements.rule?.value;
  if (form.ariaBusy === "true" || (acted.on === on && event.timeStamp - acted.at_ms < 600)) return;
  form.ariaBusy = "true";
  try {
    const answer = await fetch(address, { method: "POST", body, headers: { accept: "application/json" } });
    const said = await answer.json();
    note(answer.ok, said.message ?? said.error);
    if (answer.ok && "reset" in form.dataset) form.reset();
  } catch {
    note(false, "That did not get through. Is the daemon running, and this device on its network?");
  }
  form.ariaBusy = "false";
  await load(true);
  acted = { on, at_ms: performance.now() };
});

function note(isGood, text) {
  const paragraph = document.createElement("p");
  paragraph.className = `note ${isGood ? "good" : "bad"}`;
  text.split("`").forEach((part, index) => {
    const piece = document.createElement(index % 2 ? "code" : "span");
    piece.textContent = part;
    paragraph.append(piece);
  });
  const place = document.getElementById("note");
  place.replaceChildren(paragraph);
  const { top, bottom } = place.getBoundingClientRect();
  if (bottom < 0 || innerHeight < top) place.scrollIntoView({ block: "center" });
}

// A note is shown once: a reload should not ask for it again.
const here = new URL(location);
if (here.searchParams.has("note")) {
  here.searchParams.delete("note");
  history.replaceState(null, "", here);
}

// ---- Live events.

let source;
let state = "";
let held = [];
const hold = document.querySelector("[data-pause]");

function connect() {
  if (source || !main.dataset.live || document.hidden) return;
  source = new EventSource(main.dataset.live);
  source.addEventListener("open", () => {
    showState("live");
    catchUp();
  });
  source.addEventListener("error", () => {
    showState("not live");
    // The browser tries again by itself unless it was refused, for instance because too many pages are live.
    if (source?.readyState === EventSource.CLOSED) {
      disconnect();
      setTimeout(connect, 30_000);
    }
  });
  source.addEventListener("query", (message) => {
    const event = JSON.parse(message.data);
    if (!rows()) return refresh();
    held.push(event);
    held = held.slice(-ROWS_MAX);
    if (catchingUp) return;
    if (hold?.ariaPressed === "true" || isAimedAt(rows())) showState(`${held.length} more`);
    else addHeld();
  });
  source.addEventListener("skipped", (message) => {
    if (!rows()) return refresh();
    showState(`live, ${JSON.parse(message.data).count} too fast to show`);
  });
}

// What happened between the rendering of the page and the beginning of the stream is in the history.
let catchingUp = false;

async function catchUp() {
  if (hold?.ariaPressed === "true") return;
  if (!rows()) return refresh();
  catchingUp = true;
  await load(true);
  catchingUp = false;
  const newest = rows().querySelector("time")?.dateTime ?? "";
  held = held.filter((event) => newest < event.at);
  addHeld();
}

function disconnect() {
  source?.close();
  source = undefined;
}

function showState(text) {
  state = text;
  for (const place of document.querySelectorAll("[data-live-state]")) {
    place.textContent = text;
    place.hidden = !text;
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    disconnect();
  } else {
    connect();
    if (main.dataset.live) refresh();
  }
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
setInterval(() => {
  // Times go by and questions pass even when nothing is blocked.
  if (main.dataset.live && !rows() && !document.hidden) refresh();
}, 30_000);
if (document.querySelector("[data-busy]")) setTimeout(refresh, 1000);
connect();

// ---- The live log.

function rows() {
  return document.querySelector("[data-rows]");
}

if (hold && main.dataset.live) {
  hold.hidden = false;
  hold.addEventListener("click", () => {
    const holding = hold.ariaPressed !== "true";
    hold.ariaPressed = String(holding);
    hold.textContent = holding ? "Go on" : "Hold";
    if (!holding) addHeld();
  });
}

// The daemon's time zone, as in the rows that it rendered.
const zone = main.dataset.zone || undefined;

function addHeld() {
  held.forEach(addRow);
  held = [];
  if (state.endsWith("more")) showState("live");
}

const VERDICTS = { pass: "passed", allow: "allowed", block: "blocked" };

function addRow(event) {
  const row = document.getElementById("row").content.cloneNode(true).firstElementChild;
  const at = new Date(event.at);
  const set = (selector, text) => (row.querySelector(selector).textContent = text);
  const time = row.querySelector("time");
  time.dateTime = event.at;
  time.title = at.toLocaleString("sv-SE", { timeZone: zone, timeZoneName: "short" });
  time.textContent = at.toLocaleTimeString("en-GB", { timeZone: zone });
  set(".device", event.device.name);
  row.querySelector(".device").href = `/devices/${encodeURIComponent(event.device.key)}`;
  set(".name", event.name);
  row.querySelector(".name").href = `/explain?name=${encodeURIComponent(event.name)}`;
  set(".qtype", event.qtype);
  if (event.who.is === "tracker") {
    set(".who b", event.who.product);
    set(".who .soft", `${event.who.company} · ${event.who.kind.replaceAll("-", " ")}`);
  } else row.querySelector(".who").remove();
  const word = VERDICTS[event.verdict.is];
  row.className = `${word} new`;
  set(".verdict", word);
  row.querySelector(".verdict").classList.add(word);
  const rule = event.verdict.rule;
  if (rule) {
    set(".where", `${rule.list}, line ${rule.line}:`);
    set(".why code", rule.rule);
  } else row.querySelector(".why").remove();
  const action = event.verdict.is === "block" ? "allow" : "block";
  const form = row.querySelector("form");
  // No rule can be written for a name with unusual octets, which stand escaped.
  if (event.name.includes("\\") || event.name === ".") form.remove();
  else {
    form.setAttribute("action", `/rules/${action}`);
    form.elements.rule.value = event.name;
    const label = action === "allow" ? "Allow" : "Block";
    set("button", label);
    row.querySelector("button").ariaLabel = `${label} ${event.name}`;
  }
  const body = rows();
  body.prepend(row);
  body.dataset.seen = "";
  body.closest("table").hidden = false;
  document.querySelector("[data-empty]")?.remove();
  while (ROWS_MAX < body.rows.length) body.lastElementChild.remove();
}
