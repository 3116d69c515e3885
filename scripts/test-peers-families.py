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


def mobilenet(width, text):
    """A small MobileNetV5 and its projector, by timm's names: a stage of each kind of block, and what fuses the last two."""
    tensors = {"conv_stem.conv.weight": (12, 3, 3, 3), "conv_stem.conv.bias": (12,), "conv_stem.bn.weight": (12,),
               "blocks.0.0.conv_exp.weight": (16, 12, 3, 3), "blocks.0.0.bn1.weight": (16,),
               "blocks.0.0.conv_pwl.weight": (12, 16, 1, 1), "blocks.0.0.bn2.weight": (12,)}
    for stage in (1, 2, 3):
        block = f"blocks.{stage}.0."
        tensors |= {block + "dw_start.conv.weight": (12, 1, 5, 5), block + "dw_start.bn.weight": (12,),
                    block + "pw_exp.conv.weight": (16, 12, 1, 1), block + "pw_exp.bn.weight": (16,),
                    block + "dw_mid.conv.weight": (16, 1, 3, 3), block + "dw_mid.bn.weight": (16,),
                    block + "pw_proj.conv.weight": (12, 16, 1, 1), block + "pw_proj.bn.weight": (12,),
                    block + "layer_scale.gamma": (12,)}
    block = "blocks.3.1."
    tensors |= {block + "norm.weight": (12,), block + "attn.query.proj.weight": (64, 12, 1, 1),
                block + "attn.key.proj.weight": (8, 12, 1, 1), block + "attn.value.proj.weight": (8, 12, 1, 1),
                block + "attn.output.proj.weight": (12, 64, 1, 1), block + "layer_scale.gamma": (12,)}
    for part in ("key", "value"):
        tensors |= {f"{block}attn.{part}.down_conv.weight": (12, 1, 3, 3), f"{block}attn.{part}.norm.weight": (12,)}
    tensors |= {"msfa.ffn.pw_exp.conv.weight": (32, 24, 1, 1), "msfa.ffn.pw_exp.bn.weight": (32,),
                "msfa.ffn.pw_proj.conv.weight": (width, 32, 1, 1), "msfa.ffn.pw_proj.bn.weight": (width,),
                "msfa.norm.weight": (width,)}
    return {f"model.vision_tower.timm_model.{name}": shape for name, shape in tensors.items()} | projector("vision", width, text)


def projector(kind, width, text):
    tensors = {"embedding.weight": (16, width), "hard_embedding_norm.weight": (width,),
               "soft_embedding_norm.weight": (width,), "embedding_projection.weight": (text, width)}
    return {f"model.embed_{kind}.{name}": shape for name, shape in tensors.items()}


def gemma3n_towers(target):
    """Written by hand, because transformers has the vision tower from timm."""
    options = dict(TEXT) | dict(num_hidden_layers=1)
    text = transformers.Gemma3nTextConfig(
        **options, hidden_size=64, intermediate_size=[128], head_dim=32, vocab_size_per_layer_input=704,
        hidden_size_per_layer_input=256, num_kv_shared_layers=0, laurel_rank=64, layer_types=["sliding_attention"],
        activation_sparsity_pattern=[0.95])
    audio = transformers.Gemma3nAudioConfig(hidden_size=32, conf_num_hidden_layers=2, conf_num_attention_heads=2,
                                            sscp_conv_channel_size=[8, 4], input_feat_size=32, vocab_size=16)
    save(transformers.Gemma3nForCausalLM(text), "gemma3n-towers", target)
    tensors = {name.replace("model.", "model.language_model.", 1): tensor
               for name, tensor in load_file(target / "model.safetensors").items()}
    heard = transformers.models.gemma3n.modeling_gemma3n.Gemma3nAudioEncoder(audio)
    towers = torch.nn.Module()
    shapes = mobilenet(64, 64) | projector("audio", 32, 64)
    shapes |= {f"model.audio_tower.{name}": tensor.shape for name, tensor in heard.state_dict().items()}
    towers.state_dict = lambda: tensors_of_towers
    tensors_of_towers = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    save_file(tensors | randomise(towers, "gemma3n-towers").state_dict(), target / "model.safetensors", {"format": "pt"})
    vision = dict(model_type="gemma3n_vision", architecture="mobilenetv5_300m_enc", hidden_size=64, vocab_size=16)
    write(target / "config.json", dict(
        architectures=["Gemma3nForConditionalGeneration"], model_type="gemma3n", dtype="bfloat16",
        text_config=text.to_dict(), vision_config=vision, audio_config=audio.to_dict()))
    tokenizer(target)
    write(target / "preprocessor_config.json", dict(image_seq_length=256, size=dict(height=256, width=256)))
    write(target / "processor_config.json", dict(image_seq_length=256, processor_class="Gemma3nProcessor"))


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


