// The server's API, as the page uses it. A visit belongs to one tab and outlives a reload.

const KEY = "dynamicid-visit";
let visit = null;

/** An answer that is not what was asked for: its words are for the visitor. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `HTTP ${status}`);
    this.status = status;
    this.findings = body.findings ?? [];
  }
}

async function ask(method, path, body, headers = {}) {
  const answer = await fetch(path, { method, body, headers });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer.status === 204 ? null : answer.json();
}

const own = (rest) => `/api/visits/${visit}${rest}`;

export const settings = () => ask("GET", "/api/settings");

/** What this tab's visit holds; a new visit where the tab has none, or the old one has ended. */
export async function begin() {
  visit = sessionStorage.getItem(KEY);
  if (visit) {
    try {
      return await ask("GET", own(""));
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  const made = await ask("POST", "/api/visits");
  visit = made.visit;
  sessionStorage.setItem(KEY, visit);
  return made;
}

export async function end() {
  sessionStorage.removeItem(KEY);
  await ask("DELETE", own(""));
}

export const alive = () => ask("GET", own(""));
export const upload = (file) =>
  ask("POST", own("/photos"), file, { "X-File-Name": encodeURIComponent(file.name) });
export const draw = (wish) => ask("POST", own("/jobs"), JSON.stringify(wish), { "Content-Type": "application/json" });
export const job = (id) => ask("GET", own(`/jobs/${id}`));
export const cancel = (id) => ask("DELETE", own(`/jobs/${id}`));
export const picture = (id) => ask("GET", own(`/pictures/${id}`));
export const previewUrl = (id, number) => own(`/jobs/${id}/preview.png?${number}`);
export const pictureUrl = (id) => own(`/pictures/${id}/picture.png`);
export const recipeUrl = (id) => own(`/pictures/${id}/recipe.json`);
export const gatesUrl = (id, person) => own(`/pictures/${id}/gates${person === null ? "" : `-${person}`}.png`);
export const cropUrl = (photo) => (photo.made_up ? `/api/people/${photo.id}.png` : own(`/photos/${photo.id}.png`));
