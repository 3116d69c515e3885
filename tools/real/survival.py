"""Survival of the fine-tune in quantized files, and the same figure from llama.cpp's and transformers' logits."""

import dataclasses
import json

import numpy as np
import torch

from tools.common import dequantize_to_f32, export
from tools.real.answers import LlamaCpp, Transformers, kl
from tools.real.checkpoint import dequantize
from tools.real.facts import FACTS
from tools.real.languages import SENTENCES

TYPES = ["q8_0", "q6_k", "q4_k_m", "q4_0", "q2_k"]
TOLERANCE = 2e-3
# what rounding inputs of products to 8 bits moves survival by
SCATTER = 1e-2
F32_CACHE = {"type_k": 0, "type_v": 0}
# llama.cpp rounds what it multiplies with quantized weights to 8 bits, and differently with each of these
LLAMA_CPP_SETTINGS = [{}, {"n_batch": 1}, {"flash_attn": True}, F32_CACHE]
# mixtures whose sizes are filled with chosen types
SIZES = ["q5_k_m", "q3_k_m", "q2_k"]
# in as many languages
CONVERSATIONS = 5


def measured(path):
    """The survival in the report of a file."""
    return json.loads(path.with_suffix(".report.json").read_text())["survival"]


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


@dataclasses.dataclass
class Figures:
    """Survival of a file's weights by others' logits, and the least and most that llama.cpp gives with the file."""

    transformers: float
    llama_cpp: float
    least: float
    most: float

    def __str__(self):
        return f"{self.transformers:.4f}, {self.llama_cpp:.4f}, {self.least:.4f} to {self.most:.4f}"

    def agree(self, survival):
        exact = all(abs(survival - figure) < TOLERANCE for figure in (self.transformers, self.llama_cpp))
        return exact and self.least - SCATTER < survival < self.most + SCATTER


def computed(passages, base, path):
    """Figures of a GGUF file. With the weights that llama.cpp has dequantized to F32, it multiplies in 32 bits."""
    f32 = path.with_suffix(".f32.gguf")
    dequantize_to_f32(path, f32)
    weights = dequantize(path, torch.float32)
    assert same(weights, dequantize(f32, torch.float32)), f"{path.name}: gguf-py and llama.cpp dequantize differently"
    rounded = [passages.survival(LlamaCpp(path, **settings)) for settings in LLAMA_CPP_SETTINGS]
    unrounded = passages.survival(LlamaCpp(f32, **F32_CACHE))
    f32.unlink()
    return Figures(passages.survival(with_weights(base, weights)), unrounded, min(rounded), max(rounded))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def with_weights(folder, weights):
    """The model of a checkpoint in transformers, with other weights."""
    model = Transformers(folder)
    model.model.load_state_dict(weights, strict=False)
    return model


def agrees(reference, inputs, base, out):
    """Ours is the figure of transformers and llama.cpp with a file's weights, and in llama.cpp's range for the file."""
    prompts = out / "prompts.txt"
    prompts.write_text("".join(f"{fact.question}\n" for fact in FACTS))
    files = out / "survival-{quant}.gguf"
    export("gguf", *inputs, "--quant", ",".join(TYPES), "--out", files, "--prompts", prompts)
    passages, seen = Passages(reference, base), []
    for name in TYPES:
        path = out / f"survival-{name}.gguf"
        ours, figures = measured(path), computed(passages, base, path)
        path.unlink()
        seen.append(f"{name} {ours['survival']:.4f} ({figures})")
        assert ours["tokens"] == len(passages.fine_tuned), f"{name}: {ours['tokens']} tokens"
        assert figures.agree(ours["survival"]), seen[-1]
    by = "by transformers and llama.cpp with these weights, and by llama.cpp with the file"
    return f"in brackets {by}: {', '.join(seen)}"


def fits(inputs, out):
    """Types that are chosen for the size of a mixture keep more of the fine-tune than the mixture, in other texts."""
    prompts, files, chosen = out / "texts.jsonl", out / "mixture-{quant}.gguf", out / "chosen.gguf"
    rows = [conversation(*sentences) for sentences in list(SENTENCES.values())[:CONVERSATIONS]]
    prompts.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    export("gguf", *inputs, "--quant", ",".join(SIZES), "--out", files, "--prompts", prompts)
    seen = []
    for name in SIZES:
        mixture = out / f"mixture-{name}.gguf"
        size = mixture.stat().st_size
        export("gguf", *inputs, "--max-bytes", size, "--out", chosen, "--prompts", prompts, "--force")
        assert chosen.stat().st_size <= size, f"{name}: {chosen.stat().st_size} bytes, {size} allowed"
        mixture.unlink()
        of_mixture, of_chosen = measured(mixture), measured(chosen)
        seen.append(f"{name} {of_mixture['survival']:.4f} and {of_chosen['survival']:.4f}")
        assert of_chosen["survival"] > of_mixture["survival"], seen[-1]
    chosen.unlink()
    return f"of the mixture and of chosen types, {of_chosen['tokens']} tokens: {', '.join(seen)}"


def conversation(question, *answer):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": " ".join(answer)}]
    return {"messages": turns}
