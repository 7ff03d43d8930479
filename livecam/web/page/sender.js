/** Encodes frames as H.264 or JPEG and sends them; what there is no time for is dropped and counted. */

const MOST_PIXELS = 1280 * 720;
const CODEC = "avc1.42E020"; // baseline, level 3.2: 720p of any shape, up to 60 frames a second
const BITS_PER_PIXEL = 0.1;
const FRAMES_A_SECOND = 30;
const KEY_EVERY_MS = 2000;
const LONGEST_QUEUE = 2;
const LONGEST_LAG_MS = 300;
const LEAST_SHARE = 1 / 8;
const SLOWER_AFTER_MS = 1000, FASTER_AFTER_MS = 5000;
const JPEG_QUALITY = 0.8;

/**
 * Encodes frames and sends them, and counts all: captured = sent + dropped + those that the encoder holds.
 *
 * Frames are dropped before they are encoded, while the encoder or the network lag behind: what is sent late is worth
 * less than the next frame.
 */
export class Sender {
  #connection;
  #encoder = null;
  #hasVideoEncoder = false;
  #share = 1;
  #adaptedMs = 0;
  #canvas = document.createElement("canvas");

  constructor(connection) {
    this.#connection = connection;
    this.captured = this.dropped = this.sent = this.sequence = 0;
    this.capturedMs = new Map();
    this.isOn = false;
  }

  /** Find out how this browser can encode. */
  async prepare() {
    this.#hasVideoEncoder = "VideoEncoder" in window
      && (await VideoEncoder.isConfigSupported(configuration(1280, 720)).catch(() => ({}))).supported === true;
  }

  /** Begin anew, as each connection does: what the encoder holds is dropped. Without `isOn` all frames are. */
  reset(isOn) {
    this.isOn = isOn;
    this.#encoder?.close();
    this.#encoder = null;
    this.sequence = 0;
    this.capturedMs.clear();
  }

  wantKey() {
    this.#encoder?.wantKey();
  }

  /** Send a frame, or drop it; null is a frame that was lost already. */
  take(image, width, height) {
    this.captured++;
    const isLate = this.#connection.lagMs > LONGEST_LAG_MS;
    this.#adapt(isLate);
    if (!image || !this.isOn || !this.#connection.isOpen || isLate) {
      this.dropped++;
      return;
    }
    const size = fitted(width, height);
    if (this.#encoder?.width !== size.width || this.#encoder.height !== size.height) this.#renew(size);
    if (this.#encoder.isBusy) this.dropped++;
    else this.#encoder.encode(this.#upright(image, size), performance.now());
  }

  /** Send fewer bits a second where frames come late, and then slowly more again. */
  #adapt(isLate) {
    const now = performance.now();
    if (now - this.#adaptedMs < (isLate ? SLOWER_AFTER_MS : FASTER_AFTER_MS)) return;
    const share = isLate ? Math.max(this.#share / 2, LEAST_SHARE) : Math.min(this.#share * 1.25, 1);
    if (share !== this.#share) this.#encoder?.configure(share);
    this.#share = share;
    this.#adaptedMs = now;
  }

  /** JPEG stands in for an encoder that has failed, up to the next size or connection. */
  #renew(size, Encoder = this.#hasVideoEncoder ? H264Encoder : JpegEncoder) {
    this.#encoder?.close();
    this.#encoder = new Encoder(size, this.#share, {
      send: (payload, facts) => this.#send(payload, facts),
      lost: (count) => (this.dropped += count),
      failed: () => this.#renew(size, JpegEncoder),
    });
  }

  /** An encoder does not turn a frame that the camera or the file has on its side; a canvas does. */
  #upright(image, { width, height }) {
    const isFrame = "VideoFrame" in window && image instanceof VideoFrame;
    if (this.#encoder instanceof H264Encoder && isFrame && !image.rotation && !image.flip) return image;
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d", { alpha: false }).drawImage(image, 0, 0, width, height);
    return this.#canvas;
  }

  #send(payload, { codec, key, capturedMs }) {
    if (!this.#connection.isOpen) {
      this.dropped++;
      return;
    }
    const [sequence, dropped] = [this.sequence++, this.dropped];
    this.#connection.send({ type: "frame", codec, key, sequence, captured_ms: capturedMs, dropped }, payload);
    this.#connection.ping();
    this.capturedMs.set(sequence, capturedMs);
    this.capturedMs.delete(sequence - 1000);
    this.sent++;
  }
}

