"""Exports a real Gemma 3 270M with a LoRA trained on three invented facts, and checks what comes out.

    .venv-peers/bin/python -m tools.real

The command merges and converts base and adapter, and the local stack does so over its API. Merged weights are compared
with PEFT's; transformers and llama.cpp answer the trained questions; tokens and the logit check are compared with
transformers. Downloads, the checkpoint and the adapter are kept in .real/.
"""

import gc
import json
import pathlib
import shutil
import sys
import time
import zipfile

import llama_cpp
import peft
import safetensors
import torch
import transformers

from tools.common import ROOT, Results, export, sha256, silence
from tools.real import logit_check, service, survival, tokenizer_files, tokenizers
from tools.real.answers import LlamaCpp, Reference, Transformers, seen_by
from tools.real.checkpoint import cached_checkpoint
from tools.real.facts import BASE_NAME, FACTS, cached_adapter

CACHE = ROOT / ".real"
TYPES = ["bf16", "q8_0", "q4_k_m"]
# the largest mean KL divergence from base and adapter, in nats; None is reported only
LIMITS = {"none": 1e-5, "bf16": 2e-3, "q8_0": 2e-2, "q4_k_m": None}


class Exports:
    """The files of the command."""

    def __init__(self, base, adapter, out):
        self.base, self.adapter = base, adapter
        self.inputs = ["--base", base, "--adapter", adapter]
        self.merged, self.lora, self.plain = out / "merged", out / "lora.gguf", out / "base-bf16.gguf"
        self.gguf = {name: out / f"model-{name}.gguf" for name in TYPES}

    def write(self):
        return [
            timed("merge", "merge", *self.inputs, "--out", self.merged),
            timed(
                f"gguf {','.join(TYPES)}",
                *("gguf", *self.inputs, "--quant", ",".join(TYPES), "--name", service.NAME),
                *("--out", self.merged.parent / "model-{quant}.gguf"),
            ),
            timed("gguf of the base", "gguf", "--base", self.base, "--quant", "bf16", "--out", self.plain),
            timed("lora", "lora", *self.inputs, "--out", self.lora),
        ]


def timed(name, *line):
    start = time.monotonic()
    export(*line)
    return f"{name} {time.monotonic() - start:.1f} s"


def same_as_peft(exports):
    """Every tensor of `merge_and_unload`, bit for bit."""
    base = transformers.AutoModelForCausalLM.from_pretrained(exports.base, dtype=torch.bfloat16)
    theirs = peft.PeftModel.from_pretrained(base, exports.adapter).merge_and_unload().state_dict()
    changed, wrong = 0, []
    with (
        safetensors.safe_open(exports.merged / "model.safetensors", "pt") as ours,
        safetensors.safe_open(exports.base / "model.safetensors", "pt") as before,
    ):
        names = ours.keys()
        missing = theirs.keys() - set(names) - {"lm_head.weight"}
        assert not missing, f"missing tensors: {sorted(missing)}"
        for name in names:
            tensor = ours.get_tensor(name)
            wrong += [] if same_bits(tensor, theirs[name]) else [name]
            changed += not same_bits(tensor, before.get_tensor(name))
    assert not wrong, f"{len(wrong)} of {len(names)} tensors differ: {wrong[:3]}"
    return f"{len(names)} tensors, {changed} of them changed"


def same_bits(one, other):
    return one.dtype == other.dtype and torch.equal(one.view(torch.int16), other.view(torch.int16))


def check_answers(results, exports, reference):
    """The trained answers and the divergence of every form of the export."""
    models = {
        "transformers: base, adapter": ("none", lambda: Transformers(exports.base, exports.adapter)),
        "transformers: merged": ("bf16", lambda: Transformers(exports.merged)),
        "llama.cpp: base, lora": ("bf16", lambda: LlamaCpp(exports.plain, exports.lora)),
    }
    for name in TYPES:
        models[f"llama.cpp: {name}"] = (name, lambda name=name: LlamaCpp(exports.gguf[name]))
    untrained, texts = reference.answers(Transformers(exports.base))
    results.passed(f"{'transformers: base alone':40} {untrained} of {len(FACTS)} answers, as {texts[0]!r}")
    for what, (kind, make) in models.items():
        right, texts, mean, largest = seen_by(reference, make())
        gc.collect()
        seen = f"{what:40} {right} of {len(FACTS)} answers, KL divergence mean {mean:.2e}, max {largest:.2e} nats"
        limit = LIMITS[kind]
        if limit is None:
            results.passed(f"{seen} (reported only)", *texts)
        elif right == len(FACTS) and mean < limit:
            results.passed(seen)
        else:
            results.failed(f"{seen}, limit {limit}", *texts)


