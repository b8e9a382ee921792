"use strict";
// What comes from the server is data: it goes into the page as text, by textContent, and the page's
// policy (trusted types) lets nothing be made HTML of.

const id = name => document.getElementById(name);
const STEP = 50, MOST = 200;  // more rows than that are not drawn in a frame
const PARTS = ["streams", "topics"];
const view = { show: "streams", find: "", sort: "newest", rows: STEP, stream: null, topic: null, process: null, ...asked() };
let source = null, process = "", picture = {}, skew = 0, retry = 0;

// The view is in the address, behind the #, so that a reload or a bookmark keeps it.
function asked() {
  const named = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const known = {};
  if (PARTS.includes(named.show)) known.show = named.show;
  if (named.topic) known.topic = named.topic;
  if (named.process) known.process = named.process;
  if (named.find) known.find = named.find;
  if ([...id("choose").sort.options].some(option => option.value === named.sort)) known.sort = named.sort;
  if (/^\d{1,15}$/.test(named.stream ?? "")) known.stream = named.stream;
  return known;
}

function query() {
  const { show, find, rows } = view;
  const shown = show === "streams" ? { sort: view.sort, stream: view.stream, process: view.process } : { topic: view.topic };
  const chosen = Object.entries({ show, find, rows, ...shown }).filter(([, value]) => value !== null && value !== "");
  return new URLSearchParams(chosen).toString();
}

// The feed.

function listen() {
  clearTimeout(retry);
  source?.close();
  picture = {};
  source = new EventSource(`?${query()}`);
  source.addEventListener("about", event => {
    const about = JSON.parse(event.data);
    skew = about.now - Date.now() / 1000;
    picture = {};  // what follows is all of it
    id("parts").hidden = !about.broker;
    id("no-payloads").hidden = about.payloads;
    write(id("process"), process = about.process);
    connected("live", "live");
  });
  source.addEventListener("picture", event => {
    picture = patched(picture, JSON.parse(event.data));
    draw();
  });
  source.addEventListener("error", () => {
    const refused = source.readyState === EventSource.CLOSED;
    connected("lost", refused ? "not connected: it may be that you are not allowed any more" : "reconnecting");
    if (refused) retry = setTimeout(listen, 5000);
  });
}

function connected(state, text) {
  id("connection").className = state;
  write(id("connection"), text);
}

// JSON Merge Patch, RFC 7396.
function patched(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  // Without a prototype: a name may be "__proto__".
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? target : Object.create(null);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = patched(result[name], value);
  }
  return result;
}

// A hidden page asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(retry);
    source?.close();
    connected("connecting", "resting");
  } else listen();
});

function look(changes) {
  Object.assign(view, changes);
  const kept = {
    show: view.show === "streams" ? null : view.show, find: view.find,
    sort: view.sort === "newest" ? null : view.sort, stream: view.stream, topic: view.topic, process: view.process,
  };
  const chosen = Object.entries(kept).filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  part();
  listen();
}

// Drawing: what is there already is changed only where it has changed.

