"""Quantises small models of many shapes with `export` and with llama-quantize, to every type, and compares the files
byte for byte. Each model comes from a seed, which is printed. With LLAMA_CPP_DIR (llama.cpp's source) the files that
llama-quantize starts from, and q8_0, are compared with those of its converter, too.

    .venv-peers/bin/python scripts/test-peers-types.py --export target/release/export [--seeds 40] [--seed N]
"""

import argparse
import ctypes
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import torch
import transformers

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
FAMILIES = {"gemma": "gemma1-micro", "gemma2": "gemma2-micro", "gemma3_text": "gemma3-micro"}
# numbers of llama_ftype
TYPES = dict(q4_0=2, q4_1=3, q5_0=8, q5_1=9, q2_k=10, q3_k_s=11, q3_k_m=12, q3_k_l=13, q4_k_s=14, q4_k_m=15,
             q5_k_s=16, q5_k_m=17, q6_k=18, iq4_nl=25, iq4_xs=30)
CONVERTED = ["f32", "f16", "bf16", "q8_0"]
# what the converter makes of a folder's name, and we of a model's
OF_THE_NAME = ("general.name", "general.basename", "general.size_label", "general.finetune", "general.version",
               "general.organization", "general.quantized_by")


class Case:
    def __init__(self, seed):
        rng = random.Random(seed)
        self.seed, self.rng = seed, rng
        self.family = rng.choice(list(FAMILIES))
        self.dtype = rng.choice([torch.bfloat16, torch.bfloat16, torch.float16, torch.float32])
        self.hidden = rng.choice([32, 64, 96, 128, 192, 256, 256, 288, 320, 512, 512, 768])
        self.ffn = rng.choice([64, 96, 128, 160, 256, 384, 512, 544, 768, 1024])
        self.layers = rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 11, 16])
        self.heads = rng.choice([(1, 1, 64), (2, 1, 32), (4, 2, 64), (4, 4, 32), (2, 2, 128), (8, 1, 32), (2, 1, 96)])
        # llama.cpp has no head for Gemma 1 and 2
        self.tied = self.family != "gemma3_text" or rng.random() < 0.5
        self.surplus = rng.choice([0, 0, 0, 1, 64])

    def __str__(self):
        return (f"{self.seed:5} {self.family:11} {str(self.dtype).removeprefix('torch.'):8} {self.hidden}x{self.ffn}x{self.layers} "
                f"heads {self.heads} {'tied' if self.tied else 'untied'} +{self.surplus}")

    def make(self, folder):
        source = FIXTURES / FAMILIES[self.family] / "base"
        given = transformers.AutoConfig.from_pretrained(source)
        heads, kv, dim = self.heads
        config = transformers.AutoConfig.for_model(
            self.family, hidden_size=self.hidden, intermediate_size=self.ffn, num_hidden_layers=self.layers,
            num_attention_heads=heads, num_key_value_heads=kv, head_dim=dim, vocab_size=given.vocab_size + self.surplus,
            tie_word_embeddings=self.tied, pad_token_id=0, bos_token_id=2, eos_token_id=1,
        )
        torch.manual_seed(self.seed)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
                if parameter.dim() == 2:
                    # rows and blocks that quantisers treat apart: nothing, one value, far outliers
                    parameter[self.rng.randrange(parameter.shape[0])] = 0
                    parameter[self.rng.randrange(parameter.shape[0])] = 0.5
                    parameter[self.rng.randrange(parameter.shape[0]), :32] *= 100
        model.to(self.dtype).save_pretrained(folder, max_shard_size=self.rng.choice(["5GB", "200KB"]))
        for file in ("tokenizer.model", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json"):
            if (source / file).exists():
                shutil.copy(source / file, folder)


def quantise(source, target, kind):
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = kind, 2
    return llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)) == 0


def contents(path):
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if name not in OF_THE_NAME}
    for gone in ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"):
        keys.pop(gone, None)
    return keys, [(t.name, t.tensor_type.name, t.data.tobytes()) for t in reader.tensors]


def differences(ours, theirs):
    (our_keys, our_tensors), (their_keys, their_tensors) = contents(ours), contents(theirs)
    for name in sorted(our_keys.keys() | their_keys.keys()):
        if our_keys.get(name) != their_keys.get(name):
            yield f"key {name}: {str(our_keys.get(name))[:60]} and {str(their_keys.get(name))[:60]}"
    if [t[0] for t in our_tensors] != [t[0] for t in their_tensors]:
        yield "other tensors, or another order"
    for one, other in zip(our_tensors, their_tensors):
        if one != other:
            yield f"tensor {one[0]}: {one[1]} and {other[1]}"


def compare(case, program, converter, folder):
    base = folder / "base"
    case.make(base)
    names = ",".join(CONVERTED + list(TYPES))
    done = subprocess.run([program, "gguf", "--base", base, "--quant", names, "--out", folder / "{quant}.gguf"], capture_output=True, text=True)
    if done.returncode:
        yield done.stderr.strip().splitlines()[-1]
        return
    source = folder / ("bf16.gguf" if case.dtype == torch.bfloat16 else "f32.gguf")
    theirs = folder / "theirs.gguf"
    for name, kind in TYPES.items():
        ours = folder / f"{name}.gguf"
        if not quantise(source, theirs, kind):
            yield f"{name}: llama-quantize refuses what export makes"
        elif ours.read_bytes() != theirs.read_bytes():
            yield from (f"{name}: {what}" for what in list(differences(ours, theirs))[:5] or ["other bytes"])
    for name in CONVERTED if converter else []:
        done = subprocess.run([sys.executable, converter, base, "--outtype", name, "--outfile", theirs], capture_output=True, text=True)
        if done.returncode:
            yield f"{name}: the converter refuses it: {done.stderr.strip().splitlines()[-1]}"
            continue
        yield from (f"{name}: {what}" for what in list(differences(folder / f"{name}.gguf", theirs))[:5])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", required=True)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    transformers.utils.logging.disable_progress_bar()
    llama = os.environ.get("LLAMA_CPP_DIR")
    converter = pathlib.Path(llama) / "convert_hf_to_gguf.py" if llama else None
    print("types: LLAMA_CPP_DIR is not set: the converter's own files are not compared" if not llama else f"types: beside {converter}")
    failed = 0
    for seed in [args.seed] if args.seed is not None else range(args.seeds):
        case = Case(seed)
        with tempfile.TemporaryDirectory() as folder:
            wrong = list(compare(case, args.export, converter, pathlib.Path(folder)))
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok    '} {case}", *(f"\n         {what}" for what in wrong), sep="", flush=True)
    sys.exit(f"{failed} models differ" if failed else 0)


main()
