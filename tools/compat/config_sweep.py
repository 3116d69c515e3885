"""Changes one field of `config.json` at a time, and compares predictions in llama.cpp with those in transformers.

    .venv-peers/bin/python -m tools.compat.config_sweep [--family NAME ...] [--only TEXT]

Every field of transformers' classes is changed, in models with random weights. Either predictions of the GGUF file are
those of transformers (KL divergence under 1e-3 nats), or the command refuses the field by its name.
"""

import argparse
import collections
import dataclasses
import gc
import json
import shutil
import sys

import numpy as np
import torch
import transformers

from tools.common import Results, ToolError, copy_tokenizer, export, generator, scratch_folder, silence, write_json
from tools.compat import llama_predictions
from tools.compat.config_changes import changes, top_level_changes
from tools.compat.llama_predictions import LlamaCppError, LlamaCppProcess
from tools.fixtures import families
from tools.fixtures.families import TEXT

LIMIT = 1e-3
# what the order of additions makes of equal models
NOISE = 2e-6
# token ids of a text that is longer than every sliding window
PROMPT = [2] + [300 + 37 * n % 400 for n in range(47)]
SMALL = TEXT | {
    "num_hidden_layers": 7,
    "hidden_size": 64,
    "intermediate_size": 96,
    "head_dim": 32,
    "sliding_window": 8,
}
# base frequencies so low that a few tokens turn far
ROPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    "full_attention": {"rope_type": "default", "rope_theta": 100.0},
}
PARTIAL_ROPE = ROPE | {
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 100.0}
}
# what a refusal may name instead of the field
OTHER_NAMES = {
    "attention_bias": ["bias"],
    "tie_word_embeddings": ["lm_head"],
    "num_hidden_layers": ["layer"],
    "vocab_size": ["rows", "tokens"],
    "enable_moe_block": ["experts", "router"],
    "head_dim": ["query_pre_attn_scalar"],
    "hidden_size_per_layer_input": ["embed_tokens_per_layer"],
    "vocab_size_per_layer_input": ["embed_tokens_per_layer"],
}


@dataclasses.dataclass(frozen=True)
class Family:
    """A class of transformers, its configuration with small sizes, and the section of `config.json` that is changed."""

    model: str
    options: dict
    section: str | None = None

    def config(self):
        kind = getattr(transformers, self.model).config_class
        if self.section:
            inner = {"gemma3": "Gemma3TextConfig", "gemma4": "Gemma4TextConfig"}[kind.model_type]
            text = getattr(transformers, inner)(**self.options)
            return kind(text_config=text, vision_config=self.vision(kind))
        return kind(**self.options)

    @staticmethod
    def vision(kind):
        sizes = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 1, "num_attention_heads": 2}
        if kind.model_type == "gemma3":
            return transformers.SiglipVisionConfig(**sizes, image_size=56, patch_size=14)
        return transformers.Gemma4VisionConfig(**sizes, head_dim=24, num_key_value_heads=2, patch_size=4)


