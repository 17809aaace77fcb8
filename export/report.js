"use strict";
// Without this script the page shows all of its pictures, row below row. With it, a gallery shows one
// photograph at a time: tabs choose the task, arrow keys and buttons the photograph, and a
// slider uncovers the student below the teacher, or below any other picture that is chosen.

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The slider is a range input, so that mouse, touch, keyboard and screen readers all know it.
function addSlider(strip) {
  const figure = (layer) => strip.querySelector(`[data-layer="${layer}"]`);
  const picture = (layer) => figure(layer).querySelector("img");
  const caption = (layer) => figure(layer).querySelector("figcaption").textContent;
  const below = element("img", { src: picture("student").src, alt: "student" });
  const above = element("img", { class: "above", alt: "" });
  const left = element("span", { class: "tag" });
  const right = element("span", { class: "tag right" }, caption("student"));
  const range = element("input", { type: "range", min: 0, max: 100, value: 50, step: 1 });
  const slider = element("div", { class: "slider" }, below, above, range, left, right);

  function move() {
    slider.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % ${above.alt}, the rest student`);
  }
  function show(layer) {
    above.src = picture(layer).src;
    above.alt = layer;
    left.textContent = caption(layer);
    range.setAttribute("aria-label", `${layer} against student`);
    for (const other of strip.querySelectorAll("figure button")) {
      other.setAttribute("aria-pressed", other.closest("figure") === figure(layer));
    }
    move();
  }
  for (const one of strip.querySelectorAll("figure:not([data-layer=student])")) {
    const image = one.querySelector("img");
    const button = element("button", { type: "button", title: "Lay it over the student" });
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => show(one.dataset.layer));
  }
  range.addEventListener("input", move);
  strip.querySelector(".key").after(slider);
  show("teacher");
}

function addViewer(viewer) {
  const tasks = [...viewer.querySelectorAll(".task")];
  const tabs = tasks.map((task) => element("button", { type: "button" }, task.dataset.title));
  const counter = element("span", { class: "counter", "aria-live": "polite" });
  const back = element("button", { type: "button", "aria-label": "previous photograph" }, "‹");
  const next = element("button", { type: "button", "aria-label": "next photograph" }, "›");
  const bar = element("div", { class: "toolbar" }, ...tabs, back, counter, next);
  let chosen = 0;
  let at = 0;

  function show() {
    const strips = [...tasks[chosen].querySelectorAll(".strip")];
    at = (at + strips.length) % strips.length;
    tasks.forEach((task, index) => (task.hidden = index !== chosen));
    tabs.forEach((tab, index) => tab.setAttribute("aria-pressed", index === chosen));
    strips.forEach((strip, index) => (strip.hidden = index !== at));
    counter.textContent = `${at + 1} of ${strips.length}`;
  }
  viewer.step = (by) => {
    at += by;
    show();
  };
  tabs.forEach((tab, index) =>
    tab.addEventListener("click", () => {
      chosen = index;
      show();
    }),
  );
  back.addEventListener("click", () => viewer.step(-1));
  next.addEventListener("click", () => viewer.step(1));
  viewer.prepend(bar);
  show();
}

// The gallery nearest to the middle of the window is the one that the arrow keys turn over.
function nearestViewer() {
  const distance = (viewer) => {
    const { top, bottom } = viewer.getBoundingClientRect();
    return Math.max(top - innerHeight / 2, innerHeight / 2 - bottom, 0);
  };
  return [...document.querySelectorAll(".viewer")].sort((a, b) => distance(a) - distance(b))[0];
}

document.documentElement.classList.add("live");
document.querySelectorAll(".strip").forEach(addSlider);
document.querySelectorAll(".viewer").forEach(addViewer);
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const taken = event.target.matches("input, .scroll") || event.altKey || event.ctrlKey || event.metaKey;
  if (!by || taken) return;
  (event.target.closest(".viewer") ?? nearestViewer())?.step(by);
  event.preventDefault();
});