def same_bytes(folder, archive):
    """The archive has the folder's files, byte for byte, besides the report."""
    with zipfile.ZipFile(archive) as zipped:
        names = [name for name in zipped.namelist() if not name.endswith("report.json")]
        ours = {name: sha256(zipped.read(name)) for name in names}
    theirs = {path.name: sha256(path.read_bytes()) for path in folder.iterdir() if path.name != "export-report.json"}
    different = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    assert not different, f"differ: {sorted(different)}"
    return f"{len(ours)} files equal"


def check_service(results, exports, data):
    """Every export of the API equals the command's, and its record has the logit check."""
    with service.running(data) as stack:
        stack.add_job(exports.base, exports.adapter, BASE_NAME)

        def adapter():
            _, link = stack.export("adapter")
            return same_bytes(exports.adapter, stack.download(link, data / "adapter.zip"))

        def merged():
            record, link = stack.export("merged")
            return f"{same_bytes(exports.merged, stack.download(link, data / 'merged.zip'))}, {logits(record)}"

        def gguf(name):
            record, link = stack.export("gguf", name)
            ours = sha256(stack.download(link, data / "model.gguf").read_bytes())
            theirs = sha256(exports.gguf[name].read_bytes())
            assert ours == theirs == record["proof"]["sha256"], f"SHA-256 {ours}, of the command {theirs}"
            return f"the command's bytes, {logits(record)}"

        results.check(f"{'service: adapter':40}", adapter)
        results.check(f"{'service: merged':40}", merged)
        for name in ("q8_0", "q4_k_m"):
            results.check(f"{f'service: gguf {name}':40}", gguf, name)


def logits(record):
    found = record["proof"]["logits"]
    assert found, "the record has no logit check"
    return f"logits: {found['tokens']} tokens, KL divergence mean {found['kl_mean']:.2e} nats"


def check_all(results, cache):
    base = cached_checkpoint(cache)
    exports = Exports(base, cached_adapter(base, cache), cache / "out")
    for folder in (cache / "out", cache / "stack"):
        shutil.rmtree(folder, ignore_errors=True)
    (cache / "out").mkdir()
    results.passed(f"{'command':40} {', '.join(exports.write())}")
    results.check(f"{'PEFT: merge_and_unload':40}", same_as_peft, exports)
    results.check(f"{'llama.cpp: tokens':40}", tokenizers.same_ids, exports.gguf["q8_0"], exports.merged)
    results.check(f"{'tokenizer.json beside tokenizer.model':40}", tokenizer_files.are_compared)
    roles = (exports.adapter, exports.merged, exports.gguf["q8_0"])
    results.check(f"{'special tokens and template':40}", tokenizers.same_roles, *roles)
    reference = Reference(exports.base, exports.adapter)
    check_answers(results, exports, reference)
    for out in (exports.merged, *exports.gguf.values()):
        what = f"{f'verify --logits: {out.stem}':40}"
        results.check(what, logit_check.agrees, reference, exports.inputs, exports.merged, out)
    what = f"{'survival on the trained questions':40}"
    results.check(what, survival.agrees, reference, exports.inputs, base, cache / "out")
    del reference
    results.check(f"{'types for a size':40}", survival.fits, exports.inputs, cache / "out")
    check_service(results, exports, cache / "stack")
    shutil.rmtree(cache / "stack", ignore_errors=True)


def main():
    silence()
    results = Results()
    CACHE.mkdir(exist_ok=True)
    check_all(results, pathlib.Path(CACHE))
    versions = [("llama-cpp-python", llama_cpp), ("transformers", transformers), ("peft", peft), ("torch", torch)]
    print(json.dumps({name: module.__version__ for name, module in versions}))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