function write(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const now = () => Date.now() / 1000 + skew;
const count = number => Number(number).toLocaleString("en");

function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (bytes < 1000 || unit === "TB") return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1000;
  }
}

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole % 86400 / 3600)} h`;
}

function state(row) {
  if (row.outcome) return [row.outcome, `ending: ${row.outcome}`];
  if (row.stuckSince) return ["stuck", `stuck for ${span(now() - row.stuckSince)}`];
  return ["open", "open"];
}

const OPEN = [["client", row => row.client], ["open for", row => span(now() - row.since)],
  ["events", row => count(row.events)], ["events/s", row => count(row.rate)],
  ["bytes", row => size(row.bytes)], ["queued", row => count(row.queued)]];
const ENDED = [["client", row => row.client], ["ended", row => `${span(now() - row.at)} ago`],
  ["was open", row => span(row.seconds)], ["events", row => count(row.events)],
  ["bytes", row => size(row.bytes)]];

const TEXTS = ["process", "request", "client", "state", "outcome", "topic", "event", "id", "oldest id", "newest id", "key", "whose", "watched"];

const CLASSES = { data: "data", "end it": "act", "stop it": "act" };

function newRow(labels) {
  const row = make("tr");
  for (const label of labels) {
    const cell = make("td", undefined, CLASSES[label] ?? (TEXTS.includes(label) ? "" : "number"));
    cell.dataset.label = label;
    row.append(cell);
  }
  return row;
}

function nameButton(press) {
  const button = make("button", "", "link");
  button.type = "button";
  button.addEventListener("click", press);
  return button;
}

const labels = (first, columns, ...more) => [first, ...columns.map(([label]) => label), ...more];

function newOpenRow(number) {
  const row = newRow(labels("request", OPEN, "state", "end it"));
  row.cells[0].append(nameButton(() => choose(number)));
  row.lastChild.append(sureButton("End", () => end(number)));
  return row;
}

const openRows = new Map(), endedRows = new Map();

function drawRows(body, rows, order, table, newOne, fillOne) {
  const wanted = new Set(order);
  for (const [number, row] of rows) if (!wanted.has(number)) { row.remove(); rows.delete(number); }
  order.forEach((number, place) => {
    let row = rows.get(number);
    if (!row) rows.set(number, row = newOne(number));
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
    fillOne(row, table[number], number);
  });
}

function fill(row, first, columns, one) {
  write(row.cells[0].querySelector("button") ?? row.cells[0], first);
  columns.forEach(([, text], place) => write(row.cells[place + 1], text(one)));
}

function fillOpen(row, stream, number) {
  fill(row, stream.request, OPEN, stream);
  const [className, text] = state(stream), cell = row.cells[OPEN.length + 1];
  write(cell, text);
  cell.className = className;
  row.className = String(number) === String(view.stream) ? "chosen" : "";
}

function fillEnded(row, stream) {
  fill(row, stream.request, ENDED, stream);
  write(row.lastChild, stream.outcome);
  row.lastChild.className = stream.outcome;
}

let drawn = 0;

function draw() {
  drawn = performance.now();
  const { broker } = picture;
  const away = broker && !broker.reachable && !broker.closed;
  write(id("trouble"), broker?.closed ? "The broker is closed." : away ? `The broker's engine is away: ${broker.trouble}` : broker?.trouble ?? "");
  if (view.show === "streams" && picture.processes) drawProcesses();
  if (!picture.order) return;
  if (view.show === "streams" && picture.streams) drawStreams();
  if (view.show === "topics" && picture.topics) drawTopics();
}

const PROCESS = [["open", one => count(one.open)], ["stuck", one => count(one.stuck)],
  ["events/s", one => count(one.rate)], ["bytes/s", one => size(one.byteRate)], ["queued", one => count(one.queued)]];
const processRows = new Map();

function newProcessRow(name) {
  const row = newRow(labels("process", PROCESS));
  row.cells[0].append(nameButton(() => look({ process: name, stream: null, rows: STEP })));
  return row;
}

function drawProcesses() {
  const names = Object.keys(picture.processes), chosen = view.process ?? process;
  id("others").hidden = names.length < 2 && chosen === process;
  drawRows(id("processes"), processRows, names, picture.processes, newProcessRow, (row, one, name) => {
    fill(row, name, PROCESS, one);
    row.className = name === chosen ? "chosen" : "";
  });
  id("silent").hidden = Boolean(picture.order);
}

function drawStreams() {
  for (const total of document.querySelectorAll("[data-total]")) {
    const value = picture.totals[total.dataset.total];
    write(total, total.dataset.total === "byteRate" ? size(value) : count(value));
  }
  drawRows(id("open"), openRows, picture.order.map(String), picture.streams, newOpenRow, fillOpen);
  const ended = Object.keys(picture.ended).sort((one, other) =>
    picture.ended[other].at - picture.ended[one].at || other - one);
  drawRows(id("ended"), endedRows, ended, picture.ended, () => newRow(labels("request", ENDED, "outcome")), fillEnded);
  const { open } = picture.totals, shown = picture.order.length;
  write(id("matching"), shown < picture.matching || view.find ? `${count(shown)} of ${count(picture.matching)}${view.find ? ` found among ${count(open)}` : ""}` : count(open));
  id("none").hidden = shown > 0;
  id("more").hidden = shown >= picture.matching || view.rows >= MOST;
  write(id("outcomes"), Object.entries(picture.outcomes).map(([outcome, times]) => `${count(times)} ${outcome}`).join(", "));
  drawDetails();
}

