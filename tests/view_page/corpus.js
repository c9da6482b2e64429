// A generated corpus: documents of a few sentences, each about one to three concepts, with their scores.

const TOPICS = [
  ["Energy prices", "Does the text say that energy costs burden households or firms?", [
    "My heating bill doubled since last winter and nobody can explain why.",
    "The utility wants another rate hike on top of the surcharge from March.",
    "Small bakeries here close because they cannot pay for gas any more."]],
  ["Public transport", "Does the text discuss buses, trains or commuting without a car?", [
    "The 14 bus was cancelled again, so forty people stood in the rain.",
    "A night train to the coast would take a thousand cars off the road.",
    "Weekend service was cut although the trains are full."]],
  ["Housing costs", "Does the text complain about rents, mortgages or a shortage of homes?", [
    "Our rent went up by 300 a month and the mould is still there.",
    "Teachers cannot afford to live in the town where they teach.",
    "They approved another block of luxury flats next to the shelter."]],
  ["Trust in elections", "Does the text question or defend the integrity of elections?", [
    "I have been a poll worker for twenty years and the count is careful.",
    "People in my feed keep saying the machines were rigged.",
    "An audit by both parties found nothing, yet the rumour lives on."]],
  ["Vaccination", "Does the text take a position on vaccines or vaccination policy?", [
    "Our clinic ran out of doses two weeks before the term started.",
    "No one should lose a job over a shot they did not want.",
    "Measles came back to the county after eleven years."]],
  ["Wages and work", "Does the text speak about pay, unions or working conditions?", [
    "The warehouse times our breaks to the second.",
    "We won a raise because everyone walked out on the same morning.",
    "Two jobs, and I still borrow money at the end of the month."]],
  ["Climate action", "Does the text call for or reject measures against climate change?", [
    "Planting trees is fine, but the plant down the river still burns coal.",
    "The carbon price hurts us farmers first.",
    "Every summer the smoke comes earlier."]],
  ["School funding", "Does the text discuss money for schools or teachers?", [
    "The bond failed, so the gym roof stays closed for another year.",
    "Thirty-four children in one class is not teaching, it is crowd control.",
    "The district bought tablets and then cut the librarian."]],
  ["Immigration", "Does the text talk about migrants, borders or asylum?", [
    "My neighbours fled a war and now wait two years for a hearing.",
    "The border town has one doctor for nine thousand people.",
    "Without seasonal workers the harvest rots."]],
  ["Gun laws", "Does the text support or oppose rules for firearms?", [
    "The background check took four minutes.",
    "I hunt, and I still want a waiting period.",
    "Another lockdown drill, and my son is six."]],
];
const SECTORS = ["water", "broadband", "farm aid", "policing", "tax", "health care", "veterans", "child care", "trade",
  "media", "courts", "parks", "pensions", "student debt", "addiction", "disaster relief"];
const FILLERS = ["That is all I wanted to say.", "Thank you for reading this far 🙏🏽.", "I wrote to the council and got no answer.",
  "Has anyone else here seen the same?", "It was in the paper on Tuesday.", "We will remember it in November."];
const ALL_SLICES = ["Senate", "House", "Governor", "Mayor", "School board", "No office", "Party office", "Former official"];
const PARTIES = ["Democratic", "Republican", "Independent"];

export const HOSTILE = [
  "<script>window.__ran = 'script'</script>",
  "<img src=x onerror=\"window.__ran = 'onerror'\">",
  "javascript:window.__ran='url'",
  "</style><style>*{display:none!important}</style>",
  "\"><svg onload=\"window.__ran='svg'\">",
  "'; background: url(javascript:window.__ran='css'); x: '",
  "{{constructor.constructor('window.__ran=1')()}}",
  "__proto__",
];

