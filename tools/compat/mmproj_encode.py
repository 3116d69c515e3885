"""Encodes an image and a sound in llama.cpp with a model and its `mmproj` file, prints how many tokens they give, and
writes the embeddings of the image.

A process of its own, for `tools.compat.mmproj`: llama.cpp aborts on files that it cannot load.
"""

import ctypes
import sys

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp as mtmd

# what stands before the result on stdout, where llama.cpp prints, too
RESULT = "encoded: "


def image(side):
    """A square image: rows, columns and colors, in bytes."""
    return np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)


def image_bitmap(side):
    return mtmd.mtmd_bitmap_init(side, side, image(side).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))


def sound_bitmap():
    samples = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) / 4
    return mtmd.mtmd_bitmap_init_from_audio(len(samples), samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))


def encode(context, width, medium, bitmap):
    """Embeddings of an image or a sound, as wide as those of the language model: a row each."""
    chunks, text = mtmd.mtmd_input_chunks_init(), mtmd.mtmd_default_marker()
    bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
    prompt = mtmd.mtmd_input_text(text=text, text_len=len(text), add_special=True, parse_special=True)
    assert mtmd.mtmd_tokenize(context, chunks, ctypes.byref(prompt), bitmaps, 1) == 0, f"no tokens of the {medium}"
    for number in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, number)
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            continue
        tokens = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
        assert mtmd.mtmd_encode_chunk(context, chunk) == 0, f"the {medium} is not encoded"
        values = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), (tokens * width,))
        assert np.isfinite(values).all(), f"embeddings of the {medium} are NaN or infinite"
        assert values.std() > 0, f"embeddings of the {medium} are all the same"
        return values.reshape(tokens, width)
    raise AssertionError(f"no chunk of the {medium}")


def main(model, mmproj, side, embeddings):
    text = llama_cpp.Llama(model, n_ctx=64, verbose=True)
    params = mtmd.mtmd_context_params_default()
    params.use_gpu, params.warmup, params.n_threads = False, False, 2
    context = mtmd.mtmd_init_from_file(mmproj.encode(), text.model, params)
    assert context, "llama.cpp does not load the mmproj file"
    width = llama_cpp.llama_model_n_embd_inp(text.model)
    found = []
    if mtmd.mtmd_support_vision(context):
        rows = encode(context, width, "image", image_bitmap(int(side)))
        np.save(embeddings, rows)
        found.append(f"{len(rows)} tokens of the image")
    if mtmd.mtmd_support_audio(context):
        rows = encode(context, width, "sound", sound_bitmap())
        found.append(f"{len(rows)} tokens of the sound")
    print(RESULT + ", ".join(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
