// Makes the page live. Without this script everything works, by loading pages.
// What the server renders is never rendered a second time here: when something happened, the page asks for itself
// again and takes over the parts that changed. Only rows of the live log are built here, as text, never as HTML.

const ROWS_MAX = 300;
const main = document.querySelector("main");

// What this server renders is the only HTML that is parsed (Trusted Types; other browsers just parse it).
const rendered = self.trustedTypes?.createPolicy("pixelsink", { createHTML: (html) => html });

// A page of this server, or undefined when there is none. Whoever was logged out meanwhile is led to log in.
async function fetchPage(address) {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (answer.redirected) location.reload();
  if (!answer.ok || answer.redirected) return undefined;
  const html = await answer.text();
  return new DOMParser().parseFromString(rendered?.createHTML(html) ?? html, "text/html");
}

// ---- Parts that are taken over from a fresh copy of the page.

const FOCUSABLE = "a, button, input, summary, [tabindex]";
// What each part said when it was last taken over.
const seen = new WeakMap();
let loading = 0;
let refreshing = false;
let wanted = false;

// Takes a fresh copy now. `force`: also for parts that somebody points at.
async function load(force) {
  loading += 1;
  try {
    const page = await fetchPage(location.pathname + location.search);
    if (page) takeOver(page, force);
  } catch {
    // The daemon is restarting or the network is gone; the live stream says so and tries again.
  }
  loading -= 1;
  settle();
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
  if (parts(fresh).length !== parts(document).length) return takeOverWhole(fresh.querySelector("main"), force);
  const givesBackFocus = [];
  for (const old of parts(document)) {
    const part = fresh.querySelector(`[data-part="${CSS.escape(old.dataset.part)}"]`);
    if (!part) continue;
    const isStill = isSelected(old) || (!force && isAimedAt(old)) || (old === rows() && isHolding());
    if (old === rows()) behind = isStill;
    if (isStill) continue;
    const before = seen.get(old) ?? old.innerHTML;
    seen.set(old, part.innerHTML);
    if (part.innerHTML === before) continue;
    givesBackFocus.push(keepFocus(old));
    const open = [...old.querySelectorAll("details")].map((it) => it.open);
    const fetched = old === rows() ? fetchedRows(old, part) : [];
    const pointAgain = keepPointed(old);
    old.replaceChildren(...document.importNode(part, true).childNodes, ...fetched);
    pointAgain();
    old.querySelectorAll("details").forEach((it, index) => (it.open = open[index] ?? false));
    if (old === rows()) showTable();
  }
  dressTables();
  givesBackFocus.forEach((giveBack) => giveBack());
  showState(state);
}

// The first question turns the welcome into an overview. While somebody selects or points, that waits.
function takeOverWhole(content, force) {
  if (isSelected(main) || (!force && isAimedAt(main))) return;
  const note = document.getElementById("note");
  const giveBackFocus = keepFocus(main);
  main.replaceChildren(...document.importNode(content, true).childNodes);
  document.getElementById("note").replaceWith(note);
  dressTables();
  giveBackFocus();
  main.dataset.live = content.dataset.live ?? "";
  disconnect();
  connect();
}

// Remembers which control within `place` has the focus; what it gives back finds that control again.
function keepFocus(place) {
  if (!place.contains(document.activeElement) || place === document.activeElement) return () => {};
  const focused = meaning(document.activeElement);
  return () => [...place.querySelectorAll(FOCUSABLE)].find((it) => meaning(it) === focused)?.focus();
}

// What tells a control from others when rows have moved: the focus must not slip to another row's button.
function meaning(control) {
  if (control.id) return control.id;
  const { form } = control;
  // A list has several buttons beside each other.
  const about = form ? `${subject(form)} ${form.elements.list ? control.textContent : ""}` : control.getAttribute("href");
  return `${control.localName} ${about ?? control.ariaLabel ?? control.textContent}`;
}

