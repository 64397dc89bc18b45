// The stage: one coloured box per person, drawn, moved and resized by pointer or keys. Boxes are fractions of the picture.

import { h } from "./dom.js";
import { say } from "./labels.js";

const SMALLEST = 0.05;
const STEP = 0.01;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const percent = (value) => Math.round(value * 100);

export class Stage {
  /** `people()` gives [{name, colour, box}], `chosen()` the one that a new box is for; `changed(index, box)` is told. */
  constructor(element, { people, chosen, choose, changed }) {
    Object.assign(this, { element, people, chosen, choose, changed, editable: true });
    element.addEventListener("pointerdown", (event) => this.#begin(event));
  }

  /** Draws all boxes anew. */
  show({ width, height, editable }) {
    const focused = this.element.querySelector(":focus")?.dataset.person;
    this.editable = editable;
    this.element.style.aspectRatio = `${width} / ${height}`;
    this.element.classList.toggle("still", !editable);
    this.element.setAttribute("aria-label", say("stage"));
    this.element.replaceChildren(
      ...this.people().map((person, index) => person.box && this.#box(person, index)).filter(Boolean),
    );
    if (focused !== undefined) this.element.querySelector(`[data-person="${focused}"]`)?.focus();
  }

  #box(person, index) {
    const [x0, y0, x1, y1] = person.box;
    const where = say("box_at", percent(x0), percent(y0), percent(x1 - x0), percent(y1 - y0));
    const element = h(
      "div",
      {
        className: index === this.chosen() ? "box chosen" : "box",
        tabIndex: this.editable ? 0 : -1,
        role: "group",
        "aria-label": `${person.name}: ${where}`,
        "data-person": String(index),
        onkeydown: (event) => this.#key(event, index),
        onfocus: () => this.choose(index),
      },
      h("span", {}, person.name),
      h("i", { "aria-hidden": "true" }),
    );
    element.style.setProperty("--colour", person.colour);
    this.#put(element, person.box);
    return element;
  }

  #put(element, [x0, y0, x1, y1]) {
    Object.assign(element.style, {
      left: `${x0 * 100}%`, top: `${y0 * 100}%`, width: `${(x1 - x0) * 100}%`, height: `${(y1 - y0) * 100}%`,
    });
  }

  #at(event) {
    const frame = this.element.getBoundingClientRect();
    return [
      clamp((event.clientX - frame.left) / frame.width, 0, 1), clamp((event.clientY - frame.top) / frame.height, 0, 1),
    ];
  }

  /** Draws a new box on empty ground, moves one at its middle, resizes one at its corner. */
  #begin(event) {
    if (!this.editable || !this.people().length) return;
    const target = event.target.closest(".box");
    const index = target ? Number(target.dataset.person) : this.chosen();
    if (index < 0) return;
    event.preventDefault();
    this.choose(index);
    const start = this.#at(event);
    const before = target ? this.people()[index].box : [...start, ...start];
    const moves = target && event.target.tagName !== "I";
    let box = before;
    const follow = (next) => {
      const [x, y] = this.#at(next);
      box = moves ? moved(before, x - start[0], y - start[1]) : cornered(before, x, y);
      this.changed(index, box);
    };
    const stop = () => {
      removeEventListener("pointermove", follow);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
      this.element.querySelector(`[data-person="${index}"]`)?.focus({ preventScroll: true });
    };
    addEventListener("pointermove", follow);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  }

  #key(event, index) {
    const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!way || !this.editable) return;
    event.preventDefault();
    const box = this.people()[index].box;
    this.changed(index, event.shiftKey ? cornered(box, box[2] + way[0], box[3] + way[1]) : moved(box, ...way));
  }
}

/** The box moved, without leaving the picture. */
function moved([x0, y0, x1, y1], dx, dy) {
  const right = clamp(dx, -x0, 1 - x1);
  const down = clamp(dy, -y0, 1 - y1);
  return rounded([x0 + right, y0 + down, x1 + right, y1 + down]);
}

/** The box with its free corner elsewhere; it may be drawn in any direction, and is never empty. */
function cornered([x0, y0], x, y) {
  const [left, right] = spread(x0, clamp(x, 0, 1));
  const [top, bottom] = spread(y0, clamp(y, 0, 1));
  return rounded([left, top, right, bottom]);
}

function spread(from, to) {
  const [low, high] = from < to ? [from, to] : [to, from];
  if (high - low >= SMALLEST) return [low, high];
  return low + SMALLEST <= 1 ? [low, low + SMALLEST] : [1 - SMALLEST, 1];
}

const rounded = (box) => box.map((value) => Math.round(value * 1000) / 1000);
