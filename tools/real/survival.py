"""Survival of the fine-tune in quantized files, and the same figure from llama.cpp's and transformers' logits."""

import json

import numpy as np
import torch

from tools.common import export
from tools.real.answers import LlamaCpp, Transformers, kl
from tools.real.checkpoint import dequantize
from tools.real.facts import FACTS

TYPES = ["q8_0", "q6_k", "q4_k_m", "q4_0", "q2_k"]
TOLERANCE = 2e-3
# llama.cpp rounds what it multiplies with quantized weights to 8 bits
LLAMA_CPP_TOLERANCE = 1e-2


def measured(inputs, out):
    """The survival that the command writes into the report of each type."""
    prompts = out / "prompts.txt"
    prompts.write_text("".join(f"{fact.question}\n" for fact in FACTS))
    files = out / "survival-{quant}.gguf"
    export("gguf", *inputs, "--quant", ",".join(TYPES), "--out", files, "--prompts", prompts)
    return {name: json.loads((out / f"survival-{name}.report.json").read_text())["survival"] for name in TYPES}


class Passages:
    """The fine-tuned model's answers, and its predictions and those of the base for their tokens."""

    def __init__(self, reference, base):
        self.prompts = reference.prompts
        self.texts = [prompt + reference.model.generate(prompt) for prompt in self.prompts]
        self.fine_tuned = self.logits(reference.model)
        self.base = self.divergence(Transformers(base))

    def logits(self, model):
        pairs = zip(self.prompts, self.texts, strict=True)
        return np.concatenate([model.logits(text)[len(prompt) - 1 : len(text) - 1] for prompt, text in pairs])

    def divergence(self, model):
        return kl(self.fine_tuned, self.logits(model)).mean()

    def survival(self, model):
        return 1 - self.divergence(model) / self.base


def dequantized(folder, gguf):
    """A file's weights in transformers."""
    model = Transformers(folder)
    model.model.load_state_dict(dequantize(gguf, torch.float32), strict=False)
    return model


def agrees(reference, inputs, base, out):
    """The ways give one survival for every type."""
    found, passages = measured(inputs, out), Passages(reference, base)
    seen = []
    for name in TYPES:
        path = out / f"survival-{name}.gguf"
        ours = found[name]["survival"]
        theirs, llama_cpp = passages.survival(dequantized(base, path)), passages.survival(LlamaCpp(path))
        path.unlink()
        seen.append(f"{name} {ours:.4f} ({theirs:.4f}, {llama_cpp:.4f})")
        assert found[name]["tokens"] == len(passages.fine_tuned), f"{name}: {found[name]['tokens']} tokens"
        assert abs(ours - theirs) < TOLERANCE and abs(ours - llama_cpp) < LLAMA_CPP_TOLERANCE, seen[-1]
    return f"in brackets by transformers with these weights, and by llama.cpp: {', '.join(seen)}"