// What a form is about: a rule, a list, a revision of one. Two that undo each other are about the same.
function subject(form) {
  const of = (name) => form.elements[name]?.value ?? "";
  return ["list", "revision", "rule", "what"].map(of).join(" ").trim() || undefined;
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
  const on = subject(form);
  if (form.ariaBusy === "true" || (acted.on === on && event.timeStamp - acted.at_ms < 600)) return;
  form.ariaBusy = "true";
  try {
    const answer = await fetch(address, { method: "POST", body, headers: { accept: "application/json" } });
    if (answer.status === 401) return location.reload();
    const said = await answer.json();
    note(answer.ok, said.message ?? said.error, said.undo);
    if (answer.ok && "reset" in form.dataset) form.reset();
  } catch {
    note(false, "That did not get through. Is the daemon running, and this device on its network?");
  }
  form.ariaBusy = "false";
  await load(true);
  acted = { on, at_ms: performance.now() };
  // What goes on, such as a download, is looked at until it ends.
  if (document.querySelector("[data-busy]")) refresh();
});

function note(isGood, text, undo) {
  const paragraph = document.createElement("div");
  paragraph.className = `note ${isGood ? "good" : "bad"}`;
  text.split("`").forEach((part, index) => {
    const piece = document.createElement(index % 2 ? "code" : "span");
    piece.textContent = part;
    paragraph.append(piece);
  });
  if (undo !== undefined && undo !== null) paragraph.append(" ", undoForm(undo));
  const place = document.getElementById("note");
  place.replaceChildren(paragraph);
  const { top, bottom } = place.getBoundingClientRect();
  if (bottom < 0 || innerHeight < top) place.scrollIntoView({ block: "center" });
}

// The form of `pieces/undo.html`.
function undoForm(number) {
  const form = document.createElement("form");
  form.className = "inline";
  form.method = "post";
  form.action = "/rules/undo";
  form.dataset.act = "";
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: "number", value: number });
  const button = document.createElement("button");
  button.textContent = "Undo";
  form.append(field, button);
  return form;
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
// Events that are not shown yet.
let held = [];
// Whether the history has what the rows lack: it happened while no stream was open, or while rows were held.
let behind = false;
const hold = document.querySelector("[data-pause]");

function connect() {
  if (source || !main.dataset.live || document.hidden) return;
  source = new EventSource(main.dataset.live);
  source.addEventListener("open", () => {
    showState("live");
    // What happened before the stream began is in the history.
    behind = true;
    refresh();
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
    if (ROWS_MAX < held.length) {
      held.shift();
      behind = true;
    }
    settle();
  });
  source.addEventListener("skipped", (message) => {
    if (!rows()) return refresh();
    if (isHolding()) behind = true;
    else showState(`live, ${JSON.parse(message.data).count} too fast to show`);
  });
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
    // The log waits for its stream, so that nothing is missed between the two.
    if (main.dataset.live && !rows()) refresh();
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

function isHolding() {
  return hold?.ariaPressed === "true";
}

if (hold && main.dataset.live) {
  hold.hidden = false;
  hold.addEventListener("click", () => {
    hold.ariaPressed = String(!isHolding());
    hold.textContent = isHolding() ? "Go on" : "Hold";
    settle();
    if (behind && !isHolding()) refresh();
  });
}
// Rows wait for a pointer to leave their buttons.
addEventListener("pointerover", () => {
  if (held.length || behind) settle();
});

// The one way for rows: events are held until no copy of the page is on its way and nobody needs the rows to stay. A
// copy may have some of them already, in the order of their answers, so each is looked for.
function settle() {
  if (!rows() || loading) return;
  const shown = new Set([...rows().rows].map(keyOfRow));
  held = held.filter((event) => !shown.has(keyOf(event.at, event.device.key, event.name, event.qtype)));
  if (isHolding() || isAimedAt(rows())) {
    if (held.length) showState(`${held.length} more`);
    return;
  }
  held.forEach(addRow);
  held = [];
  if (state.endsWith("more")) showState("live");
  if (behind && source?.readyState === EventSource.OPEN && !isSelected(rows())) refresh();
}

function keyOf(at, device, name, qtype) {
  return [at, device, name, qtype].join(" ");
}

const keys = new WeakMap();

function keyOfRow(row) {
  if (!keys.has(row)) {
    const text = (selector) => row.querySelector(selector)?.textContent;
    const device = row.querySelector(".device").getAttribute("href").split("/").at(-1);
    keys.set(row, keyOf(timeOf(row), decodeURIComponent(device), text(".name"), text(".qtype")));
  }
  return keys.get(row);
}

function timeOf(row) {
  return row.querySelector("time").dateTime;
}

// The daemon's time zone, as in the rows that it rendered.
const zone = knownZone(main.dataset.zone || "UTC");

function knownZone(zone) {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    return "UTC";
  }
}

