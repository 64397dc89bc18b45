// What the page says, in English and Japanese (labels.json).

let labels = {};
let language = "en";

/** Reads the labels; first of all. */
export async function readLabels() {
  labels = await (await fetch("/static/labels.json")).json();
}

/** Chooses the language of everything that `say` and `sayPage` write. */
export function speak(name) {
  language = name in labels ? name : "en";
  document.documentElement.lang = language;
}

/** A label, with {0}, {1}, ... filled in. */
export function say(key, ...values) {
  return fill(labels[language][key], values);
}

/** The name of an expression or a view. */
export function sayChoice(word) {
  return labels[language].choices[word] ?? word;
}

/** What was found in a photo; the server's own sentence where it is not known here. */
export function sayFinding(finding) {
  const text = labels[language].reasons[finding.reason];
  const round = (value) => (value === null ? "" : Math.round(Math.abs(value) * 10) / 10);
  return text ? fill(text, [round(finding.value), round(finding.limit)]) : finding.text;
}

/** Fills in every element that names its label in data-say. */
export function sayPage() {
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
}

function fill(text, values) {
  return text.replace(/\{(\d)\}/g, (_, place) => values[Number(place)]);
}
