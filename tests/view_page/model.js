// A model as a notebook gives it to a widget, in memory: traits, change events, and answers to messages.

const CUT = 600;
const fold = (text) => text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ").trim();

/** Plain hits, good enough for texts without odd letters. */
function hitsIn(text, query) {
  const needle = fold(query ?? "");
  const hits = [];
  if (needle === "") return hits;
  const lower = text.toLowerCase();
  for (let at = lower.indexOf(needle); at >= 0; at = lower.indexOf(needle, at + needle.length)) hits.push([at, at + needle.length]);
  return hits;
}

export class MockModel {
  constructor(traits, answer = () => null) {
    this.traits = traits;
    this.answer = answer;
    this.listeners = new Map();
    this.sent = [];
    this.saves = 0;
    // Milliseconds until a message is answered.
    this.late = 0;
  }
  get(name) {
    return this.traits[name];
  }
  set(name, value) {
    this.traits[name] = value;
    this.emit(`change:${name}`, value);
  }
  save_changes() {
    this.saves += 1;
  }
  on(event, callback) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(callback);
  }
  off(event, callback) {
    this.listeners.get(event)?.delete(callback);
  }
  emit(event, ...args) {
    for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...args);
  }
  listenerCount() {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
  send(message) {
    this.sent.push(message);
    const time = new Promise((go) => (this.late > 0 ? setTimeout(go, this.late) : go()));
    time.then(() => this.answer(message, this)).then((reply) => {
      if (reply === null) return;
      const { buffers = [], ...content } = reply;
      this.emit("msg:custom", { ...content, id: message.id, ok: !("error" in content) }, buffers);
    });
  }
}

/** The traits of `corpus`, as the kernel sends them. */
export function traitsOf(corpus, { kind = "view", theme = "auto", editable = true, title = "Posts of candidates", state = {} } = {}) {
  const { hostile } = corpus;
  const columns = [
    { name: hostile ? "<img src=x onerror=\"window.__ran='column'\">" : "party", kind: "category" },
    { name: "likes", kind: "number" },
    { name: "posted", kind: "date" },
    ...(corpus.remarks ? [{ name: "remark", kind: "text" }] : []),
  ];
  return {
    protocol: 1,
    kind,
    editable,
    theme,
    about: {
      title: hostile ? "<script>window.__ran='title'</script>" : title,
      n_docs: corpus.documents.length,
      id_col: "post_id",
      text_col: "text",
      columns,
      shown_columns: [columns[0].name, "likes"],
      sample: null,
      models: ["gpt-4o-mini"],
      made_at: "2026-11-25T12:00:00Z",
    },
    concepts: corpus.concepts,
    score_ids: corpus.concepts.map(({ id }) => id),
    scores: new DataView(corpus.scores.buffer),
    slices: corpus.sliceLabels.length ? { column: hostile ? "<b onclick='window.__ran=1'>office</b>" : "office", kind: "category", labels: corpus.sliceLabels } : null,
    slice_codes: new DataView(corpus.sliceCodes.buffer),
    labels: [],
    history: { undo: null, redo: null, events: [{ kind: "add", at: "2026-11-25T11:58:00Z", text: "Found by synthesis: 8 concepts." }] },
    progress: null,
    state,
    chosen: corpus.concepts.map(({ id }) => id),
    sample: [],
  };
}

