/** The page: brings camera, pictures, panel and livecam together, and tells its status. */

import { Camera, cameras, troubleOf } from "./camera.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Classes, Latencies, Settings, showCard, showFigures, showState } from "./panel.js";
import { decodableCodecs, Pictures } from "./picture.js";
import { Sender } from "./sender.js";

const SHOW_EVERY_MS = 200;
const ANSWER_MS = 2500;
const LOOK_AGAIN_MS = 2000;
const CAMERA_NAME = "browser:"; // what livecam calls the camera of a page
const NO_CAMERA = { captured: 0, sent: 0, dropped: 0 };
const NO_FIGURES = { read: 0, shown: 0, dropped: {} };
const CAMERA_KEY = "livecam-camera";

const element = (id) => document.getElementById(id);
const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
const token = location.hash.slice(1);
const storage = ownStorage();
const decodes = await decodableCodecs();

const latencies = new Latencies();
const classes = new Classes((one) => settings.change({ target: settings.targetOf(one) }));
const settings = new Settings(send);
const pictures = new Pictures(drawn, send, chosen, clicked);
const controls = new Controls(settings, pictures, send, answer);
const connection = new Connection(hello, {
  welcome,
  state: stateChanged,
  picture: (facts, payload) => pictures.receive(facts, payload),
  answer: ({ text }) => answer(text),
  wanted: () => sender.wantKey(),
  bye: ({ reason }) => end("livecam has ended", reason),
  refused: (text) => end("Not connected", text),
  changed: connectionChanged,
  cameraTaken,
});
const sender = new Sender(connection);
const camera = new Camera((image, width, height) => sender.take(image, width, height), cameraStopped);

let state = {};
let before = null; // the ledger as it was when the page came
let isRoundTrip = false; // the latencies are those of this page's own camera
let answerTimer = 0;
let hasCamera = false, wasAsked = false, trouble = null, ending = null;

// --- the connection -------------------------------------------------------------------------------------------------

function send(message) {
  connection.send(message);
}

function hello() {
  sender.reset(camera.isOn);
  const role = camera.isOn ? "camera" : "viewer";
  return { token, page, role, decodes, captured: sender.captured, dropped: sender.dropped };
}

function welcome({ sources, camera: isWanted }) {
  arrange(sources);
  pictures.reset();
  hasCamera ||= isWanted;
  if (isWanted && !camera.isOn && !wasAsked) startCamera();
  if (!isWanted && hasCamera) setTimeout(lookAgain, LOOK_AGAIN_MS);
  showCameras();
  tell();
}

/** The page that gave the camera may be gone, such as this one before it was loaded again. */
function lookAgain() {
  if (!hasPicture() && !camera.isOn) connection.renew();
}

function connectionChanged(connectionState) {
  element("connection").dataset.state = element("connection").textContent = connectionState;
  tell();
}

function stateChanged(message) {
  state = { ...state, ...message };
  before ??= structuredClone(state.ledger ?? []);
  if (state.sources) arrange(state.sources);
  settings.show(state);
  showState(state);
  stage.classList.toggle("takes-points", Boolean(state.choices?.takes_points));
  tell();
}

function arrange(sources) {
  pictures.arrange(sources);
  hasCamera ||= sources.some(({ name }) => name === CAMERA_NAME);
}

function end(title, text) {
  ending = { title, text };
  camera.stop();
  controls.stopRecording();
  tell();
}

function answer(text) {
  element("answer").textContent = text;
  clearTimeout(answerTimer);
  answerTimer = setTimeout(() => (element("answer").textContent = ""), ANSWER_MS);
}

// --- the camera -----------------------------------------------------------------------------------------------------

/** What the page remembers from visit to visit, or only for this one if the browser keeps nothing. */
function ownStorage() {
  try {
    return localStorage;
  } catch {
    return {};
  }
}

function startCamera(deviceId = storage[CAMERA_KEY]) {
  return start(() => camera.startCamera(deviceId));
}

function startFile(file) {
  return file && start(() => camera.startFile(file));
}

async function start(begin) {
  camera.stop();
  wasAsked = true;
  trouble = null;
  tell();
  try {
    await begin();
  } catch (error) {
    if (error.name === "AbortError") return;
    trouble = troubleOf(error);
  }
  connection.renew();
  showCameras();
}

function stopCamera() {
  camera.stop();
  cameraStopped({ title: "The camera is off", text: "Start it again, or drop a video or a picture here." });
}

function cameraStopped(why = { title: "The camera has stopped", text: "It was unplugged, or another program took it." }) {
  trouble = why;
  connection.renew();
  showCameras();
}

function cameraTaken() {
  camera.stop();
  answer("the camera of another page is in use; this one looks on");
}

/** A phone that slept has ended the camera. */
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && camera.wasEnded && !ending) startCamera(camera.deviceId);
});

async function showCameras() {
  const options = (await cameras()).map(({ label, deviceId }, number) => new Option(label || `camera ${number + 1}`, deviceId));
  if (camera.isOn && !camera.deviceId) options.unshift(new Option(camera.name, ""));
  element("camera-section").hidden = !hasCamera;
  element("camera").hidden = options.length === 0;
  element("camera").replaceChildren(...options);
  element("camera").value = camera.deviceId ?? "";
  element("stop-camera").hidden = !camera.isOn;
  element("restart-camera").hidden = camera.isOn;
}