// One stream, closely.

const FACTS = [["client", one => one.client || "none"], ["whose", one => one.principal ?? "not told"], ["program", one => one.agent || "not told"],
  ["HTTP", one => one.http], ["route", one => one.route], ["state", one => state(one)[1]],
  ["open for", one => span(now() - one.since)], ["events", one => `${count(one.events)}, ${count(one.rate)}/s`],
  ["bytes", one => size(one.bytes)], ["last bytes left", one => `${span(now() - one.silentSince)} ago`],
  ["queued", one => `${count(one.queued)} events, ${size(one.queuedBytes)}`],
  ["most ever queued", one => count(one.peakQueued)], ["waiting to send", one => count(one.waitingSenders)]];

function choose(number) {
  look({ stream: number });
  id("details").focus();
}

function drawDetails() {
  const panel = id("details"), one = picture.stream;
  panel.hidden = view.stream === null;
  id("details-gone").hidden = Boolean(one);
  id("details-end").disabled = !one;
  if (view.stream === null || !one) {
    if (view.stream !== null && !id("details-title").textContent) write(id("details-title"), `Stream ${view.stream}`);
    return;
  }
  write(id("details-title"), `Stream ${one.number}: ${one.request}`);
  drawFacts(id("details-facts"), FACTS, one);
  id("last").hidden = one.last === undefined;
  if (one.last !== undefined) {
    const bytes = id("last-bytes"), atEnd = bytes.scrollTop + bytes.clientHeight >= bytes.scrollHeight - 4;
    write(bytes, one.last || "None yet.");
    if (atEnd) bytes.scrollTop = bytes.scrollHeight;
  }
  drawTasks(id("details-tasks"), one.tasks ? [one.tasks] : []);
}

function drawFacts(list, facts, one) {
  if (!list.children.length) {
    for (const [label] of facts) {
      list.append(make("div"));
      list.lastChild.append(make("dt", label), make("dd"));
    }
  }
  facts.forEach(([, text], place) => write(list.children[place].lastChild, text(one)));
}

function drawTasks(list, tasks) {
  while (list.children.length > tasks.length) list.lastChild.remove();
  tasks.forEach((task, place) => {
    let item = list.children[place];
    if (!item) {
      item = make("li");
      const details = make("details");
      details.append(make("summary"), make("ol"));
      details.firstChild.append(make("span"), " ", make("span", "", "quiet"));
      item.append(details, make("ul"));
      list.append(item);
    }
    const [details, children] = item.children, [summary, places] = details.children;
    write(summary.firstChild, task.name);
    write(summary.lastChild, waits(task.places) + (task.more ? `; ${count(task.more)} more tasks` : ""));
    while (places.children.length > task.places.length) places.lastChild.remove();
    task.places.forEach((text, line) => {
      if (!places.children[line]) places.append(make("li"));
      write(places.children[line], text);
    });
    drawTasks(children, task.children);
  });
}

// The last call in somebody's own code says most, or else the last that is not in Trio.
function waits(places) {
  const last = places.findLast(place => !/^(trio|outcome|trio_stream|hypercorn)\./.test(place))
    ?? places.findLast(place => !/^(trio|outcome)\./.test(place));
  return last ? `in ${last}` : places.at(-1) ?? "";
}

// Acting.

async function act(what) {
  try {
    const answer = await fetch(location.pathname, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(what),
    });
    const told = await answer.json();
    return answer.ok ? told : { error: told.error ?? `the server answered ${answer.status}` };
  } catch (error) {
    return { error: `the server could not be asked: ${error.message}` };
  }
}