PLAIN = {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}
GEMMA2 = SMALL | PLAIN | {"query_pre_attn_scalar": 32}
GEMMA3 = SMALL | {"rope_parameters": ROPE, "query_pre_attn_scalar": 32}
PER_LAYER = {"hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": 768}
GEMMA4 = SMALL | {"global_head_dim": 64, "rope_parameters": PARTIAL_ROPE, "num_hidden_layers": 6}
FAMILIES = {
    "gemma": Family("GemmaForCausalLM", {k: v for k, v in (SMALL | PLAIN).items() if k != "sliding_window"}),
    "gemma2": Family("Gemma2ForCausalLM", GEMMA2),
    "gemma3": Family("Gemma3ForCausalLM", GEMMA3),
    "gemma3-multimodal": Family("Gemma3ForConditionalGeneration", GEMMA3, "text_config"),
    "gemma3n": Family(
        "Gemma3nForCausalLM",
        SMALL
        | {"rope_parameters": ROPE, "intermediate_size": [128] * 7, "num_kv_shared_layers": 0}
        | {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 704}
        | {"activation_sparsity_pattern": [0.95] * 7},
    ),
    "gemma4": Family(
        "Gemma4ForCausalLM",
        GEMMA4 | PER_LAYER | {"num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 3},
    ),
    "gemma4-moe": Family(
        "Gemma4ForCausalLM",
        GEMMA4
        | {"hidden_size_per_layer_input": 0, "attention_k_eq_v": True, "enable_moe_block": True, "num_experts": 4}
        | {"top_k_experts": 2, "moe_intermediate_size": 32, "num_global_key_value_heads": 1}
        | {"num_key_value_heads": 2, "num_attention_heads": 4},
    ),
    "gemma4-unified": Family("Gemma4UnifiedForCausalLM", GEMMA4),
    "gemma4-multimodal": Family(
        "Gemma4ForConditionalGeneration", GEMMA4 | {"hidden_size_per_layer_input": 0}, "text_config"
    ),
    "gemma-embedding": Family("Gemma3TextModel", GEMMA3 | {"use_bidirectional_attention": True}),
}


class Unusable(Exception):
    """transformers does not make or run a model of this configuration."""


class Sweep:
    """The changes of one family."""

    def __init__(self, results, name, scratch):
        self.results, self.name, self.scratch = results, name, scratch
        self.family, self.llama_cpp = FAMILIES[name], LlamaCppProcess()
        self.kind = getattr(transformers, self.family.model)
        self.counts = collections.Counter()
        self.config = json.loads(self.family.config().to_json_string(use_diff=False))
        self.config = drop_empty(self.config) | {"architectures": [self.family.model]}
        self.predictions = self.transformers_logits(self.config)
        shutil.copy(scratch / "model/model.safetensors", scratch / "unchanged.safetensors")

    def run(self, only):
        for what, names, changed in self.changes():
            if only in what:
                self.check(what, names, changed)
        parts = ", ".join(f"{count} {end}" for end, count in sorted(self.counts.items()))
        print(f"       {self.name}: {parts}", flush=True)

    def changes(self):
        section = self.family.section
        if not section:
            yield from changes(self.config)
            return
        for what, names, changed in changes(self.config[section]):
            yield what, names, self.config | {section: changed}
        yield from top_level_changes(self.config, section)

    def check(self, what, names, config):
        line = f"{self.name:18} {what[:90]:60}"
        try:
            theirs = self.transformers_logits(config)
        except Unusable as error:
            if what.endswith(("of another type", "invalid")):
                self.must_refuse(line, names, config)
                return
            self.counts["refused by transformers"] += 1
            self.results.skipped(line, f"transformers: {error}")
            return
        effect = kl(self.predictions, theirs) if self.predictions.shape == theirs.shape else None
        shown = "other shape" if effect is None else f"effect {effect:.1e}"
        try:
            path = self.convert(config)
        except ToolError as error:
            self.refused(line, names, shown, str(error))
            return
        try:
            ours = self.llama_logits(path)
            shared = min(ours.shape[1], theirs.shape[1])
            far = kl(theirs[:, :shared], ours[:, :shared])
        except LlamaCppError as error:
            self.counts["failed"] += 1
            self.results.failed(line, f"{shown}: llama.cpp: {error}")
            return
        limit = LIMIT if not effect else min(LIMIT, max(effect / 4, NOISE))
        if far < limit:
            self.counts["equal" if shown != "effect 0.0e+00" else "without effect"] += 1
            self.results.passed(f"{line} {shown}, KL divergence {far:.1e}")
        else:
            self.counts["failed"] += 1
            self.results.failed(f"{line} {shown}, KL divergence {far:.1e}")

    def must_refuse(self, line, names, config):
        """Checks a change that transformers refuses, and that versions of it read in other ways."""
        shutil.copy(self.scratch / "unchanged.safetensors", self.scratch / "model/model.safetensors")
        write_json(self.scratch / "model/config.json", config)
        try:
            self.convert(config)
        except ToolError as error:
            self.refused(line, names, "transformers refuses it", str(error))
        else:
            self.counts["failed"] += 1
            self.results.failed(f"{line} transformers refuses it, and the command does not")

    def refused(self, line, names, shown, message):
        allowed = [*names, *(other for name in names for other in OTHER_NAMES.get(name, []))]
        if any(name in message for name in allowed):
            self.counts["refused by name"] += 1
            self.results.passed(f"{line} {shown}, refused", message)
        else:
            self.counts["failed"] += 1
            self.results.failed(f"{line} {shown}, refused, but not by name", message)

    @torch.no_grad()
    def transformers_logits(self, config):
        """Saves a model of this configuration in `model`, and returns its predictions."""
        folder = self.scratch / "model"
        folder.mkdir(exist_ok=True)
        try:
            model = self.kind(self.kind.config_class.from_dict(json.loads(json.dumps(config)))).float()
            randomize(model).save_pretrained(folder)
            write_json(folder / "config.json", config)
            model, info = self.kind.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
            )
            model = model.eval()
            if info["missing_keys"]:
                raise Unusable(f"missing weights {sorted(info['missing_keys'])[:2]}")
            done = model(input_ids=torch.tensor([PROMPT]), return_dict=True)
            predictions = logits_of(model, done)
        except Unusable:
            raise
        except Exception as error:
            raise Unusable(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}") from error
        if not np.isfinite(predictions).all():
            raise Unusable("NaN or infinite logits")
        return predictions

    def convert(self, config):
        copy_tokenizer("gemma3-micro", self.scratch / "model")
        path = self.scratch / "model.gguf"
        export("gguf", "--base", self.scratch / "model", "--quant", "f32", "--force", "--out", path)
        return path

    def llama_logits(self, path):
        if not self.family.model.endswith("Model"):
            return self.llama_cpp.call(llama_predictions.logits, path, PROMPT)
        states = self.llama_cpp.call(llama_predictions.hidden_states, path, PROMPT)
        weight = self.kind.from_pretrained(self.scratch / "model", dtype=torch.float32).get_input_embeddings().weight
        return states @ weight.detach().numpy().T


