"""Tiny random models and tokenizers, made on the spot through the real libraries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = sorted(
    set(
        re.findall(
            r"[a-z]+",
            """the bus is late every single morning and nobody tells us why twenty minutes in the rain because
            it did not come cars park in the bike lane all day fares went up again and the service got worse
            a monthly ticket costs more than my phone tickets are too expensive for families like ours""",
        )
    )
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def word_tokenizer(*, max_length: int | None = None, padding_side: str = "right") -> Any:
    """A tokenizer of whole words, with the special tokens of BERT."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: n for n, token in enumerate([*special, *WORDS, ".", ","])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    limit = {} if max_length is None else {"model_max_length": max_length}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=padding_side,
        **limit,
    )


def save_encoder(folder: Path, *, positions: int = 64, padding_side: str = "right") -> Path:
    """A BERT of two small layers with random weights, always the same."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = word_tokenizer(max_length=positions, padding_side=padding_side)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=positions,
            pad_token_id=0,
        )
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_sentence_transformer(folder: Path, encoder: Path | None = None) -> Path:
    """A sentence-transformers model over an encoder, the tiny one when none is given."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(encoder or save_encoder(folder / "encoder")), max_seq_length=64)
    pooling = Pooling(words.get_embedding_dimension())
    SentenceTransformer(modules=[words, pooling], device="cpu").save_pretrained(str(folder))
    return folder


def byte_tokenizer(texts: Sequence[str] = (), *, chat_template: str | None = CHAT_TEMPLATE) -> Any:
    """A byte-level BPE tokenizer, as of GPT-2 and Llama 3: it can write every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS), *texts], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    if chat_template is not None:
        made.chat_template = chat_template
    return made


def save_language_model(
    folder: Path,
    texts: Sequence[str] = (),
    *,
    positions: int = 4096,
    chat_template: str | None = CHAT_TEMPLATE,
    seed: int = 0,
) -> Path:
    """A Llama of two small layers with random weights, always the same."""
    tokenizer = byte_tokenizer(texts, chat_template=chat_template)
    return _save_llama(folder, tokenizer, positions=positions, seed=seed)


def save_unigram_model(folder: Path) -> Path:
    """The same with a vocabulary as SentencePiece makes it: spaces as `▁`, rare characters as bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>"]
    letters = 'abcdefghijklmnopqrstuvwxyzABCDE0123456789.,:?{}[]"-_ ▁'
    pieces = [
        *special,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *letters,
        *(f"▁{word}" for word in WORDS),
    ]
    unigram = models.Unigram([(piece, -float(n)) for n, piece in enumerate(dict.fromkeys(pieces))], 3, True)
    tokenizer = Tokenizer(unigram)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    return _save_llama(folder, made, positions=4096, seed=0)


def _save_llama(folder: Path, tokenizer: Any, *, positions: int, seed: int) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=positions,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=0.3,
        )
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_static_model(folder: Path) -> Path:
    """A static model of model2vec with random word vectors, always the same."""
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {token: n for n, token in enumerate(["[PAD]", "[UNK]", *WORDS, ".", ","])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vectors = np.random.default_rng(0).normal(size=(len(vocabulary), 24)).astype(np.float32)
    StaticModel(vectors, tokenizer, max_length=32).save_pretrained(folder)
    return folder
