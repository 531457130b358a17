"use strict";
// The page of one session. Each step of the user goes into a queue and is sent in order; it leaves the queue when the
// server has it on disk. The queue is in the tab's storage, so a reload sends what is left; every step has the name of
// its page and a number, so a step sent twice counts once. All addresses are relative: a proxy may add a prefix.

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
const STORED = `papa-steps${location.pathname}`;
const SINGLE_KEYS = "papa-single-keys";
const NO_CONNECTION = "There is no connection to the server. Is “papa serve” still running?";
const $ = (id) => document.getElementById(id);

const client = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
let csrf = document.querySelector("meta[name=papa-csrf]").content;
let seq = 0;
let queue = JSON.parse(load("sessionStorage", STORED) || "[]");
let state = null; // of the server
let built = ""; // which images the grid has
let at = 0; // the item that keys rate
let armed = false; // whether the next Enter skips items without an answer
let sending = false;
let full = false; // the disk is full: the queue waits for “Try again”
let timer = 0; // of the next look at the state
let lost = false; // no connection, or the server refuses this page
let singleKeys = true; // whether letters and digits are shortcuts (WCAG 2.1.4: speech input types them)

function load(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null; // a browser without storage
  }
}

function save(storage, key, value) {
  try {
    window[storage].setItem(key, value);
  } catch { /* kept until the page is closed */ }
}

const store = () => save("sessionStorage", STORED, JSON.stringify(queue));

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
    connection("");
  } catch (error) {
    if (error.status === 422) queue = []; // from another version of the page; it will never be accepted
    connection(reason(error));
    setTimeout(pump, 1000);
  } finally {
    sending = false;
  }
}

async function sendSome() {
  const some = queue.slice(0, 50);
  const reply = await call("steps", { steps: some });
  const { results } = reply;
  queue = queue.slice(results.length);
  store();
  results.filter((result) => !["taken", "known"].includes(result)).forEach((result) => say(result === "newer"
    ? "This was changed in another tab, or that round is no longer open. You see the current state." : result));
  if (reply.message) {
    full = true;
    trouble(`${reply.message} ${queue.length} of your answers wait on this page; leave it open. Then choose “Try again”.`);
  }
  take(reply.state, some.slice(0, results.length).some((step, i) => step.op === "undo" && results[i] === "taken"));
  // After a restart the server is still loading the session: it takes the rest when the images are ready.
  if (!full && results.length < some.length) await new Promise((done) => setTimeout(done, 500));
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const reason = (error) => (error instanceof Refused ? error.message : NO_CONNECTION);

async function call(path, body) {
  for (let tries = 0; ; tries += 1) {
    const post = { method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf }, body: JSON.stringify(body) };
    const reply = await fetch(path, { ...(body && post), signal: AbortSignal.timeout(body ? 60000 : 10000) });
    const found = await reply.json().catch((error) => {
      if (!(error instanceof SyntaxError)) throw error;
      throw new Refused(reply.status, `Not “papa serve” but something in front of it, perhaps a proxy, answers: ${reply.status} ${reply.statusText}.`);
    });
    if (reply.ok || reply.status === 409) return found;
    if (reply.status !== 403 || !body || tries) throw new Refused(reply.status, found.message);
    csrf = (await call("state")).csrf; // the server was restarted
  }
}

async function ask(path, body) {
  try {
    const reply = await call(path, body);
    take(reply.state);
    if (reply.message) say(reply.message);
  } catch (error) {
    connection(reason(error));
  }
}

function useSingleKeys(yes) {
  singleKeys = yes;
  $("single-keys").checked = yes;
  document.body.dataset.keys = yes ? "on" : "off";
}

async function look() {
  clearTimeout(timer);
  if (!sending) {
    try {
      const found = await call("state");
      csrf = found.csrf;
      if (!sending) take(found);
      if (queue.length) pump();
      else connection("");
    } catch (error) {
      if (!state || !state.gone) connection(reason(error));
    }
  }
  const idle = state && state.question && !state.busy && !lost;
  if (!state || !state.gone) timer = setTimeout(look, idle ? 2500 : 500);
}

function take(found, undone = false) {
  if (state && found.boot === state.boot && found.tick < state.tick) return;
  const before = state;
  state = found;
  if (undone && state.question && before && before.question && before.question.round === state.question.round) {
    const changed = state.question.answers.findIndex((answer, i) => answer !== before.question.answers[i]);
    if (changed >= 0) goTo(changed, false);
    say(`Undone. ${describe(at)}`);
  } else if (undone && state.question) say(`You are back in round ${state.question.round + 1}.`);
  render(before);
}

