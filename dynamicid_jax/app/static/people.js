// The cards of people: photos with their verdicts, expression, pose, strength, mixing, consent.

import * as api from "./api.js";
import { choice, field, h } from "./dom.js";
import { say, sayChoice, sayFinding } from "./labels.js";

/** A person as the page keeps it; `box` is null until one is drawn or given. */
export function newPerson(photo, index) {
  return {
    photos: [photo.id], expression: "", view: "", said: "", pose: "", strength: 1, mix: "", share: 0.5, consent: "",
    words: "", box: startBox(index),
  };
}

const startBox = (index) => [[0.03, 0.16, 0.48, 0.84], [0.52, 0.16, 0.97, 0.84]][index] ?? [0.3, 0.2, 0.7, 0.8];

/** What the API is asked for. */
export function personWish(person, layout) {
  const face = person.said || [person.expression, person.view && `${person.view} view`].filter(Boolean).join(", ");
  const wish = { photos: person.photos, strength: person.strength };
  if (face) wish.face = face;
  if (person.pose) wish.pose = person.pose;
  if (person.mix) wish.mix = { photos: [person.mix], share: person.share };
  if (person.consent) wish.consent = person.consent;
  if (layout === "boxes" && person.box) wish.box = person.box;
  if (layout === "auto" && person.words) wish.words = person.words;
  return wish;
}

/** A wish's person as the page keeps it. */
export function fromWish(wish, index) {
  const face = wish.face ?? "";
  const [, expression = "", view = ""] = /^(?:([a-z]+)(?:, |$))?(?:([a-z ]+) view)?$/.exec(face) ?? [];
  const plain = [expression, view && `${view} view`].filter(Boolean).join(", ") === face;
  return {
    photos: [...wish.photos], expression: plain ? expression : "", view: plain ? view : "", said: plain ? "" : face,
    pose: wish.pose ?? "", strength: wish.strength ?? 1, mix: wish.mix?.photos[0] ?? "", share: wish.mix?.share ?? 0.5,
    consent: wish.consent ?? "", words: wish.words ?? "", box: wish.box ?? startBox(index),
  };
}

/** The name that a person goes by: their first photo's. */
export function nameOf(person, photos) {
  return photos.get(person.photos[0])?.name ?? "?";
}

/** One person's card. `page` has photos, settings, layout, and change(), move(), remove(), choose(), upload(). */
export function card(person, index, page) {
  const needsConsent = [...person.photos, person.pose, person.mix].some((id) => page.photos.get(id)?.made_up === false);
  const set = (key) => (value) => page.change(index, { [key]: value });
  const free = [...page.photos.values()].filter((photo) => !person.photos.includes(photo.id));
  const named = (photos) => photos.map((photo) => [photo.id, photo.name]);
  const element = h(
    "fieldset",
    { className: "person", onfocusin: () => page.choose(index) },
    h("legend", {}, `${say("person")} ${index + 1}: ${nameOf(person, page.photos)}`),
    h("ul", { className: "photos", "aria-label": say("photos") },
      person.photos.map((id) => photoRow(page.photos.get(id), person, index, page))),
    h("div", { className: "grid" },
      page.settings.editable ? motionFields(person, set, page) : null,
      page.layout === "auto" ? field(say("place_words"), text(person.words, set("words"))) : null),
    h("details", { open: person.open, ontoggle: (event) => (person.open = event.target.open) },
      h("summary", {}, say("more")),
      h("div", { className: "grid" }, page.settings.editable ? otherMotion(person, set, page) : null,
        field(`${say("strength")}: ${person.strength}`, slider(person.strength, 0, 2, set("strength"))),
        field(say("add_photo"), choice([["", say("choose")], ...named(free)], "",
          (id) => id && page.change(index, { photos: [...person.photos, id] }))),
        field(say("mix"), choice([["", say("nobody")], ...named(free)], person.mix, set("mix"))),
        person.mix ? field(`${say("share")}: ${Math.round(person.share * 100)} %`, slider(person.share, 0, 1, set("share"))) : null)),
    needsConsent ? field(say("consent"), text(person.consent, set("consent"), { required: true })) : null,
    h("p", { className: "row" },
      h("label", { className: "button" }, h("span", {}, say("upload_more")),
        h("input", { type: "file", accept: "image/*", multiple: true,
          onchange: (event) => page.upload([...event.target.files], index) })),
      button(say("up"), () => page.move(index, -1), index === 0),
      button(say("down"), () => page.move(index, 1), index === page.count - 1),
      button(say("remove_person"), () => page.remove(index))),
  );
  element.style.setProperty("--colour", page.settings.colours[index % page.settings.colours.length]);
  return element;
}

function motionFields(person, set, page) {
  const words = (list) => [["", say("keep")], ...list.map((word) => [word, sayChoice(word)])];
  return [
    field(say("expression"), choice(words(page.settings.expressions), person.expression, set("expression"))),
    field(say("view"), choice(words(page.settings.views), person.view, set("view"))),
  ];
}

function otherMotion(person, set, page) {
  const poses = [...page.photos.values()].map((photo) => [photo.id, photo.name]);
  return [
    field(say("words"), text(person.said, set("said"), { placeholder: say("words_example") })),
    field(say("pose_photo"), choice([["", say("nobody")], ...poses], person.pose, set("pose"))),
  ];
}

function photoRow(photo, person, index, page) {
  if (!photo) return null;
  const rest = person.photos.filter((id) => id !== photo.id);
  return h("li", {},
    h("img", { src: api.cropUrl(photo), alt: photo.name, loading: "lazy" }),
    h("span", {}, photo.name),
    photo.findings.length
      ? h("span", { className: "warn" }, photo.findings.map(sayFinding).join("; "))
      : h("span", { className: "good" }, say("good")),
    rest.length ? button(say("remove"), () => page.change(index, { photos: rest })) : null);
}

function slider(value, min, max, onchange) {
  const input = h("input", { type: "range", min, max, step: 0.05, onchange: () => onchange(Number(input.value)) });
  input.value = value;
  return input;
}

function text(value, onchange, options = {}) {
  const input = h("input", { ...options, value, maxLength: 200, onchange: () => onchange(input.value.trim()) });
  return input;
}

const button = (label, onclick, disabled = false) => h("button", { type: "button", onclick, disabled }, label);
