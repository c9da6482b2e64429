// Shows the built view over a mocked model; the address says which corpus and which state.

import widget from "/static/widget.js";
import { makeCorpus } from "/page/corpus.js";
import { editing } from "/page/editing.js";
import { answerOf, MockModel, traitsOf } from "/page/model.js";

const asked = new URLSearchParams(location.search);
const number = (name, otherwise) => (asked.has(name) ? Number(asked.get(name)) : otherwise);
const corpus = makeCorpus({
  docs: number("docs", 400),
  concepts: number("concepts", 8),
  slices: number("slices", 6),
  hostile: asked.has("hostile"),
  remarks: asked.has("remarks"),
});
const traits = traitsOf(corpus, {
  kind: asked.get("kind") ?? "view",
  theme: asked.get("theme") ?? "auto",
  editable: asked.get("editable") !== "no",
  state: JSON.parse(asked.get("state") ?? "{}"),
});
if (asked.has("dark")) document.body.classList.add("dark");
// `silent` kinds of message are never answered, `refuse` ones refused; answers come `late`
// milliseconds later; `timeout` shortens the wait for them.
const silent = new Set(asked.get("silent")?.split(","));
const refused = new Set(asked.get("refuse")?.split(","));
const answer = editing(corpus, answerOf(corpus));
const model = new MockModel(traits, (message, asked) => {
  if (silent.has(message.kind)) return null;
  if (refused.has(message.kind)) return { error: `${message.kind} is refused here.` };
  return answer(message, asked);
});
if (asked.has("late")) model.late = number("late");
if (asked.has("timeout")) {
  const wait = window.setTimeout;
  window.setTimeout = (run, ms, ...rest) => wait(run, ms >= 30_000 ? number("timeout") : ms, ...rest);
}
if (asked.has("sample")) {
  traits.sample = traits.concepts.flatMap(({ id, examples }) =>
    answer({ kind: "rows", rows: examples.slice(0, number("sample")), concept: id }).rows.map((row) => ({ ...row, concept_id: id })));
}
const views = [document.getElementById("view")];
// Some hosts (marimo) put widgets into a shadow root, with the styles beside them.
if (asked.has("shadow")) {
  const shadow = views[0].attachShadow({ mode: "open" });
  const styles = document.createElement("link");
  Object.assign(styles, { rel: "stylesheet", href: "/static/widget.css" });
  views[0] = document.createElement("div");
  shadow.append(styles, views[0]);
}
if (asked.has("two")) views.push(document.body.appendChild(document.createElement("div")));
const ends = views.map((el) => widget.render({ model, el }));
Object.assign(window, { lloom: { model, corpus, traits, ends, silent } });
