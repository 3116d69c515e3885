"""Makes engine/tests/fixtures/adapters: what PEFT makes of every kind of adapter on the Gemma 3 fixture.

Run in the environment of scripts/test-peers. Where an adapter belongs to one of two tensors that the base ties, the
base is untied first, as PEFT itself recommends: merged into the shared tensor the result would say something else
than base and adapter do.
"""

import hashlib
import json
import pathlib
import shutil
import tempfile

import peft
import torch
import transformers
from safetensors import safe_open

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
BASE = FIXTURES / "gemma3-micro/base"
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
}


def load(untie):
    if not untie:
        return transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype="auto")
    model = transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype="auto", tie_word_embeddings=False)
    model.lm_head.weight.data = model.model.embed_tokens.weight.data.clone()
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


def make(name, options, dtype, untie):
    torch.manual_seed(int(hashlib.md5(name.encode()).hexdigest()[:7], 16))
    out = FIXTURES / "adapters" / name
    shutil.rmtree(out, ignore_errors=True)
    config = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(load(False), config)
    train(model)
    if dtype:
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.data = parameter.data.to(dtype)
    model.peft_config["default"].base_model_name_or_path = "google/gemma-3-1b-it"
    model.save_pretrained(out / "adapter")
    (out / "adapter/README.md").unlink()
    merged = peft.PeftModel.from_pretrained(load(untie), out / "adapter").merge_and_unload()
    with tempfile.TemporaryDirectory() as folder:
        merged.save_pretrained(folder)
        expected = {"base": "gemma3-micro", "merged": tensors(pathlib.Path(folder) / "model.safetensors"), "gguf": {}}
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for kind, (options, dtype, untie) in KINDS.items():
        make(kind, options, dtype, untie)
        print(kind)
