"""Merges random adapters with PEFT and with the command, and compares every tensor, bit for bit.

    .venv-peers/bin/python -m tools.compat.merge_sweep [--seed N] [--count N] [--kind KIND] [--keep FOLDER]

Each case has a seed, which is printed: family, shape, type and ties of the base; kind, ranks, types and targets of the
adapter. `--seed N --count 1` repeats one. Where an adapter belongs to one of two tensors that the base ties, PEFT
merges into a base that was untied first, as in `tools.fixtures.adapters`.
"""

import argparse
import json
import pathlib
import random
import shutil
import sys
import warnings

import peft
import torch
from safetensors.torch import load_file

from tools.common import (
    Results,
    Shape,
    assert_all_factors,
    cast_factors,
    export,
    load_base,
    randomize_adapter,
    randomize_biases,
    scratch_folder,
    share_factors,
    silence,
    tie_again,
)

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ATTENTION = LINEAR[:4]
DTYPES = [torch.bfloat16, torch.bfloat16, torch.float16, torch.float32]
KINDS = [
    "plain",
    "plain",
    "patterns",
    "dora",
    "save",
    "embedding",
    "head",
    "both",
    "tied",
    "tokens",
    "bias",
    "parameters",
    "layers",
    "resized",
    "dora-embedding",
]