const VERDICTS = { pass: "passed", allow: "allowed", block: "blocked" };
const LABELS = { allow: "Allow", block: "Block" };

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
  if (event.behind) {
    set(".behind .name", event.behind);
    row.querySelector(".behind .name").href = `/explain?name=${encodeURIComponent(event.behind)}`;
  } else row.querySelector(".behind").remove();
  if (event.who.is === "tracker") {
    const { product, company, parent, kind } = event.who;
    set(".who b", product);
    set(".company", company);
    row.querySelector(".company").href = `/companies/${encodeURIComponent(company)}`;
    set(".detail", `${parent ? `(${parent}) ` : ""}· ${kind.replaceAll("-", " ")}`);
  } else row.querySelector(".who").remove();
  const word = VERDICTS[event.verdict.is];
  row.className = `${word} new`;
  set(".verdict", word);
  row.querySelector(".verdict").classList.add(word);
  const rule = event.verdict.rule;
  if (rule) {
    set(".where", `${rule.list}:`);
    set(".why code", rule.rule);
  } else row.querySelector(".why").remove();
  const form = row.querySelector("form");
  if (event.button) {
    const { action, rule } = event.button;
    form.setAttribute("action", `/rules/${action}`);
    form.elements.rule.value = rule;
    set("button", LABELS[action]);
    row.querySelector("button").ariaLabel = `${LABELS[action]} ${rule}`;
  } else form.remove();
  const body = rows();
  // Nearly always the first row. One that was held for long has its place among those of a fresh copy.
  body.insertBefore(row, [...body.rows].find((other) => timeOf(other) <= event.at) ?? null);
  seen.delete(body);
  while (ROWS_MAX + fetchedCount < body.rows.length) body.lastElementChild.remove();
  showTable();
}

// The table of a log that was empty.
function showTable() {
  const body = document.querySelector("[data-log]");
  if (!body.rows.length) return;
  body.closest("table").hidden = false;
  document.querySelector("[data-empty]")?.remove();
}

// ---- Older rows of the log, fetched when their link comes into sight. Without this script the link leads to them.

// How many rows come by themselves; whoever wants more takes the link.
const FETCHED_MAX = 3000;
let fetchedCount = 0;

// The rows that were fetched and are older than all of a fresh copy.
function fetchedRows(old, fresh) {
  const last = fresh.rows.length && keyOfRow(fresh.rows[fresh.rows.length - 1]);
  const index = fetchedCount ? [...old.rows].findIndex((row) => keyOfRow(row) === last) : -1;
  return index < 0 ? [] : [...old.rows].slice(index + 1);
}

async function fetchOlder(link) {
  if (link.ariaBusy === "true") return;
  link.ariaBusy = "true";
  try {
    const page = await fetchPage(link.href);
    if (!page) throw new Error("no page");
    const body = document.querySelector("[data-log]");
    const shown = new Set([...body.rows].map(keyOfRow));
    const older = [...page.querySelectorAll("[data-log] > tr")].filter((row) => !shown.has(keyOfRow(row)));
    body.append(...older.map((row) => document.importNode(row, true)));
    fetchedCount += older.length;
    seen.delete(body);
    showTable();
    const next = page.querySelector("[data-older]");
    if (next) {
      link.href = next.href;
      link.textContent = next.textContent;
    } else {
      link.remove();
      document.querySelector("[data-empty]")?.replaceChildren("No question matches.");
    }
  } catch {
    // The link is still there and leads to them.
    inSight.unobserve(link);
  }
  link.ariaBusy = "false";
  // Looked at anew: it may be in sight still.
  inSight.unobserve(link);
  if (fetchedCount < FETCHED_MAX && link.isConnected) inSight.observe(link);
}

const inSight = new IntersectionObserver(
  (entries) => entries.forEach((entry) => entry.isIntersecting && fetchOlder(entry.target)),
  { rootMargin: "600px" },
);
document.querySelectorAll("[data-older]").forEach((link) => inSight.observe(link));

