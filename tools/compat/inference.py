"""Loads GGUF files in llama.cpp and merged models in transformers, and compares logits, tokens and embeddings.

    .venv-peers/bin/python -m tools.compat.inference [--cases FOLDER]

The reference is base and adapter in PEFT and transformers.
"""

import argparse
import json
import pathlib
import re
import shutil
import sys

import llama_cpp
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file

from tools.common import FIXTURES, Results, base_of, export, find_cases, scratch_folder, silence

PROMPTS = [
    "The quick brown fox jumps over the lazy dog.",
    "def main():\n    return 42\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
]


def texts():
    """A few hundred strings on which tokenizers differ: spaces, newlines, bytes, emoji, special tokens.

    Left out are a space beside a literal U+2581, and more spaces than the longest token of spaces has. llama.cpp's
    converter stores runs of U+2581 as spaces, and llama.cpp splits a text at these, the longest first, before it
    merges anything; our files equal its files.
    """
    words = [
        "hello",
        "Hello",
        "HELLO",
        "naïve",
        "日本語",
        "Привет",
        "مرحبا",
        "🙂",
        "👩‍👩‍👧",
        "a\u0301",
        "\u200b",
        "§",
        "½",
    ]
    joins = ["", " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "-", "'s "]
    special = ["<start_of_turn>user\nhi<end_of_turn>\n", "<bos>", "<unused3>", "<b>bold</b>", "<mask>", "▁"]
    numbers = ["0", "007", "3.14159", "1,000,000", "-1e-9", "0xFF", "12:34", "x=1;y=2"]
    found = list(PROMPTS) + special + numbers
    found += [a + join + b for join in joins for a, b in zip(words, words[1:] + words[:1])]
    found += [a + joint * n + b for n in range(2, 9) for joint in " \n\t=-" for a, b in (("", ""), ("x", "y"))]
    found += [" " + w for w in words] + [w + " " for w in words] + [f"{n} {w}" for n in numbers for w in words]
    return [t for t in dict.fromkeys(found) if t]


# Adapters that PEFT does not load onto the base as it is. engine/tests/engine/reference compares their merged models with
# those that PEFT made where they were trained.
NOT_FOR_PEFT_ALONE = {
    "gemma4-towers-tuned": "only vision and audio encoders change, not text",
    "multimodal": "it ignores factors named for the multimodal class",
    "resized-tokens": "new tokens that it does not train have random rows",
    "shards": "it reads one file only",
    "unsloth": "it ignores factors named as Unsloth does",
}


def output_types():
    """The types that `gguf --help` lists."""
    listed = re.search(r"--quant.*?possible\s+values:(.*?)]", export("gguf", "--help"), re.DOTALL)[1]
    return listed.replace(",", " ").split()


def load(folder, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    return model(torch.tensor([ids])).logits[0].float().numpy()


def transformers_ids(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


def same_as_merge_and_unload(case, merged):
    """Equal weights give logits that are equal bit for bit."""
    ids = transformers_ids(base_of(case))(PROMPTS[0])
    theirs = peft.PeftModel.from_pretrained(load(base_of(case), "auto"), case / "adapter").merge_and_unload()
    ours = logits(load(merged, "auto"), ids)
    theirs = logits(theirs, ids)
    assert np.array_equal(ours, theirs), f"largest difference {np.abs(ours - theirs).max()}"
    return f"{ours.size} logits equal bit for bit"


def close_to_unmerged(case, merged):
    """Merged weights differ from base and adapter by their rounding to bf16."""
    worst, agree, total = 0.0, 0, 0
    mine = load(merged, torch.float32)
    base = load(base_of(case), torch.float32)
    rows = mine.get_input_embeddings().num_embeddings
    if base.get_input_embeddings().num_embeddings != rows:
        # PEFT loads the rows of an adapter with a larger vocabulary into a base of that size
        base.resize_token_embeddings(rows, mean_resizing=False)
    theirs = peft.PeftModel.from_pretrained(base, case / "adapter").eval()
    for prompt in PROMPTS:
        ids = transformers_ids(base_of(case))(prompt)
        ours, other = logits(mine, ids), logits(theirs, ids)
        worst = max(worst, float(np.abs(ours - other).max() / np.abs(other).max()))
        agree += int((ours.argmax(-1) == other.argmax(-1)).sum())
        total += len(ids)
    assert worst < 0.02 and agree >= 0.95 * total, f"difference {worst:.4f}, {agree} of {total} first choices agree"
    return f"largest difference {worst:.4f} of the largest logit, {agree} of {total} first choices"


def generates(path):
    model = llama_cpp.Llama(str(path), n_ctx=128, n_threads=2, verbose=False, seed=1)
    ids = model.tokenize(PROMPTS[0].encode())
    out = []
    for token in model.generate(ids, temp=0.0):
        out.append(token)
        if len(out) == 16:
            break
    assert len(out) == 16 and all(0 <= t < model.n_vocab() for t in out), out
    return f"{len(out)} tokens: {' '.join(map(str, out[:6]))} …"


def llama_logits(path, merged, tolerance, lora=None):
    model = llama_cpp.Llama(str(path), n_ctx=256, n_threads=2, verbose=False, logits_all=True, lora_path=lora)
    reference, ids_of = load(merged, torch.float32), transformers_ids(merged)
    worst, agree, total = 0.0, 0, 0
    for prompt in PROMPTS:
        # ids past the per-layer embeddings belong to images and sounds
        ids = [
            i for i in ids_of("<bos>" + prompt) if i < getattr(reference.config, "vocab_size_per_layer_input", 1 << 30)
        ]
        model.reset()
        model.eval(ids)
        ours, theirs = model.scores[: len(ids)], logits(reference, ids)
        assert np.isfinite(ours).all(), "NaN or infinite logits"
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
        agree += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
        total += len(ids)
    assert worst < tolerance, f"difference {worst:.4f}, {agree} of {total} first choices agree"
    return f"largest difference {worst:.4f} of the largest logit, {agree} of {total} first choices"


def same_tokens(path, merged, without=()):
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    ids_of, wrong = transformers_ids(merged), []
    strings = [text for text in texts() if not any(part in text for part in without)]
    for text in strings:
        ours = model.tokenize(text.encode(), add_bos=False, special=True)
        theirs = ids_of(text)
        if ours != theirs:
            wrong.append((text, ours, theirs))
    assert not wrong, f"{len(wrong)} of {len(strings)} strings differ, first {wrong[0]!r}"
    return f"{len(strings)} strings"


def plain_added_tokens(folder):
    """Added tokens that llama.cpp's converter does not mark for Gemma 4; our files equal its files."""
    tokens = transformers.AutoTokenizer.from_pretrained(folder).added_tokens_decoder.values()
    return [token.content for token in tokens if not token.special and "\u2581" not in token.content]


@torch.no_grad()
def same_embeddings(path, folder):
    """The reference is the normalized mean of the last hidden states, after the dense modules."""
    reference = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    dense = [
        load_file(folder / module / "model.safetensors")["linear.weight"].float() for module in ("2_Dense", "3_Dense")
    ]
    model = llama_cpp.Llama(str(path), n_ctx=256, n_threads=2, verbose=False, embedding=True)
    ids_of, worst = transformers_ids(folder), 0.0
    for prompt in PROMPTS:
        states = reference(torch.tensor([ids_of("<bos>" + prompt)])).last_hidden_state[0].mean(0)
        theirs = torch.nn.functional.normalize(dense[1] @ (dense[0] @ states), dim=0).numpy()
        ours = np.array(model.embed(prompt, normalize=True))
        worst = max(worst, float(np.abs(ours - theirs).max()))
    assert worst < 0.01, f"difference {worst:.5f}"
    return f"largest difference {worst:.5f}"


def as_saved_by_transformers(source, target):
    """A copy of a model with its tokenizer as transformers 5 saves it: tokenizer.json alone."""
    target.mkdir()
    for file in source.iterdir():
        if not file.name.startswith(("tokenizer", "special_tokens", "added_tokens", "chat_template")):
            shutil.copy(file, target)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(target)
    assert not (target / "tokenizer.model").exists()
    return target


class CaseChecks:
    """The checks of one case, with files in a folder of its own."""

    def __init__(self, results, case, out):
        self.results, self.case, self.out = results, case, out
        self.base, self.merged = base_of(case), out / "merged"
        self.inputs = ["--base", self.base, "--adapter", case / "adapter"]
        self.expected = json.loads((case / "expected.json").read_text())
        out.mkdir()

    def check(self, what, check, *args):
        self.results.check(f"{self.case.name:19} {what:34}", check, *args)

    def skip(self, what, reason):
        self.results.skipped(f"{self.case.name:19} {what:34}", reason)

    def gguf(self, name, file_type, inputs):
        path = self.out / f"{name}.gguf"
        export("gguf", *inputs, "--quant", file_type, "--out", path)
        return path

    def check_all(self, types):
        if "quantization_config" in json.loads((self.base / "config.json").read_text()):
            self.skip(
                "all", "transformers needs bitsandbytes for its base; engine/tests/engine/reference compares it bit for bit"
            )
        elif self.case.name in ("gemma4-assistant", "gemma4-dspark"):
            self.skip("all", "llama.cpp runs a drafter only beside the model that it drafts for")
        elif self.case.name == "gemma3n-towers":
            self.skip("all", "the vision encoder of transformers needs timm; the text model is that of gemma3n")
        elif (self.case / "adapter").exists():
            self.check_adapter(types)
        else:
            self.check_base(types)

    def check_base(self, types):
        """A model without an adapter, against transformers."""
        embeds = (self.base / "modules.json").exists()
        files = {file_type: self.gguf(file_type, file_type, ["--base", self.base]) for file_type in types}
        if embeds:
            self.check("llama.cpp: embeddings of f32", same_embeddings, files["f32"], self.base)
        else:
            self.check_logits(files, self.base)
        without = plain_added_tokens(self.base) if self.case.name.startswith("gemma4") else ()
        self.check("llama.cpp: tokens", same_tokens, files["q8_0"], self.base, without)

    def check_logits(self, files, reference):
        for file_type, path in files.items():
            self.check(f"llama.cpp: generate from {file_type}", generates, path)
        self.check("llama.cpp: logits of f32", llama_logits, files["f32"], reference, 0.02)
        self.check("llama.cpp: logits of q8_0", llama_logits, files["q8_0"], reference, 0.1)

    def check_adapter(self, types):
        name = self.case.name
        export("merge", *self.inputs, "--out", self.merged)
        if name in NOT_FOR_PEFT_ALONE:
            self.skip("transformers: PEFT, unmerged", NOT_FOR_PEFT_ALONE[name])
        else:
            self.check("transformers: PEFT, unmerged", close_to_unmerged, self.case, self.merged)
        if name == "gemma4-towers-tuned":
            self.skip("llama.cpp", "its changes are in the mmproj file")
        elif "gguf" not in self.expected:
            self.skip("llama.cpp", "GGUF has no tensors for biases of a Gemma")
        elif self.base != self.case / "base":
            file = self.gguf("f32", "f32", [*self.inputs, *self.encoders()])
            self.check("llama.cpp: logits of f32", llama_logits, file, self.merged, 0.02)
        else:
            self.check_everything(types)

    def encoders(self):
        """The argument for a file of its own for the encoders, of a model that has some."""
        has_encoders = "vision_config" in json.loads((self.base / "config.json").read_text())
        return ["--mmproj", self.out / "mmproj.gguf"] if has_encoders else []

    def check_everything(self, types):
        """A case with a base of its own: every type, the adapter as a GGUF file, and tokenizers."""
        self.check("transformers: merge_and_unload", same_as_merge_and_unload, self.case, self.merged)
        files = {file_type: self.gguf(file_type, file_type, self.inputs) for file_type in types}
        self.check_logits(files, self.merged)
        base, lora = self.gguf("base", "f32", ["--base", self.base]), self.out / "lora.gguf"
        export("lora", *self.inputs, "--out", lora)
        self.check("llama.cpp: logits of base and LoRA", llama_logits, base, self.merged, 0.02, str(lora))
        self.check("llama.cpp: tokens", same_tokens, files["q8_0"], self.merged)
        saved = as_saved_by_transformers(self.merged, self.out / "saved")
        path = self.gguf("saved", "q8_0", ["--base", saved])
        self.check("llama.cpp: tokens of tokenizer.json", same_tokens, path, saved)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=pathlib.Path, default=FIXTURES)
    args = parser.parse_args()
    silence()
    types, results = output_types(), Results()
    with scratch_folder() as scratch:
        for case in find_cases(args.cases):
            CaseChecks(results, case, scratch / case.name).check_all(types)
    versions = [("llama-cpp-python", llama_cpp), ("transformers", transformers), ("peft", peft), ("torch", torch)]
    print(json.dumps({name: module.__version__ for name, module in versions}))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
