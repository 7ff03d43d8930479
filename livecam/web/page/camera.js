/** Where frames come from: a camera, a video or a picture. */

const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const STILL_EVERY_MS = 200;

/** Opens one source at a time and hands its frames to `take(image, width, height)`, which has to use them at once. */
export class Camera {
  #take;
  #stopped;
  #stop = () => {};
  #turn = 0;

  /** @param stopped Called if a source ends by itself, such as a camera that is unplugged. */
  constructor(take, stopped) {
    this.#take = take;
    this.#stopped = stopped;
    this.name = "";
    this.isOn = this.wasEnded = false;
  }

  /** Open a camera: that with the id if it is there, else the one at the back of a phone. Raises as `getUserMedia`. */
  async startCamera(deviceId) {
    const which = deviceId ? { deviceId: { ideal: deviceId } } : { facingMode: { ideal: "environment" } };
    const opening = navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...which }, audio: false });
    const stream = await this.#opened(opening, (late) => late.getTracks().forEach((track) => track.stop()));
    const [track] = stream.getVideoTracks();
    this.#begin(track.label, () => track.stop());
    track.onended = () => this.#endByItself();
    this.deviceId = track.getSettings().deviceId;
    if ("MediaStreamTrackProcessor" in window && "VideoFrame" in window) this.#readTrack(track);
    else await this.#play({ srcObject: stream });
  }

  /** Play a video again and again, or show a picture. Raises an error if the browser cannot read it. */
  async startFile(file) {
    if (file.type.startsWith("image/")) return this.#showStill(file, await this.#opened(createImageBitmap(file)));
    const src = URL.createObjectURL(file);
    this.#begin(file.name, () => URL.revokeObjectURL(src));
    return this.#play({ src, loop: true });
  }

  stop() {
    this.#turn++;
    this.isOn = false;
    this.#stop();
    this.#stop = () => {};
  }

  /** Wait for a source; if it was stopped meanwhile, such as for another one, raise an AbortError. */
  async #opened(opening, giveUp = () => {}) {
    const turn = ++this.#turn;
    const source = await opening;
    if (turn === this.#turn) return source;
    giveUp(source);
    throw new DOMException("stopped meanwhile", "AbortError");
  }

  #begin(name, stop) {
    this.stop();
    this.name = name;
    this.deviceId = null;
    this.isOn = true;
    this.wasEnded = false;
    this.#stop = stop;
  }

  #endByItself() {
    this.stop();
    this.wasEnded = true;
    this.#stopped();
  }

  async #readTrack(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { done, value: frame } = await reader.read();
      if (done) return;
      if (track.readyState === "live") this.#take(frame, frame.displayWidth, frame.displayHeight);
      frame.close();
    }
  }

  /** Frames that the browser showed without telling are counted as taken in vain. */
  async #play(source) {
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true }, source);
    const stopBefore = this.#stop;
    let isPlaying = true;
    this.#stop = () => {
      isPlaying = false;
      video.pause();
      stopBefore();
    };
    let presented = 0;
    const next = (_, { presentedFrames }) => {
      if (!isPlaying) return;
      for (let missed = presented ? presentedFrames - presented - 1 : 0; missed > 0; missed--) this.#take(null);
      presented = presentedFrames;
      this.#take(video, video.videoWidth, video.videoHeight);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    try {
      await video.play();
    } catch (error) {
      if (isPlaying) this.stop();
      throw error;
    }
  }

  #showStill(file, bitmap) {
    const show = () => this.#take(bitmap, bitmap.width, bitmap.height);
    const timer = setInterval(show, STILL_EVERY_MS);
    this.#begin(file.name, () => clearInterval(timer));
    show();
  }
}

/** The cameras that the browser lets the page know. */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
}

/** What is wrong when a camera or a file does not start, and what the user can do. */
export function troubleOf({ name, message }) {
  if (!isSecureContext && name === "TypeError") return INSECURE;
  const [title, text] = TROUBLES[name] ?? ["That did not work", message];
  return { title, text };
}

const UNKNOWN_FILE = ["This file cannot be shown", "Your browser does not know its format. It knows MP4 with H.264, WebM, JPEG and PNG."];
const TROUBLES = {
  NotAllowedError: ["The camera was not allowed", "Allow it by the sign at the left of the address, or in the settings of your system, and start it again."],
  NotFoundError: ["There is no camera", "Connect one and start it, or drop a video or a picture here."],
  NotReadableError: ["The camera is in use", "Close the program that uses it, and start it again."],
  EncodingError: UNKNOWN_FILE,
  InvalidStateError: UNKNOWN_FILE,
  NotSupportedError: UNKNOWN_FILE,
};
const INSECURE = {
  title: "Browsers give the camera to secure pages only",
  text: "Run this on your computer, and open the address again with 127.0.0.1 as its host. Or drop a video or a picture here.",
  hint: `ssh -L ${location.port || 80}:127.0.0.1:${location.port || 80} ${location.hostname}`,
};
