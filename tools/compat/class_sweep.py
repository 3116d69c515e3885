"""Merges an adapter into a small model of every Gemma class with PEFT and with the command, and compares every tensor.

    .venv-peers/bin/python -m tools.compat.class_sweep [CLASS ...]

A class that the command refuses to merge must be refused by name. What `gguf` does with a class is printed beside it.
"""

import functools
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

from tools.common import (
    FIXTURES,
    Results,
    assert_all_factors,
    copy_tokenizer,
    randomize_adapter,
    scratch_folder,
    silence,
    try_export,
)

TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 768,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "sliding_window": 64,
}
SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}
GEMMA4_VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
GEMMA4_VISION |= {"num_key_value_heads": 2, "head_dim": 16, "patch_size": 4, "position_embedding_size": 64}
MULTIMODAL = {"text_config": TEXT, "vision_config": SIGLIP, "image_token_index": 5}
EXPERTS = TEXT | {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32, "enable_moe_block": True}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# class: (configuration class, its fields, PEFT's options)
CLASSES = {
    "GemmaForCausalLM": ("GemmaConfig", TEXT, {}),
    "Gemma2ForCausalLM": ("Gemma2Config", TEXT, {}),
    "Gemma3ForCausalLM": ("Gemma3TextConfig", TEXT, {}),
    "Gemma3TextModel": ("Gemma3TextConfig", TEXT, {}),
    "Gemma3ForConditionalGeneration": ("Gemma3Config", MULTIMODAL, {}),
    "GemmaForSequenceClassification": ("GemmaConfig", TEXT, {"task_type": "SEQ_CLS", "target_modules": LINEAR}),
    "Gemma2ForSequenceClassification": ("Gemma2Config", TEXT, {"task_type": "SEQ_CLS", "target_modules": LINEAR}),
    "Gemma3TextForSequenceClassification": (
        "Gemma3TextConfig",
        TEXT,
        {"task_type": "SEQ_CLS", "target_modules": LINEAR},
    ),
    "GemmaForTokenClassification": ("GemmaConfig", TEXT, {"task_type": "TOKEN_CLS", "target_modules": LINEAR}),
    "Gemma4ForCausalLM": (
        "Gemma4TextConfig",
        EXPERTS | {"hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 768},
        {"target_parameters": ["experts.gate_up_proj", "experts.down_proj"]},
    ),
    "Gemma4UnifiedForCausalLM": ("Gemma4UnifiedTextConfig", TEXT, {}),
    "PaliGemmaForConditionalGeneration": (
        "PaliGemmaConfig",
        {
            "text_config": TEXT | {"model_type": "gemma"},
            "vision_config": SIGLIP | {"projection_dim": 64, "vision_use_head": False},
            "hidden_size": 64,
            "projection_dim": 64,
            "image_token_index": 5,
        },
        {},
    ),
    "ShieldGemma2ForImageClassification": ("ShieldGemma2Config", MULTIMODAL, {"target_modules": LINEAR}),
    "VaultGemmaForCausalLM": ("VaultGemmaConfig", TEXT, {}),
    "RecurrentGemmaForCausalLM": ("RecurrentGemmaConfig", TEXT | {"num_hidden_layers": 3, "lru_width": 64}, {}),
    "T5GemmaForConditionalGeneration": ("T5GemmaConfig", {"encoder": TEXT, "decoder": TEXT, "vocab_size": 768}, {}),
    "T5Gemma2ForConditionalGeneration": (
        "T5Gemma2Config",
        {"encoder": MULTIMODAL, "decoder": TEXT, "eoi_token_index": 6, "image_token_index": 5},
        {},
    ),
    "EmbeddingGemma2TextModel": (
        "EmbeddingGemma2TextConfig",
        TEXT | {"hidden_size_per_layer_input": 16, "embedding_dim": 48},
        {},
    ),
    "DiffusionGemmaForBlockDiffusion": (
        "DiffusionGemmaConfig",
        {
            "text_config": TEXT | {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32},
            "vision_config": GEMMA4_VISION | {"model_type": "gemma4_vision"},
            "image_token_id": 5,
        },
        # its encoder shares the decoder's weights; changes to both would be added to one tensor
        {"target_modules": r".*decoder\..*_proj"},
    ),
}


# A class that transformers does not have.
DSPARK = "Gemma4DSparkModel"
DSPARK_MODULES = [*LINEAR, "fc", "markov_w2", "proj"]


def dspark(folder):
    """A DSpark drafter's tensors in modules of their names, which is all that PEFT needs."""
    model = torch.nn.Module()
    loaded = load_file(folder / "model.safetensors")
    # a linear layer has its bias from the start
    for name in sorted(loaded, key=lambda name: name.endswith(".bias")):
        *parents, leaf = name.split(".")
        tensor = loaded[name]
        module = model
        for parent in parents[:-1]:
            module = child(module, parent, torch.nn.Module)
        if leaf == "weight" and tensor.dim() == 2:
            linear = functools.partial(torch.nn.Linear, *reversed(tensor.shape), f"{name[:-7]}.bias" in loaded)
            child(module, parents[-1], linear)
        else:
            module = child(module, parents[-1], torch.nn.Module)
            if not hasattr(module, leaf):
                module.register_parameter(leaf, torch.nn.Parameter(tensor))
    model.to(torch.bfloat16).load_state_dict(loaded)
    return model


def child(module, name, make):
    """A module within another one, made if it is not there."""
    if not hasattr(module, name):
        module.add_module(name, make())
    return getattr(module, name)


def make_base(name, folder):
    """A new model of the class in bf16, saved."""
    if name == DSPARK:
        shutil.copytree(FIXTURES / "families/gemma4-dspark/base", folder)
        return
    config_class, fields, _ = CLASSES[name]
    torch.manual_seed(1)
    config = getattr(transformers, config_class)(**fields)
    model = getattr(transformers, name)(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    copy_tokenizer("gemma3-micro", folder)


def load(name, folder):
    if name == DSPARK:
        return dspark(folder)
    return getattr(transformers, name).from_pretrained(folder, dtype="auto")


def save(model, folder):
    if isinstance(model, transformers.PreTrainedModel):
        model.save_pretrained(folder)
    else:
        folder.mkdir()
        save_file(model.state_dict(), folder / "model.safetensors")


def differences(ours, theirs):
    """What is wrong with our tensors, by name."""
    wrong = [f"only ours: {key}" for key in sorted(ours.keys() - theirs.keys())]
    wrong += [f"only PEFT's: {key}" for key in sorted(theirs.keys() - ours.keys())]
    bits = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}
    for key in sorted(ours.keys() & theirs.keys()):
        one, other = ours[key], theirs[key]
        same = one.dtype == other.dtype and one.shape == other.shape
        if not (same and torch.equal(one.view(bits[one.dtype]), other.view(bits[other.dtype]))):
            wrong.append(f"differs: {key}")
    return wrong


def tensors(folder):
    loaded = {}
    for path in sorted(folder.glob("model*.safetensors")):
        loaded |= load_file(path)
    return loaded


def check(name):
    """What `gguf` and `merge` do with the class."""
    with scratch_folder() as folder:
        make_base(name, folder / "base")
        options = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
        options |= {"target_modules": DSPARK_MODULES} if name == DSPARK else CLASSES[name][2]
        model = peft.get_peft_model(load(name, folder / "base"), peft.LoraConfig(**options))
        randomize_adapter(model)
        model.save_pretrained(folder / "adapter", save_embedding_layers=False)
        merged = peft.PeftModel.from_pretrained(load(name, folder / "base"), folder / "adapter").merge_and_unload()
        save(merged, folder / "theirs")
        gguf = try_export("gguf", "--base", folder / "base", "--out", folder / "m.gguf", "--quant", "f16")
        converted = "made" if gguf.returncode == 0 else gguf.stderr.strip().splitlines()[0]
        done = try_export("merge", "--base", folder / "base", "--adapter", folder / "adapter", "--out", folder / "ours")
        assert not done.returncode, done.stderr[:1000]
        assert_all_factors(folder / "ours")
        theirs = tensors(folder / "theirs")
        wrong = differences(tensors(folder / "ours"), theirs)
        assert not wrong, "\n".join(wrong[:8])
        load(name, folder / "ours")
        return f"merge: {len(theirs)} tensors equal; gguf: {converted}"


def main():
    silence()
    results = Results()
    for name in sys.argv[1:] or [*CLASSES, DSPARK]:
        results.check(f"{name:36}", check, name)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
