"use strict";
// The page of one session. What a person does is put into a queue and sent in order; a step leaves the queue when the
// server says that it is on the disk. The queue lies in the tab's storage, so a reload sends what was not sent yet; every
// step has the name of its page and a number, so what is sent twice counts once.

const WORDS = {
  like: ["✓", "liked"], dislike: ["✗", "disliked"], skip: ["→", "skipped"],
  first: ["◀", "first is better"], second: ["▶", "second is better"], tie: ["=", "equally good"],
  "": ["…", "no answer yet"],
};
const CHOICES = {
  single: [["like", "Like"], ["dislike", "Dislike"], ["skip", "Skip"]],
  paired: [["first", "First"], ["tie", "Equal"], ["second", "Second"], ["skip", "Skip"]],
};
const KEYS = {
  single: { l: "like", d: "dislike", s: "skip" },
  paired: { 1: "first", 2: "second", t: "tie", s: "skip" },
};
const STORED = "papa-steps";
const SINGLE_KEYS = "papa-single-keys";
const $ = (id) => document.getElementById(id);

const client = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
let csrf = document.querySelector("meta[name=papa-csrf]").content;
let seq = 0;
let queue = stored();
let state = null; // what the server said last
let built = ""; // which pictures the grid holds
let at = 0; // the item that the keyboard is at
let armed = false; // whether Enter was pressed while items had no answer
let sending = false;
let full = false; // the disk is full: the queue waits for the person
let timer = 0; // of the next look at the state
let lost = false; // there is no connection
let singleKeys = true; // whether letters and digits do something (WCAG 2.1.4: speech input types them unasked)

// ---------------------------------------------------------------- the queue

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED)) || [];
  } catch {
    return [];
  }
}

function store() {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(queue));
  } catch { /* the queue stays in memory */ }
}

function push(step) {
  seq += 1;
  queue.push({ client, seq, seen: state.version, ...step });
  store();
  pump();
}

async function pump() {
  if (sending || full) return;
  sending = true;
  try {
    while (queue.length && !full) await sendSome();
    connected(true);
  } catch {
    connected(false);
    setTimeout(pump, 1000);
  } finally {
    sending = false;
  }
}

async function sendSome() {
  const some = queue.slice(0, 50);
  const [status, reply] = await post("/steps", { steps: some });
  const results = reply.results || [];
  if (![200, 507].includes(status)) {
    trouble(reply.message || "The server refused what was sent.");
    if (status === 422 || status === 413) queue = queue.slice(some.length); // it will never take this
    else throw new Error(status);
  }
  queue = queue.slice(results.length);
  store();
  results.filter((result) => !["taken", "known"].includes(result)).forEach((result) => say(result === "newer"
    ? "This was changed in another tab, or the round is another one by now. You see the newer state." : result));
  if (status === 507) {
    full = true;
    trouble(`${reply.message} ${queue.length} of your answers wait on this page; leave it open. Then choose “Try again”.`);
  }
  if (reply.state) {
    const undone = some.slice(0, results.length).some((step, i) => step.op === "undo" && results[i] === "taken");
    take(reply.state, undone);
  }
  // The server was started again and reads the session still: it takes the rest when the pictures are there.
  if (status === 200 && results.length < some.length) await new Promise((done) => setTimeout(done, 500));
}

async function post(path, body) {
  for (let tries = 0; ; tries += 1) {
    const reply = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(60000),
    });
    const said = await reply.json();
    if (reply.status !== 403 || tries) return [reply.status, said];
    csrf = (await (await fetch("/state")).json()).csrf; // the server was started again
  }
}

async function ask(path, body) {
  try {
    const [status, reply] = await post(path, body);
    if (reply.state) take(reply.state);
    if (reply.message) say(reply.message);
    return status;
  } catch {
    connected(false);
    return 0;
  }
}

// ---------------------------------------------------------------- letters and digits as keys

function useSingleKeys(yes) {
  singleKeys = yes;
  $("single-keys").checked = yes;
  document.body.dataset.keys = yes ? "on" : "off";
}

function storedSingleKeys() {
  try {
    return localStorage.getItem(SINGLE_KEYS) !== "off";
  } catch {
    return true; // a browser without storage does not remember it
  }
}

