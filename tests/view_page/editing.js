// A session's codebook in memory: applies the edits that a view asks for, and sets the traits that follow.

const quoted = (name) => `“${name}”`;

/**
 * Answers `edit`, `score` and `estimate` as a session does, all else through `answer`.
 * Codes of a concept that is not scored are kept under its id, so that undo brings scores back.
 */
export function editing(corpus, answer) {
  const nDocs = corpus.documents.length;
  const columns = new Map(corpus.concepts.map(({ id }, k) => [id, corpus.scores.slice(k * nDocs, (k + 1) * nDocs)]));
  const past = [];
  const future = [];
  const events = [];
  let made = 0;

  const publish = (model, concepts) => {
    const scored = concepts.filter((concept) => concept.scored);
    const codes = new Uint8Array(scored.length * nDocs);
    scored.forEach(({ id }, k) => codes.set(columns.get(id), k * nDocs));
    model.set("score_ids", scored.map(({ id }) => id));
    model.set("scores", new DataView(codes.buffer));
    model.set("concepts", concepts);
    const known = new Set(concepts.map(({ id }) => id));
    model.set("chosen", model.get("chosen").filter((id) => known.has(id)));
    model.set("history", { undo: past.at(-1)?.text ?? null, redo: future.at(-1)?.text ?? null, events: [...model.get("history").events, ...events.splice(0)] });
  };
  const at = () => "2026-11-25T12:30:00Z";
  const fresh = (name, criteria, rest = {}) => ({
    id: `made-${++made}`, name, criteria, summary: "", seed: null, active: true, support: null, examples: [], scored: false, stale: false, merged_from: [], ...rest,
  });

  const changed = (concepts, message) => {
    const find = (id) => concepts.find((concept) => concept.id === id);
    switch (message.action) {
      case "rename": {
        const concept = find(message.concept_id);
        return {
          text: `rename ${quoted(concept.name)} to ${quoted(message.name)}`,
          concepts: concepts.map((c) => (c === concept ? { ...c, name: message.name } : c)),
          ids: [concept.id],
        };
      }
      case "criteria": {
        const concept = find(message.concept_id);
        return {
          text: `edit the criterion of ${quoted(concept.name)}`,
          concepts: concepts.map((c) => (c === concept ? { ...c, criteria: message.criteria, scored: false, stale: true, summary: "" } : c)),
          ids: [concept.id],
        };
      }
      case "merge": {
        const parts = concepts.filter(({ id }) => message.concept_ids.includes(id));
        const merged = fresh(message.name, message.criteria, { merged_from: parts.map(({ id }) => id), examples: parts.flatMap((part) => part.examples.slice(0, 2)) });
        return {
          text: `merge ${parts.map(({ name }) => quoted(name)).join(", ")} into ${quoted(message.name)}`,
          concepts: concepts.flatMap((c) => (c === parts[0] ? [merged] : parts.includes(c) ? [] : [c])),
          ids: [merged.id],
        };
      }
      case "split": {
        const concept = find(message.concept_id);
        const parts = message.parts.map(({ name, criteria, rows }) => fresh(name, criteria, { examples: rows.slice(0, 3) }));
        return {
          text: `split ${quoted(concept.name)} into ${parts.map(({ name }) => quoted(name)).join(", ")}`,
          concepts: concepts.flatMap((c) => (c === concept ? parts : [c])),
          ids: parts.map(({ id }) => id),
        };
      }
      case "remove": {
        const gone = concepts.filter(({ id }) => message.concept_ids.includes(id));
        return { text: `remove ${gone.map(({ name }) => quoted(name)).join(", ")}`, concepts: concepts.filter((c) => !gone.includes(c)), ids: [] };
      }
      case "add": {
        const concept = fresh(message.name, message.criteria);
        return { text: `add ${quoted(concept.name)}`, concepts: [...concepts, concept], ids: [concept.id] };
      }
      default:
        return null;
    }
  };

  const label = (model, { row, concept_id, verdict, note }) => {
    const others = model.get("labels").filter((l) => l.row !== row || l.concept_id !== concept_id);
    const code = columns.get(concept_id)[row];
    const mine = verdict === null ? [] : [{ row, concept_id, verdict, note, score: code === 255 ? null : code / 4, current: true }];
    model.set("labels", [...others, ...mine]);
    return { concept_ids: [concept_id] };
  };

  const edit = (message, model) => {
    const concepts = model.get("concepts");
    if (message.action === "label") return label(model, message);
    if (message.action === "choose") {
      model.set("chosen", message.concept_ids);
      return { concept_ids: message.concept_ids };
    }
    if (message.action === "undo" || message.action === "redo") {
      const [from, to] = message.action === "undo" ? [past, future] : [future, past];
      const step = from.pop();
      if (step === undefined) return { error: `There is nothing to ${message.action}.` };
      to.push({ text: step.text, concepts });
      events.push({ kind: message.action, at: at(), text: `${message.action === "undo" ? "Undid" : "Redid"}: ${step.text}` });
      publish(model, step.concepts);
      return { concept_ids: [] };
    }
    const done = changed(concepts, message);
    if (done === null) return { error: `Unknown action ${message.action}.` };
    past.push({ text: done.text, concepts });
    future.length = 0;
    events.push({ kind: message.action, at: at(), text: done.text });
    publish(model, done.concepts);
    return { concept_ids: done.ids };
  };

  /** New scores: those of the parts for a merged concept, else a match for every third document. */
  const score = (message, model) => {
    const concepts = model.get("concepts").map((concept) => {
      if (!message.concept_ids.includes(concept.id) || concept.scored) return concept;
      const parts = concept.merged_from.map((id) => columns.get(id)).filter(Boolean);
      const codes = Uint8Array.from({ length: nDocs }, (_, row) =>
        parts.length > 0 ? Math.max(...parts.map((part) => (part[row] === 255 ? 0 : part[row]))) : row % 3 === 0 ? 4 : 0,
      );
      columns.set(concept.id, codes);
      return { ...concept, scored: true, stale: false };
    });
    publish(model, concepts);
    return {};
  };

  const estimate = (message, model) => {
    const open = model.get("concepts").filter(({ id, scored }) => message.concept_ids.includes(id) && !scored).length + (message.drafts ?? []).length;
    return { n_docs: open === 0 ? 0 : nDocs, n_requests: open * nDocs, usd_low: 0.12 * open, usd_high: 0.2 * open, known: true, free: open === 0 };
  };

  return (message, model) => {
    switch (message.kind) {
      case "edit":
        return edit(message, model);
      case "score":
        return score(message, model);
      case "estimate":
        return estimate(message, model);
      default:
        return answer(message, model);
    }
  };
}
