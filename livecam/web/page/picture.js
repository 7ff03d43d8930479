/** The explained pictures: decodes those of a source, draws them, and saves or records what is seen. */

const stage = document.getElementById("stage");
const CODEC = "avc1.42E033"; // baseline, up to 4K; the stream itself says which level it has
const LONGEST_QUEUE = 8;
const RECORDINGS = ["video/mp4;codecs=avc1.42E028", "video/webm;codecs=vp9", "video/webm;codecs=vp8"];
const RECORDING_BITS_A_SECOND = 8_000_000;

/** The codecs that this browser decodes, for the first message. */
export async function decodableCodecs() {
  const hasH264 = "VideoDecoder" in window
    && (await VideoDecoder.isConfigSupported({ codec: CODEC }).catch(() => ({}))).supported === true;
  return hasH264 ? ["h264", "jpeg"] : ["jpeg"];
}

/** The pictures of one source, in a canvas. */
export class Tile {
  #shown;
  #askForKey;
  #decoder = null;
  #number = 0;
  #waiting = new Map();
  #needsKey = true;
  #newestJpeg = null;
  #isDecoding = false;
  #recorder = null;
  #nameRecording = null;

  /**
   * @param shown Called with what was said of a picture, once it is drawn.
   * @param askForKey Called when only a key frame helps.
   */
  constructor(shown, askForKey) {
    this.#shown = shown;
    this.#askForKey = askForKey;
    this.canvas = document.createElement("canvas");
    this.canvas.role = "img";
    this.canvas.ariaLabel = "no picture yet";
    this.facts = null;
    this.shown = 0; // pictures, each once
  }

  receive(facts, payload) {
    if (facts.codec === "jpeg") this.#decodeJpeg(facts, payload);
    else this.#decodeVideo(facts, payload);
  }

  /** The next picture has to be a key frame, as after a new connection. */
  reset() {
    this.#needsKey = true;
  }

  #decodeVideo(facts, payload) {
    if (!this.#needsKey && this.#decoder?.decodeQueueSize > LONGEST_QUEUE) this.#lose();
    if (this.#needsKey && !facts.key) return;
    if (this.#decoder?.state !== "configured") this.#renewDecoder();
    this.#needsKey = false;
    const timestamp = this.#number++; // by which the facts of a decoded picture are found again
    this.#waiting.set(timestamp, facts);
    this.#decoder.decode(new EncodedVideoChunk({ type: facts.key ? "key" : "delta", timestamp, data: payload }));
  }

  #renewDecoder() {
    this.#waiting.clear();
    this.#decoder = new VideoDecoder({ output: (frame) => this.#decoded(frame), error: () => this.#lose() });
    this.#decoder.configure({ codec: CODEC, optimizeForLatency: true });
  }

  #lose() {
    this.#needsKey = true;
    this.#askForKey();
  }

  #decoded(frame) {
    const facts = this.#waiting.get(frame.timestamp);
    for (const timestamp of this.#waiting.keys()) if (timestamp <= frame.timestamp) this.#waiting.delete(timestamp);
    if (facts) this.#draw(frame, facts);
    frame.close();
  }

  /** Of the pictures that come while one is decoded, the newest is the next. */
  async #decodeJpeg(facts, payload) {
    this.#newestJpeg = { facts, payload };
    if (this.#isDecoding) return;
    this.#isDecoding = true;
    while (this.#newestJpeg) {
      const next = this.#newestJpeg;
      this.#newestJpeg = null;
      const bitmap = await createImageBitmap(new Blob([next.payload], { type: "image/jpeg" }));
      this.#draw(bitmap, next.facts);
      bitmap.close();
    }
    this.#isDecoding = false;
  }