function storeSingleKeys() {
  try {
    localStorage.setItem(SINGLE_KEYS, singleKeys ? "on" : "off");
  } catch { /* until the page is closed */ }
}

// ---------------------------------------------------------------- the state

async function look() {
  clearTimeout(timer);
  if (!sending) {
    try {
      const reply = await fetch("/state", { signal: AbortSignal.timeout(10000) });
      const found = await reply.json();
      if (reply.ok) {
        csrf = found.csrf;
        if (!sending) take(found);
        if (queue.length) pump();
        else connected(true);
      } else trouble(found.message);
    } catch {
      if (!state || !state.gone) connected(false);
    }
  }
  const idle = state && state.asking && !state.busy && !lost;
  if (!state || !state.gone) timer = setTimeout(look, idle ? 2500 : 500);
}

function take(found, undone = false) {
  if (state && found.boot === state.boot && found.tick < state.tick) return;
  const before = state;
  state = found;
  if (undone && state.asking && before && before.asking && before.asking.round === state.asking.round) {
    const changed = state.asking.answers.findIndex((answer, i) => answer !== before.asking.answers[i]);
    if (changed >= 0) goTo(changed, false);
    say(`Taken back. ${describe(at)}`);
  } else if (undone && state.asking) say(`You are back in round ${state.asking.round + 1}.`);
  render(before);
}

function answers() {
  // What the server has, and what is on its way to it.
  const found = state.asking.answers.slice();
  for (const step of queue) if (step.op === "rate" && step.round === state.asking.round) found[step.item] = step.answer;
  return found;
}

const confirming = () => queue.some((step) => step.op === "confirm" && state.asking && step.round === state.asking.round);
const kind = () => (state.asking.paired ? "paired" : "single");
const thing = () => (state.asking.paired ? "Pair" : "Picture");

function describe(item) {
  if (!state.asking || item >= state.asking.answers.length) return "";
  return `${thing()} ${item + 1} of ${state.asking.answers.length}: ${WORDS[answers()[item] || ""][1]}.`;
}

// ---------------------------------------------------------------- what is seen

function say(text) {
  $("said").textContent = text;
}

function trouble(text) {
  $("trouble-text").textContent = text || "";
  $("trouble").hidden = !text;
}

function connected(yes) {
  if (yes && lost) trouble("");
  lost = !yes;
  if (lost) {
    const waiting = queue.length ? `${queue.length} of your answers wait on this page and are sent when it is back. ` : "";
    trouble(`There is no connection to the server. ${waiting}Is “papa serve” still running?`);
  }
}

function render(before) {
  const { asking, busy, gone } = state;
  $("spent").max = state.labels;
  $("spent").value = state.spent;
  const spent = `${state.spent} of ${state.labels} labels`;
  $("spent-text").textContent = state.finished ? spent : `${spent} · round ${state.round + 1} of ${state.rounds}`;
  if (!full && !lost) trouble(state.error || "");
  $("gone").hidden = !gone;
  $("gone").textContent = gone || "";
  $("aside").hidden = $("round").hidden = Boolean(gone);
  if (gone) {
    queue = [];
    store();
    return;
  }
  renderWait(busy); // before the round, whose place on the page depends on it when it takes the focus
  renderRound(before);
  renderStrips();
  renderDial();
  renderNotes();
  $("undo").setAttribute("aria-disabled", String(!state.undo && !queue.length));
  $("actions").hidden = !asking && !state.undo;
  $("confirm").hidden = !asking;
}

function renderRound(before) {
  const { asking } = state;
  const inside = $("round").contains(document.activeElement) || document.activeElement === document.body;
  $("grid").hidden = !asking || confirming();
  $("round-name").textContent = state.finished ? "All rounds are answered" : `Round ${state.round + 1}`;
  if (!asking) {
    if (built && inside) $("round").focus({ preventScroll: true });
    built = "";
    return;
  }
  const key = `${state.boot} ${asking.round} ${asking.stamp}`;
  if (key !== built) {
    built = key;
    build();
    const open = answers().findIndex((answer) => !answer);
    goTo(Math.max(0, open), inside);
    armed = false;
    if (before) say(`Round ${asking.round + 1} of ${state.rounds}. ${describe(at)}`);
  }
  update();
}

