"""Encoders with random weights in a made-up mirror: small networks of timm and transformers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

IMAGES, FIXED, TEXTS = "made-up/small-net", "made-up/small-vit", "made-up/small-bert"
COLUMNS = {IMAGES: 256, FIXED: 64, TEXTS: 8}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij"]


def write_image_encoder(mirror: Path, name: str = IMAGES, architecture: str = "test_efficientnet") -> Path:
    """Write a network of timm as the hub has them; gives its folder."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model(architecture, pretrained=False, num_classes=5)
    folder = mirror / name
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    kept = ("input_size", "fixed_input_size", "mean", "std", "classifier", "first_conv")
    settings = {key: network.pretrained_cfg.get(key) for key in kept} | {"num_classes": 5}
    content = {"architecture": architecture, "num_classes": 5, "pretrained_cfg": settings}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def write_text_encoder(mirror: Path, name: str = TEXTS) -> Path:
    """Write a network of transformers and its tokenizer, which knows the words a to j; gives its folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = mirror / name
    BertModel(
        BertConfig(
            vocab_size=len(WORDS),
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=48,
        )
    ).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
