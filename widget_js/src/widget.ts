/** The widget of a notebook, as anywidget loads it. */

import { KernelSource, type Model } from "./kernel-source";
import { mount } from "./mount";
import { Store } from "./store";

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    return mount(new Store(new KernelSource(model)), el);
  },
};
