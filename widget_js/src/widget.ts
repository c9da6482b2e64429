/** The widget of a notebook, as anywidget loads it. */

import { KernelSource, type Model } from "./kernel-source";
import { mount } from "./mount";

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    return mount(new KernelSource(model), el);
  },
};
