/** What the user does by buttons and keys. The keys are those of livecam's window. */

import { Tile } from "./picture.js";

const OPACITY_STEP = 0.1;
const RANKS = [
  { name: null, title: "top1" },
  ...["top2", "top3", "top4", "top5"].map((name) => ({ name, title: name })),
];
const ANSWERS = { target: "class", colormap: "colours" };

const element = (id) => document.getElementById(id);

export class Controls {
  #settings;
  #pictures;
  #send;
  #answer;
  #keys;

  /**
   * @param settings The settings in force, and their choices.
   * @param pictures Has `tiles` of the sources, and `chosen` among them, which the controls are about.
   * @param send Sends a message to livecam.
   * @param answer Shows a line that tells what was done.
   */
  constructor(settings, pictures, send, answer) {
    this.#settings = settings;
    this.#pictures = pictures;
    this.#send = send;
    this.#answer = answer;
    this.#keys = this.#table();
    this.#bindButtons();
    addEventListener("keydown", (event) => this.#press(event));
  }

  /** End a recording, so that it is saved. */
  stopRecording() {
    if (this.#recorded) this.#toggleRecording();
  }

  #table() {
    const [more, less] = [1, -1].map((sign) => () => this.#changeOpacity(sign * OPACITY_STEP));
    return {
      " ": () => this.#toggle("paused", "paused", "goes on"),
      ".": () => this.#step(),
      s: () => this.#snapshot(),
      r: () => this.#toggleRecording(),
      m: () => this.#next("method", "methods", 1),
      M: () => this.#next("method", "methods", -1),
      l: () => this.#next("layer", "layers", 1),
      L: () => this.#next("layer", "layers", -1),
      c: () => this.#nextClass(1),
      C: () => this.#nextClass(-1),
      k: () => this.#keepClass(),
      "/": () => element("target").select(),
      "]": more,
      "+": more,
      "=": more,
      "[": less,
      "-": less,
      p: () => this.#next("colormap", "colormaps", 1),
      v: () => this.#next("view", "views", 1),
      V: () => this.#next("view", "views", -1),
      x: () => this.#toggle("mirror", "mirrored", "not mirrored"),
      f: () => this.#toggleFullScreen(),
      i: () => this.#togglePanel(),
      h: () => this.#toggleKeys(),
      "?": () => this.#toggleKeys(),
    };
  }

  #bindButtons() {
    const buttons = { pause: " ", step: ".", snapshot: "s", record: "r", mirror: "x", "full-screen": "f", "toggle-panel": "i", "show-keys": "h" };
    for (const [id, key] of Object.entries(buttons)) element(id).onclick = () => this.#do(key);
    element("record").hidden = !Tile.canRecord;
    element("full-screen").hidden = !document.fullscreenEnabled;
  }

  #press(event) {
    const { key, target } = event;
    const isForControl = target.matches("input, select") || (key === " " && target.matches("button"));
    if (event.ctrlKey || event.altKey || event.metaKey || isForControl || !(key in this.#keys)) return;
    event.preventDefault();
    this.#do(key);
  }

  #do(key) {
    const needsModel = !"srfih?".includes(key);
    if (needsModel && !this.#settings.inForce) this.#answer("the model is not loaded yet");
    else this.#keys[key]();
  }

  #toggle(name, on, off) {
    const value = !this.#settings.inForce[name];
    this.#settings.change({ [name]: value });
    this.#answer(value ? on : off);
  }

  #step() {
    this.#send({ type: "do", command: "step" });
  }

  #next(name, kind, by) {
    const choices = this.#settings.choices[kind].map((choice) => (kind === "layers" ? choice : { name: choice, title: choice }));
    this.#take(name, choices, by);
  }

  #nextClass(by) {
    this.#take("target", RANKS, by);
  }

  /** Take the choice that is `by` after the one in force; after the last comes the first. */
  #take(setting, choices, by) {
    const place = choices.findIndex(({ name }) => name === this.#settings.inForce[setting]);
    const next = (Math.max(place, 0) + by + choices.length) % choices.length;
    const { name, title } = choices[next];
    this.#settings.change({ [setting]: name });
    this.#answer(`${ANSWERS[setting] ?? setting} ${title}, ${next + 1} of ${choices.length}`);
  }

  #keepClass() {
    const [explained] = this.#pictures.chosen?.facts?.classes ?? [];
    if ((explained?.index ?? null) === null) return; // no picture yet, or nothing found
    const isKept = !RANKS.some(({ name }) => name === this.#settings.inForce.target);
    this.#settings.change({ target: isKept ? null : this.#settings.targetOf(explained) });
    this.#answer(isKept ? "class let go" : `keeps to ${explained.label}`);
  }

  #changeOpacity(by) {
    const wanted = Math.round(100 * (this.#settings.inForce.opacity + by)) / 100;
    const opacity = Math.min(Math.max(wanted, 0), 1);
    this.#settings.change({ opacity });
    this.#answer(`opacity ${Math.round(100 * opacity)}%`);
  }

  async #snapshot() {
    const tile = this.#pictures.chosen;
    if (!tile?.facts) return this.#answer("there is no picture yet");
    const name = fileName();
    await tile.save(name);
    return this.#answer(`saved ${name}.png`);
  }

  get #recorded() {
    return this.#pictures.tiles.find(({ isRecording }) => isRecording);
  }

  #toggleRecording() {
    const recorded = this.#recorded;
    const tile = recorded ?? this.#pictures.chosen;
    if (!tile?.facts) return this.#answer("there is no picture yet");
    if (recorded) tile.stopRecording();
    else tile.startRecording(fileName);
    element("record").ariaPressed = tile.isRecording;
    return this.#answer(recorded ? "recording saved" : "recording");
  }

  #toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.querySelector("main").requestFullscreen();
  }

  #togglePanel() {
    element("toggle-panel").ariaExpanded = !document.body.classList.toggle("without-panel");
  }

  #toggleKeys() {
    const dialog = element("keys");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  }
}

/** A name for what is saved now, by the local time to the millisecond: files of one second have their own. */
function fileName() {
  const now = new Date();
  const local = new Date(now - 60_000 * now.getTimezoneOffset());
  return `livecam-${local.toISOString().slice(0, 23).replace("T", "-").replaceAll(":", "")}`;
}
