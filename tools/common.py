"""What the makers of fixtures and the comparisons share."""

import collections
import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback
import zlib

import gguf
import llama_cpp
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "engine/tests/fixtures"
# the command under test, in cargo's target folder
COMMAND = "gemma-export"
TOKENIZER_FILES = ["tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
# file types that llama.cpp's converter writes
CONVERTED_TYPES = ["f32", "f16", "bf16", "q8_0"]
# file types that llama-quantize makes of them
QUANTIZED_TYPES = [
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "q2_k",
    "q3_k_s",
    "q3_k_m",
    "q3_k_l",
    "q4_k_s",
    "q4_k_m",
    "q5_k_s",
    "q5_k_m",
    "q6_k",
    "iq4_nl",
    "iq4_xs",
]


# files


@contextlib.contextmanager
def scratch_folder():
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


def write_json(path, value, indent=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent) + "\n")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def copy_tokenizer(case, target, files=TOKENIZER_FILES):
    """Copies the tokenizer of a fixture's base."""
    for name in files:
        shutil.copy(FIXTURES / case / "base" / name, target)


# cases: folders with an `expected.json`, most of them with a base and an adapter


def find_cases(folder=FIXTURES):
    cases = sorted(path.parent for path in folder.rglob("expected.json"))
    if not cases:
        sys.exit(f"{folder} has no case: a folder with expected.json")
    return cases


def base_of(case):
    """The base of a case; cases of adapters share one."""
    shared = json.loads((case / "expected.json").read_text()).get("base")
    return case.parent.parent / shared / "base" if shared else case / "base"


# programs


class ToolError(Exception):
    """A program failed. The text is its stderr."""


def run(*line, **options):
    """Standard output of a program that succeeds."""
    done = subprocess.run([*map(str, line)], check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise ToolError(done.stderr.strip() or f"{line[0]} failed with status {done.returncode}")
    return done.stdout


@functools.cache
def command():
    """Path of the command: `GEMMA_EXPORT`, or the release build, or the debug build."""
    if chosen := os.environ.get("GEMMA_EXPORT"):
        return pathlib.Path(chosen)
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    for path in (target / "release" / COMMAND, target / "debug" / COMMAND):
        if path.exists():
            return path
    sys.exit(f"{target} has no {COMMAND}: run `cargo build --release --package cli`, or set GEMMA_EXPORT to its path")


def export(*args):
    """Runs the command."""
    return run(command(), *args)


def try_export(*args):
    """Runs the command, which may fail: the finished process."""
    line = [str(command()), *map(str, args)]
    return subprocess.run(line, check=False, capture_output=True, text=True)


def assert_all_factors(merged):
    """Checks that a merge took note of factors for all modules that the adapter targets, as PEFT saves them."""
    warnings = json.loads((merged / "export-report.json").read_text()).get("warnings", [])
    missing = [warning["message"] for warning in warnings if warning["code"] == "missing_factors"]
    assert not missing, missing


def llama_cpp_source():
    """The folder of llama.cpp's source, `LLAMA_CPP_DIR`, or None."""
    folder = os.environ.get("LLAMA_CPP_DIR")
    return pathlib.Path(folder).resolve() if folder else None


def run_converter(script, *args, patch=""):
    """Runs a converter of llama.cpp's source, after the Python code `patch`."""
    source = llama_cpp_source()
    if not source:
        sys.exit(f"LLAMA_CPP_DIR is not set: a folder of llama.cpp's source with {script}")
    start = patch + "\nimport runpy, sys\nsys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    environment = os.environ | {"PYTHONPATH": f"{source}:{source / 'gguf-py'}"}
    return run(sys.executable, "-c", start, source / script, *args, env=environment)


def quantize(source, target, file_type, importances=None, types=None):
    """llama-quantize, by way of llama.cpp's Python package; `importances` are an array of f32 for each tensor, `types`
    the types that replace those of the rules, as in a report.
    """
    options = quantize_options(getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{file_type.upper()}"))
    if importances:
        entry, floats = llama_cpp.llama_cpp.llama_model_imatrix_data, ctypes.POINTER(ctypes.c_float)
        rows = [
            entry(name.encode(), values.ctypes.data_as(floats), values.size) for name, values in importances.items()
        ]
        table = (entry * (len(rows) + 1))(*rows, entry(None, None, 0))
        options.imatrix = ctypes.cast(table, ctypes.POINTER(entry))
    if types:
        override_types(options, types)
    run_quantize(source, target, options)


def dequantize_to_f32(source, target):
    """Writes a GGUF file with the weights of another in F32, as llama-quantize dequantizes them."""
    options = quantize_options(llama_cpp.LLAMA_FTYPE_ALL_F32)
    options.allow_requantize = True
    run_quantize(source, target, options)


def quantize_options(file_type):
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = file_type, 2
    return options


def run_quantize(source, target, options):
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)):
        raise ToolError(f"llama-quantize does not make {target} of {source}")


