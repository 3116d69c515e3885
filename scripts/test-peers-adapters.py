"""Makes engine/tests/fixtures/adapters: what PEFT makes of every kind of adapter on the Gemma 3 fixture.

Run in the environment of scripts/test-peers, with the names of the kinds to make (all when there are none). Where an adapter belongs to one of two tensors that the base ties, the
base is untied first, as PEFT itself recommends: merged into the shared tensor the result would say something else
than base and adapter do.
"""

import hashlib
import json
import pathlib
import shutil
import sys
import tempfile

import peft
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
MICRO = "gemma3-micro"
# a base with biases, which no GGUF file of a Gemma has; it is also the smallest
BIASED = "gemma1-biased"
MICRO_TOKENIZER = FIXTURES / "gemma3-micro/base"
# a base in 4 bits, in every way that bitsandbytes has; making it, and nothing else, needs bitsandbytes
PACKED = "gemma3-4bit"
SOME = ["q_proj", "v_proj", "down_proj"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# name: (options, adapter's type, whether the base has to be untied)
KINDS = {
    "dora": (dict(target_modules=ALL, use_dora=True), None, False),
    "rslora": (
        dict(
            target_modules=SOME,
            use_rslora=True,
            rank_pattern={"q_proj": 2, "^model.layers.0.mlp.down_proj": 6},
            alpha_pattern={"v_proj": 3},
        ),
        None,
        False,
    ),
    "bf16": (dict(target_modules=SOME), torch.bfloat16, False),
    "f16": (dict(target_modules=SOME), torch.float16, False),
    "fan-in-fan-out": (dict(target_modules=SOME, fan_in_fan_out=True), None, False),
    "layers": (dict(target_modules=SOME, layers_to_transform=[1]), None, False),
    "embedding": (dict(target_modules=["embed_tokens", "q_proj"]), None, True),
    "head": (dict(target_modules=["lm_head", "q_proj"]), None, True),
    "tokens": (dict(target_modules=SOME, trainable_token_indices=[5, 7, 100]), None, False),
    "save-norms": (dict(target_modules=SOME, modules_to_save=["input_layernorm"]), None, False),
    "save-embedding": (dict(target_modules=SOME, modules_to_save=["embed_tokens"]), None, False),
    "save-head": (dict(target_modules=SOME, modules_to_save=["lm_head"]), None, False),
    "save-tied": (dict(target_modules=SOME, modules_to_save=["embed_tokens"], ensure_weight_tying=True), None, False),
    "save-every-norm": (dict(target_modules=SOME, modules_to_save=["norm"]), None, False),
    "dora-embedding": (dict(target_modules=["embed_tokens", "q_proj"], use_dora=True), None, True),
    "parameters": (
        dict(
            target_modules=[],
            target_parameters=["q_proj.weight", "layers.0.mlp.down_proj.weight"],
            rank_pattern={"q_proj.weight": 2, "down_proj": 8},
        ),
        None,
        False,
    ),
    "excluded": (
        dict(
            target_modules=ALL,
            layers_to_transform=[0, 1],
            layers_pattern="layers",
            exclude_modules=r".*layers\.1\.(mlp|self_attn)\.(up|q)_proj",
        ),
        None,
        False,
    ),
    "tied-factors": (dict(target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True), None, True),
    "bias": (dict(target_modules=["q_proj", "v_proj"], lora_bias=True, bias="all"), None, False),
    "resized": (dict(target_modules=SOME, modules_to_save=["embed_tokens", "lm_head"]), None, False),
    "resized-tokens": (dict(target_modules=SOME, trainable_token_indices=[768, 770]), None, False),
    "4bit": (dict(target_modules=ALL), None, False),
    **{name: (dict(target_modules=["q_proj", "down_proj"]), torch.bfloat16, False)
       for name in ("unsloth", "multimodal", "named", "shards")},
}
# kinds that are not made on MICRO, and how many tokens they add
OTHER_BASE = {"4bit": (PACKED, 0), "bias": (BIASED, 0), "resized": (BIASED, 3), "resized-tokens": (BIASED, 5)}


# what others write: (the names of tensors changed to, the number of files)
REWRITTEN = {
    "unsloth": (lambda name: name.replace("model.layers", "model.language_model.layers"), 1),
    "multimodal": (lambda name: name.replace("model.model.layers", "model.language_model.model.layers"), 1),
    "named": (lambda name: name.replace(".weight", ".default.weight"), 1),
    "shards": (lambda name: name, 2),
}


def load(base, tokens, untie=False):
    folder = FIXTURES / base / "base"
    if base == PACKED:
        return dequantised(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", tie_word_embeddings=not untie)
    if untie:
        model.lm_head.weight.data = model.model.embed_tokens.weight.data.clone()
    if tokens:
        model.resize_token_embeddings(model.config.vocab_size + tokens, mean_resizing=False)
    return model


def make_biased():
    """A Gemma 1 with biases in its attention."""
    torch.manual_seed(1)
    folder = FIXTURES / BIASED / "base"
    config = transformers.GemmaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        vocab_size=768, attention_bias=True, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )
    model = transformers.GemmaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            parameter.data.normal_(0, 0.02)
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "gemma1-micro/base" / name, folder)


