"""Embedding models of this process: static vectors, sentence encoders, hidden states, sparse words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.errors import InputError
from text_lloom.llm.completion import Embeddings
from text_lloom.llm.model import Embedder
from text_lloom.llm.on_device.base import OnDeviceEmbedModel, check_packages, pick_device
from text_lloom.llm.options import whole_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Model2VecEmbedModel",
    "SentenceTransformerEmbedModel",
    "SparseEmbedModel",
    "TransformersEmbedModel",
]

_UNLIMITED = 10**9
"""Tokenizers without a longest text state a number beyond this."""
_FEWEST_DIMENSIONS = 16


class Model2VecEmbedModel(OnDeviceEmbedModel):
    """A static model of model2vec, such as `minishlab/potion-base-8M`; free, and needs no torch.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        batch_size: The largest number of texts in one batch.
        context_window: In tokens; the model's own when not given. Longer texts are cut, and that is said.
        dimensions: Keep only the first so many, for models that were trained so.

    Raises:
        MissingPackage: When model2vec is not installed.
    """

    def __init__(
        self,
        source: str = "minishlab/potion-base-8M",
        *,
        batch_size: int = 1024,
        context_window: int | None = None,
        dimensions: int | None = None,
    ) -> None:
        check_packages("model2vec", extra="local", purpose="Model2VecEmbedModel")
        super().__init__(source, batch_size=batch_size, context_window=context_window, dimensions=dimensions)

    def load(self) -> Any:
        from model2vec import StaticModel

        return StaticModel.from_pretrained(
            self.name, dimensionality=self.args["dimensions"], force_download=False
        )

    def own_window(self) -> int | None:
        longest = self.client.max_length
        return None if longest is None else int(longest)

    def count_tokens(self, text: str) -> int:
        tokenizer = self.client.tokenizer
        tokenizer.no_truncation()
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np

        return np.asarray(self.client.encode(texts, max_length=None, use_multiprocessing=False), np.float32)


class SentenceTransformerEmbedModel(OnDeviceEmbedModel):
    """A sentence-transformers model, such as `all-MiniLM-L6-v2`; free.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        device: `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        batch_size: The largest number of texts that go through the model together.
        context_window: In tokens; the model's own when not given. Longer texts are cut, and that is said.
        prompt: Put before each text, for models that were trained so (`"query: "`).
        trust_remote_code: Allow code that comes with the model to run on this machine.
        model_kwargs: Passed on to the loading of the weights, such as `{"dtype": "bfloat16"}`.
        revision: Of a model on the hub.

    Raises:
        MissingPackage: When sentence-transformers is not installed.
    """

    def __init__(
        self,
        source: str = "all-MiniLM-L6-v2",
        *,
        device: str = "auto",
        batch_size: int = 64,
        context_window: int | None = None,
        prompt: str = "",
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> None:
        check_packages("sentence-transformers", extra="local", purpose="SentenceTransformerEmbedModel")
        super().__init__(
            source,
            batch_size=batch_size,
            context_window=context_window,
            prompt=prompt,
            model_kwargs=dict(model_kwargs or {}),
            revision=revision,
        )
        self.device = device
        self.prompt = prompt
        self.trust_remote_code = trust_remote_code

    def load(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            self.name,
            device=pick_device(self.device),
            revision=self.args["revision"],
            trust_remote_code=self.trust_remote_code,
            model_kwargs=self.args["model_kwargs"],
        )

    def own_window(self) -> int | None:
        longest = self.client.max_seq_length
        return None if longest is None else int(longest)

    def count_tokens(self, text: str) -> int:
        return len(self.client.tokenizer(self.prompt + text, truncation=False, verbose=False)["input_ids"])

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np

        vectors = self.client.encode(
            texts, prompt=self.prompt or None, batch_size=self.batch_size, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)


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


class SparseEmbedModel(Embedder):
    """Words and pairs of words, hashed into a fixed number of columns and weighted by TF-IDF.

    Words lose their inflection, and function words are left out. Rows have length 1 (or 0, for texts without
    a content word). Rare words weigh more: rare among `background`, or among the texts of a call when no
    background is given. Vectors depend on these texts, so they are computed anew and never cached.

    Args:
        dimensions: Columns. Words share a column at random; the more columns, the fewer do.
        background: Texts from which the word weights come.
    """

    def __init__(self, dimensions: int = 1024, *, background: Sequence[str] = ()) -> None:
        dimensions = whole_number(dimensions, what="dimensions", least=_FEWEST_DIMENSIONS)
        if isinstance(background, str):
            raise InputError("background must be a list of texts, but is one string.")
        self.name = f"sparse-{dimensions}"
        self.dimensions = dimensions
        self._background = background
        self._weights: Any = None

    @classmethod
    def named(cls, dimensions: str = "1024") -> SparseEmbedModel:
        """The model that `"sparse"` or `"sparse:4096"` names."""
        if not dimensions.isdecimal():
            raise InputError(f"'sparse:{dimensions}': expected a number of columns, such as 'sparse:1024'.")
        return cls(int(dimensions))

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings(await asyncio.to_thread(self._embed, list(texts)), 0)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np

        counts = self._counts(texts)
        if self._background and self._weights is None:
            self._weights = self._fitted(self._counts(list(self._background)))
        weights = self._weights or self._fitted(counts)
        dense: NDArray[np.float32] = weights.transform(counts).toarray().astype(np.float32)
        return dense

    def _counts(self, texts: list[str]) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(
            n_features=self.dimensions, analyzer=_features, norm=None, alternate_sign=False
        ).transform(texts)

    @staticmethod
    def _fitted(counts: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfTransformer

        return TfidfTransformer(sublinear_tf=True).fit(counts)

    def __repr__(self) -> str:
        return f"SparseEmbedModel({self.dimensions})"


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    device: str


def _features(text: str) -> list[str]:
    """The content words of a text, and pairs of neighbours."""
    from text_lloom.local.words import tokenize

    tokens = [token for token in tokenize(text) if token.content]
    words = [token.key for token in tokens]
    pairs = [
        f"{first} {second.key}" for first, second in zip(words, tokens[1:], strict=False) if second.tight
    ]
    return words + pairs