function build() {
  const { asking } = state;
  document.body.dataset.kind = kind();
  $("asked").textContent = asking.paired ? "Which of the two do you like better?" : "Which pictures do you like?";
  $("keys-single").hidden = asking.paired;
  $("keys-paired").hidden = !asking.paired;
  $("grid").classList.toggle("paired", asking.paired);
  $("grid").replaceChildren(...asking.answers.map((_, item) => buildItem(item)));
}

function buildItem(item) {
  const { asking } = state;
  const each = asking.paired ? 2 : 1;
  const place = element("div", { className: "item", tabIndex: -1 });
  place.setAttribute("role", "group");
  const views = element("div", { className: "views" });
  for (let i = 0; i < each; i += 1) {
    const number = item * each + i;
    views.append(picture(`/picture/${asking.round}/${number}?v=${asking.stamp}`, asking.paired ? ["First", "Second"][i] : ""));
  }
  const rating = element("p", { className: "rating" });
  rating.append(element("span", { ariaHidden: "true" }), " ", element("span", {}), element("span", { className: "number", textContent: item + 1 }));
  const choices = element("div", { className: "choices" });
  for (const [answer, label] of CHOICES[kind()]) {
    const button = element("button", { type: "button", textContent: label });
    button.dataset.answer = answer;
    button.addEventListener("click", () => {
      goTo(item, false);
      rate(item, answer);
      button.focus({ preventScroll: true });
    });
    choices.append(button);
  }
  place.append(views, rating, choices);
  place.addEventListener("focus", () => goTo(item, false));
  views.addEventListener("click", () => goTo(item, true));
  return place;
}

function update() {
  const given = answers();
  [...$("grid").children].forEach((place, item) => {
    const answer = given[item] || "";
    const [sign, words] = WORDS[answer];
    place.dataset.answer = answer;
    place.classList.toggle("here", item === at);
    place.tabIndex = item === at ? 0 : -1;
    place.setAttribute("aria-label", `${thing()} ${item + 1} of ${given.length}, ${words}`);
    place.querySelector(".rating span").textContent = sign;
    place.querySelector(".rating span:nth-child(2)").textContent = words;
    for (const button of place.querySelectorAll("button")) {
      button.tabIndex = item === at ? 0 : -1;
      button.setAttribute("aria-pressed", String(button.dataset.answer === answer));
    }
  });
}

function renderWait(busy) {
  const waiting = !state.asking || confirming();
  $("wait").hidden = !waiting;
  $("wait-bar").hidden = state.finished && !busy;
  if (busy && busy.of) {
    $("wait-bar").max = busy.of;
    $("wait-bar").value = busy.done;
  } else $("wait-bar").removeAttribute("value");
  if (busy) $("wait-text").textContent = `The model is ${busy.what}.`;
  else if (state.error) $("wait-text").textContent = "The model has stopped; see above.";
  else if (state.finished) $("wait-text").textContent = "Thank you. The model has learned from all your answers.";
  else $("wait-text").textContent = "The next pictures are on their way.";
  $("round").setAttribute("aria-busy", String(waiting && Boolean(busy)));
}

function renderStrips() {
  const { before, now } = state.strips;
  $("drawn-none").hidden = Boolean(before || now);
  $("drawn-noise").hidden = !(before && now);
  for (const [name, strip] of [["before", before], ["now", now]]) {
    const place = $(`strip-${name}`);
    const key = strip ? `${state.boot}-${strip.stamp}` : "";
    place.hidden = !strip;
    if (!strip || place.dataset.key === key) continue;
    place.dataset.key = key;
    place.querySelector("h3").textContent = name === "before" ? "Before"
      : `Now, after ${strip.after} ${strip.after === 1 ? "round" : "rounds"}`;
    place.querySelector("ul").replaceChildren(...Array.from({ length: strip.n }, (_, i) => {
      const place = element("li", {});
      place.append(picture(`/strip/${name}/${i}?v=${key}`, `${name === "before" ? "Before" : "Now"}, picture ${i + 1}`));
      return place;
    }));
  }
}

function renderDial() {
  const { dial } = state;
  $("dial").hidden = !dial;
  if (!dial || document.activeElement === $("dial-input")) return;
  const input = $("dial-input");
  Object.assign(input, { min: dial.least, max: dial.most, step: dial.step });
  input.value = dial.value;
  $("dial-name").textContent = dial.name[0].toUpperCase() + dial.name.slice(1);
  $("dial-value").textContent = Number(dial.value.toFixed(2));
  $("dial-help").textContent = dial.help;
}

