"""Makes engine/tests/fixtures/families: models of every family and shape, and what llama.cpp's converter makes of them.

Run in the environment of scripts/test-peers, with the folder of llama.cpp's sources and the names of the cases to make
(all by default). Weights are random, from fixed seeds; the tokenizers are those of the other fixtures.
"""

import argparse
import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zlib

import llama_cpp
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
OUT = FIXTURES / "families"
# numbers of llama_ftype
QUANTISED = dict(q4_0=2, q2_k=10, q3_k_m=12, q4_k_m=15, q6_k=18, iq4_xs=30)
TEXT = dict(vocab_size=768, max_position_embeddings=2048, sliding_window=64, bos_token_id=2, eos_token_id=1,
            pad_token_id=0, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)


@torch.no_grad()
def randomise(model, name):
    """Gives every parameter and saved buffer values that differ from those of a fresh model."""
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for key, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=random)
            scale = 1 / max(tensor.shape[-1], 1) ** 0.5 if tensor.dim() > 1 else 0.1
            centre = 1.0 if key.endswith(("scale", "scalar", "router.scale")) else 0.0
            centre += dict(_min=-10.0, _max=10.0).get(key[-4:], 0.0)  # what clips
            tensor.copy_(values * scale + centre)
    return model


def tokenizer(target, source="gemma3-micro", saved=False):
    """Copies a tokenizer; `saved` as transformers 5 saves it, without tokenizer.model."""
    source = FIXTURES / source / "base"
    if saved:
        transformers.AutoTokenizer.from_pretrained(source).save_pretrained(target)
        return
    for name in ["tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(source / name, target)


def images(family, target):
    processor = dict(image_mean=[0.0, 0.0, 0.0], image_std=[1.0, 1.0, 1.0], patch_size=4,
                     image_processor_type=f"{family}ImageProcessor")
    write(target / "processor_config.json", dict(image_processor=processor, processor_class=f"{family}Processor"))


def gemma_embedding(target):
    config = transformers.Gemma3TextConfig(
        **TEXT | dict(num_hidden_layers=7), hidden_size=64, intermediate_size=96, head_dim=32,
        query_pre_attn_scalar=32, use_bidirectional_attention=True)
    save(transformers.Gemma3TextModel(config), "gemma-embedding", target)
    tokenizer(target)
    modules = [("1_Pooling", "sentence_transformers.models.Pooling"), ("2_Dense", "sentence_transformers.models.Dense"),
               ("3_Dense", "sentence_transformers.models.Dense")]
    entries = [dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer")]
    entries += [dict(idx=i, name=str(i), path=path, type=kind) for i, (path, kind) in enumerate(modules, 1)]
    write(target / "modules.json", entries)
    write(target / "1_Pooling/config.json", dict(word_embedding_dimension=64, pooling_mode_cls_token=False,
                                                 pooling_mode_mean_tokens=True))
    for folder, (inside, outside) in {"2_Dense": (64, 128), "3_Dense": (128, 64)}.items():
        write(target / folder / "config.json", dict(in_features=inside, out_features=outside, bias=False))
        dense = torch.nn.ModuleDict({"linear": torch.nn.Linear(inside, outside, bias=False)}).bfloat16()
        save_file(randomise(dense, folder).state_dict(), target / folder / "model.safetensors")


def gemma3n(target):
    config = transformers.Gemma3nTextConfig(
        **TEXT, hidden_size=64, intermediate_size=[128, 128], head_dim=32, vocab_size_per_layer_input=704,
        hidden_size_per_layer_input=256, num_kv_shared_layers=0, laurel_rank=64,
        layer_types=["sliding_attention", "sliding_attention"], activation_sparsity_pattern=[0.95, 0.95])
    save(transformers.Gemma3nForCausalLM(config), "gemma3n", target)
    tokenizer(target)


def rope():
    return {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0}}


def gemma4(target, **options):
    fixed = dict(TEXT) | dict(hidden_size=64, intermediate_size=96, head_dim=32, global_head_dim=64,
                              final_logit_softcapping=30.0, rope_parameters=rope()) | options
    config = transformers.Gemma4TextConfig(**fixed)
    save(transformers.Gemma4ForCausalLM(config), target.parent.name, target)
    tokenizer(target, saved=True)


def gemma4_dense(target):
    gemma4(target, num_hidden_layers=6, hidden_size_per_layer_input=32, vocab_size_per_layer_input=768,
           num_kv_shared_layers=2, use_double_wide_mlp=True,
           layer_types=["sliding_attention", "full_attention"] * 3)


def gemma4_moe(target):
    gemma4(target, num_hidden_layers=3, hidden_size_per_layer_input=0, attention_k_eq_v=True, enable_moe_block=True,
           num_experts=4, top_k_experts=2, moe_intermediate_size=32, num_global_key_value_heads=1,
           num_key_value_heads=2, num_attention_heads=4,
           layer_types=["sliding_attention", "sliding_attention", "full_attention"])


def gemma3_vision(target):
    text = transformers.Gemma3TextConfig(**TEXT, hidden_size=64, intermediate_size=96, head_dim=32, query_pre_attn_scalar=32)
    vision = transformers.SiglipVisionConfig(hidden_size=48, intermediate_size=80, num_hidden_layers=2,
                                             num_attention_heads=2, image_size=56, patch_size=14)
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4,
                                       boi_token_index=5, eoi_token_index=6, image_token_index=7)
    save(transformers.Gemma3ForConditionalGeneration(config), "gemma3-vision", target)
    tokenizer(target)
    write(target / "preprocessor_config.json",
          dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5], image_seq_length=4,
               image_processor_type="Gemma3ImageProcessor", size=dict(height=56, width=56)))
    write(target / "processor_config.json", dict(image_seq_length=4, processor_class="Gemma3Processor"))