def make_packed():
    """A Gemma 3 whose layers are quantised each in another way."""
    import bitsandbytes.functional as bnb

    torch.manual_seed(2)
    folder = FIXTURES / PACKED / "base"
    config = transformers.Gemma3TextConfig(
        hidden_size=128, intermediate_size=192, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=40,
        vocab_size=768, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )
    model = transformers.Gemma3ForCausalLM(config).to(torch.bfloat16)
    kinds = {
        "q_proj": dict(quant_type="nf4", compress_statistics=True),
        "k_proj": dict(quant_type="nf4", blocksize=128),
        "v_proj": dict(quant_type="fp4", compress_statistics=True),
        "o_proj": dict(quant_type="fp4", blocksize=256, quant_storage=torch.bfloat16),
        "gate_proj": dict(quant_type="nf4", compress_statistics=True, quant_storage=torch.float32),
        "up_proj": dict(quant_type="nf4", compress_statistics=True, blocksize=32),
        "down_proj": dict(quant_type="fp4"),
    }
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    for name in list(tensors):
        kind = kinds.get(name.split(".")[-2])
        if kind:
            packed, state = bnb.quantize_4bit(tensors.pop(name), **kind)
            tensors[name] = packed
            tensors |= {f"{name}.{key}": part for key, part in state.as_dict(packed=True).items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MICRO_TOKENIZER / name, folder)


def dequantised(folder):
    """The model that transformers would make of a base in 4 bits with `dequantize`."""
    import bitsandbytes.functional as bnb

    stored = load_file(folder / "model.safetensors")
    names = {name.split(".quant_state.")[0] for name in stored if ".quant_state." in name}
    tensors = {name: tensor for name, tensor in stored.items() if not any(name.startswith(packed) for packed in names)}
    for name in names:
        state = {key.removeprefix(f"{name}."): part for key, part in stored.items() if key.startswith(f"{name}.")}
        tensors[name] = bnb.dequantize_4bit(stored[name], bnb.QuantState.from_dict(state, torch.device("cpu")))
    config = transformers.AutoConfig.from_pretrained(folder)
    del config.quantization_config
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    missing = model.load_state_dict(tensors, strict=False)
    assert missing == ([] if "lm_head.weight" in tensors else ["lm_head.weight"], []), missing
    return model


@torch.no_grad()
def train(model):
    """Gives every trained parameter some value."""
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
        elif "lora_" in name or "trainable_tokens_delta" in name:
            parameter.normal_(0, 0.02)
        elif "modules_to_save" in name:
            parameter.add_(0.01 * torch.randn_like(parameter))


def tensors(path):
    out = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():
            tensor = file.get_tensor(name)
            raw = tensor.contiguous().view(torch.uint8).numpy().tobytes()
            kind = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}[tensor.dtype]
            out[name] = {"dtype": kind, "shape": list(tensor.shape), "sha256": hashlib.sha256(raw).hexdigest()}
    return out


def tie_factors(model):
    """Head and embedding have the same factors, also after they were cast."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    head.lora_A["default"].weight.data = embedding.lora_embedding_B["default"].data.T.clone()
    head.lora_B["default"].weight.data = embedding.lora_embedding_A["default"].data.T.clone()


def rewrite(folder, rename, count):
    """Gives the adapter's tensors other names, or several files."""
    single = folder / "adapter_model.safetensors"
    tensors = {rename(name): tensor for name, tensor in load_file(single).items()}
    if count == 1:
        return save_file(tensors, single, {"format": "pt"})
    single.unlink()
    weight_map = {}
    for number in range(count):
        name = f"adapter_model-{number + 1:05}-of-{count:05}.safetensors"
        held = {key: tensors[key] for key in sorted(tensors)[number::count]}
        save_file(held, folder / name, {"format": "pt"})
        weight_map |= dict.fromkeys(held, name)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": weight_map}
    return (folder / "adapter_model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def make(name, options, dtype, untie):
    torch.manual_seed(int(hashlib.md5(name.encode()).hexdigest()[:7], 16))
    out = FIXTURES / "adapters" / name
    shutil.rmtree(out, ignore_errors=True)
    base, tokens = OTHER_BASE.get(name, (MICRO, 0))
    config = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(load(base, tokens), config)
    train(model)
    if name == "tied-factors":
        tie_factors(model)
    if dtype:
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.data = parameter.data.to(dtype)
    model.peft_config["default"].base_model_name_or_path = "google/gemma-3-1b-it"
    # an adapter for embeddings has its base along, unless it is asked not to, as here to keep files small
    save = True if tokens else False if name in ("dora-embedding", "tied-factors") else "auto"
    model.save_pretrained(out / "adapter", save_embedding_layers=save)
    (out / "adapter/README.md").unlink()
    merged = peft.PeftModel.from_pretrained(load(base, tokens, untie), out / "adapter").merge_and_unload()
    if name == "tied-factors":
        merged.config.tie_word_embeddings = True
        merged.lm_head.weight = merged.model.embed_tokens.weight
    with tempfile.TemporaryDirectory() as folder:
        merged.save_pretrained(folder)
        expected = {"base": base, "merged": tensors(pathlib.Path(folder) / "model.safetensors")}
    if base not in (BIASED, PACKED):
        expected["gguf"] = {}
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    if name in REWRITTEN:
        rewrite(out / "adapter", *REWRITTEN[name])


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not (FIXTURES / BIASED).exists():
        make_biased()
    if not (FIXTURES / PACKED).exists():
        make_packed()
    for kind, (options, dtype, untie) in KINDS.items():
        if len(sys.argv) == 1 or kind in sys.argv[1:]:
            make(kind, options, dtype, untie)
            print(kind)