def gemma4_assistant(target):
    """Written by hand, because transformers makes none without the model that it assists."""
    text = transformers.Gemma4TextConfig(**TEXT, hidden_size=64, intermediate_size=96, head_dim=32, global_head_dim=64,
                                         hidden_size_per_layer_input=0, vocab_size_per_layer_input=0,
                                         rope_parameters=rope(), layer_types=["sliding_attention", "full_attention"])
    save(transformers.Gemma4ForCausalLM(text), "gemma4-assistant", target)
    tensors = {name: tensor for name, tensor in load_file(target / "model.safetensors").items()
               if not any(part in name for part in ("k_proj", "v_proj", "k_norm"))}
    random = torch.Generator().manual_seed(4)
    shapes = {"pre_projection.weight": (64, 192), "post_projection.weight": (96, 64), "masked_embedding.centroids.weight": (16, 64)}
    tensors |= {name: (0.1 * torch.randn(shape, generator=random)).bfloat16() for name, shape in shapes.items()}
    tensors["masked_embedding.token_ordering"] = torch.arange(768)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    write(target / "config.json", dict(
        architectures=["Gemma4AssistantForCausalLM"], model_type="gemma4_assistant", dtype="bfloat16",
        text_config=text.to_dict() | dict(architectures=None, num_kv_shared_layers=2), backbone_hidden_size=96, num_centroids=16,
        use_ordered_embeddings=True, tie_word_embeddings=True))
    tokenizer(target, saved=True)


CASES = {"gemma3-vision": gemma3_vision, "gemma3n-towers": gemma3n_towers, "gemma4-towers": gemma4_towers, "gemma4-unified": gemma4_unified, "gemma4-assistant": gemma4_assistant, "gemma-embedding": gemma_embedding, "gemma3n": gemma3n, "gemma4-dense": gemma4_dense, "gemma4-moe": gemma4_moe}
# adapters that change towers: the base, and the modules
TUNED = {"gemma4-towers-tuned": ("gemma4-towers", r".*vision_tower.*(q_proj\.linear|input_proj)|.*audio_tower.*ffw_layer_1\.linear")}


def save(model, name, target, dtype=torch.bfloat16):
    randomise(model.to(dtype), name).save_pretrained(target)


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


# The converter as it is stops at a Gemma 3n: it lost the names of two norms when Gemma 4 got its own. And what scales the
# channels of a block it describes as a vector, on which llama.cpp aborts, though it lays the same out where it is in none.
CONVERTER = """
import gguf, runpy, sys
gguf.TensorNameMap.block_mappings_cfg[gguf.MODEL_TENSOR.A_ENC_CONV1D_NORM] += (
    "model.audio_tower.subsample_conv_projection.conv_{bid}.norm",)
from conversion.gemma import Gemma3nVisionAudioModel as Towers
modified = Towers.modify_tensors
def laid_out(self, *tensor):
    for name, data in modified(self, *tensor):
        yield name, data[None, :, None, None] if name.endswith("layer_scale.gamma") else data
Towers.modify_tensors = laid_out
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def convert(llama_cpp_sources, model, kind, target, *options):
    environment = os.environ | {"PYTHONPATH": f"{llama_cpp_sources}:{llama_cpp_sources / 'gguf-py'}"}
    program = [sys.executable, "-c", CONVERTER, llama_cpp_sources / "convert_hf_to_gguf.py"]
    command = [*program, model, "--outtype", kind, "--outfile", target]
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
