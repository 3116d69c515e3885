"""Makes engine/tests/fixtures/logits.json: what transformers and PEFT answer, in f32, for the engine's own forward
pass to be held to. Adapters for the models in engine/tests/fixtures/families it makes itself, in
engine/tests/fixtures/logits."""

import json
import pathlib
import shutil
import tempfile
import zlib

import peft
import torch
import transformers

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
IDS = [2] + [(n * 37) % 500 + 260 for n in range(40)]
SOME = ["q_proj", "down_proj"]
# case: (folder, what its configuration says instead, what the adapter that is made for it changes)
CASES = {
    **{name: (name, {}, None) for name in ("gemma1-micro", "gemma2-micro", "gemma3-micro")},
    "gemma4-dense": ("families/gemma4-dense", {}, [*SOME, "v_proj", "per_layer_projection"]),
    "gemma4-moe": ("families/gemma4-moe", {}, SOME),
    "gemma4-narrow": ("families/gemma4-dense", dict(sliding_window=8), None),
    "gemma3n": ("families/gemma3n", {}, [*SOME, "k_proj", "linear_left", "per_layer_projection"]),
    "gemma3n-shared": (
        "families/gemma3n",
        dict(sliding_window=8, num_kv_shared_layers=1, activation_sparsity_pattern=[0.95, 0.0]),
        None,
    ),
    "gemma-embedding": ("families/gemma-embedding", {}, SOME),
    "gemma-embedding-narrow": ("families/gemma-embedding", dict(sliding_window=16), None),
}


def load(folder, changes):
    """The model, in f32, with changes to its configuration."""
    with tempfile.TemporaryDirectory() as changed:
        shutil.copytree(folder, changed, dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text()) | changes
        pathlib.Path(changed, "config.json").write_text(json.dumps(config))
        embeds = config["architectures"] == ["Gemma3TextModel"]
        kind = transformers.Gemma3TextModel if embeds else transformers.AutoModelForCausalLM
        return kind.from_pretrained(changed, dtype=torch.float32, attn_implementation="eager")


def make_adapter(name, base, modules, target):
    """Random factors, large enough that predictions differ from the base's."""
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=modules)
    model = peft.get_peft_model(load(base, {}), config)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data = torch.randn(parameter.shape, generator=random) * 0.1
    model.peft_config["default"].base_model_name_or_path = name
    model.to(torch.bfloat16).save_pretrained(target)
    (target / "README.md").unlink()


@torch.no_grad()
def logits(model, ids):
    """The last token's. A model without a head has its embedding read as one, as the engine does."""
    out = model(torch.tensor([ids]))
    if "logits" in out:
        return out.logits[0, -1]
    return out.last_hidden_state[0, -1] @ model.get_input_embeddings().weight.T


answers = {}
for case, (name, changes, modules) in CASES.items():
    base, adapter = FIXTURES / name / "base", FIXTURES / name.replace("families/", "logits/") / "adapter"
    if modules:
        make_adapter(case, base, modules, adapter)
    model = peft.PeftModel.from_pretrained(load(base, changes), adapter).eval()
    found = [float(f"{x:.6g}") for x in logits(model, IDS)[:128].tolist()]
    answers[case] = {"folder": name, "config": changes, "ids": IDS, "logits": found}
(FIXTURES / "logits.json").write_text(json.dumps(answers) + "\n")