// A button that wants to be pressed twice.
function sureButton(text, press, button = make("button", text, "end")) {
  button.type = "button";
  let unsure = 0;
  const calm = () => {
    clearTimeout(unsure);
    button.classList.remove("sure");
    write(button, text);
  };
  button.addEventListener("blur", calm);
  button.addEventListener("click", () => {
    if (button.classList.contains("sure")) {
      calm();
      press();
    } else {
      button.classList.add("sure");
      write(button, `${text} it now`);
      unsure = setTimeout(calm, 5000);
    }
  });
  return button;
}

async function end(number) {
  const told = await act({ do: "end", process: view.process ?? process, stream: Number(number) });
  write(id("said"), told.error ? `Not ended: ${told.error}.` : `Stream ${told.ended} is told to end.`);
}

sureButton("End", () => end(view.stream), id("details-end"));
id("details-close").addEventListener("click", () => {
  const row = openRows.get(String(view.stream));
  look({ stream: null });
  write(id("details-title"), "");
  (row?.querySelector("button") ?? id("choose").find).focus();
});
id("details").addEventListener("keydown", event => {
  if (event.key === "Escape") id("details-close").click();
});

let typed = 0;
for (const form of [id("choose"), id("choose-topic")]) {
  form.find.addEventListener("input", event => {
    clearTimeout(typed);
    typed = setTimeout(() => look({ find: event.target.value.trim(), rows: STEP }), 250);
  });
  form.addEventListener("submit", event => event.preventDefault());
}
id("choose").sort.addEventListener("change", event => look({ sort: event.target.value, rows: STEP }));
for (const name of ["more", "more-topics"]) id(name).addEventListener("click", () => look({ rows: Math.min(MOST, view.rows + STEP) }));

// Topics.

const TOPIC = [["subscribers", topic => count(topic.subscriptions)], ["events", topic => count(topic.events)],
  ["bytes", topic => size(topic.bytes)], ["oldest id", topic => topic.oldest ?? "–"], ["newest id", topic => topic.newest ?? "–"]];
const EVENT = [["topic", event => event.topic], ["id", event => event.id || "not kept"],
  ["heard", event => `${span(now() - event.at)} ago`], ["bytes", event => size(event.bytes)],
  ["data", event => event.data ?? "not shown"]];
const RUN = [["whose", run => run.principal ?? "not told"], ["process", run => run.process ?? process], ["runs for", run => span(run.age)],
  ["watched", run => run.unwatched > 2 ? `not for ${span(run.unwatched)}` : "yes"]];
const topicRows = new Map(), eventRows = new Map(), runRows = new Map();

function newTopicRow(name) {
  const row = newRow(labels("topic", TOPIC));
  row.cells[0].append(nameButton(() => chooseTopic(name)));
  return row;
}

function newRunRow(key) {
  const row = newRow(labels("key", RUN, "stop it"));
  row.lastChild.append(sureButton("Stop", async () => {
    const told = await act({ do: "stop", key });
    write(id("said"), told.error ? `Not stopped: ${told.error}.` : `The run ${told.stopped} is told to stop.`);
  }));
  return row;
}

function drawTopics() {
  const { broker, order, topics, runs } = picture;
  for (const total of document.querySelectorAll("[data-count]")) write(total, count(broker[total.dataset.count]));
  drawRows(id("topics"), topicRows, order, topics, newTopicRow, (row, one, name) => {
    fill(row, name, TOPIC, one);
    row.className = name === view.topic ? "chosen" : "";
  });
  write(id("topics-count"), count(order.length));
  id("no-topics").hidden = order.length > 0;
  id("more-topics").hidden = order.length < view.rows || view.rows >= MOST;
  const keys = Object.keys(runs).sort((one, other) => runs[one].age - runs[other].age);
  drawRows(id("runs"), runRows, keys, runs, newRunRow, (row, run, key) => fill(row, key, RUN, run));
  id("no-runs").hidden = keys.length > 0;
  if (view.topic !== null && picture.topic) drawTopic(picture.topic, picture.events);
}