def override_types(options, types):
    def number(name):
        return int(gguf.GGMLQuantizationType[name.upper()])

    options.pure = types.get("pure", False)
    if "output" in types:
        options.output_tensor_type = number(types["output"])
    if "token_embedding" in types:
        options.token_embedding_type = number(types["token_embedding"])
    entry = llama_cpp.llama_cpp.llama_model_tensor_override
    rows = [entry(named["name"].encode(), number(named["type"])) for named in types.get("tensors", [])]
    if rows:
        options.tt_overrides = (entry * (len(rows) + 1))(*rows, entry(None, 0))


@llama_cpp.llama_log_callback
def _no_log(level, text, data):
    pass


def silence():
    """No progress bars and no logs of the libraries."""
    llama_cpp.llama_log_set(_no_log, None)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


# models and adapters


@dataclasses.dataclass
class Shape:
    """Sizes of a random language model. `heads` are those of queries, those of keys and values, and their width."""

    hidden: int
    intermediate: int
    layers: int
    heads: tuple[int, int, int]

    def __str__(self):
        return f"{self.hidden}x{self.intermediate}x{self.layers}"

    def model(self, family, **options):
        """A new model of these sizes; its weights come from torch's global generator."""
        heads, kv_heads, head_dim = self.heads
        if family != "gemma":
            # the only scale that llama.cpp computes with
            options.setdefault("query_pre_attn_scalar", head_dim)
        config = transformers.AutoConfig.for_model(
            family,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=1,
            **options,
        )
        return transformers.AutoModelForCausalLM.from_config(config)


def load_base(folder, untie=False):
    """A base in its own type; `untie` gives it an lm_head of its own, a copy of the embedding."""
    if not untie:
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", tie_word_embeddings=False)
    model.lm_head.weight.data = model.model.embed_tokens.weight.data.clone()
    return model


def tie_again(model):
    """Undoes `untie` of `load_base`."""
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.model.embed_tokens.weight


@torch.no_grad()
def randomize_biases(model):
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            parameter.normal_(0, 0.02)


@torch.no_grad()
def randomize_adapter(model, base_biases=False):
    """Changes every parameter of an adapter, as training would; biases of the base only if asked to."""
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
        elif "lora_" in name or "trainable_tokens_delta" in name:
            parameter.normal_(0, 0.02)
        elif "modules_to_save" in name or (base_biases and parameter.requires_grad):
            parameter.add_(0.01 * torch.randn_like(parameter))


def generator(name):
    """A generator whose seed is made of a name."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def randomize_factors(model, name):
    """Gives LoRA factors values large enough that predictions differ from the base's."""
    random = generator(name)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=random)


def cast_factors(model, dtype):
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)


def share_factors(model):
    """Gives lm_head the factors of the embedding: casting them makes two tensors of what was one."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    head.lora_A["default"].weight.data = embedding.lora_embedding_B["default"].data.T.clone()
    head.lora_B["default"].weight.data = embedding.lora_embedding_A["default"].data.T.clone()


def save_adapter(model, folder, base_name, **options):
    """Saves an adapter with the name of its base, without a model card."""
    model.peft_config["default"].base_model_name_or_path = base_name
    model.save_pretrained(folder, **options)
    (folder / "README.md").unlink()


# results


class Results:
    """Prints a line for each check, and counts how they ended."""

    def __init__(self):
        self.counts = collections.Counter()

    def _print(self, end, what, details):
        self.counts[end] += 1
        print(f"{end:7}{what}", *details, sep="\n         ", flush=True)

    def passed(self, what, *details):
        self._print("ok", what, details)

    def failed(self, what, *details):
        self._print("FAILED", what, details)

    def skipped(self, what, reason):
        self._print("skip", f"{what} {reason}", ())

    def compared(self, what, differences):
        if differences:
            self.failed(what, *differences)
        else:
            self.passed(what)

    def check(self, what, check, *args):
        """Runs a check, which returns what it saw, or fails in any way."""
        try:
            self.passed(f"{what} {check(*args)}")
        except (AssertionError, ToolError) as error:
            self.failed(what, str(error))
        except Exception as error:  # noqa: BLE001 (the libraries fail in many ways)
            traceback.print_exc()
            self.failed(what, f"{type(error).__name__}: {error}")

    def finish(self):
        """Prints the counts, and returns the exit status: 1 if a check failed or none passed."""
        print(f"{self.counts['ok']} passed, {self.counts['FAILED']} failed, {self.counts['skip']} skipped", flush=True)
        return 1 if self.counts["FAILED"] or not self.counts["ok"] else 0
