/** A dialog that makes concepts: at once, or together with their scores once what these cost is known. */

import type { ComponentChildren } from "preact";
import { useAsking } from "../asking";
import { useEstimate } from "../estimating";
import { price } from "../money";
import type { Draft, Edit } from "../protocol";
import { change } from "../scoring";
import type { Store } from "../store";
import { Action } from "./Action";
import { Cost } from "./Cost";
import { Dialog } from "./Dialog";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  title: string;
  /** What is done, as a verb: "Add". */
  verb: string;
  /** The same with its object, on the button that does it: "Merge 3 concepts". */
  act?: string;
  /** The concepts that come of it. */
  drafts: readonly Draft[];
  edit: () => Edit;
  /** Why it cannot be done yet, or null. */
  problem: string | null;
  /** Whether `problem` is told; a form that nothing was typed into yet lacks what it lacks. */
  tell?: boolean;
  /** Begins the line of the cost. */
  scoring?: string;
  /** What follows from it. */
  consequence?: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function ChangeDialog({
  store,
  title,
  verb,
  act = verb,
  drafts,
  edit,
  problem,
  tell = true,
  scoring = "Score",
  consequence,
  onClose,
  children,
}: Props) {
  const asking = useAsking();
  const estimating = useEstimate(store, [], problem === null ? drafts : []);
  const { estimate } = estimating;
  const off = problem !== null || asking.waiting;
  const go = async (score: boolean): Promise<void> => {
    const made = edit();
    const ended = await asking.ask(async () => {
      await change(store, [made], score ? estimate : null);
    });
    if (ended) onClose();
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <button type="button" class="lloom-button lloom-button--quiet" onClick={onClose}>
            Cancel
          </button>
          <span class="lloom-spring" />
          <Action class="lloom-button" off={off || estimate === null} onClick={() => void go(true)}>
            {estimate === null ? `${verb} and score` : `${verb} and score, ${price(estimate)}`}
          </Action>
          <Action class="lloom-button lloom-button--primary" off={off} onClick={() => void go(false)}>
            {act}
          </Action>
        </>
      }
    >
      {children}
      {problem !== null && tell && <p class="lloom-problem">{problem}</p>}
      {problem === null && (
        <div class="lloom-consequence">
          {consequence !== undefined && <p>{consequence}</p>}
          <Cost estimating={estimating} verb={scoring} />
        </div>
      )}
      <Notice asking={asking} />
    </Dialog>
  );
}