  #draw(image, facts) {
    const { canvas } = this;
    const { width, height } = facts;
    const nameRecording = canvas.width !== width || canvas.height !== height ? this.#resize(width, height) : null;
    canvas.getContext("2d", { alpha: false }).drawImage(image, 0, 0, width, height);
    if (nameRecording) this.startRecording(nameRecording);
    this.facts = facts;
    this.#shown(facts);
  }

  /** A recording has one size: it ends, and its successor is named by what is returned, null if there is none. */
  #resize(width, height) {
    const nameRecording = this.isRecording ? this.#nameRecording : null;
    if (nameRecording) this.stopRecording();
    Object.assign(this.canvas, { width, height });
    setStyles(this.canvas.parentElement, { aspect: width / height });
    return nameRecording;
  }

  /** Tell readers of screens what the picture shows. */
  describe() {
    if (this.facts) this.canvas.ariaLabel = `explained: ${this.facts.classes.map(({ label }) => label).join(", ")}`;
  }

  /** Save the picture as PNG. */
  async save(name) {
    const blob = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
    download(blob, `${name}.png`);
  }

  get isRecording() {
    return this.#recorder !== null;
  }

  static get canRecord() {
    return "MediaRecorder" in window && "captureStream" in HTMLCanvasElement.prototype;
  }

  /** Begin to record what the canvas shows; a file is saved at the end, and at each change of its size. */
  startRecording(nameRecording) {
    this.#nameRecording = nameRecording;
    const name = nameRecording();
    const mimeType = RECORDINGS.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(this.canvas.captureStream(), {
      mimeType,
      videoBitsPerSecond: RECORDING_BITS_A_SECOND,
    });
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = () => {
      const type = recorder.mimeType.split(";")[0];
      download(new Blob(parts, { type }), `${name}.${type.split("/")[1]}`);
    };
    recorder.start(1000);
    this.#recorder = recorder;
  }

  stopRecording() {
    this.#recorder.stop();
    this.#recorder = null;
  }
}

/** The tiles of all sources, in a grid. The chosen one is that which panel, snapshots and recordings are about. */
export class Pictures {
  #drawn;
  #send;
  #chose;
  #clicked;

  /**
   * @param drawn Called with a tile and the facts of the picture that it has drawn.
   * @param send Sends a message to livecam.
   * @param chose Called when another tile is chosen.
   * @param clicked Called with a place in the picture of the chosen tile, `{source, x, y}`, x and y from 0 to 1.
   */
  constructor(drawn, send, chose, clicked) {
    this.#drawn = drawn;
    this.#send = send;
    this.#chose = chose;
    this.#clicked = clicked;
    this.tiles = [];
    this.place = 0;
  }

  get chosen() {
    return this.tiles[this.place];
  }

  receive(facts, payload) {
    this.tiles[facts.source]?.receive(facts, payload);
  }

  reset() {
    for (const tile of this.tiles) tile.reset();
  }

  /** Have a tile for each source, with its name if there are several. */
  arrange(sources) {
    while (this.tiles.length < sources.length) this.#add(this.tiles.length);
    const columns = Math.ceil(Math.sqrt(sources.length));
    setStyles(stage, { columns, rows: Math.ceil(sources.length / columns) });
    sources.forEach(({ name }, place) => (this.tiles[place].name.textContent = name));
    stage.classList.toggle("has-several", sources.length > 1);
    document.title = `${sources.map(({ name }) => name).join(", ")} – livecam`;
  }

  #add(place) {
    const tile = new Tile((facts) => this.#tileDrawn(tile, facts), () => this.#send({ type: "key", source: place }));
    tile.canvas.id = place ? `picture-${place}` : "picture";
    tile.name = Object.assign(document.createElement("button"), { type: "button" });
    const figure = Object.assign(document.createElement("figure"), { className: "tile", onclick: (event) => this.#click(place, event) });
    const frame = document.createElement("div");
    frame.append(tile.canvas, tile.name);
    figure.append(frame);
    document.getElementById("tiles").append(figure);
    this.tiles.push(tile);
    this.#choose(this.place);
  }

  #click(place, { target, offsetX, offsetY }) {
    const { canvas } = this.tiles[place];
    const { width, height } = canvas.getBoundingClientRect(); // clientWidth is rounded: at the edge, x would exceed 1
    if (place !== this.place) this.#choose(place);
    else if (target === canvas) this.#clicked({ source: place, x: offsetX / width, y: offsetY / height });
  }

  #choose(place) {
    const isOther = place !== this.place;
    this.place = place;
    for (const tile of this.tiles) tile.name.ariaPressed = tile === this.chosen;
    if (isOther) this.#chose();
  }

  #tileDrawn(tile, facts) {
    if (tile === this.chosen) setStyles(stage, { aspect: facts.width / facts.height });
    this.#drawn(tile, facts);
  }
}

function setStyles({ style }, values) {
  for (const [name, value] of Object.entries(values)) style.setProperty(`--${name}`, value);
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
