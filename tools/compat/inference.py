"""Loads what `export` makes in llama.cpp and transformers, and compares with base + adapter in PEFT."""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

import llama_cpp
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file

PROMPTS = [
    "The quick brown fox jumps over the lazy dog.",
    "def main():\n    return 42\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
]


def texts():
    """A few hundred strings that tokenizers disagree about: spaces, newlines, bytes, emoji, special tokens.

    Not among them: a space beside a literal U+2581, and more spaces than the longest token of spaces has. llama.cpp's
    converter stores runs of U+2581 as spaces, and llama.cpp cuts these out of a text, the longest first, before it
    merges anything; our files equal its files.
    """
    words = ["hello", "Hello", "HELLO", "naïve", "日本語", "Привет", "مرحبا", "🙂", "👩‍👩‍👧", "a\u0301", "\u200b", "§", "½"]
    joins = ["", " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "-", "'s "]
    special = ["<start_of_turn>user\nhi<end_of_turn>\n", "<bos>", "<unused3>", "<b>bold</b>", "<mask>", "▁"]
    numbers = ["0", "007", "3.14159", "1,000,000", "-1e-9", "0xFF", "12:34", "x=1;y=2"]
    found = list(PROMPTS) + special + numbers
    found += [a + join + b for join in joins for a, b in zip(words, words[1:] + words[:1])]
    found += [a + joint * n + b for n in range(2, 9) for joint in " \n\t=-" for a, b in (("", ""), ("x", "y"))]
    found += [" " + w for w in words] + [w + " " for w in words] + [f"{n} {w}" for n in numbers for w in words]
    return [t for t in dict.fromkeys(found) if t]


# Adapters that PEFT does not load onto the base as it is. What they become is compared in engine/tests/reference with
# what PEFT made where they were trained.
NOT_FOR_PEFT_ALONE = {
    "gemma4-towers-tuned": "what changes is not text",
    "multimodal": "it ignores factors named for the multimodal class",
    "resized": "the base must be resized by hand first",
    "resized-tokens": "the base must be resized by hand first",
    "shards": "it reads one file only",
    "unsloth": "it ignores factors named as Unsloth does",
}


class Checks:
    """Runs checks and remembers how they ended."""

    def __init__(self):
        self.rows = []

    def run(self, what, case, check):
        try:
            detail, ok = check(), True
        except Exception as error:  # a check may fail in any way; every way is a row of the table
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            detail, ok = f"{type(error).__name__}: {error}".splitlines()[0], False
        self.rows.append((what, case, "ok" if ok else "FAILED", detail))
        print(f"{'ok    ' if ok else 'FAILED'} {case:14} {what:34} {detail}", flush=True)

    def failed(self):
        return sum(row[2] != "ok" for row in self.rows)


def base_of(case):
    """The case's base; cases of adapters share one."""
    shared = json.loads((case / "expected.json").read_text()).get("base")
    return case.parent.parent / shared / "base" if shared else case / "base"


def export(program, *args):
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip()


def output_types(program):
    """The types that `export gguf --help` offers."""
    text = subprocess.run([program, "gguf", "--help"], capture_output=True, text=True, check=True).stdout
    return re.search(r"--quant.*?possible\s+values:(.*?)]", text, re.S)[1].replace(",", " ").split()


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
    """Equal weights give equal logits, to the bit."""
    ids = transformers_ids(base_of(case))(PROMPTS[0])
    theirs = peft.PeftModel.from_pretrained(load(base_of(case), "auto"), case / "adapter").merge_and_unload()
    ours = logits(load(merged, "auto"), ids)
    theirs = logits(theirs, ids)
    assert np.array_equal(ours, theirs), f"largest difference {np.abs(ours - theirs).max()}"
    return f"{ours.size} logits equal to the bit"


def close_to_unmerged(case, merged):
    """What is left is the rounding of merged weights to bf16."""
    worst, agree, total = 0.0, 0, 0
    theirs = peft.PeftModel.from_pretrained(load(base_of(case), torch.float32), case / "adapter").eval()
    mine = load(merged, torch.float32)
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
        # ids past the embeddings for each layer are those of images and sounds, which are no text
        ids = [i for i in ids_of("<bos>" + prompt) if i < getattr(reference.config, "vocab_size_per_layer_input", 1 << 30)]
        model.reset()
        model.eval(ids)
        ours, theirs = model.scores[: len(ids)], logits(reference, ids)
        assert np.isfinite(ours).all(), "not finite"
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
    """Tokens that llama.cpp's converter does not mark for Gemma 4, whose files ours equal."""
    tokens = transformers.AutoTokenizer.from_pretrained(folder).added_tokens_decoder.values()
    return [token.content for token in tokens if not token.special and "\u2581" not in token.content]


@torch.no_grad()
def same_embeddings(path, folder):
    """Mean of the tokens' states, through the dense modules, of length 1."""
    reference = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    dense = [load_file(folder / module / "model.safetensors")["linear.weight"].float() for module in ("2_Dense", "3_Dense")]
    model = llama_cpp.Llama(str(path), n_ctx=256, n_threads=2, verbose=False, embedding=True)
    ids_of, worst = transformers_ids(folder), 0.0
    for prompt in PROMPTS:
        states = reference(torch.tensor([ids_of("<bos>" + prompt)])).last_hidden_state[0].mean(0)
        theirs = torch.nn.functional.normalize(dense[1] @ (dense[0] @ states), dim=0).numpy()
        ours = np.array(model.embed(prompt, normalize=True))
        worst = max(worst, float(np.abs(ours - theirs).max()))
    assert worst < 0.01, f"difference {worst:.5f}"
    return f"largest difference {worst:.5f}"


def check_family(checks, case, out, program, types):
    """A model without an adapter: its files load, and say what transformers says."""
    base, name = case / "base", case.name
    embeds = (base / "modules.json").exists()
    for kind in types:
        export(program, "gguf", "--base", base, "--quant", kind, "--out", out / f"{kind}.gguf")
        if not embeds:
            checks.run(f"llama.cpp: generate from {kind}", name, lambda: generates(out / f"{kind}.gguf"))
    if embeds:
        checks.run("llama.cpp: embeddings of f32", name, lambda: same_embeddings(out / "f32.gguf", base))
    else:
        checks.run("llama.cpp: logits of f32", name, lambda: llama_logits(out / "f32.gguf", base, 0.02))
        checks.run("llama.cpp: logits of q8_0", name, lambda: llama_logits(out / "q8_0.gguf", base, 0.1))
    without = plain_added_tokens(base) if name.startswith("gemma4") else ()
    checks.run("llama.cpp: tokens", name, lambda: same_tokens(out / "q8_0.gguf", base, without))


def as_saved_by_transformers(source, target):
    """A copy of a model with its tokenizer as transformers 5 saves it: tokenizer.json alone."""
    target.mkdir()
    for file in source.iterdir():
        if not file.name.startswith(("tokenizer", "special_tokens", "added_tokens", "chat_template")):
            shutil.copy(file, target)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(target)
    assert not (target / "tokenizer.model").exists()
    return target


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--export", required=True)
    parser.add_argument("--cases", required=True, type=pathlib.Path)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    types = output_types(args.export)
    cases = sorted(p.parent for p in args.cases.rglob("expected.json"))
    assert cases, f"no case in {args.cases}"
    checks = Checks()
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases:
            if "quantization_config" in json.loads((base_of(case) / "config.json").read_text()):
                continue  # for such a base transformers needs bitsandbytes; engine/tests/reference has it bit for bit
            name, out = case.name, pathlib.Path(scratch) / case.name
            merged = out / "merged"
            inputs = ["--base", base_of(case), "--adapter", case / "adapter"]
            out.mkdir()
            if name == "gemma4-assistant":
                print(f"skip   {name:14} llama.cpp runs an assistant only beside the model that it assists")
                continue
            if name == "gemma3n-towers":
                print(f"skip   {name:14} transformers has its vision tower from timm; the text is as that of gemma3n")
                continue
            if not (case / "adapter").exists():
                check_family(checks, case, out, args.export, types)
                continue
            export(args.export, "merge", *inputs, "--out", merged)
            if name in NOT_FOR_PEFT_ALONE:
                print(f"skip   {name:14} transformers: PEFT, unmerged: {NOT_FOR_PEFT_ALONE[name]}")
            else:
                checks.run("transformers: PEFT, unmerged", name, lambda: close_to_unmerged(case, merged))
            if "gguf" not in json.loads((case / "expected.json").read_text()) or name == "gemma4-towers-tuned":
                continue  # a shape that no GGUF file of a Gemma has, or one whose changes are in another
            if base_of(case) != case / "base":
                path = out / "f32.gguf"
                export(args.export, "gguf", *inputs, "--quant", "f32", "--out", path)
                checks.run("llama.cpp: logits of f32", name, lambda: llama_logits(path, merged, 0.02))
                continue
            checks.run("transformers: merge_and_unload", name, lambda: same_as_merge_and_unload(case, merged))
            for kind in types:
                path = out / f"{kind}.gguf"
                export(args.export, "gguf", *inputs, "--quant", kind, "--out", path)
                checks.run(f"llama.cpp: generate from {kind}", name, lambda: generates(path))
            checks.run("llama.cpp: logits of f32", name, lambda: llama_logits(out / "f32.gguf", merged, 0.02))
            checks.run("llama.cpp: logits of q8_0", name, lambda: llama_logits(out / "q8_0.gguf", merged, 0.1))
            base, lora = out / "base.gguf", out / "lora.gguf"
            export(args.export, "gguf", "--base", base_of(case), "--quant", "f32", "--out", base)
            export(args.export, "lora", *inputs, "--out", lora)
            checks.run("llama.cpp: logits of base and LoRA", name, lambda: llama_logits(base, merged, 0.02, str(lora)))
            checks.run("llama.cpp: tokens", name, lambda: same_tokens(out / "q8_0.gguf", merged))
            saved, path = as_saved_by_transformers(merged, out / "saved"), out / "saved.gguf"
            export(args.export, "gguf", "--base", saved, "--quant", "q8_0", "--out", path)
            checks.run("llama.cpp: tokens of tokenizer.json", name, lambda: same_tokens(path, saved))
    print(f"{len(checks.rows) - checks.failed()} passed, {checks.failed()} failed")
    print(json.dumps({"llama-cpp-python": llama_cpp.__version__, "transformers": transformers.__version__,
                      "peft": peft.__version__, "torch": torch.__version__}))
    return 1 if checks.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
