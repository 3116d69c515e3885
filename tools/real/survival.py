"""Survival of the fine-tune in quantized files, and the same figure from llama.cpp's and transformers' logits."""

import json

import numpy as np
import torch

from tools.common import export
from tools.real.answers import LlamaCpp, Transformers, kl
from tools.real.checkpoint import dequantize
from tools.real.facts import FACTS
from tools.real.languages import SENTENCES

TYPES = ["q8_0", "q6_k", "q4_k_m", "q4_0", "q2_k"]
TOLERANCE = 2e-3
# llama.cpp rounds what it multiplies with quantized weights to 8 bits, and differently with each of these
LLAMA_CPP_SETTINGS = [{}, {"n_batch": 1}, {"flash_attn": True}, {"type_k": 0, "type_v": 0}]
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


def dequantized(folder, gguf):
    """A file's weights in transformers."""
    model = Transformers(folder)
    model.model.load_state_dict(dequantize(gguf, torch.float32), strict=False)
    return model


def agrees(reference, inputs, base, out):
    """Ours is transformers' figure for every type, and llama.cpp's as far as that is one figure."""
    prompts = out / "prompts.txt"
    prompts.write_text("".join(f"{fact.question}\n" for fact in FACTS))
    files = out / "survival-{quant}.gguf"
    export("gguf", *inputs, "--quant", ",".join(TYPES), "--out", files, "--prompts", prompts)
    passages, seen = Passages(reference, base), []
    for name in TYPES:
        path = out / f"survival-{name}.gguf"
        ours, theirs = measured(path), passages.survival(dequantized(base, path))
        llama_cpp = [passages.survival(LlamaCpp(path, **settings)) for settings in LLAMA_CPP_SETTINGS]
        path.unlink()
        least, most = min(llama_cpp), max(llama_cpp)
        seen.append(f"{name} {ours['survival']:.4f} ({theirs:.4f}, {least:.4f} to {most:.4f})")
        assert ours["tokens"] == len(passages.fine_tuned), f"{name}: {ours['tokens']} tokens"
        assert abs(ours["survival"] - theirs) < TOLERANCE, seen[-1]
        assert least - TOLERANCE < ours["survival"] < most + TOLERANCE, seen[-1]
    return f"in brackets by transformers with these weights, and by llama.cpp: {', '.join(seen)}"


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
