/** Asking for changes of the codebook, and for the scores that they make necessary. */

import type { Edit, Estimate } from "./protocol";
import { confirmed } from "./money";
import type { Store } from "./store";

/** Makes the edits one after the other, then starts scoring what came of the last if `estimate` was confirmed. */
export async function change(store: Store, edits: readonly Edit[], estimate: Estimate | null = null): Promise<string[]> {
  let made: string[] = [];
  for (const edit of edits) made = await store.edit(edit);
  if (estimate !== null && made.length > 0) {
    await store.request("score", { concept_ids: made, confirmed_usd: confirmed(estimate) });
  }
  return made;
}