// ---- Charts: the numbers of what is pointed at, tapped, or walked to with the arrow keys.

// What stands above a chart while nothing is pointed at.
const summaries = new WeakMap();

function point(figure, bar) {
  const readout = figure.querySelector("[data-readout]");
  if (!summaries.has(readout)) summaries.set(readout, readout.textContent);
  figure.querySelector(".bar.on")?.classList.remove("on");
  bar?.classList.add("on");
  const text = bar?.querySelector("title").textContent ?? summaries.get(readout);
  if (readout.textContent !== text) readout.textContent = text;
}

for (const kind of ["pointerover", "pointerdown"]) {
  addEventListener(kind, ({ target }) => {
    const here = target.closest?.("[data-figure]");
    const bar = target.closest?.(".bar");
    if (here && bar) point(here, bar);
    for (const { parentElement } of document.querySelectorAll(".bar.on")) {
      const figure = parentElement.closest("[data-figure]");
      if (figure !== here) point(figure);
    }
  });
}

// Remembers which time of a chart within `place` is pointed at; what it gives back points at it in a fresh copy.
function keepPointed(place) {
  const time = (bar) => bar?.querySelector("title").textContent.split(": ")[0];
  const times = [...place.querySelectorAll("[data-figure]")].map((it) => time(it.querySelector(".bar.on")));
  return () =>
    place.querySelectorAll("[data-figure]").forEach((figure, index) => {
      const bar = times[index] && [...figure.querySelectorAll(".bar")].find((it) => time(it) === times[index]);
      if (bar) point(figure, bar);
    });
}

addEventListener("keydown", (event) => {
  const picture = event.target;
  if (!picture.matches?.("[data-figure] svg")) return;
  const bars = [...picture.querySelectorAll(".bar")];
  const at = bars.findIndex((bar) => bar.classList.contains("on"));
  const row = picture.matches(".heat") ? 24 : 1;
  const to = {
    ArrowRight: at + 1,
    ArrowLeft: at < 0 ? bars.length - 1 : at - 1,
    ArrowDown: row === 1 ? undefined : Math.max(at, 0) + row,
    ArrowUp: row === 1 ? undefined : at - row,
    Home: 0,
    End: bars.length - 1,
  }[event.key];
  if (event.key === "Escape") point(picture.closest("[data-figure]"));
  if (to === undefined) return;
  event.preventDefault();
  if (bars[to]) point(picture.closest("[data-figure]"), bars[to]);
});

// ---- Tables whose rows can be ordered by a column. The order outlasts a fresh copy.

const orders = new Map();

function dressTables() {
  document.querySelectorAll("table[data-sortable]").forEach((table, index) => {
    for (const head of table.tHead.rows[0].cells) {
      if (head.querySelector("button, .hidden")) continue;
      // It lies over the head, whose text stays where there is no room for a button.
      const button = document.createElement("button");
      button.type = "button";
      button.className = "order";
      button.ariaLabel = `Order by ${head.textContent}`;
      head.append(button);
      button.addEventListener("click", () => {
        const { cellIndex } = head;
        const isNumber = head.classList.contains("number");
        const before = orders.get(index);
        const isAscending = before?.cellIndex === cellIndex ? !before.isAscending : !isNumber;
        orders.set(index, { cellIndex, isNumber, isAscending });
        order(table, orders.get(index));
      });
    }
    if (orders.has(index)) order(table, orders.get(index));
  });
}

function order(table, { cellIndex, isNumber, isAscending }) {
  const text = (row) => row.cells[cellIndex].textContent.trim();
  // `1,204 (13 %)` is 1204.
  const value = isNumber ? (row) => Number(/^[\d,]*/.exec(text(row))[0].replaceAll(",", "")) : text;
  const compare = isNumber
    ? (one, other) => value(one) - value(other)
    : (one, other) => value(one).localeCompare(value(other));
  const rows = [...table.tBodies[0].rows].sort((one, other) => (isAscending ? 1 : -1) * compare(one, other));
  table.tBodies[0].append(...rows);
  for (const head of table.tHead.rows[0].cells) {
    if (head.cellIndex === cellIndex) head.ariaSort = isAscending ? "ascending" : "descending";
    else head.removeAttribute("aria-sort");
  }
}

dressTables();
