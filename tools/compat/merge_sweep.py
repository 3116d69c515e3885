"""Merges random adapters with PEFT and with `export`, and compares every tensor, bit for bit.

Each case has a seed, which is printed: family, shape, type and ties of the base; kind, ranks, types and targets of the
adapter. `--seed N --count 1` repeats one. Where an adapter belongs to one of two tensors that the base ties, PEFT
merges into a base that was untied first, as in scripts/test-peers-adapters.py.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ATTENTION = LINEAR[:4]
DTYPES = [torch.bfloat16, torch.bfloat16, torch.float16, torch.float32]
KINDS = ["plain", "plain", "patterns", "dora", "save", "embedding", "head", "both", "tied", "tokens", "bias", "parameters",
         "layers", "resized", "dora-embedding"]


class Case:
    """What one seed stands for."""

    def __init__(self, seed, kind=None):
        self.seed = seed
        rng = self.rng = random.Random(seed)
        self.kind = kind or rng.choice(KINDS)
        self.family = rng.choice(["gemma", "gemma2", "gemma3_text"])
        self.tied = rng.random() < 0.7 or self.kind in ("tied",)
        self.dtype = rng.choice(DTYPES)
        self.adapter_dtype = rng.choice([None, None, torch.bfloat16, torch.float16])
        self.hidden = rng.choice([32, 64, 96, 104, 128, 256, 264, 512])
        self.ffn = rng.choice([48, 100, 128, 257, 512])
        self.vocab = rng.choice([64, 100, 257, 768])
        self.layers = rng.choice([1, 2, 3])
        self.heads = rng.choice([(2, 1, 16), (4, 2, 32), (2, 2, 64), (1, 1, 40)])
        self.rank = rng.choice([1, 2, 3, 4, 6, 8, 16, 16, 32, 48, 64])
        self.resized = self.vocab + rng.randint(1, 20) if self.kind == "resized" else None
        # casting a 16-bit adapter to 32 bits makes two of the factors that head and embedding share
        self.retied = rng.random() < 0.5 or self.dtype == torch.float32
        self.options = self.choose()

    def choose(self):
        rng = self.rng
        targets = rng.sample(LINEAR, rng.randint(1, 7))
        options = dict(r=self.rank, lora_alpha=rng.choice([1, 8, 16, 32, 7]), use_rslora=rng.random() < 0.3,
                       target_modules=targets)
        match self.kind:
            case "patterns":
                # in the order in which PEFT writes them: it could not read another one back
                ranks = {targets[0]: rng.randint(1, 20), r"^model.layers.0.mlp.\w+": rng.randint(1, 9)}
                alphas = {rng.choice(targets): rng.randint(1, 40), "layers.0.self_attn.v_proj": 5}
                options["rank_pattern"], options["alpha_pattern"] = dict(sorted(ranks.items())), dict(sorted(alphas.items()))
            case "dora":
                options["use_dora"] = True
            case "save":
                options["modules_to_save"] = rng.choice([["norm"], ["input_layernorm"], ["mlp"], ["embed_tokens"], ["lm_head"],
                                                         ["embed_tokens", "lm_head"]])
                if options["modules_to_save"] == ["mlp"]:
                    options["target_modules"] = ["q_proj"]
            case "embedding":
                targets.append("embed_tokens")
            case "head":
                targets.append("lm_head")
            case "both":
                targets += ["embed_tokens", "lm_head"]
            case "tied":
                options["ensure_weight_tying"] = True
                if rng.random() < 0.5:
                    targets.append(rng.choice(["embed_tokens", "lm_head"]))
                else:
                    options["modules_to_save"] = [rng.choice(["embed_tokens", "lm_head"])]
            case "tokens":
                options["trainable_token_indices"] = sorted(rng.sample(range(self.vocab), 5))
            case "bias":
                options["target_modules"] = rng.sample(ATTENTION, 2)
                if rng.random() < 0.6:
                    options["lora_bias"] = True
                else:
                    options["bias"] = rng.choice(["all", "lora_only"])
            case "parameters":
                options["target_modules"] = []
                options["target_parameters"] = [f"{t}.weight" for t in targets]
                if rng.random() < 0.3:
                    options["target_parameters"].append("embed_tokens.weight")
            case "layers":
                options["layers_to_transform"] = [self.layers - 1]
                options["layers_pattern"] = "layers"
                options["exclude_modules"] = [f"model.layers.{self.layers - 1}.mlp.up_proj"]
                options["target_modules"] = LINEAR
            case "resized":
                match rng.randint(1, 3):
                    case 1:
                        options["modules_to_save"] = ["embed_tokens", "lm_head"]
                    case 2:
                        options["trainable_token_indices"] = list(range(self.vocab, self.resized))
            case "dora-embedding":
                options["use_dora"] = True
                targets.append("embed_tokens")
        return options

    @property
    def trains_one_of_two(self):
        """PEFT would merge a change to one of embedding and head into both."""
        named = set(self.options["target_modules"]) | set(self.options.get("modules_to_save", []))
        named |= {p.removesuffix(".weight") for p in self.options.get("target_parameters", [])}
        return bool(named & {"embed_tokens", "lm_head"}) and not self.options.get("ensure_weight_tying")

    @property
    def trains_both_as_one(self):
        """PEFT merges factors that embedding and head share twice into the tensor that they share."""
        named = set(self.options["target_modules"]) & {"embed_tokens", "lm_head"}
        return bool(named) and bool(self.options.get("ensure_weight_tying"))

    def __str__(self):
        name = lambda dtype: str(dtype).removeprefix("torch.")
        shape = f"{self.hidden}x{self.ffn}x{self.layers} v{self.vocab}" + (f"->{self.resized}" if self.resized else "")
        return (f"{self.seed:5} {self.kind:14} {self.family:11} {name(self.dtype):8} {'tied  ' if self.tied else 'untied'} {shape:20} "
                f"r={self.rank:<2} {name(self.adapter_dtype or torch.float32):8}")

    def make_base(self, folder):
        heads, kv, dim = self.heads
        config = transformers.AutoConfig.for_model(
            self.family, hidden_size=self.hidden, intermediate_size=self.ffn, num_hidden_layers=self.layers,
            num_attention_heads=heads, num_key_value_heads=kv, head_dim=dim, vocab_size=self.vocab,
            attention_bias=self.kind == "bias", tie_word_embeddings=self.tied, pad_token_id=0, bos_token_id=2, eos_token_id=1,
        )
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(".bias"):
                    parameter.normal_(0, 0.02)
        model.to(self.dtype).save_pretrained(folder, max_shard_size=self.rng.choice(["5GB", "200KB"]))

    def load_base(self, folder, untie=False):
        if not untie:
            return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", tie_word_embeddings=False)
        model.lm_head.weight.data = model.model.embed_tokens.weight.data.clone()
        return model

    def make_adapter(self, base, folder):
        model = self.load_base(base)
        if self.resized:
            model.resize_token_embeddings(self.resized, mean_resizing=False)
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **self.options))
        train(model)
        if self.trains_both_as_one and self.retied:
            head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
            head.lora_A["default"].weight.data = embedding.lora_embedding_B["default"].data.T.clone()
            head.lora_B["default"].weight.data = embedding.lora_embedding_A["default"].data.T.clone()
        if self.adapter_dtype:
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.data = parameter.data.to(self.adapter_dtype)
        model.save_pretrained(folder, save_embedding_layers=True if self.resized else "auto")

    def merge(self, base, adapter, folder):
        untie = self.tied and (self.trains_one_of_two or self.trains_both_as_one) and not self.resized
        model = self.load_base(base, untie)
        if self.resized:
            model.resize_token_embeddings(self.resized, mean_resizing=False)
        if untie and self.trains_both_as_one:
            adapter = untied(adapter)
        merged = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
        if untie and self.trains_both_as_one and self.retied:
            merged.config.tie_word_embeddings = True
            merged.lm_head.weight = merged.model.embed_tokens.weight
        merged.save_pretrained(folder)


def untied(adapter):
    """The adapter for a base where head and embedding are two: it says so of its factors."""
    copy = adapter.with_name("adapter-untied")
    shutil.copytree(adapter, copy)
    config = json.loads((copy / "adapter_config.json").read_text())
    config["ensure_weight_tying"] = False
    config["target_modules"].append("lm_head")
    (copy / "adapter_config.json").write_text(json.dumps(config))
    return copy


@torch.no_grad()
def train(model):
    """Gives every trained parameter some value."""
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
        elif "lora_" in name or "trainable_tokens_delta" in name:
            parameter.normal_(0, 0.02)
        elif "modules_to_save" in name or parameter.requires_grad:
            parameter.add_(0.01 * torch.randn_like(parameter))


def tensors(folder):
    return {k: v for path in sorted(pathlib.Path(folder).glob("model*.safetensors")) for k, v in load_file(path).items()}


def ulps(ours, theirs):
    """How many steps of the type lie between them, at most."""
    bits = torch.int32 if ours.dtype == torch.float32 else torch.int16
    ordered = lambda t: torch.where(t.view(bits) < 0, torch.iinfo(bits).min - t.view(bits).long(), t.view(bits).long())
    return int((ordered(ours) - ordered(theirs)).abs().max())


def compare(ours, theirs):
    """The differences, and the entries that are one step of rounding apart."""
    wrong, steps = [], 0
    if ours.keys() != theirs.keys():
        wrong.append(f"tensors {sorted(ours.keys() ^ theirs.keys())[:4]} are in one only")
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            wrong.append(f"{name} is {one.dtype} {tuple(one.shape)}, not {other.dtype} {tuple(other.shape)}")
        elif not torch.equal(one, other):
            apart, count = ulps(one, other), int((one != other).sum())
            steps += count
            wrong.append(f"{name}: {count} of {one.numel()} differ by up to {apart} ulp")
    return wrong, steps


def run(case, program, folder):
    torch.manual_seed(case.seed)
    base, adapter, theirs, ours = (folder / name for name in ("base", "adapter", "theirs", "ours"))
    case.make_base(base)
    case.make_adapter(base, adapter)
    case.merge(base, adapter, theirs)
    done = subprocess.run([program, "merge", "--base", base, "--adapter", adapter, "--out", ours], capture_output=True, text=True)
    if done.returncode != 0:
        return [done.stderr.strip()], 0
    return compare(tensors(ours), tensors(theirs))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--export", required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=sorted(set(KINDS)))
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    failed = 0
    for seed in range(args.seed, args.seed + args.count):
        case = Case(seed, args.kind)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                wrong, _ = run(case, args.export, args.keep / str(seed) if args.keep else pathlib.Path(scratch))
            except Exception as error:
                wrong = [f"{type(error).__name__}: {error}"]
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok    '} {case}", *wrong[:6], sep="\n         ", flush=True)
    print(f"{args.count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
