// The page: a photograph or the camera in, pictures and numbers out.

import { Camera } from "./camera.js";
import { Figures } from "./figures.js";
import { decode, fitSize, toPixels } from "./photograph.js";
import { describePixel } from "./readout.js";
import { findBackends, Student } from "./student.js";

const SIZES = [128, 192, 256, 384, 512, 768, 1024];
const PRECISIONS = {
  fp32: "32-bit floats",
  fp16: "16-bit floats",
  int8: "8-bit integers",
  int8_dynamic: "8-bit integers",
};
const element = (id) => document.getElementById(id);

/** What is on the screen; `prediction` is {outputs, height, width, ms}. */
export const shown = { bitmap: null, prediction: null };

let card;
let backends;
let backend;
let student;
let threads;
let figures;
const camera = new Camera();

start().catch(fail);

async function start() {
  card = await (await fetch("./model.json")).json();
  backends = await findBackends();
  describeStudent();
  offerChoices();
  figures = new Figures(element("figures"), card, pointAt);
  await openStudent(backends[0].id);
  listen();
  for (const control of document.querySelectorAll(":disabled")) control.disabled = false;
  element("size").disabled = Boolean(card.size_px);
  document.body.dataset.ready = "true";
}

function describeStudent() {
  const tasks = new Intl.ListFormat("en").format(card.tasks.map((task) => TASK_NAMES[task]));
  element("about").textContent =
    `${card.file} (${(card.bytes / 1e6).toFixed(1)} MB, ${PRECISIONS[card.precision]}) tells the ` +
    `${tasks} of every pixel. It runs in this browser: no photograph leaves this device.`;
}

const TASK_NAMES = { depth: "depth", normal: "surface normal", segment: "class" };

function offerChoices() {
  const size = element("size");
  const usual = Math.max(...card.trained_px);
  const sizes = card.size_px ? [Math.max(...card.size_px)] : [...new Set([...SIZES, usual])];
  for (const px of sizes.sort((a, b) => a - b)) {
    const note = px === usual && !card.size_px ? " (as trained)" : "";
    size.append(new Option(`${px} px${note}`, px, px === usual, px === usual));
  }
  for (const { id, label } of backends) element("backend").append(new Option(label, id));
  element("backend").parentElement.hidden = backends.length === 1;
}

async function openStudent(id) {
  backend = backends.find((candidate) => candidate.id === id);
  const { label } = backend;
  say(`Opening the student on ${label} …`);
  student?.close();
  student = new Student();
  try {
    ({ threads } = await student.open(id, card));
  } catch (error) {
    if (id === "wasm") throw error;
    element("backend").value = "wasm";
    await openStudent("wasm");
    return complain(new Error(`${label} cannot run this student: ${error.message}`));
  }
  say(`Ready, on ${where()}.`);
}

function where() {
  if (backend.id !== "wasm") return backend.label;
  return `${backend.label}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}

function listen() {
  element("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) attempt(() => open(target.files[0]));
    target.value = "";
  });
  element("example").addEventListener("click", () => attempt(async () =>
    open(await (await fetch("./example.jpg")).blob())));
  element("camera").addEventListener("click", () => attempt(toggleCamera));
  element("size").addEventListener("change", () => attempt(lookAgain));
  element("backend").addEventListener("change", ({ target }) => attempt(async () => {
    stopCamera();
    await openStudent(target.value);
    await lookAgain();
  }));
  listenForDrops();
}

function listenForDrops() {
  const dragging = (on) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", on);
  };
  addEventListener("dragover", dragging(true));
  addEventListener("dragleave", dragging(false));
  addEventListener("drop", (event) => {
    dragging(false)(event);
    if (event.dataTransfer.files[0]) attempt(() => open(event.dataTransfer.files[0]));
  });
  addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files[0]) attempt(() => open(clipboardData.files[0]));
  });
}

/** Run an action of the user's; what goes wrong is said on the page. */
async function attempt(action) {
  element("problem").hidden = true;
  try {
    await action();
  } catch (error) {
    fail(error);
  }
}

async function open(file) {
  stopCamera();
  await look(await decode(file));
}

async function lookAgain() {
  if (shown.bitmap && !camera.running) await look(shown.bitmap);
}

/** Show a bitmap and what the student says of it. */
async function look(bitmap) {
  const size = fitSize(bitmap.width, bitmap.height, Number(element("size").value), card);
  if (!camera.running) say(`Looking at ${size.width} × ${size.height} px …`);
  const { outputs, ms } = await student.predict(toPixels(bitmap, size));
  if (shown.bitmap !== bitmap) shown.bitmap?.close();
  Object.assign(shown, { bitmap, prediction: { outputs, ms, ...size } });
  element("drop").hidden = true;
  element("figures").hidden = false;
  figures.show(bitmap, shown.prediction);
  sayTime();
  if (!element("readout").hidden) pointAt(...pointed);
}

/** The time of a GPU that is software says nothing about any GPU: it is not shown. */
function sayTime() {
  const { ms, width, height } = shown.prediction;
  const time = document.createElement("b");
  time.textContent = backend.software ? "not timed (software GPU)" : `${ms.toFixed(0)} ms`;
  element("status").replaceChildren(time, ` for ${width} × ${height} px on ${where()}`);
}

let pointed = [0, 0];

function pointAt(x, y) {
  const { width, height } = shown.prediction;
  pointed = [Math.min(x, width - 1), Math.min(y, height - 1)];
  figures.point(...pointed);
  element("readout").replaceChildren(
    ...describePixel(shown.prediction, ...pointed, card).map(([what, value, sure]) => {
      const part = document.createElement("span");
      const said = document.createElement("b");
      said.textContent = value;
      part.append(`${what} `, said, ` ${sure}`);
      return part;
    }),
  );
  element("readout").hidden = false;
}

async function toggleCamera() {
  if (camera.running) return stopCamera();
  await camera.start();
  showCamera();
  while (camera.running) await look(await camera.frame());
}

function stopCamera() {
  camera.stop();
  showCamera();
}

function showCamera() {
  element("camera").setAttribute("aria-pressed", camera.running);
  element("camera").textContent = camera.running ? "Stop the camera" : "Use the camera";
}

function say(text) {
  element("status").textContent = text;
}

function fail(error) {
  stopCamera();
  say("");
  complain(error);
}

function complain(error) {
  element("problem").textContent = error.message;
  element("problem").hidden = false;
}