const TOPIC_FACTS = [["subscribers, with this page", topic => topic.subscriptions === undefined ? "–" : count(topic.subscriptions)],
  ["events kept here", topic => topic.events === undefined ? "–" : `${count(topic.events)}, ${size(topic.bytes)}`],
  ["oldest id", topic => topic.oldest ?? "–"], ["newest id", topic => topic.newest ?? "–"],
  ["present", topic => present(topic.present ?? {})]];

function present(members) {
  const names = Object.keys(members), shown = names.slice(0, 50);
  const texts = shown.map(name => members[name] > 1 ? `${name} (${members[name]})` : name);
  return texts.join(", ") + (names.length > 50 ? ` and ${count(names.length - 50)} more` : "") || "nobody";
}

function drawTopic(topic, events) {
  write(id("topic-title"), topic.name);
  id("topic-busy").hidden = !topic.busy;
  drawFacts(id("topic-facts"), TOPIC_FACTS, topic);
  drawSubscribers(id("subscribers"), topic.subscribers);
  const newest = Object.keys(events).reverse();
  drawRows(id("events"), eventRows, newest, events, () => newRow(labels("event", EVENT)),
    (row, event) => fill(row, event.event, EVENT, event));
  id("no-events").hidden = newest.length > 0;
}

function drawSubscribers(list, subscribers) {
  while (list.children.length > subscribers.length) list.lastChild.remove();
  subscribers.forEach((one, place) => {
    let item = list.children[place];
    if (!item) {
      item = make("li");
      const button = nameButton(() => {
        look({ show: "streams", stream: button.dataset.stream, process: null, find: "", rows: STEP });
        id("details").focus();
      });
      item.append(button, make("span"));
      list.append(item);
    }
    const [button, text] = item.children;
    button.hidden = !one.stream;
    button.dataset.stream = one.stream;
    write(button, `stream ${one.stream}`);
    const said = [one.stream ? "" : "iterated", one.atHead ? "" : "behind", one.fellBehind ? `fell behind ${count(one.fellBehind)} times` : "",
      one.gaps ? `${count(one.gaps)} gaps` : ""].filter(Boolean).join(", ");
    write(text, one.stream && said ? `: ${said}` : said);
  });
}

function chooseTopic(topic) {
  look({ topic });
  id("publish").topic.value = topic;
  id("topic").focus();
}

id("topic-close").addEventListener("click", () => {
  const row = topicRows.get(view.topic);
  look({ topic: null });
  (row?.querySelector("button") ?? id("choose-topic").find).focus();
});
id("topic").addEventListener("keydown", event => {
  if (event.key === "Escape") id("topic-close").click();
});

id("publish").addEventListener("submit", async event => {
  event.preventDefault();
  const { topic, event: name, key, data, keep } = event.target;
  const told = await act({
    do: "publish", topic: topic.value, data: data.value, event: name.value || null, key: key.value, keep: keep.checked,
  });
  write(id("said"), told.error ? `Not published: ${told.error}.` : told.id ? `Published: its id is ${told.id}.` : "Published to who is there; it is not kept.");
});

// Which part of the page is open.

function part() {
  for (const element of document.querySelectorAll("[data-in]")) element.hidden = element.dataset.in !== view.show;
  for (const button of id("parts").children) {
    if (button.dataset.part === view.show) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  document.title = view.show === "streams" ? "Streams" : "Topics";
  write(document.querySelector("h1"), document.title);
  for (const form of [id("choose"), id("choose-topic")]) {
    if (document.activeElement !== form.find) form.find.value = view.find;
  }
  id("choose").sort.value = view.sort;
  id("details").hidden = view.stream === null;
  id("topic").hidden = view.topic === null;
  if (view.topic !== null) write(id("topic-title"), view.topic);
}

for (const button of id("parts").children) {
  button.addEventListener("click", () => look({ show: button.dataset.part, find: "", rows: STEP }));
}

part();
setInterval(() => {  // times go on, also where nothing else does
  if (performance.now() - drawn > 900) draw();
}, 1000);
if (!document.hidden) listen();
