// What is being drawn, and what is drawn: progress with a rough preview, then pictures with gate maps and recipes.

import * as api from "./api.js";
import { h } from "./dom.js";
import { say } from "./labels.js";

const POLL = 400; // milliseconds between looks at a job
const ENDED = ["done", "failed", "cancelled"];
const button = (label, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, label);
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** Follows a job in `place` until it ends; `made(id)` is told of every picture. */
export async function follow(job, place, made) {
  const bar = h("progress", { max: 1 });
  const state = h("span", {});
  const preview = h("img", { hidden: true, alt: "" });
  const stop = button(say("cancel"), () => api.cancel(job.job));
  const element = h("div", { className: "job" }, h("p", { className: "row" }, state, stop), bar, preview);
  place.append(element);
  const shown = new Set();
  let seen = 0;
  for (;;) {
    for (const id of job.pictures.filter((id) => !shown.has(id))) {
      shown.add(id);
      await made(id);
    }
    if (ENDED.includes(job.state)) break;
    state.textContent = words(job);
    if (job.steps) bar.value = job.done / job.steps;
    if (job.previews > seen) {
      seen = job.previews;
      preview.src = api.previewUrl(job.job, seen);
      preview.onload = () => (preview.hidden = false);
    }
    await pause(POLL);
    try {
      job = await api.job(job.job);
    } catch (error) {
      if (error instanceof api.Refused) job = { ...job, state: "failed", error: error.message };
      else state.textContent = say("lost");
    }
  }
  if (job.state === "done") return element.remove();
  element.replaceChildren(h("p", { role: job.state === "failed" ? "alert" : "status" },
    job.state === "failed" ? `${say("failed")}: ${job.error}` : say("cancelled")));
}

function words(job) {
  if (job.state === "waiting") return say("waiting", job.ahead - 1);
  return job.steps ? `${say("running")}: ${say("step", job.done, job.steps)}` : say("running");
}

/** A finished picture's card; `again(wish)` fills the form, `another(wish)` draws with the next seed. */
export function card(picture, { again, another }) {
  const image = h("img", { src: api.pictureUrl(picture.id), alt: picture.wish.prompt });
  const copied = h("span", { role: "status", className: "hint" });
  const copy = (text) => async () => {
    await navigator.clipboard.writeText(text).catch(() => {});
    shown.hidden = false;
    shown.textContent = text;
    copied.textContent = say("copied");
  };
  const shown = h("pre", { hidden: true, tabIndex: 0 });
  const isPicture = picture.recipe.prompt !== undefined;
  return h("article", { className: "made", "data-picture": picture.id, "aria-label": picture.wish.prompt },
    image,
    picture.layout ? h("p", { className: "hint" }, layoutWords(picture.layout)) : null,
    picture.gates ? gates(picture, image) : null,
    h("p", { className: "row" },
      link(say("download"), api.pictureUrl(picture.id), `dynamicid-${picture.wish.seed ?? 0}.png`),
      isPicture ? link(say("recipe"), api.recipeUrl(picture.id), `dynamicid-${picture.wish.seed ?? 0}.json`) : null,
      isPicture ? button(say("command"), copy(picture.command || say("no_command"))) : null,
      isPicture ? button(say("python"), copy(picture.python)) : null,
      copied),
    shown,
    h("p", { className: "row" },
      h("span", {}, say("again")),
      button(say("another_seed"), () => another(picture.wish)),
      button(say("these_settings"), () => again(picture.wish))));
}

const link = (text, href, name) => h("a", { href, download: name }, text);

function layoutWords(layout) {
  return layout.how === "faces" ? say("layout_faces", layout.seed, layout.looks, layout.steps) : say("layout_strips");
}

/** Buttons that lay the gate maps over the picture: everybody's, or one person's. */
function gates(picture, image) {
  const choices = [["plain", undefined], ["everybody", null]];
  for (let person = 0; person < picture.gates; person++) choices.push([person, person]);
  const buttons = choices.map(([name, person]) =>
    button(typeof name === "string" ? say(name) : `${say("person")} ${name + 1}`, (event) => {
      image.src = person === undefined ? api.pictureUrl(picture.id) : api.gatesUrl(picture.id, person);
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === event.currentTarget));
    }, { "aria-pressed": String(name === "plain") }));
  return h("p", { className: "row", role: "group", "aria-label": say("gates") }, h("span", {}, say("gates")), buttons);
}
