"""Embeddings from the hidden states of any transformers model: the mean over the tokens of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.errors import InputError
from text_lloom.llm.on_device import OnDeviceEmbedModel
from text_lloom.llm.weights import check_packages, pick_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TransformersEmbedModel"]

_UNLIMITED = 10**9
"""Tokenizers without a longest text state a number beyond this."""


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    device: str


class TransformersEmbedModel(OnDeviceEmbedModel):
    """Mean-pooled hidden states of an encoder or a language model of transformers; free.

    The mean is over the tokens of the text alone: padding is masked out, and stands on the right, since
    absolute positions would be shifted otherwise.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        layer: Which hidden states: -1 for the last layer, 0 for the word embeddings.
        device: `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        batch_size: The largest number of texts that go through the model together.
        context_window: In tokens; the model's own when not given. Longer texts are cut, and that is said.
        trust_remote_code: Allow code that comes with the model to run on this machine.
        model_kwargs: Passed on to the loading of the weights, such as `{"dtype": "bfloat16"}`.
        tokenizer_kwargs: Passed on to the loading of the tokenizer.
        revision: Of a model on the hub.

    Raises:
        MissingPackage: When torch or transformers is not installed.
    """

    def __init__(
        self,
        source: str,
        *,
        layer: int = -1,
        device: str = "auto",
        batch_size: int = 32,
        context_window: int | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> None:
        check_packages("torch", "transformers", extra="transformers", purpose="TransformersEmbedModel")
        super().__init__(
            source,
            batch_size=batch_size,
            context_window=context_window,
            layer=layer,
            model_kwargs=dict(model_kwargs or {}),
            tokenizer_kwargs=dict(tokenizer_kwargs or {}),
            revision=revision,
        )
        self.device = device
        self.trust_remote_code = trust_remote_code

    def load(self) -> Any:
        import transformers

        shared = {"trust_remote_code": self.trust_remote_code, "revision": self.args["revision"]}
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            self.name, **shared, **self.args["tokenizer_kwargs"]
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        model = transformers.AutoModel.from_pretrained(self.name, **shared, **self.args["model_kwargs"])
        layers = model.config.get_text_config().num_hidden_layers
        if not -layers - 1 <= self.args["layer"] <= layers:
            raise InputError(
                f"layer={self.args['layer']} is not in model {self.name!r}, which has the hidden states 0 to "
                f"{layers} (or -1 to {-layers - 1}, counted from the last)."
            )
        device = pick_device(self.device)
        return _Loaded(model.to(device).eval(), tokenizer, device)

    def own_window(self) -> int | None:
        loaded: _Loaded = self.client
        known = (
            loaded.tokenizer.model_max_length,
            getattr(loaded.model.config, "max_position_embeddings", None),
        )
        limits = [int(limit) for limit in known if limit is not None and 0 < limit < _UNLIMITED]
        return min(limits, default=None)

    def count_tokens(self, text: str) -> int:
        return len(self.client.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np
        import torch

        loaded: _Loaded = self.client
        padded = loaded.tokenizer(
            texts,
            padding=True,
            padding_side="right",
            return_tensors="pt",
            return_token_type_ids=False,
            verbose=False,
        )
        inputs = padded.to(loaded.device)
        with torch.inference_mode():
            states = loaded.model(**inputs, output_hidden_states=True).hidden_states[self.args["layer"]]
            mask = inputs["attention_mask"].unsqueeze(-1).to(torch.float32)
            mean = (states.to(torch.float32) * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return np.asarray(mean.cpu().numpy(), np.float32)