/** Mulberry32: the same numbers for the same seed in every browser. */
export function randomOf(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function topicOf(index) {
  if (index < TOPICS.length) return TOPICS[index];
  const sector = SECTORS[index % SECTORS.length];
  const round = Math.floor((index - TOPICS.length) / SECTORS.length);
  const name = round === 0 ? `Local ${sector}` : `${sector[0].toUpperCase()}${sector.slice(1)} as a matter of principle, seen by those whom earlier rounds of reform left out (${round})`;
  return [name, `Does the text ask for a change in ${sector}?`, [`Nobody in charge has a plan for ${sector}.`, `The budget line for ${sector} is gone.`]];
}

/** Documents, concepts, scores and slices of a corpus. Options: docs, concepts, slices, hostile, remarks, seed. */
export function makeCorpus({ docs = 400, concepts = 8, slices = 6, hostile = false, remarks = false, seed = 7 } = {}) {
  const random = randomOf(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const odd = (index) => HOSTILE[index % HOSTILE.length];
  const topics = Array.from({ length: concepts }, (_, k) => topicOf(k));
  const weights = topics.map((_, k) => 1 / (k + 1.5));
  const total = weights.reduce((a, b) => a + b, 0);
  const draw = () => {
    let x = random() * total;
    for (let k = 0; k < concepts; k++) if ((x -= weights[k]) < 0) return k;
    return concepts - 1;
  };
  const scores = new Uint8Array(docs * concepts);
  const sliceCodes = new Uint16Array(docs);
  const documents = [];
  for (let row = 0; row < docs; row++) {
    const slice = slices === 0 ? 65535 : random() < 0.02 ? 65535 : Math.floor(slices * random() ** 1.6);
    sliceCodes[row] = slice;
    const about = new Set();
    const n = random() < 0.12 ? 0 : 1 + Math.floor(random() * 2.4);
    for (let i = 0; i < n; i++) about.add(draw());
    const sentences = [...about].map((k) => [k, pick(topics[k][2])]);
    sentences.splice(Math.floor(random() * (sentences.length + 1)), 0, [-1, pick(FILLERS)]);
    if (random() < 0.2) sentences.push([-1, pick(FILLERS)], [-1, pick(FILLERS)]);
    let text = hostile ? `${odd(row)} ` : "";
    const judged = new Map();
    for (const [k, sentence] of sentences) {
      if (k >= 0) judged.set(k, [text.length, text.length + sentence.length]);
      text += `${sentence} `;
    }
    for (let k = 0; k < concepts; k++) {
      const code = judged.has(k) ? (random() < 0.8 ? 4 : 3) : random() < 0.08 ? 1 + Math.floor(random() * 2) : 0;
      scores[k * docs + row] = random() < 0.01 ? 255 : code;
    }
    documents.push({
      row,
      id: hostile ? `${odd(row)}#${row}` : `post-${String(row + 1).padStart(4, "0")}`,
      text: text.trim(),
      judged,
      bullets: sentences.filter(([k]) => k >= 0).map(([k]) => (hostile ? odd(row + k) : `on ${topics[k][0].toLowerCase()}`)),
      meta: {
        party: hostile ? odd(row % 3) : PARTIES[row % 3],
        likes: row % 17 === 0 ? null : Math.floor(random() ** 4 * 5000),
        posted: `2024-${String(1 + (row % 12)).padStart(2, "0")}-${String(1 + (row % 28)).padStart(2, "0")}`,
        ...(remarks ? { remark: row % 9 === 4 ? null : `Remark ${row}: ${["Seen", "ANSWERED", "Left for MÜLLER"][row % 3]}` } : {}),
      },
    });
  }
  const names = topics.map(([name], k) => (hostile ? `${odd(k)} ${name}` : name));
  const list = topics.map(([, criteria], k) => {
    const matches = documents.filter((_, row) => scores[k * docs + row] === 4).map(({ row }) => row);
    return {
      id: `concept-${k}`,
      name: names[k],
      criteria: hostile ? `${odd(k + 1)} ${criteria}` : criteria,
      summary: hostile ? odd(k + 2) : `Writers describe ${names[k].toLowerCase()} from their own lives, mostly with a concrete complaint and rarely with a proposal.`,
      seed: hostile ? odd(k + 3) : "social issues",
      active: true,
      support: matches.length,
      examples: matches.slice(0, 5),
      scored: true,
      stale: false,
      merged_from: [],
    };
  });
  const labels = Array.from({ length: slices }, (_, s) => (hostile ? `${odd(s)} ${s}` : (ALL_SLICES[s] ?? `Slice ${s + 1}`)));
  return { documents, concepts: list, scores, sliceCodes, sliceLabels: labels, hostile, remarks };
}