def gemma4_towers(target):
    text = transformers.Gemma4TextConfig(**TEXT, hidden_size=64, intermediate_size=96, head_dim=32, global_head_dim=64,
                                         hidden_size_per_layer_input=0, rope_parameters=rope(),
                                         layer_types=["sliding_attention", "full_attention"])
    vision = transformers.Gemma4VisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, head_dim=16,
                                             num_attention_heads=2, num_key_value_heads=2, patch_size=4,
                                             position_embedding_size=128, use_clipped_linears=True, standardize=True)
    audio = transformers.Gemma4AudioConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=1,
                                           subsampling_conv_channels=[128, 4], output_proj_dims=48)
    config = transformers.Gemma4Config(text_config=text, vision_config=vision, audio_config=audio)
    save(transformers.Gemma4ForConditionalGeneration(config), "gemma4-towers", target)
    tokenizer(target, saved=True)
    images("Gemma4", target)


def gemma4_unified(target):
    text = transformers.Gemma4UnifiedTextConfig(**TEXT, hidden_size=64, intermediate_size=96, head_dim=32,
                                                global_head_dim=64, attention_k_eq_v=True, num_global_key_value_heads=1,
                                                layer_types=["sliding_attention", "full_attention"],
                                                rope_parameters=rope())
    vision = transformers.Gemma4UnifiedVisionConfig(patch_size=4, mm_embed_dim=64, mm_posemb_size=32, output_proj_dims=64)
    audio = transformers.Gemma4UnifiedAudioConfig(audio_embed_dim=640)
    config = transformers.Gemma4UnifiedConfig(text_config=text, vision_config=vision, audio_config=audio)
    save(transformers.Gemma4UnifiedForConditionalGeneration(config), "gemma4-unified", target)
    tokenizer(target, saved=True)
    images("Gemma4Unified", target)
    generation = json.loads((target / "generation_config.json").read_text())
    write(target / "generation_config.json", generation | dict(suppress_tokens=[5, 6, 7]))


CASES = {"gemma3-vision": gemma3_vision, "gemma4-towers": gemma4_towers, "gemma4-unified": gemma4_unified, "gemma-embedding": gemma_embedding, "gemma3n": gemma3n, "gemma4-dense": gemma4_dense, "gemma4-moe": gemma4_moe}
# adapters that change towers: the base, and the modules
TUNED = {"gemma4-towers-tuned": ("gemma4-towers", r".*vision_tower.*(q_proj\.linear|input_proj)|.*audio_tower.*ffw_layer_1\.linear")}