for (const id of ["start-camera", "restart-camera"]) element(id).onclick = () => startCamera();
for (const button of document.querySelectorAll(".choose-file")) button.onclick = () => element("file").click();
element("start-camera").hidden = !navigator.mediaDevices;
element("stop-camera").onclick = stopCamera;
element("file").onchange = ({ target }) => {
  startFile(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
};
element("camera").onchange = ({ target }) => {
  storage[CAMERA_KEY] = target.value;
  startCamera(target.value);
};
navigator.mediaDevices?.addEventListener("devicechange", showCameras);

const stage = element("stage");
addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.toggle("is-target", hasCamera);
});
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? stage.classList.remove("is-target"));
addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("is-target");
  if (hasCamera) startFile(event.dataTransfer.files[0]);
});

// --- what is shown --------------------------------------------------------------------------------------------------

/** Of frames of this page's own camera the whole way is measured, by the clock of the page. */
function drawn(tile, facts) {
  const isOwn = facts.captured_ms !== null && sender.capturedMs.get(facts.camera_sequence) === facts.captured_ms;
  const roundTripMs = isOwn ? performance.now() - facts.captured_ms : null;
  const isNew = identityOf(facts) !== tile.identity;
  tile.identity = identityOf(facts);
  if (isNew && tile.shown++ === 0) tell();
  if (tile === pictures.chosen) {
    if (isRoundTrip !== isOwn) latencies.clear();
    isRoundTrip = isOwn;
    if (isNew) latencies.add(roundTripMs ?? facts.latency_ms);
    classes.show(facts);
  }
  dispatchEvent(new CustomEvent("livecam:drawn", { detail: { ...facts, round_trip_ms: roundTripMs } }));
}

/** Another source is chosen: nothing of the one before is left. */
function chosen() {
  latencies.clear();
  classes.clear();
  if (pictures.chosen.facts) classes.show(pictures.chosen.facts);
}

/** A place in the picture is explained, if the model says something of places. */
function clicked(place) {
  if (state.choices?.takes_points) send({ type: "do", command: "point", ...place });
}

function hasPicture() {
  return pictures.tiles.some(({ shown }) => shown);
}

/** A picture comes again if it is drawn in another style, or as a key frame for a page that has just come. */
function identityOf({ camera_sequence, captured_ms, sequence }) {
  return captured_ms === null ? sequence : `${camera_sequence} of ${captured_ms}`;
}

setInterval(() => {
  if (document.hidden) return;
  classes.showHistory();
  for (const tile of pictures.tiles) tile.describe();
  showFigures(state.ledger?.[pictures.place], status(), isRoundTrip);
}, SHOW_EVERY_MS);

/** Tell what the page waits for, or what the user can do: of the camera in its own tile, if there are several. */
function tell() {
  const card = cardNow();
  const cameraTile = pictures.tiles.find(({ name }) => name.textContent === CAMERA_NAME);
  const isOfTile = card?.asks && cameraTile && pictures.tiles.length > 1;
  showCard(card, isOfTile ? cameraTile.canvas.parentElement : stage);
}

function cardNow() {
  if (ending) return ending;
  if (connection.state !== "connected") return hasPicture() ? null : { title: "Connecting to livecam", isBusy: true };
  if (hasCamera && trouble) return { ...trouble, asks: true };
  if (hasPicture()) return null;
  if (hasCamera && !camera.isOn) {
    return { title: "May livecam use your camera?", text: "Your browser asks you. Or drop a video or a picture here.", asks: true };
  }
  return { title: "Just a moment", text: state.waits_for ?? "waiting for the first picture", isBusy: true };
}

// --- for tests and tinkerers ----------------------------------------------------------------------------------------

/** What the panel shows, as plain data; counts are those since the page came. */
function status() {
  const { facts, shown = 0 } = pictures.chosen ?? {};
  const own = pictures.chosen?.name.textContent === CAMERA_NAME ? sender : NO_CAMERA;
  const entry = state.ledger?.[pictures.place] ?? NO_FIGURES;
  const old = before?.[pictures.place] ?? NO_FIGURES;
  return {
    connection: connection.state,
    captured: Math.max(own.captured, entry.read - old.read), // the run knows of other pages' cameras as well
    sent: own.sent,
    shown,
    dropped: droppedByPlace(entry, old, own, shown),
    latency_ms: latencies.percentiles(),
    age_frames: facts?.age_frames ?? null,
    clip_frames: facts?.clip_frames ?? null,
    cell_frames: facts?.cell_frames ?? null,
    explained: facts?.classes.map(({ label, score }) => ({ label, score })) ?? [],
    camera_sequence: facts?.camera_sequence ?? null,
    model: state.model ?? null,
    method: settings.inForce?.method ?? null,
    layer: settings.inForce?.layer ?? null,
  };
}

/** What was dropped since the page came. "page" is what livecam showed to a page that gives the camera, but did not arrive. */
function droppedByPlace(entry, old, own, shown) {
  const counts = Object.entries(entry.dropped).map(([place, number]) => [place, number - (old.dropped[place] ?? 0)]);
  const places = Object.fromEntries(counts.filter(([, number]) => number > 0));
  if (!own.sent) return places;
  const lost = ending ? Math.max(own.captured - (entry.read - old.read), 0) : 0; // on the way when livecam ended
  const browser = Math.max((places.browser ?? 0) + lost, own.dropped);
  const undrawn = Math.max(entry.shown - old.shown - shown, 0);
  return { ...places, ...(browser && { browser }), ...(undrawn && { page: undrawn }) };
}

await sender.prepare();
window.livecam = Object.freeze({ status, start: () => startCamera(), stop: stopCamera });
addEventListener("hashchange", () => location.reload());
