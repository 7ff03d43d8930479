/** The socket to livecam: says hello, takes messages apart, and comes back by itself when it breaks. */

const DELAYS_MS = [200, 500, 1000];
const PING_MS = 1000;
const LONGEST_USUAL_MS = 1000;
const LONGEST_SILENCE_MS = 5000;

const BAD_MESSAGE = 4400, BAD_TOKEN = 4401, BAD_ORIGIN = 4403, CAMERA_TAKEN = 4409;
const REFUSALS = {
  [BAD_MESSAGE]: "livecam did not understand this page. Reload it.",
  [BAD_TOKEN]: "This address has no valid token. Open the whole address that livecam printed, with all that follows the #. Each start of livecam has a new one.",
  [BAD_ORIGIN]: "livecam does not know this page by the name in the address bar. Open the address that livecam printed.",
};

export class Connection {
  #handlers;
  #hello;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #unansweredMs = [];
  #usualMs = Infinity;
  #isWelcome = false;

  /**
   * @param hello Returns what the page tells about itself in each first message.
   * @param handlers A function for each type of message, called with the message and the bytes that came with it, and
   *   `changed(state)` for each change of `state`, `refused(text)` and `cameraTaken()`.
   */
  constructor(hello, handlers) {
    this.#hello = hello;
    this.#handlers = handlers;
    this.state = "connecting";
    setInterval(() => this.#check(), PING_MS);
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
    this.#open();
  }

  /** True if livecam takes messages. */
  get isOpen() {
    return this.#isWelcome && this.#socket.readyState === WebSocket.OPEN;
  }

  /** How much longer than usual livecam does not answer: what was sent waits in this page or on the way, as in a tunnel. */
  get lagMs() {
    const [sentMs] = this.#unansweredMs;
    return sentMs === undefined ? 0 : performance.now() - sentMs - Math.min(this.#usualMs, LONGEST_USUAL_MS);
  }

  /** Send a message, with bytes if there are any. */
  send(message, payload = null) {
    if (this.isOpen) this.#socket.send(payload ? packed(message, payload) : JSON.stringify(message));
  }

  /** Ask livecam to answer, which it does once it has got all that was sent before. */
  ping() {
    if (!this.isOpen) return;
    const now = performance.now();
    this.#unansweredMs.push(now);
    this.send({ type: "ping", sent_ms: now });
  }

  /** Say hello again, in a new socket. */
  renew() {
    if (this.state === "ended") return;
    this.#leave();
    this.#attempts = 0;
    this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    const url = new URL("socket", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", ...this.#hello() }));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#socket = socket;
    this.#unansweredMs = [];
    this.#isWelcome = false;
  }

  /** Forget the socket: it may take long to notice that it is dead. */
  #leave() {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  #receive(data) {
    const [message, payload] = typeof data === "string" ? [JSON.parse(data), null] : unpacked(data);
    if (message.type === "pong") this.#usualMs = Math.min(this.#usualMs, performance.now() - this.#unansweredMs.shift());
    if (message.type === "welcome") {
      this.#attempts = 0;
      this.#isWelcome = true;
      this.#change("connected");
    }
    if (message.type === "bye") this.#end();
    this.#handlers[message.type]?.(message, payload);
  }

  #closed(code) {
    this.#isWelcome = false;
    if (code === CAMERA_TAKEN) {
      this.#handlers.cameraTaken();
    } else if (code in REFUSALS) {
      this.#end();
      this.#handlers.refused(REFUSALS[code]);
      return;
    }
    this.#change("reconnecting");
    this.#timer = setTimeout(() => this.#open(), DELAYS_MS[Math.min(this.#attempts++, DELAYS_MS.length - 1)]);
  }

  #end() {
    this.#isWelcome = false;
    this.#leave();
    this.#change("ended");
  }

  #change(state) {
    if (state === this.state) return;
    this.state = state;
    this.#handlers.changed(state);
  }

  #retryNow() {
    if (this.state === "reconnecting") this.renew();
  }

  /** A socket of a phone that slept or changed its network tells nothing, but does not answer either. */
  #check() {
    if (this.lagMs > LONGEST_SILENCE_MS) {
      this.#change("reconnecting");
      this.renew();
    } else {
      this.ping();
    }
  }
}

/** Length of the header, header, payload. */
function packed(message, payload) {
  const header = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(4 + header.length + payload.length);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  bytes.set(payload, 4 + header.length);
  return bytes;
}

function unpacked(buffer) {
  const end = 4 + new DataView(buffer).getUint32(0, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, 4, end - 4));
  return [JSON.parse(header), new Uint8Array(buffer, end)];
}
