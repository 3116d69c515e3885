"""Quantizes small random models to every type with the command and with llama-quantize, and compares all bytes.

    .venv-peers/bin/python -m tools.compat.quantize_sweep [--seed N] [--count N]

Each model has a seed, which is printed. A file of each model has types of single tensors, selected at random. With LLAMA_CPP_DIR (llama.cpp's source) the files that llama-quantize reads,
and q8_0, are also compared with those of llama.cpp's converter.
"""

import argparse
import random
import sys

import gguf
import torch
import transformers

from tools.common import (
    CONVERTED_TYPES,
    FIXTURES,
    QUANTIZED_TYPES,
    Results,
    Shape,
    ToolError,
    copy_tokenizer,
    export,
    llama_cpp_source,
    quantize,
    run_converter,
    scratch_folder,
    silence,
)

FAMILIES = {"gemma": "gemma1-micro", "gemma2": "gemma2-micro", "gemma3_text": "gemma3-micro"}
# types of tensors that the command writes
TENSOR_TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
# metadata that the converter takes from the name of the folder, and the command from that of the model
NAME_METADATA = (
    "general.name",
    "general.basename",
    "general.size_label",
    "general.finetune",
    "general.version",
    "general.organization",
    "general.quantized_by",
)


class Case:
    """The model of one seed."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.seed, self.rng = seed, rng
        self.family = rng.choice(list(FAMILIES))
        self.dtype = rng.choice([torch.bfloat16, torch.bfloat16, torch.float16, torch.float32])
        self.shape = Shape(
            hidden=rng.choice([32, 64, 96, 128, 192, 256, 256, 288, 320, 512, 512, 768]),
            intermediate=rng.choice([64, 96, 128, 160, 256, 384, 512, 544, 768, 1024]),
            layers=rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 11, 16]),
            heads=rng.choice([(1, 1, 64), (2, 1, 32), (4, 2, 64), (4, 4, 32), (2, 2, 128), (8, 1, 32), (2, 1, 96)]),
        )
        # llama.cpp has no lm_head for Gemma 1 and 2
        self.tied = self.family != "gemma3_text" or rng.random() < 0.5
        self.extra_rows = rng.choice([0, 0, 0, 1, 64])

    def __str__(self):
        return (
            f"{self.seed:5} {self.family:11} {str(self.dtype).removeprefix('torch.'):8} {self.shape} "
            f"heads {self.shape.heads} {'tied' if self.tied else 'untied'} +{self.extra_rows}"
        )

    def make(self, folder):
        fixture = FAMILIES[self.family]
        vocab_size = transformers.AutoConfig.from_pretrained(FIXTURES / fixture / "base").vocab_size + self.extra_rows
        torch.manual_seed(self.seed)
        model = self.shape.model(self.family, vocab_size=vocab_size, tie_word_embeddings=self.tied)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
                if parameter.dim() == 2:
                    # rows and blocks with cases of their own in quantizers: zeros, one value, outliers
                    parameter[self.rng.randrange(parameter.shape[0])] = 0
                    parameter[self.rng.randrange(parameter.shape[0])] = 0.5
                    parameter[self.rng.randrange(parameter.shape[0]), :32] *= 100
        model.to(self.dtype).save_pretrained(folder, max_shard_size=self.rng.choice(["5GB", "200KB"]))
        copy_tokenizer(fixture, folder)


def contents(path):
    reader = gguf.GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items() if name not in NAME_METADATA}
    for name in ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"):
        metadata.pop(name, None)
    return metadata, [(t.name, t.tensor_type.name, t.data.tobytes()) for t in reader.tensors]


def differences(ours, theirs):
    (our_metadata, our_tensors), (their_metadata, their_tensors) = contents(ours), contents(theirs)
    for name in sorted(our_metadata.keys() | their_metadata.keys()):
        if our_metadata.get(name) != their_metadata.get(name):
            yield f"metadata {name}: {str(our_metadata.get(name))[:60]} and {str(their_metadata.get(name))[:60]}"
    if [t[0] for t in our_tensors] != [t[0] for t in their_tensors]:
        yield "other tensors, or another order"
    for one, other in zip(our_tensors, their_tensors):
        if one != other:
            yield f"tensor {one[0]}: {one[1]} and {other[1]}"


def compare_quantized(source, folder, file_type, types=None):
    """Differences from llama-quantize's file."""
    ours, theirs = folder / f"{file_type}.gguf", folder / "theirs.gguf"
    quantize(source, theirs, file_type, types=types)
    if ours.read_bytes() != theirs.read_bytes():
        yield from list(differences(ours, theirs))[:5] or ["other bytes"]


