// Walk through the photographs of a page by keys, and enlarge their pictures.
"use strict";

const samples = [...document.querySelectorAll(".sample, .rejected")].filter((s) => s.querySelector("button.picture"));
const large = document.getElementById("large");
let sample = -1;
let picture = 0;

const wrap = (index, count) => (index + count) % count;
const buttons = () => [...samples[sample].querySelectorAll("button.picture")];

function select(index) {
  samples[sample]?.classList.remove("current");
  sample = Math.max(0, Math.min(samples.length - 1, index));
  samples[sample].classList.add("current");
  samples[sample].scrollIntoView({ block: "center" });
}

function show() {
  const all = buttons();
  picture = Math.min(picture, all.length - 1);
  const image = all[picture].querySelector("img");
  const name = samples[sample].dataset.name ?? samples[sample].querySelector("b").textContent;
  large.querySelector("p").textContent = `${name} · ${all[picture].dataset.title}`;
  const shown = large.querySelector("img");
  shown.src = image.src;
  shown.classList.toggle("flat", all[picture].classList.contains("flat"));
  if (!large.open) large.showModal();
}

const moves = {
  before: () => select(sample - 1),
  after: () => select(sample + 1),
  up: () => (picture = wrap(picture - 1, buttons().length)),
  down: () => (picture = wrap(picture + 1, buttons().length)),
};

function go(where) {
  if (where === "close") return large.close();
  moves[where]();
  show();
}

document.addEventListener("click", ({ target }) => {
  const pressed = target.closest("button");
  if (pressed?.dataset.go) return go(pressed.dataset.go);
  if (target === large) return large.close();
  if (!pressed?.classList.contains("picture")) return;
  sample = samples.indexOf(pressed.closest(".sample, .rejected"));
  picture = buttons().indexOf(pressed);
  show();
});

const KEYS = { ArrowLeft: "before", ArrowRight: "after", ArrowUp: "up", ArrowDown: "down" };

document.addEventListener("keydown", (event) => {
  if (!samples.length || event.ctrlKey || event.metaKey || event.altKey) return;
  if (large.open && KEYS[event.key]) go(KEYS[event.key]);
  else if (event.key === "j" || event.key === "k") {
    select(sample + (event.key === "j" ? 1 : -1));
    if (large.open) show();
  } else if (event.key === "Enter" && !large.open && sample >= 0 && document.activeElement === document.body) show();
  else return;
  event.preventDefault();
});
