// The page: what is on it, and what happens when it changes. Photos and pictures are the server's; the form is kept in
// this tab, so that a reload brings everything back.

import * as api from "./api.js";
import { Stage } from "./boxes.js";
import { h } from "./dom.js";
import { readLabels, say, sayFinding, sayPage, speak } from "./labels.js";
import * as people from "./people.js";
import * as results from "./results.js";

const FORM = "dynamicid-form";
const ALIVE = 60_000; // milliseconds between signs of life
const FIELDS = ["prompt", "negative_prompt", "width", "height", "steps", "sampler", "guidance_scale", "seed", "pictures"];
const NUMBERS = ["width", "height", "steps", "guidance_scale", "seed", "pictures"];
const EXAMPLE = {
  prompt: "two people, on the left in a yellow shirt, {face}, on the right in a blue shirt, {face}, before the sea",
  people: [
    { photos: ["ada"], face: "happy, half right view", box: [0.03, 0.16, 0.49, 0.84] },
    { photos: ["ben"], face: "neutral, half left view", box: [0.51, 0.16, 0.97, 0.84] },
  ],
};
const $ = (id) => document.getElementById(id);
const state = { settings: null, photos: new Map(), people: [], layout: "boxes", chosen: -1, pictures: [] };

const stage = new Stage($("stage"), {
  people: () => state.people.map((person, index) => ({
    name: people.nameOf(person, state.photos), colour: colour(index), box: shownBox(person, index),
  })),
  chosen: () => state.chosen,
  choose,
  changed: (index, box) => {
    state.people[index].box = box;
    showStage();
    keepForm();
  },
});

const colour = (index) => state.settings.colours[index % state.settings.colours.length];

/** A person's box as the stage shows it; strips where these are asked for, nothing where places are to be found. */
function shownBox(person, index) {
  const count = state.people.length;
  if (state.layout === "boxes") return person.box;
  return state.layout === "strips" && count > 1 ? [index / count, 0, (index + 1) / count, 1] : null;
}

function choose(index) {
  if (state.chosen === index) return;
  state.chosen = index;
  document.querySelectorAll(".box").forEach((box) => box.classList.toggle("chosen", Number(box.dataset.person) === index));
}

/** Shows a line on top of the page; nothing takes it away. */
function notice(text = "") {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  if (text) $("notice").scrollIntoView({ block: "nearest" });
}

/** Runs something that may be refused, and says why. */
async function trying(action) {
  notice();
  try {
    return await action();
  } catch (error) {
    const findings = (error.findings ?? []).map(sayFinding).join("; ");
    notice(error instanceof api.Refused ? findings || error.message : say("lost"));
    if (error.status === 404 && !(await api.alive().catch(() => null))) await startAgain();
    return undefined;
  }
}

const page = {
  get photos() { return state.photos; },
  get settings() { return state.settings; },
  get layout() { return state.layout; },
  get count() { return state.people.length; },
  choose,
  upload: uploadAll,
  change(index, values) {
    Object.assign(state.people[index], values);
    showPeople();
  },
  move(index, by) {
    const [person] = state.people.splice(index, 1);
    state.people.splice(index + by, 0, person);
    showPeople();
  },
  remove(index) {
    state.people.splice(index, 1);
    state.chosen = Math.min(state.chosen, state.people.length - 1);
    showPeople();
  },
};

/** Draws the cards anew and keeps the focus where it was. */
function showPeople() {
  const cards = [...$("people").children];
  const card = cards.findIndex((one) => one.contains(document.activeElement));
  const place = card < 0 ? -1 : focusable(cards[card]).indexOf(document.activeElement);
  $("people").replaceChildren(...state.people.map((person, index) => people.card(person, index, page)));
  const next = card < 0 ? undefined : $("people").children[Math.min(card, state.people.length - 1)];
  if (next) focusable(next)[place]?.focus({ preventScroll: true });
  $("add").replaceChildren(h("option", { value: "" }, say("choose")),
    ...[...state.photos.values()].map((photo) => h("option", { value: photo.id }, photo.name)));
  showStage();
  keepForm();
}

const focusable = (card) => [...card.querySelectorAll("select, input, button, summary")];

function showStage() {
  stage.show({ width: $("width").value || 1, height: $("height").value || 1, editable: state.layout === "boxes" });
  $("stage-hint").textContent = say({ boxes: "stage_hint", strips: "strips_hint", auto: "auto_hint" }[state.layout]);
}

function addPerson(photo) {
  if (!photo || state.people.length >= state.settings.limits.people) return;
  state.people.push(people.newPerson(photo, state.people.length));
  state.chosen = state.people.length - 1;
  showPeople();
}

/** Uploads photos: each somebody new, or all of the person with that index. */
async function uploadAll(files, index) {
  for (const file of files) {
    $("people-title").textContent = say("uploading", file.name);
    const photo = await trying(() => api.upload(file));
    sayPage();
    if (!photo) return showPeople();
    state.photos.set(photo.id, photo);
    if (index === undefined) addPerson(photo);
    else page.change(index, { photos: [...state.people[index].photos, photo.id] });
  }
}

