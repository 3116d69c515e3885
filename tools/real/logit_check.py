"""`gemma-export verify --logits`, and the same divergence computed with transformers."""

import json
import re

import numpy as np
import torch

from tools.common import ROOT, export
from tools.real.answers import Transformers, kl
from tools.real.checkpoint import dequantize

MAX_TOKENS = 32


def measured(inputs, out):
    """Mean and largest KL divergence that the command prints."""
    text = export("verify", *inputs, "--out", out, "--logits")
    return tuple(float(number) for number in re.search(r"mean (\S+) nats, max (\S+)", text).groups())


def prompt_texts():
    """The fixed prompts of the command."""
    source = (ROOT / "engine/src/forward/prompts.rs").read_text()
    block = re.search(r"const TEXTS.*?= \[(.*?)\n\];", source, re.DOTALL)[1]
    return [json.loads(f'"{text}"') for text in re.findall(r'"((?:[^"\\]|\\.)*)"', block)]


def computed(reference, folder, gguf=None):
    """Mean and largest KL divergence in transformers; weights of a GGUF file are dequantized."""
    model = Transformers(folder)
    if gguf:
        model.model.load_state_dict(dequantize(gguf, torch.float32), strict=False)
    prompts = [model.tokenizer(text)["input_ids"][:MAX_TOKENS] for text in prompt_texts()]
    values = np.concatenate([kl(reference.model.logits(ids), model.logits(ids)) for ids in prompts])
    return float(values.mean()), float(values.max())


def agrees(reference, inputs, folder, out):
    """The two ways give one divergence; `out` is a GGUF file, or the merged folder itself."""
    printed = measured(inputs, out)
    expected = computed(reference, folder, None if out.is_dir() else out)
    # the forward passes add in different orders
    assert np.allclose(printed, expected, rtol=0.05, atol=2e-6), f"printed {printed}, transformers {expected}"
    return "KL divergence mean {:.2e}, max {:.2e} nats, as in transformers ({:.2e}, {:.2e})".format(*printed, *expected)
