// The pictures on the page, with their legends, and the pixel that all of them point at.

import {
  confidencePicture, depthPicture, depthScale, normalBall, normalPicture, segmentPicture,
} from "./pictures.js";
import { metres } from "./readout.js";

const PHOTOGRAPH_PX = 1280; // shown at most; the student sees what its size says

export class Figures {
  #card;
  #figures = {};
  #onPoint;
  #size = { height: 1, width: 1 };
  #point = { x: 0, y: 0 };
  #prediction;

  /** root: the element that they are put into. onPoint(x, y): the user points at a pixel. */
  constructor(root, card, onPoint) {
    this.#card = card;
    this.#onPoint = onPoint;
    this.#add(root, "photograph", "Photograph");
    if (card.tasks.includes("depth")) this.#add(root, "depth_m", "Depth");
    if (card.tasks.includes("normal")) this.#add(root, "normal", "Normals");
    if (card.tasks.includes("segment")) this.#add(root, "segment", "Segments");
    this.#add(root, "confidence", "Confidence");
    root.dataset.count = Object.keys(this.#figures).length;
    this.#fillLegends();
  }

  /** Draw the photograph (a bitmap) and what the student said of it. */
  show(bitmap, prediction) {
    this.#prediction = prediction;
    this.#size = { height: prediction.height, width: prediction.width };
    this.#drawPhotograph(bitmap);
    const { depth_m: depth, normal, segment } = prediction.outputs;
    if (depth) this.#drawDepth(depth.data);
    if (normal) this.#put("normal", normalPicture(normal.data, prediction.width));
    if (segment) this.#drawSegment(segment.data);
    this.#drawConfidence();
  }

  /** Show the pixel in every picture. */
  point(x, y) {
    this.#point = { x, y };
    for (const { cross } of Object.values(this.#figures)) {
      cross.style.left = `${((x + 0.5) / this.#size.width) * 100}%`;
      cross.style.top = `${((y + 0.5) / this.#size.height) * 100}%`;
      cross.hidden = false;
    }
    const here = this.#prediction.outputs.segment?.data[y * this.#size.width + x];
    this.#figures.segment?.legend.querySelectorAll("span").forEach((entry) =>
      entry.classList.toggle("here", Number(entry.dataset.id) === here));
  }

  #add(root, name, title) {
    const figure = document.getElementById("figure").content.firstElementChild.cloneNode(true);
    const [frame, legend] = [figure.querySelector(".frame"), figure.querySelector(".legend")];
    figure.id = `figure-${name}`;
    figure.querySelector("b").textContent = title;
    figure.classList.toggle("crisp", name === "segment");
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", `${title}; arrow keys move the pixel that is read out`);
    frame.addEventListener("pointermove", (event) => this.#follow(frame, event));
    frame.addEventListener("pointerdown", (event) => this.#follow(frame, event));
    frame.addEventListener("keydown", (event) => this.#walk(event));
    root.append(figure);
    this.#figures[name] = {
      canvas: figure.querySelector("canvas"), cross: figure.querySelector(".cross"), legend,
      note: figure.querySelector("figcaption span"),
    };
  }

  #follow(frame, event) {
    const box = frame.getBoundingClientRect();
    this.#go(
      Math.floor(((event.clientX - box.left) / box.width) * this.#size.width),
      Math.floor(((event.clientY - box.top) / box.height) * this.#size.height),
    );
  }

  #walk(event) {
    const step = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    this.#go(this.#point.x + move[0], this.#point.y + move[1]);
  }

  #go(x, y) {
    const within = (value, size) => Math.min(size - 1, Math.max(0, value));
    this.#onPoint(within(x, this.#size.width), within(y, this.#size.height));
  }

  #drawPhotograph(bitmap) {
    const share = Math.min(1, PHOTOGRAPH_PX / Math.max(bitmap.width, bitmap.height));
    const { canvas, note } = this.#figures.photograph;
    canvas.width = bitmap.width * share;
    canvas.height = bitmap.height * share;
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    note.textContent = `${bitmap.width} × ${bitmap.height} px`;
  }

  #drawDepth(depth) {
    const scale = depthScale(depth, this.#card.depth_kind);
    this.#put("depth_m", depthPicture(depth, this.#size.width, scale, this.#card));
    const ends = scale.log ? [metres(scale.near), metres(scale.far)] : ["near", "far"];
    const [near, , far] = this.#figures.depth_m.legend.children;
    [near.textContent, far.textContent] = ends;
  }

  #drawSegment(segment) {
    this.#put("segment", segmentPicture(segment, this.#size.width, this.#card));
    const counts = new Array(this.#card.classes.length).fill(0);
    for (const id of segment) counts[id] += 1;
    for (const entry of this.#figures.segment.legend.children) {
      entry.hidden = counts[entry.dataset.id] / segment.length < 0.001;
      entry.style.order = -counts[entry.dataset.id];
    }
  }

  #drawConfidence() {
    const { data } = this.#prediction.outputs.confidence;
    const channel = this.#figures.confidence.note.querySelector("select").selectedIndex;
    const { width } = this.#size;
    const channels = this.#card.tasks.length;
    this.#put("confidence", confidencePicture(data, width, channel, channels));
  }

  #put(name, picture) {
    const { canvas } = this.#figures[name];
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  #fillLegends() {
    const { depth_m: depth, normal, segment, confidence } = this.#figures;
    if (depth) {
      depth.note.textContent = this.#card.depth_kind === "metric" ? "metres" : "relative";
      depth.legend.append(span(), ramp(this.#card.depth_colors), span());
      if (this.#card.depth_kind === "metric") depth.legend.append(chip("sky", this.#card.sky_color));
    }
    normal?.legend.append(ball(), span("a ball in these colours"));
    this.#card.classes.forEach(({ name, color }, id) => {
      const entry = chip(name, color);
      entry.dataset.id = id;
      segment?.legend.append(entry);
    });
    confidence.note.append(this.#taskChoice());
    confidence.legend.append(span("doubtful"), ramp([[0, 0, 0], [255, 255, 255]]), span("certain"));
  }

  #taskChoice() {
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", "Confidence of which task");
    choice.append(...this.#card.tasks.map((task) => new Option(`of ${task}`)));
    choice.addEventListener("change", () => this.#drawConfidence());
    return choice;
  }
}

function span(text = "") {
  const element = document.createElement("span");
  element.textContent = text;
  return element;
}

function chip(text, color) {
  const entry = span(text);
  const square = document.createElement("i");
  square.style.background = Array.isArray(color) ? `rgb(${color})` : color;
  entry.prepend(square);
  return entry;
}

/** A gradient through colours, from left to right. */
function ramp(colors) {
  const bar = document.createElement("i");
  bar.className = "ramp";
  const stops = colors.filter((_, i) => i % 16 === 0 || i === colors.length - 1);
  bar.style.background = `linear-gradient(90deg, ${stops.map((c) => `rgb(${c})`).join(", ")})`;
  return bar;
}

function ball() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 80;
  canvas.className = "ball";
  canvas.getContext("2d").putImageData(normalBall(80), 0, 0);
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}
