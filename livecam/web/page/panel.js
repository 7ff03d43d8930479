/** The panel: shows classes, figures and settings, and tells which setting the user changes. */

const HISTORY_SECONDS = 30;
const RECENT_FRAMES = 300;
const SHOWN_CLASSES = 5;
const ANSWERS_WITHIN_MS = 2000;
const LONGEST_TARGET = 1000;
const CLASS_HELP = "Part of the name of a class, or several separated by commas. Empty: the best class.";
const PROMPT_HELP = "What the picture may show, such as: a photo of a dog. With a minus before it, it is removed. Empty: the best one.";

const element = (id) => document.getElementById(id);

/** Times of the most recent frames, in milliseconds. */
export class Latencies {
  #recent = [];

  add(milliseconds) {
    this.#recent.push(milliseconds);
    if (this.#recent.length > RECENT_FRAMES) this.#recent.shift();
  }

  clear() {
    this.#recent = [];
  }

  percentiles() {
    const sorted = this.#recent.toSorted((one, other) => one - other);
    const at = (share) => Math.round(10 * sorted[Math.ceil(share * sorted.length) - 1]) / 10;
    return sorted.length ? { p50: at(0.5), p99: at(0.99) } : null;
  }
}

/** The settings of the run, and their controls. */
export class Settings {
  #send;
  #told = null;
  #wanted = new Map();
  #labels = [];
  #isTyping = false;

