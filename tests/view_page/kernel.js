// Shows the built view over a session in Python: traits come from it, messages and the state go to it.

import widget from "/static/widget.js";
import { MockModel } from "/page/model.js";

const bytesOf = (base64) => new DataView(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer);
const read = ({ json, bytes }) => ({
  ...json,
  ...Object.fromEntries(Object.entries(bytes).map(([name, base64]) => [name, bytesOf(base64)])),
});
// As a kernel: only what has changed is sent.
let before = {};
const takeTraits = (sent) => {
  const written = { ...sent.json, ...sent.bytes };
  const values = read(sent);
  for (const name of Object.keys(written)) {
    const now = JSON.stringify(written[name]);
    if (name !== "state" && before[name] !== undefined && before[name] !== now) model.set(name, values[name]);
    before[name] = now;
  }
};

const first = await window.pythonTraits();
const model = new MockModel(read(first), async (message) => {
  const { content, buffers, traits } = await window.pythonAnswer(message);
  takeTraits(traits);
  const { ok, id, ...rest } = content;
  return { ...rest, buffers: buffers.map(bytesOf) };
});
takeTraits(first);
model.save_changes = () => window.pythonWritten(model.get("state"), model.get("chosen"));
widget.render({ model, el: document.getElementById("view") });
window.lloom = { model };
