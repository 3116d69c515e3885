"""Loads `mmproj` files in llama.cpp, which encodes an image and a sound with each, and compares the image's embeddings
in f32 with those of transformers.

.venv-peers/bin/python -m tools.compat.mmproj [--cases FOLDER]
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import torch
import transformers

from tools.common import CONVERTED_TYPES, FIXTURES, ROOT, Results, export, find_cases, scratch_folder, silence
from tools.compat.mmproj_encode import RESULT, image

# Aborts of llama.cpp that are not due to the file, by case and type: part of the message, and the reason.
KNOWN_ABORTS = {
    ("gemma3n-towers", "f32"): (
        "cur_backend_id != -1",
        "llama.cpp aborts: its depthwise convolutions need kernels in f16",
    ),
    ("gemma3n-towers", "bf16"): ("kernel_type == GGML_TYPE_F16", "llama.cpp aborts: it has no convolutions in bf16"),
}

EMBEDDINGS = "image.npy"
# Of the differences of all embeddings in f32, the root mean square, against that of the embeddings. An activation that
# is GELU by another formula gives 1.3e-3.
LARGEST_ERROR = 5e-4


def vision_config(case):
    path = case / "base/config.json"
    return json.loads(path.read_text()).get("vision_config") if path.exists() else None


def image_side(vision):
    """The side of an image, in pixels, that is not scaled before it is encoded."""
    if "pooling_kernel_size" in vision:
        return 9 * pixels_of_a_token(vision)
    return vision.get("image_size", 96)


def pixels_of_a_token(vision):
    return vision["patch_size"] * vision["pooling_kernel_size"]


def image_input(vision):
    """What the processor of the model would make of the image."""
    side = image_side(vision)
    colors = torch.tensor(image(side)).permute(2, 0, 1) / 255
    if "pooling_kernel_size" not in vision:
        return {"pixel_values": (colors[None] - 0.5) / 0.5}
    patch = pixels_of_a_token(vision) if "unified" in vision["model_type"] else vision["patch_size"]
    count = side // patch
    patches = colors.reshape(3, count, patch, count, patch).permute(1, 3, 2, 4, 0).reshape(1, count * count, -1)
    places = torch.stack(torch.meshgrid(torch.arange(count), torch.arange(count), indexing="xy"), -1)
    return {"pixel_values": patches, "image_position_ids": places.reshape(1, -1, 2)}


@torch.no_grad()
def transformers_embeddings(case, vision):
    model = transformers.AutoModelForImageTextToText.from_pretrained(case / "base", dtype=torch.float32)
    embeddings = model.get_image_features(**image_input(vision)).pooler_output
    return np.concatenate([np.asarray(rows) for rows in embeddings])


def relative_error(found, expected):
    return float(np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()))


def encode(case, file_type, folder, side):
    """The process that encodes, finished."""
    model, mmproj = folder / "model.gguf", folder / "mmproj.gguf"
    export("gguf", "--base", case / "base", "--quant", file_type, "--out", model, "--mmproj", mmproj)
    line = [sys.executable, "-m", "tools.compat.mmproj_encode", model, mmproj, str(side), folder / EMBEDDINGS]
    return subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)


def reason_of_failure(stderr):
    """The last lines with an error, or the last of all."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return [line for line in lines if "ASSERT" in line or "rror" in line][-3:] or lines[-3:]


def check(results, case, file_type, vision):
    what = f"{case.name:14} llama.cpp: mmproj in {file_type:5}"
    message, reason = KNOWN_ABORTS.get((case.name, file_type), (None, None))
    with scratch_folder() as folder:
        done = encode(case, file_type, folder, image_side(vision))
        encoded = [line.removeprefix(RESULT) for line in done.stdout.splitlines() if line.startswith(RESULT)]
        if encoded:
            results.passed(f"{what} {encoded[0]}")
        elif message and message in done.stderr:
            results.skipped(what, reason)
        else:
            results.failed(what, *reason_of_failure(done.stderr))
        if encoded and file_type == "f32":
            found = np.load(folder / EMBEDDINGS)
            error = relative_error(found, transformers_embeddings(case, vision))
            differences = [] if error < LARGEST_ERROR else [f"root mean square {error:.1e} of the embeddings'"]
            results.compared(f"{case.name:14} embeddings of the image equal transformers'", differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=pathlib.Path, default=FIXTURES)
    args = parser.parse_args()
    silence()
    results = Results()
    for case in find_cases(args.cases):
        if vision := vision_config(case):
            for file_type in CONVERTED_TYPES:
                check(results, case, file_type, vision)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