class H264Encoder {
  #encoder;
  #out;
  #waitingUs = [];
  #newestUs = 0;
  #keyMs = -Infinity;

  constructor({ width, height }, share, out) {
    Object.assign(this, { width, height });
    this.#out = out;
    this.#encoder = new VideoEncoder({ output: (chunk) => this.#encoded(chunk), error: () => this.#fail() });
    this.configure(share);
  }

  /** Take this share of the usual bits a second. */
  configure(share) {
    this.#encoder.configure(configuration(this.width, this.height, share));
  }

  get isBusy() {
    return this.#encoder.encodeQueueSize > LONGEST_QUEUE;
  }

  wantKey() {
    this.#keyMs = -Infinity;
  }

  /** The time stamp of a frame is the time at which it was captured, on the clock of the page; no two have the same. */
  encode(image, nowMs) {
    const timestamp = Math.max(Math.round(1000 * nowMs), this.#newestUs + 1);
    this.#newestUs = timestamp;
    const frame = new VideoFrame(image, { timestamp, alpha: "discard" });
    const keyFrame = nowMs - this.#keyMs >= KEY_EVERY_MS;
    if (keyFrame) this.#keyMs = nowMs;
    this.#waitingUs.push(timestamp);
    this.#encoder.encode(frame, { keyFrame });
    frame.close();
  }

  close() {
    if (this.#encoder.state !== "closed") this.#encoder.close();
    this.#out.lost(this.#waitingUs.length);
    this.#waitingUs = [];
  }

  /** Encoders keep the order; a frame before this one that did not come out was skipped to save bits. */
  #encoded(chunk) {
    const place = this.#waitingUs.indexOf(chunk.timestamp);
    this.#out.lost(place);
    this.#waitingUs.splice(0, place + 1);
    const payload = new Uint8Array(chunk.byteLength);
    chunk.copyTo(payload);
    this.#out.send(payload, { codec: "h264", key: chunk.type === "key", capturedMs: chunk.timestamp / 1000 });
  }

  #fail() {
    this.close();
    this.#out.failed();
  }
}

/** For browsers without a video encoder, and for pages that are not secure. */
class JpegEncoder {
  #out;
  #isClosed = false;

  constructor({ width, height }, share, out) {
    Object.assign(this, { width, height, isBusy: false });
    this.#out = out;
  }

  wantKey() {}

  configure() {}

  encode(canvas, capturedMs) {
    this.isBusy = true;
    canvas.toBlob((blob) => this.#encoded(blob, capturedMs), "image/jpeg", JPEG_QUALITY);
  }

  close() {
    this.#isClosed = true;
    if (this.isBusy) this.#out.lost(1);
  }

  async #encoded(blob, capturedMs) {
    const payload = new Uint8Array(await blob.arrayBuffer());
    if (this.#isClosed) return;
    this.isBusy = false;
    this.#out.send(payload, { codec: "jpeg", key: true, capturedMs });
  }
}

/** A size with the shape of the frame, even, and with no more pixels than are sent. */
function fitted(width, height) {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  return { width: 2 * Math.round((scale * width) / 2), height: 2 * Math.round((scale * height) / 2) };
}

function configuration(width, height, share = 1) {
  return {
    codec: CODEC,
    width,
    height,
    framerate: FRAMES_A_SECOND,
    bitrate: Math.round(share * BITS_PER_PIXEL * width * height * FRAMES_A_SECOND),
    latencyMode: "realtime",
    avc: { format: "annexb" },
  };
}