def compare_converted(base, folder, file_type):
    """Differences from the converter's file, but for what it takes from the folder's name."""
    theirs = folder / "theirs.gguf"
    run_converter("convert_hf_to_gguf.py", base, "--outtype", file_type, "--outfile", theirs)
    yield from list(differences(folder / f"{file_type}.gguf", theirs))[:5]


def random_types(rng, shape):
    """Types that replace those of the rules, as in a report. Those without a fallback fit the rows."""
    kinds = [kind for kind in gguf.GGMLQuantizationType if kind.name in TENSOR_TYPES]
    whole = [kind.name for kind in kinds if shape.hidden % gguf.GGML_QUANT_SIZES[kind][0] == 0]
    names = [
        "attn_v",
        "attn_(q|k)",
        r"blk\.[0-2]\.",
        "ffn_(up|gate).weight$",
        "^output",
        "token_embd",
        "norm",
        "down",
        r"blk\.\d*[13579]\.",
    ]
    types = {
        "tensors": [
            {"name": name, "type": rng.choice(kinds).name} for name in rng.sample(names, rng.choice([0, 1, 2, 3]))
        ],
        "pure": rng.random() < 0.3,
    }
    for option in ("output", "token_embedding"):
        if rng.random() < 0.4:
            types[option] = rng.choice(whole)
    return types


def arguments(types):
    """The options of the command for these types."""
    for named in types["tensors"]:
        yield from ("--tensor-type", f"{named['name']}={named['type']}")
    for name, option in (("output", "--output-tensor-type"), ("token_embedding", "--token-embedding-type")):
        if name in types:
            yield from (option, types[name])
    if types["pure"]:
        yield "--pure"


def compare_types(case, base, source, folder):
    """Differences of a file with random types of tensors."""
    # another generator, so that the models of the seeds stay what they are
    rng = random.Random(f"types {case.seed}")
    types = random_types(rng, case.shape)
    if not (types["tensors"] or len(types) > 2 or types["pure"]):
        return
    file_type = rng.choice([*QUANTIZED_TYPES, "q8_0"])
    label = f"{file_type} {' '.join(arguments(types))}"
    try:
        path = folder / f"{file_type}.gguf"
        export("gguf", "--base", base, "--quant", file_type, *arguments(types), "--out", path, "--force")
    except ToolError as error:
        yield f"{label}: {last_line(error)}"
        return
    yield from labeled(label, compare_quantized(source, folder, file_type, types))


def labeled(file_type, found):
    """Differences, or how a peer fails, behind the name of the type."""
    try:
        yield from (f"{file_type}: {what}" for what in found)
    except ToolError as error:
        yield f"{file_type}: {last_line(error)}"


def last_line(error):
    return str(error).splitlines()[-1]


def compare(case, folder):
    base = folder / "base"
    case.make(base)
    file_types = ",".join(CONVERTED_TYPES + QUANTIZED_TYPES)
    try:
        export("gguf", "--base", base, "--quant", file_types, "--out", folder / "{quant}.gguf")
    except ToolError as error:
        yield last_line(error)
        return
    source = folder / ("bf16.gguf" if case.dtype == torch.bfloat16 else "f32.gguf")
    for file_type in QUANTIZED_TYPES:
        yield from labeled(file_type, compare_quantized(source, folder, file_type))
    for file_type in CONVERTED_TYPES if llama_cpp_source() else []:
        yield from labeled(file_type, compare_converted(base, folder, file_type))
    yield from compare_types(case, base, source, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    silence()
    results = Results()
    if not llama_cpp_source():
        results.skipped("llama.cpp's converter:", "LLAMA_CPP_DIR is not set")
    for seed in range(args.seed, args.seed + args.count):
        case = Case(seed)
        with scratch_folder() as folder:
            results.compared(case, list(compare(case, folder)))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