def save(model, name, target, dtype=torch.bfloat16):
    randomise(model.to(dtype), name).save_pretrained(target)


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def convert(llama_cpp_sources, model, kind, target, *options):
    environment = os.environ | {"PYTHONPATH": str(llama_cpp_sources / "gguf-py")}
    command = [sys.executable, llama_cpp_sources / "convert_hf_to_gguf.py", model, "--outtype", kind, "--outfile", target]
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def quantise(source, target, kind):
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = kind, 2
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)) == 0


def digest(path):
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def name_as_before(path):
    """Names of the vision tower as transformers gave them before version 5: the converter knows no others."""
    tensors = {name.replace("vision_tower.", "vision_tower.vision_model."): t for name, t in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})


def tuned(sources, name, base, modules):
    """An adapter for the towers of another case's base, and what the converter makes of them when it is merged."""
    out, base = OUT / name, f"families/{base}"
    model = transformers.AutoModelForImageTextToText.from_pretrained(FIXTURES / base / "base", dtype="auto")
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=8, target_modules=modules))
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=random)
    adapted.peft_config["default"].base_model_name_or_path = "google/gemma-4-E2B-it"
    adapted.save_pretrained(out / "adapter")
    (out / "adapter/README.md").unlink()
    with tempfile.TemporaryDirectory() as folder:
        merged = pathlib.Path(folder) / "merged"
        shutil.copytree(FIXTURES / base / "base", merged)
        adapted.merge_and_unload().save_pretrained(merged)
        found = projectors(sources, merged, pathlib.Path(folder))
        for kind in ["f32", "q8_0"]:
            convert(sources, merged, kind, pathlib.Path(folder) / "text.gguf")
            found[kind] = digest(pathlib.Path(folder) / "text.gguf")
    write(out / "expected.json", {"base": base, "gguf": found})


def projectors(sources, model, folder):
    """What the converter makes of a model's towers."""
    found = {}
    for kind in ["f32", "f16", "bf16", "q8_0"]:
        convert(sources, model, kind, folder / "mmproj.gguf", "--mmproj")
        found[f"mmproj-{kind}"] = digest(folder / "mmproj.gguf")
    return found


def say_no_experts(path):
    """The converter asks every Gemma 4 for the width of its experts, of which Gemma 4 Unified has none."""
    config = json.loads(path.read_text())
    if config["model_type"].startswith("gemma4_unified"):
        config["text_config"] |= dict(moe_intermediate_size=None)
        write(path, config)


def expected(sources, base):
    """What the converter makes of a model in a folder called `merged`, and llama-quantize of its bf16 file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "merged"
        shutil.copytree(base, model)
        say_no_experts(model / "config.json")
        options = ["--sentence-transformers-dense-modules"] if (model / "modules.json").exists() else []
        for kind in ["f32", "f16", "bf16", "q8_0"]:
            convert(sources, model, kind, folder / f"{kind}.gguf", *options)
            found[kind] = digest(folder / f"{kind}.gguf")
        for kind, number in QUANTISED.items():
            quantise(folder / "bf16.gguf", folder / "out.gguf", number)
            found[f"{kind}-from-bf16"] = digest(folder / "out.gguf")
        if (model / "processor_config.json").exists():
            if json.loads((model / "config.json").read_text())["model_type"] == "gemma3":
                name_as_before(model / "model.safetensors")
            found |= projectors(sources, model, folder)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in args.cases or [*CASES, *TUNED]:
        if name in TUNED:
            shutil.rmtree(OUT / name, ignore_errors=True)
            tuned(args.sources.resolve(), name, *TUNED[name])
            continue
        base = OUT / name / "base"
        shutil.rmtree(base.parent, ignore_errors=True)
        base.mkdir(parents=True)
        CASES[name](base)
        write(base.parent / "expected.json", {"gguf": expected(args.sources.resolve(), base)})
        print(name, sum(f.stat().st_size for f in base.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