/** The form as the API is asked. */
function wish(kind = "picture") {
  const made = { kind, layout: state.layout, people: state.people.map((one) => people.personWish(one, state.layout)) };
  for (const name of FIELDS) made[name] = NUMBERS.includes(name) ? Number($(name).value) : $(name).value;
  if (kind === "grid") Object.assign(made, { people: made.people.slice(0, 1), pictures: 1, layout: "strips" });
  return made;
}

/** Fills the form with what was asked for. */
function fill(asked) {
  for (const name of FIELDS) if (asked[name] !== undefined) $(name).value = asked[name];
  state.layout = asked.layout ?? "boxes";
  document.querySelector(`input[name="layout"][value="${state.layout}"]`).checked = true;
  state.people = (asked.people ?? []).filter((one) => one.photos.every((id) => state.photos.has(id))).map(people.fromWish);
  state.chosen = state.people.length - 1;
  showPeople();
}

async function draw(asked) {
  const job = await trying(() => api.draw(asked));
  if (!job) return;
  $("results-title").scrollIntoView({ block: "nearest" });
  await results.follow(job, $("jobs"), showPicture);
}

async function showPicture(id) {
  const picture = await trying(() => api.picture(id));
  if (!picture) return;
  state.pictures.push(picture);
  addCard(picture);
}

function addCard(picture) {
  $("nothing").hidden = true;
  $("gallery").prepend(results.card(picture, {
    again: (asked) => {
      fill(asked);
      $("form").scrollIntoView();
      $("prompt").focus();
    },
    another: (asked) => draw({ ...asked, pictures: 1, seed: ((asked.seed ?? 0) + 1) % 2 ** 32 }),
  }));
}

function keepForm() {
  sessionStorage.setItem(FORM, JSON.stringify(wish()));
}

/** Everything that depends on the language. */
function showAll() {
  sayPage();
  $("model").textContent = state.settings.model + (state.settings.weights === "random" ? `: ${say("random")}` : "");
  $("gallery").replaceChildren();
  state.pictures.forEach(addCard);
  $("nothing").hidden = state.pictures.length > 0;
  showPeople();
}

function setFields() {
  const own = state.settings;
  $("sampler").replaceChildren(...Object.keys(own.samplers).map((name) => h("option", { value: name }, name)));
  for (const name of ["width", "height", "steps", "sampler", "guidance_scale"]) $(name).value = own[name];
  for (const name of ["width", "height"]) Object.assign($(name), { min: own.size_step, step: own.size_step, max: own.limits.side });
  Object.assign($("steps"), { max: own.limits.steps });
  Object.assign($("pictures"), { max: own.limits.pictures });
  for (const name of ["prompt", "negative_prompt"]) $(name).maxLength = own.limits.prompt_letters;
  $("example").hidden = !own.mini || !EXAMPLE.people.every((one) => state.photos.has(one.photos[0]));
}

function listen() {
  $("language").onchange = () => {
    localStorage.setItem("dynamicid-language", $("language").value);
    speak($("language").value);
    showAll();
  };
  $("end").onclick = () => trying(async () => {
    await api.end();
    await startAgain();
  });
  $("add").onchange = () => addPerson(state.photos.get($("add").value));
  $("upload").onchange = async () => {
    await uploadAll([...$("upload").files]);
    $("upload").value = "";
  };
  $("example").onclick = () => fill(EXAMPLE);
  $("layout").onchange = (event) => {
    state.layout = event.target.value;
    showPeople();
  };
  for (const name of FIELDS) $(name).oninput = () => {
    if (name === "sampler") $("steps").value = state.settings.samplers[$("sampler").value];
    showStage();
    keepForm();
  };
  $("form").onsubmit = (event) => {
    event.preventDefault();
    draw(wish());
  };
  $("grid").onclick = () => {
    if (!state.people.length) return notice(say("need_people"));
    if ($("form").reportValidity()) draw(wish("grid"));
  };
}

/** A new visit in place of one that has ended. */
async function startAgain() {
  sessionStorage.clear();
  await load();
  notice(say("ended"));
}

/** Takes up the tab's visit: photos, pictures, what is being drawn, and the form as it was. */
async function load() {
  const kept = await api.begin();
  state.photos = new Map([...state.settings.people, ...kept.photos].map((photo) => [photo.id, photo]));
  state.pictures = kept.pictures;
  const form = JSON.parse(sessionStorage.getItem(FORM) ?? "null");
  setFields();
  if (form) fill(form);
  else state.people = [];
  $("jobs").replaceChildren();
  showAll();
  for (const job of kept.jobs) results.follow({ ...job, pictures: [] }, $("jobs"), showNew);
}

const showNew = (id) => (state.pictures.some((one) => one.id === id) ? undefined : showPicture(id));

async function start() {
  await readLabels();
  const chosen = localStorage.getItem("dynamicid-language") ?? navigator.language.slice(0, 2);
  speak(chosen);
  $("language").value = document.documentElement.lang;
  sayPage();
  await trying(async () => {
    state.settings = await api.settings();
    await load();
    listen();
    setInterval(() => api.alive().catch(() => {}), ALIVE);
  });
}

start();