function answers() {
  // What the server has, and what is on its way to it.
  const found = state.question.answers.slice();
  for (const step of queue) if (step.op === "rate" && step.round === state.question.round) found[step.item] = step.answer;
  return found;
}

const confirming = () => queue.some((step) => step.op === "confirm" && state.question && step.round === state.question.round);
const kind = () => (state.question.paired ? "paired" : "single");
const thing = () => (state.question.paired ? "Pair" : "Image");

function describe(item) {
  if (!state.question || item >= state.question.answers.length) return "";
  return `${thing()} ${item + 1} of ${state.question.answers.length}: ${WORDS[answers()[item] || ""][1]}.`;
}

function say(text) {
  $("said").textContent = text;
}

function trouble(text) {
  $("trouble-text").textContent = text || "";
  $("trouble").hidden = !text;
}

function connection(problem) {
  if (!problem && lost) trouble("");
  lost = Boolean(problem);
  const waiting = queue.length ? ` ${queue.length} of your answers wait on this page and are sent when it works again.` : "";
  if (lost) trouble(problem + waiting);
}

function render(before) {
  const { question, busy, gone } = state;
  $("progress").max = state.labels;
  $("progress").value = state.confirmed;
  const confirmed = `${state.confirmed} of ${state.labels} images confirmed`;
  $("progress-text").textContent = state.finished ? confirmed : `${confirmed} · round ${state.round + 1} of ${state.rounds}`;
  $("save-model").hidden = !state.saves;
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
  renderPreviews();
  renderDial();
  renderNotes();
  $("undo").setAttribute("aria-disabled", String(!state.undo && !queue.length));
  $("actions").hidden = !question && !state.undo;
  $("confirm").hidden = !question;
}

function renderRound(before) {
  const { question } = state;
  const inside = $("round").contains(document.activeElement) || document.activeElement === document.body;
  $("grid").hidden = !question || confirming();
  $("round-name").textContent = state.finished ? "All rounds are answered" : `Round ${state.round + 1}`;
  if (!question) {
    if (built && inside) $("round").focus({ preventScroll: true });
    built = "";
    return;
  }
  const key = `${state.boot} ${question.round} ${question.stamp}`;
  if (key !== built) {
    built = key;
    build();
    const open = answers().findIndex((answer) => !answer);
    goTo(Math.max(0, open), inside);
    armed = false;
    if (before) say(`Round ${question.round + 1} of ${state.rounds}. ${describe(at)}`);
  }
  update();
}

function build() {
  const { question } = state;
  document.body.dataset.kind = kind();
  $("asked").textContent = question.paired ? "Which of the two do you like better?" : "Which images do you like?";
  $("keys-single").hidden = question.paired;
  $("keys-paired").hidden = !question.paired;
  $("grid").classList.toggle("paired", question.paired);
  $("grid").replaceChildren(...question.answers.map((_, item) => buildItem(item)));
}

