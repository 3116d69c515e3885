"""Loads the files that `export gguf --mmproj` makes in llama.cpp, and lets it look at an image and listen to a sound."""

import argparse
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp as mtmd

KINDS = ["f32", "f16", "bf16", "q8_0"]
# What llama.cpp aborts on for reasons of its own, by case and type: part of its message, and what it means.
ITS_OWN = {
    ("gemma3n-towers", "f32"): ("cur_backend_id != -1", "its convolutions by channel need kernels in f16"),
    ("gemma3n-towers", "bf16"): ("kernel_type == GGML_TYPE_F16", "it has no convolutions in bf16"),
}


def bitmap(kind):
    random = np.random.default_rng(1)
    if kind == "image":
        pixels = random.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        return mtmd.mtmd_bitmap_init(96, 96, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
    sound = random.standard_normal(16_000).astype(np.float32) / 4
    return mtmd.mtmd_bitmap_init_from_audio(len(sound), sound.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))


def encode(context, width, kind):
    """What a tower and its projector make of an image or a sound: vectors as wide as the language model's."""
    chunks, text = mtmd.mtmd_input_chunks_init(), mtmd.mtmd_default_marker()
    held = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap(kind))
    wanted = mtmd.mtmd_input_text(text=text, text_len=len(text), add_special=True, parse_special=True)
    assert mtmd.mtmd_tokenize(context, chunks, ctypes.byref(wanted), held, 1) == 0, f"no tokens of the {kind}"
    for number in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, number)
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            continue
        tokens = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
        assert mtmd.mtmd_encode_chunk(context, chunk) == 0, f"the {kind} is not encoded"
        values = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), (tokens * width,))
        assert np.isfinite(values).all() and values.std() > 0, f"the {kind} becomes nothing"
        return f"{tokens} tokens of the {kind}"
    raise AssertionError(f"no chunk of the {kind}")


def load(model, towers):
    text = llama_cpp.Llama(str(model), n_ctx=64, verbose=True)
    params = mtmd.mtmd_context_params_default()
    params.use_gpu, params.warmup, params.n_threads = False, False, 2
    context = mtmd.mtmd_init_from_file(str(towers).encode(), text.model, params)
    assert context, "llama.cpp does not load it"
    width = llama_cpp.llama_model_n_embd_inp(text.model)
    found = []
    if mtmd.mtmd_support_vision(context):
        found.append(encode(context, width, "image"))
    if mtmd.mtmd_support_audio(context):
        found.append(encode(context, width, "sound"))
    print("FOUND " + ", ".join(found))


def why(said):
    """The last lines that say what was wrong, or the last of all."""
    lines = [line for line in said.splitlines() if line.strip()]
    return " | ".join([line for line in lines if "ASSERT" in line or "rror" in line][-3:] or lines[-3:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--export")
    parser.add_argument("--cases", type=pathlib.Path)
    parser.add_argument("--load", nargs=2)
    args = parser.parse_args()
    if args.load:
        return load(*args.load)
    failed = 0
    for case in sorted(p.parent for p in args.cases.rglob("expected.json")):
        if not (case / "base").exists() or "vision_config" not in json.loads((case / "base/config.json").read_text()):
            continue
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                model, towers = f"{folder}/m.gguf", f"{folder}/mmproj.gguf"
                command = [args.export, "gguf", "--base", case / "base", "--quant", kind, "--out", model, "--mmproj", towers]
                subprocess.run(command, check=True, capture_output=True)
                # on its own, because llama.cpp aborts where it does not like what it loads
                done = subprocess.run([sys.executable, __file__, "--load", model, towers], capture_output=True, text=True)
            said = [line.removeprefix("FOUND ") for line in done.stdout.splitlines() if line.startswith("FOUND ")]
            part, reason = ITS_OWN.get((case.name, kind), (None, None))
            reason = reason if part and part in done.stderr else None
            word, detail = ("ok    ", said[0]) if said else ("its   ", reason) if reason else ("FAILED", why(done.stderr))
            failed += word == "FAILED"
            print(f"{word} {case.name:14} {'llama.cpp: towers in ' + kind:34} {detail}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
