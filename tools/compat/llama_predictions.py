"""Predictions of GGUF files in llama.cpp, in a process of its own: llama.cpp aborts on some files."""

import concurrent.futures
import multiprocessing
import os

import llama_cpp
import numpy as np


class LlamaCppError(Exception):
    """llama.cpp does not load or run a file."""


def logits(path, prompt):
    """The logits of every token of the prompt."""
    model = _open(path, logits_all=True)
    model.eval(prompt)
    return model.scores[: len(prompt)].copy()


def hidden_states(path, prompt):
    """The last hidden states of every token of the prompt, of a model that makes embeddings."""
    model = _open(path, embedding=True, pooling_type=0)
    context, width = model._ctx.ctx, model.n_embd()
    llama_cpp.llama_set_embeddings(context, True)
    model._batch.set_batch(prompt, 0, True)
    model._ctx.decode(model._batch)
    rows = [llama_cpp.llama_get_embeddings_ith(context, n) for n in range(len(prompt))]
    return np.array([np.ctypeslib.as_array(row, (width,)).copy() for row in rows])


def _open(path, **options):
    f32 = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    return llama_cpp.Llama(str(path), n_ctx=128, n_threads=1, n_threads_batch=1, verbose=False, **f32, **options)


class LlamaCppProcess:
    """Runs these functions in another process, which is replaced when it has aborted."""

    def __init__(self):
        os.environ["GGML_NO_BACKTRACE"] = "1"
        self.pool = None

    def call(self, function, *args):
        self.pool = self.pool or concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
        try:
            return self.pool.submit(function, *args).result()
        except concurrent.futures.process.BrokenProcessPool as error:
            self.pool = None
            raise LlamaCppError("aborts") from error
        except Exception as error:
            raise LlamaCppError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