/** Answers messages as the kernel does. `log` may hold back or refuse: see page.js. */
export function answerOf(corpus) {
  const metaOf = (document) => {
    const named = { ...document.meta };
    if (corpus.hostile) {
      named["<img src=x onerror=\"window.__ran='column'\">"] = named.party;
      delete named.party;
    }
    return Object.fromEntries(Object.entries(named).map(([name, value]) => [name, value === null ? "" : String(value)]));
  };
  const placeOf = (id) => corpus.concepts.findIndex((concept) => concept.id === id);
  const rationaleOf = (k) => (corpus.hostile ? `<img src=x onerror="window.__ran='rationale'"> ${corpus.concepts[k].name}` : `The writer speaks of ${corpus.concepts[k].name.toLowerCase()} directly.`);
  const pageRow = (row, concept, query) => {
    const document = corpus.documents[row];
    const k = placeOf(concept);
    const span = document.judged.get(k);
    return {
      row,
      id: document.id,
      text: document.text.slice(0, CUT),
      cut: document.text.length > CUT,
      spans: span && span[1] <= CUT ? [span] : [],
      hits: hitsIn(document.text.slice(0, CUT), query),
      verified: true,
      rationale: span ? rationaleOf(k) : "",
      bullets: document.bullets,
      meta: metaOf(document),
    };
  };
  const column = (name) => {
    const { documents } = corpus;
    if (name === "@id" || name === "@text") {
      const key = name === "@id" ? "id" : "text";
      const order = documents.map(({ row }) => row).sort((a, b) => (documents[a][key] < documents[b][key] ? -1 : 1));
      const ranks = new Uint32Array(documents.length);
      order.forEach((row, rank) => (ranks[row] = rank));
      return { kind: "text", buffers: [new DataView(ranks.buffer)] };
    }
    if (name === "likes") return { kind: "number", buffers: [new DataView(Float64Array.from(documents, ({ meta }) => meta.likes ?? NaN).buffer)] };
    if (name === "posted") return { kind: "date", buffers: [new DataView(Float64Array.from(documents, ({ meta }) => Date.parse(meta.posted)).buffer)] };
    const labels = [...new Set(documents.map(({ meta }) => meta.party))].sort();
    return { kind: "category", labels, buffers: [new DataView(Uint16Array.from(documents, ({ meta }) => labels.indexOf(meta.party)).buffer)] };
  };
  return (message) => {
    switch (message.kind) {
      case "rows":
        return { rows: message.rows.map((row) => pageRow(row, message.concept, message.query)) };
      case "document": {
        const document = corpus.documents[message.row];
        return { document: {
          row: message.row,
          id: document.id,
          text: document.text,
          meta: metaOf(document),
          bullets: document.bullets,
          quotes: [...document.judged.values()],
          scores: corpus.concepts.map(({ id }, k) => {
            const code = corpus.scores[k * corpus.documents.length + message.row];
            const span = document.judged.get(k);
            return { concept_id: id, score: code === 255 ? null : code / 4, rationale: span ? rationaleOf(k) : "", spans: span ? [span] : [], verified: Boolean(span) };
          }),
        } };
      }
      case "search": {
        const query = fold(message.query);
        const rows = corpus.documents.filter(({ text }) => fold(text).includes(query)).map(({ row }) => row);
        return { buffers: [new DataView(Uint32Array.from(rows).buffer)] };
      }
      case "matching": {
        const wanted = fold(message.contains ?? "");
        const rows = corpus.documents.map((document) => metaOf(document)[message.name] ?? "").flatMap((value, row) =>
          (wanted === "" || fold(value).includes(wanted)) && (message.values === undefined || message.values.map((v) => v ?? "").includes(value)) ? [row] : []);
        return { buffers: [new DataView(Uint32Array.from(rows).buffer)] };
      }
      case "column":
        return column(message.name);
      case "map": {
        const places = new Float32Array(corpus.documents.length * 2);
        corpus.documents.forEach(({ judged, row }) => {
          const angle = ((([...judged.keys()][0] ?? -1) + 1) / (corpus.concepts.length + 1)) * 6.283;
          places[2 * row] = Math.cos(angle) * 4 + Math.sin(row * 12.9898) * 1.1;
          places[2 * row + 1] = Math.sin(angle) * 4 + Math.cos(row * 78.233) * 1.1;
        });
        return { ready: true, buffers: [new DataView(places.buffer)] };
      }
      case "estimate":
        return { n_docs: corpus.documents.length, n_requests: corpus.documents.length * message.concept_ids.length, usd_low: 0.12, usd_high: 0.2, known: true, free: false };
      case "split": {
        const k = placeOf(message.concept_id);
        const rows = corpus.documents.filter(({ row }) => corpus.scores[k * corpus.documents.length + row] === 4).map(({ row }) => row);
        const half = Math.ceil(rows.length / 2);
        return { parts: [rows.slice(0, half), rows.slice(half)].map((part, i) => ({ name: `${corpus.concepts[k].name}: part ${i + 1}`, criteria: corpus.concepts[k].criteria, rows: part, n: part.length })) };
      }
      case "export":
        return { file_name: `concepts.${message.format}`, mime: "text/plain", buffers: [new DataView(new TextEncoder().encode("post_id,score\n").buffer)] };
      case "python":
        return { code: "view = l.vis()\nview.state = {}\nview.selected()" };
      case "edit":
      case "score":
      case "cancel":
        return {};
      default:
        return { error: `Unknown message ${message.kind}.` };
    }
  };
}