function renderNotes() {
  if ($("notes").children.length === state.notes.length) return;
  $("notes").replaceChildren(...state.notes.map((note) => element("li", { textContent: note })));
  if (state.notes.length) say(state.notes[state.notes.length - 1]);
}

function element(name, given) {
  return Object.assign(document.createElement(name), given);
}

function picture(src, alt) {
  const image = element("img", { src, alt, draggable: false });
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 128));
  return image;
}

// ---------------------------------------------------------------- what is done

function goTo(item, focus) {
  if (!state.asking) return;
  at = Math.min(Math.max(item, 0), state.asking.answers.length - 1);
  update();
  if (focus && $("grid").children[at]) $("grid").children[at].focus();
}

function rate(item, wanted) {
  const asking = state.asking;
  if (!asking || confirming()) {
    say("The model is at work; the next pictures come soon.");
    return false;
  }
  const now = answers()[item] || null;
  const answer = wanted === "skip" && now === "skip" ? null : wanted;
  armed = false;
  push({ op: "rate", round: asking.round, item, answer });
  update();
  say(describe(item));
  return true;
}

function confirmRound() {
  if (!state.asking || confirming()) return;
  const open = answers().filter((answer) => !answer).length;
  if (open && !armed) {
    armed = true;
    goTo(answers().findIndex((answer) => !answer), true);
    say(`${open} of ${answers().length} have no answer yet. Confirm once more to skip ${open === 1 ? "it" : "them"}.`);
    return;
  }
  armed = false;
  $("round").focus({ preventScroll: true });
  push({ op: "confirm", round: state.asking.round });
  say("Confirmed.");
  render(state);
}

function undo() {
  if (state && state.undo) push({ op: "undo" });
  else if (state && queue.length) push({ op: "undo" });
  else say("There is nothing to undo.");
}

function columns() {
  const places = [...$("grid").children];
  return Math.max(1, places.filter((place) => place.offsetTop === places[0].offsetTop).length);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, summary");
  if (!state || state.gone || (typing && event.target.type !== "range")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey) return act(event, undo);
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (key.length === 1 && !singleKeys) return undefined;
  if (key === "u" || key === "Backspace") return act(event, undo);
  if (typing) return undefined; // the dial has arrows of its own
  if (key === "Enter") return event.target.closest("button, a, input") ? undefined : act(event, confirmRound);
  if (!state.asking) return undefined;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
  if (key in moves) {
    event.preventDefault();
    goTo(at + moves[key], true);
    return say(describe(at));
  }
  const answer = KEYS[kind()][key];
  if (answer && !event.repeat) {
    event.preventDefault();
    const item = at;
    if (rate(item, answer)) goTo(item + 1, true);
  }
  return undefined;
});

function act(event, what) {
  event.preventDefault();
  if (!event.repeat) what();
}

$("single-keys").addEventListener("change", () => {
  useSingleKeys($("single-keys").checked);
  storeSingleKeys();
  say(singleKeys ? "Letters and digits are keys again." : "Letters and digits do nothing now; the buttons do the same.");
});
$("undo").addEventListener("click", undo);
$("confirm").addEventListener("click", confirmRound);
$("trouble-again").addEventListener("click", async () => {
  const stopped = state && state.error;
  full = false;
  trouble("");
  if (stopped) await ask("/again", {});
  pump();
});
$("save-model").addEventListener("click", () => ask("/export", { what: "model" }));
$("save-answers").addEventListener("click", () => ask("/export", { what: "answers" }));
$("stop").addEventListener("click", async () => {
  while (queue.length && !full && !lost) await new Promise((done) => setTimeout(done, 50)); // first what is on its way
  if (!queue.length) await ask("/stop", {});
});
$("delete").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("/delete", { typed: $("typed").value });
});
$("dial-input").addEventListener("input", () => { $("dial-value").textContent = $("dial-input").value; });
$("dial-input").addEventListener("change", () => ask("/dial", { value: Number($("dial-input").value) }));
window.addEventListener("beforeunload", (event) => { if (queue.length && (full || lost)) event.preventDefault(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });
useSingleKeys(storedSingleKeys());
look();