  /** @param send Called with the settings that the user changes, such as `{view: "heatmap"}`. */
  constructor(send) {
    this.#send = send;
    this.choices = null;
    for (const id of ["method", "view", "colormap"]) this.#on(id, "change", ({ value }) => ({ [id]: value }));
    for (const id of ["layer", "target"]) this.#on(id, "change", ({ value }) => ({ [id]: value.trim() || null }));
    for (const id of ["opacity", "threshold"]) this.#on(id, "input", ({ value }) => ({ [id]: Number(value) }));
    this.#on("top", "change", ({ value }) => ({ top: Number(value) || null }));
    this.#on("auto-threshold", "change", ({ checked }) => ({ threshold: checked ? "auto" : 0 }));
    this.#on("steady", "change", ({ checked }) => ({ steady: checked }));
    element("target").addEventListener("input", () => (this.#isTyping = true));
    for (const event of ["change", "blur"]) element("target").addEventListener(event, () => (this.#isTyping = false));
    element("target-form").onsubmit = (event) => event.preventDefault();
    element("best").onclick = () => this.change({ target: null });
    element("no-point").onclick = () => this.change({ at: null });
  }

  /** The settings by name; those that the user has just changed as they are wanted. Null before the model is loaded. */
  get inForce() {
    return this.#told && { ...this.#told, ...Object.fromEntries(this.#wanted) };
  }

  /** Change settings. They count as changed until livecam has had time to tell what became of them. */
  change(changes) {
    this.#send({ type: "set", ...changes });
    for (const [name, value] of Object.entries(changes)) {
      this.#wanted.set(name, value);
      setTimeout(() => this.#wanted.get(name) === value && this.#wanted.delete(name), ANSWERS_WITHIN_MS);
    }
    if (this.#told) this.#showValues();
  }

  /** Take and show the settings as livecam tells them. */
  show({ settings, choices, labels }) {
    Object.assign(this, { choices });
    this.#told = settings ?? null;
    element("settings").disabled = element("target").disabled = !settings;
    if (labels && labels !== this.#labels) this.#showLabels(labels, choices?.groups ?? []);
    if (!settings) return;
    element("target").placeholder = choices.takes_prompts ? "a new prompt" : "the best class";
    element("target-help").textContent = choices.takes_prompts ? PROMPT_HELP : CLASS_HELP;
    fill("method", choices.methods.map((name) => [name, name]));
    fill("layer", choices.layers.map(({ name, title }) => [name ?? "", title]));
    fill("view", choices.views.map((name) => [name, name]));
    fill("colormap", choices.colormaps.map((name) => [name, name]));
    this.#showValues();
  }

  #on(id, event, changes) {
    const control = element(id);
    control.addEventListener(event, () => this.change(changes(control)));
  }

  #showValues() {
    const { target, at, threshold, steady, ...others } = this.inForce;
    for (const id of ["method", "layer", "top", "view", "colormap", "opacity"]) element(id).value = others[id] ?? "";
    if (!this.#isTyping) element("target").value = target ?? "";
    element("best").hidden = target === null;
    element("no-point").hidden = !at;
    element("no-point").textContent = `at the point ${at} ×`;
    element("threshold").value = Number(threshold) || 0;
    element("auto-threshold").checked = threshold === "auto";
    element("steady").checked = steady;
    element("colours").dataset.map = others.colormap;
    output("opacity", `${Math.round(100 * others.opacity)}%`);
    output("threshold", typeof threshold === "string" ? threshold : threshold.toFixed(2));
  }

  /** How to ask for this class or group: by its label, or by its number if that is not the name of this class alone. */
  targetOf({ label, index }) {
    const labels = this.#labels;
    const isGroup = labels.length > 0 && index >= labels.length;
    const isUnique = labels.includes(label) && labels.indexOf(label) === labels.lastIndexOf(label);
    return isGroup || (isUnique && label.length <= LONGEST_TARGET) ? label : String(index);
  }

  #showLabels(labels, groups) {
    this.#labels = labels;
    element("labels").replaceChildren(...[...groups, ...labels].map((label) => new Option(label, label)));
  }
}

/** What the model says of a picture, and how its score went in the last half minute. */
export class Classes {
  #history = [];

  /** @param choose Called with the class that the user clicks on. */
  constructor(choose) {
    element("classes").onclick = ({ target }) => {
      const row = target.closest("button");
      if (row) choose({ label: row.dataset.label, index: row.dataset.index });
    };
  }

  /** Forget what was shown, as for another source. */
  clear() {
    this.#history = [];
    element("classes").replaceChildren();
  }

  /** Show what is said of a picture, together with it: the classes that are explained, then other good ones. */
  show({ classes, best }) {
    this.#remember(classes[0]);
    const explained = new Set(classes.map(({ index }) => index));
    const others = best.filter(({ index }) => !explained.has(index));
    const rows = [...classes, ...others].slice(0, Math.max(SHOWN_CLASSES, classes.length));
    const longest = Math.max(1, ...rows.map(({ score }) => Math.abs(score)));
    const list = element("classes");
    while (list.children.length > rows.length) list.lastChild.remove();
    while (list.children.length < rows.length) list.append(emptyRow());
    rows.forEach((row, number) => {
      showRow(list.children[number].firstChild, row, explained.has(row.index), Math.abs(row.score) / longest);
    });
  }

  /** Show how the score of the class that is explained first went. */
  showHistory() {
    const now = performance.now();
    const label = this.#history.at(-1)?.label;
    const points = this.#history.filter((point) => point.label === label);
    const scores = points.map(({ score }) => score);
    const [low, high] = [Math.min(0, ...scores), Math.max(1, ...scores)];
    const x = ({ ms }) => (240 - (240 * (now - ms)) / (1000 * HISTORY_SECONDS)).toFixed(1);
    const y = ({ score }) => (38 - (36 * (score - low)) / (high - low)).toFixed(1);
    const line = points.map((point, number) => `${number ? "L" : "M"}${x(point)} ${y(point)}`).join("");
    element("history").hidden = !points.length;
    element("history").querySelector("path").setAttribute("d", line);
    setText("history-title", `${label}, the last ${HISTORY_SECONDS} seconds`);
  }

  #remember(explained) {
    const now = performance.now();
    if (explained) this.#history.push({ ms: now, label: explained.label, score: explained.score });
    this.#history = this.#history.filter(({ ms }) => now - ms < 1000 * HISTORY_SECONDS);
  }
}

/** Show the state of the run outside the settings. */
export function showState({ settings, model, engine, problem }) {
  const { paused, mirror } = settings ?? {};
  element("model").textContent = [model, engine].filter(Boolean).join(", ");
  setText("problem", problem ?? "");
  element("problem").hidden = !problem;
  element("mirror").ariaPressed = Boolean(mirror);
  element("pause").ariaPressed = Boolean(paused);
  element("pause").querySelector("use").setAttribute("href", paused ? "#icon-play" : "#icon-pause");
  element("pause").querySelector("span").textContent = paused ? "Go on" : "Pause";
}

/** Show a card in the middle of a place, or none: a title, a text, a hint to copy, and if it asks for a camera. */
export function showCard(card, place) {
  element("card").hidden = !card;
  if (!card) return;
  if (element("card").parentElement !== place) place.append(element("card"));
  const { title, text = "", hint = "", asks = false, isBusy = false } = card;
  element("card").classList.toggle("is-busy", isBusy);
  element("card-camera").hidden = !asks;
  element("card-hint").hidden = !hint;
  setText("card-title", title);
  setText("card-text", text);
  setText("card-hint", hint);
}

/** Show how fast a source is explained: its entry of the ledger, latency, and the age of the map. */
export function showFigures(entry, status, isRoundTrip) {
  element("latency-title").textContent = isRoundTrip ? "Latency, round trip" : "Latency, in livecam";
  element("latency-p50").textContent = status.latency_ms ? status.latency_ms.p50.toFixed(0) : "–";
  element("latency-p99").textContent = status.latency_ms ? status.latency_ms.p99.toFixed(0) : "–";
  element("fps-out").textContent = entry ? entry.out_fps.toFixed(1) : "–";
  element("fps-in").textContent = entry ? entry.in_fps.toFixed(1) : "–";
  element("age").textContent = status.age_frames === null ? "–" : ageText(status);
  const places = Object.entries(status.dropped).filter(([, count]) => count);
  element("dropped").textContent = places.reduce((sum, [, count]) => sum + count, 0);
  const counts = places.map(([place, count]) => `${count} at ${place}`).join(", ");
  setText("dropped-places", counts && `Dropped: ${counts}`);
}

function ageText({ age_frames: frames, cell_frames: cell }) {
  const of = cell ? `of frames ${cell[0]}–${cell[1]}` : "of this frame";
  return frames ? `${frames} ${frames === 1 ? "frame" : "frames"} old` : of;
}

function emptyRow() {
  const row = document.createElement("li");
  row.innerHTML = '<button type="button"><span></span><span></span><i></i></button>';
  return row;
}

function showRow(button, { label, index, score, text }, isExplained, length) {
  const [name, value, bar] = button.children;
  Object.assign(button.dataset, { label, index });
  button.disabled = index === null; // nothing was found, which cannot be chosen
  button.title = isExplained ? "explained" : `explain ${label}`;
  button.classList.toggle("is-explained", isExplained);
  name.textContent = label;
  value.textContent = text ?? `${Math.round(100 * score)}%`;
  bar.style.setProperty("--length", length);
}

/** Give a select these options, [value, text], unless it has them. */
function fill(id, options) {
  const select = element(id);
  const key = JSON.stringify(options);
  if (select.dataset.options === key) return;
  select.dataset.options = key;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

/** Set a text, unless it is the same: readers of screens tell each change. */
function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

function output(id, text) {
  document.querySelector(`output[for="${id}"]`).textContent = text;
}