class Case:
    """The base and the adapter of one seed."""

    def __init__(self, seed, kind=None):
        self.seed = seed
        rng = self.rng = random.Random(seed)
        self.kind = kind or rng.choice(KINDS)
        self.family = rng.choice(["gemma", "gemma2", "gemma3_text"])
        self.tied = rng.random() < 0.7 or self.kind in ("tied",)
        self.dtype = rng.choice(DTYPES)
        self.adapter_dtype = rng.choice([None, None, torch.bfloat16, torch.float16])
        hidden = rng.choice([32, 64, 96, 104, 128, 256, 264, 512])
        intermediate = rng.choice([48, 100, 128, 257, 512])
        self.vocab = rng.choice([64, 100, 257, 768])
        layers = rng.choice([1, 2, 3])
        self.shape = Shape(hidden, intermediate, layers, rng.choice([(2, 1, 16), (4, 2, 32), (2, 2, 64), (1, 1, 40)]))
        self.rank = rng.choice([1, 2, 3, 4, 6, 8, 16, 16, 32, 48, 64])
        self.resized = self.vocab + rng.randint(1, 20) if self.kind == "resized" else None
        # casting a 16-bit adapter to 32 bits makes two tensors of the factors that lm_head and embedding share
        self.retied = rng.random() < 0.5 or self.dtype == torch.float32
        self.options = self.choose()

    def choose(self):
        rng = self.rng
        targets = rng.sample(LINEAR, rng.randint(1, 7))
        options = {
            "r": self.rank,
            "lora_alpha": rng.choice([1, 8, 16, 32, 7]),
            "use_rslora": rng.random() < 0.3,
            "target_modules": targets,
        }
        match self.kind:
            case "patterns":
                # in the order in which PEFT writes them: it cannot read back another
                ranks = {targets[0]: rng.randint(1, 20), r"^model.layers.0.mlp.\w+": rng.randint(1, 9)}
                alphas = {rng.choice(targets): rng.randint(1, 40), "layers.0.self_attn.v_proj": 5}
                options["rank_pattern"], options["alpha_pattern"] = (
                    dict(sorted(ranks.items())),
                    dict(sorted(alphas.items())),
                )
            case "dora":
                options["use_dora"] = True
            case "save":
                options["modules_to_save"] = rng.choice(
                    [["norm"], ["input_layernorm"], ["mlp"], ["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]]
                )
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
                last = self.shape.layers - 1
                options["layers_to_transform"] = [last]
                options["layers_pattern"] = "layers"
                options["exclude_modules"] = [f"model.layers.{last}.mlp.up_proj"]
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
        """Whether PEFT would merge a change to one of embedding and lm_head into both."""
        named = set(self.options["target_modules"]) | set(self.options.get("modules_to_save", []))
        named |= {p.removesuffix(".weight") for p in self.options.get("target_parameters", [])}
        return bool(named & {"embed_tokens", "lm_head"}) and not self.options.get("ensure_weight_tying")

    @property
    def trains_both_as_one(self):
        """Whether PEFT would merge factors that embedding and lm_head share twice into the tensor that they share."""
        named = set(self.options["target_modules"]) & {"embed_tokens", "lm_head"}
        return bool(named) and bool(self.options.get("ensure_weight_tying"))

    def __str__(self):
        dtype, adapter_dtype = (
            str(t).removeprefix("torch.") for t in (self.dtype, self.adapter_dtype or torch.float32)
        )
        shape = f"{self.shape} v{self.vocab}" + (f"->{self.resized}" if self.resized else "")
        return (
            f"{self.seed:5} {self.kind:14} {self.family:11} {dtype:8} {'tied  ' if self.tied else 'untied'} {shape:20} "
            f"r={self.rank:<2} {adapter_dtype:8}"
        )

    def make_base(self, folder):
        model = self.shape.model(
            self.family, vocab_size=self.vocab, tie_word_embeddings=self.tied, attention_bias=self.kind == "bias"
        )
        randomize_biases(model)
        model.to(self.dtype).save_pretrained(folder, max_shard_size=self.rng.choice(["5GB", "200KB"]))

    def load_base(self, folder, untie=False):
        model = load_base(folder, untie)
        if self.resized:
            model.resize_token_embeddings(self.resized, mean_resizing=False)
        return model

    def make_adapter(self, base, folder):
        model = peft.get_peft_model(self.load_base(base), peft.LoraConfig(task_type="CAUSAL_LM", **self.options))
        randomize_adapter(model, base_biases=True)
        if self.trains_both_as_one and self.retied:
            share_factors(model)
        if self.adapter_dtype:
            cast_factors(model, self.adapter_dtype)
        model.save_pretrained(folder, save_embedding_layers=True if self.resized else "auto")

    def merge(self, base, adapter, folder):
        untie = self.tied and (self.trains_one_of_two or self.trains_both_as_one) and not self.resized
        model = self.load_base(base, untie)
        if untie and self.trains_both_as_one:
            adapter = untied(adapter)
        merged = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
        if untie and self.trains_both_as_one and self.retied:
            tie_again(merged)
        merged.save_pretrained(folder)


def untied(adapter):
    """A copy of the adapter for an untied base, with factors for embedding and lm_head apart."""
    copy = adapter.with_name("adapter-untied")
    shutil.copytree(adapter, copy)
    config = json.loads((copy / "adapter_config.json").read_text())
    config["ensure_weight_tying"] = False
    config["target_modules"].append("lm_head")
    (copy / "adapter_config.json").write_text(json.dumps(config))
    return copy


def tensors(folder):
    return {k: v for path in sorted(folder.glob("model*.safetensors")) for k, v in load_file(path).items()}


def ordered_bits(tensor):
    """Bits of floats as integers of the same order."""
    bits = tensor.view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)
    return torch.where(bits < 0, torch.iinfo(bits.dtype).min - bits.long(), bits.long())


def ulps(ours, theirs):
    """The largest difference in units of the last place."""
    return int((ordered_bits(ours) - ordered_bits(theirs)).abs().max())


def differences(ours, theirs):
    wrong = []
    if ours.keys() != theirs.keys():
        wrong.append(f"tensors {sorted(ours.keys() ^ theirs.keys())[:4]} are in one only")
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            wrong.append(f"{name} is {one.dtype} {tuple(one.shape)}, not {other.dtype} {tuple(other.shape)}")
        elif not torch.equal(one, other):
            count = int((one != other).sum())
            wrong.append(f"{name}: {count} of {one.numel()} differ by up to {ulps(one, other)} ulp")
    return wrong


def compare(case, folder):
    torch.manual_seed(case.seed)
    base, adapter, theirs, ours = (folder / name for name in ("base", "adapter", "theirs", "ours"))
    case.make_base(base)
    case.make_adapter(base, adapter)
    case.merge(base, adapter, theirs)
    export("merge", "--base", base, "--adapter", adapter, "--out", ours)
    assert_all_factors(ours)
    return differences(tensors(ours), tensors(theirs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--kind", choices=sorted(set(KINDS)))
    parser.add_argument("--keep", type=pathlib.Path, help="keep the models and adapters here")
    args = parser.parse_args()
    silence()
    warnings.simplefilter("ignore")
    results = Results()
    for seed in range(args.seed, args.seed + args.count):
        case = Case(seed, args.kind)
        with scratch_folder() as scratch:
            try:
                wrong = compare(case, args.keep / str(seed) if args.keep else scratch)
            except Exception as error:  # noqa: BLE001 (the libraries fail in many ways)
                wrong = [f"{type(error).__name__}: {error}"]
        results.compared(case, wrong[:6])
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