function buildItem(item) {
  const { question } = state;
  const each = question.paired ? 2 : 1;
  const place = element("div", { className: "item", tabIndex: -1 });
  place.setAttribute("role", "group");
  const views = element("div", { className: "views" });
  for (let i = 0; i < each; i += 1) {
    const number = item * each + i;
    views.append(imageOf(`image/${question.round}/${number}?v=${question.stamp}`, question.paired ? ["First", "Second"][i] : ""));
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
  const waiting = !state.question || confirming();
  $("wait").hidden = !waiting;
  $("wait-bar").hidden = state.finished && !busy;
  if (busy && busy.of) {
    $("wait-bar").max = busy.of;
    $("wait-bar").value = busy.done;
  } else $("wait-bar").removeAttribute("value");
  if (busy) $("wait-text").textContent = `The model is ${busy.what}.`;
  else if (state.error) $("wait-text").textContent = "The model stopped; see above.";
  else if (state.finished) $("wait-text").textContent = "Thank you. The model has learned from all your answers.";
  else $("wait-text").textContent = "The next images are coming.";
  $("round").setAttribute("aria-busy", String(waiting && Boolean(busy)));
}

function renderPreviews() {
  const { before, now } = state.previews;
  $("previews-none").hidden = Boolean(before || now);
  $("previews-noise").hidden = !(before && now);
  for (const [name, preview] of [["before", before], ["now", now]]) {
    const place = $(`preview-${name}`);
    const key = preview ? `${state.boot}-${preview.stamp}` : "";
    place.hidden = !preview;
    if (!preview || place.dataset.key === key) continue;
    place.dataset.key = key;
    place.querySelector("h3").textContent = name === "before" ? "Before"
      : `Now, after ${preview.after} ${preview.after === 1 ? "round" : "rounds"}`;
    place.querySelector("ul").replaceChildren(...Array.from({ length: preview.n }, (_, i) => {
      const place = element("li", {});
      place.append(imageOf(`preview/${name}/${i}?v=${key}`, `${name === "before" ? "Before" : "Now"}, image ${i + 1}`));
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

function imageOf(src, alt) {
  const image = element("img", { src, alt, draggable: false });
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 128));
  return image;
}

function goTo(item, focus) {
  if (!state.question) return;
  at = Math.min(Math.max(item, 0), state.question.answers.length - 1);
  update();
  if (focus && $("grid").children[at]) $("grid").children[at].focus();
}

function rate(item, wanted) {
  const question = state.question;
  if (!question || confirming()) {
    say("The model is working; the next images are coming.");
    return false;
  }
  const now = answers()[item] || null;
  const answer = wanted === "skip" && now === "skip" ? null : wanted;
  armed = false;
  push({ op: "rate", round: question.round, item, answer });
  update();
  say(describe(item));
  return true;
}

function confirmRound() {
  if (!state.question || confirming()) return;
  const open = answers().filter((answer) => !answer).length;
  if (open && !armed) {
    armed = true;
    goTo(answers().findIndex((answer) => !answer), true);
    say(`${open} of ${answers().length} have no answer yet. Confirm again to skip ${open === 1 ? "it" : "them"}.`);
    return;
  }
  armed = false;
  $("round").focus({ preventScroll: true });
  push({ op: "confirm", round: state.question.round });
  say("Confirmed.");
  render(state);
}

function undo() {
  if (state && (state.undo || queue.length)) push({ op: "undo" });
  else say("There is nothing to undo.");
}

function columns() {
  const places = [...$("grid").children];
  return Math.max(1, places.filter((place) => place.offsetTop === places[0].offsetTop).length);
}

function keyOf(event) {
  if (event.key.length > 1) return event.key;
  // In another alphabet by its place on the keyboard: “Д” is on L.
  return (/[a-z0-9]/i.test(event.key) ? event.key : event.code.replace(/^(Key|Digit)/, "")).toLowerCase();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, summary");
  if (!state || state.gone || (typing && event.target.type !== "range")) return;
  const key = keyOf(event);
  if ((event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey) return act(event, undo);
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (key.length === 1 && !singleKeys) return undefined;
  if (key === "u" || key === "Backspace") return act(event, undo);
  if (typing) return undefined; // the dial has arrows of its own
  if (key === "Enter") return event.target.closest("button, a, input") ? undefined : act(event, confirmRound);
  if (!state.question) return undefined;
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
  save("localStorage", SINGLE_KEYS, singleKeys ? "on" : "off");
  say(singleKeys ? "Single-key shortcuts are on." : "Single-key shortcuts are off; use the buttons.");
});
$("undo").addEventListener("click", undo);
$("confirm").addEventListener("click", confirmRound);
$("trouble-again").addEventListener("click", async () => {
  const stopped = state && state.error;
  full = false;
  trouble("");
  if (stopped) await ask("again", {});
  pump();
});
$("save-model").addEventListener("click", () => ask("export", { what: "model" }));
$("save-answers").addEventListener("click", () => ask("export", { what: "answers" }));
$("stop").addEventListener("click", async () => {
  while (queue.length && !full && !lost) await new Promise((done) => setTimeout(done, 50)); // first what is on its way
  if (!queue.length) await ask("stop", {});
});
$("delete").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("delete", { typed: $("typed").value });
});
$("dial-input").addEventListener("input", () => { $("dial-value").textContent = $("dial-input").value; });
$("dial-input").addEventListener("change", () => ask("dial", { value: Number($("dial-input").value) }));
window.addEventListener("beforeunload", (event) => { if (queue.length && (full || lost)) event.preventDefault(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });
useSingleKeys(load("localStorage", SINGLE_KEYS) !== "off");
look();