def drop_empty(config):
    """Without the fields that every class has and that are null."""
    generic = {"id2label", "label2id", "problem_type", "output_hidden_states", "return_dict"}
    return {name: value for name, value in config.items() if not (name in generic and value is None)}


@torch.no_grad()
def randomize(model):
    """Gives a model weights with which every part of it changes predictions: sharp attention and distinct logits."""
    if type(model).__name__.startswith(("Gemma3n", "Gemma4")):
        # with larger weights, predictions for an unchanged config differ by up to 3e-3 nats
        return families.randomize(model, "config-sweep")
    shifted = type(model).__name__.startswith(("GemmaFor", "Gemma2", "Gemma3For", "Gemma3Text"))
    has_head_norms = any("q_norm" in name for name, _ in model.named_parameters())
    for name, tensor in sorted(model.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=generator(name))
        if tensor.dim() > 1:
            values /= tensor.shape[-1] ** 0.5
            values *= 2 if name.endswith("q_proj.weight") and not has_head_norms else 1
        else:
            values = 0.2 * values + 1
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                # queries are not divided by the root of their size where norms are not shifted
                values += 0.5 if shifted else -0.4
            if name.endswith(("model.norm.weight", "language_model.norm.weight")):
                values += 0.5
            values -= 1 if shifted and name.endswith("norm.weight") else 0
        tensor.copy_(values)
    return model


def logits_of(model, done):
    if hasattr(done, "logits"):
        return done.logits[0].float().numpy()
    # a model without lm_head: what its embedding would predict
    return (done.last_hidden_state[0] @ model.get_input_embeddings().weight.T).float().numpy()


def kl(p, q):
    """The mean KL divergence of the rows' distributions, in nats."""
    log_p, log_q = (torch.log_softmax(torch.from_numpy(x).double(), -1) for x in (p, q))
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean().clamp(min=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--only", default="", help="changes with this text in their name")
    args = parser.parse_args()
    silence()
    torch.set_num_threads(1)
    results = Results()
    for name in args.family:
        with scratch_folder() as scratch:
            Sweep(results, name, scratch).run(args.only)
        gc.collect()
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
