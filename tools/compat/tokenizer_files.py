"""Exports with tokenizer files of two generations, and compares the tokenizers with those that transformers loads.

    .venv-peers/bin/python -m tools.compat.tokenizer_files

Base and adapter have different files. Where transformers loads the adapter's folder, its tokenizer is the expected one;
the files that the adapter lacks are the base's. The merged folder in transformers and the GGUF file must have the same
special tokens, chat template and ids.
"""

import importlib.util
import json
import shutil
import sys

import gguf
import llama_cpp
import transformers

from tools.common import FIXTURES, Results, export, scratch_folder, silence

CASE = FIXTURES / "gemma3-micro"
SPECIAL = ["bos", "eos", "unk", "pad"]
TEXTS = ["The quick brown fox", "<start_of_turn>user\nhi<end_of_turn>\n", "a<extra>b", "Zwölf 日本語 🙂", "  x"]
MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def template(mark):
    return "{{ bos_token }}" + mark + "{% for m in messages %}<start_of_turn>{{ m.content }}{% endfor %}"


def tokenizer(eos="<end_of_turn>", pad="<pad>", extra=None):
    """The tokenizer of the fixture, with other special tokens, and a further token."""
    loaded = transformers.AutoTokenizer.from_pretrained(CASE / "base")
    loaded.eos_token, loaded.pad_token = eos, pad
    if extra:
        loaded.add_tokens([transformers.AddedToken(extra, normalized=False)])
    return loaded


def edit(path, **fields):
    """Sets fields of a JSON file; None removes one."""
    values = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def tuned_whole(adapter):
    """As transformers 5 saves it: tokenizer.json, tokenizer_config.json, chat_template.jinja."""
    saved = tokenizer(eos="<eos>", pad="<unused3>")
    saved.chat_template = template("TUNED")
    saved.save_pretrained(adapter)


def tuned_in_config(adapter):
    """As transformers 4.4 saves it: the template in tokenizer_config.json."""
    tuned_whole(adapter)
    (adapter / "chat_template.jinja").unlink()
    edit(adapter / "tokenizer_config.json", chat_template=template("TUNED"))


def tuned_templates(adapter):
    """Several templates."""
    saved = tokenizer(eos="<eos>")
    saved.chat_template = {"default": template("TUNED"), "tool_use": template("TOOL")}
    saved.save_pretrained(adapter)


def tuned_slow(adapter):
    """Of a slow tokenizer: tokenizer.model and its companions, no tokenizer.json."""
    for name in ["tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(CASE / "base" / name, adapter)
    edit(adapter / "tokenizer_config.json", eos_token="<eos>", pad_token="<unused3>", chat_template=template("TUNED"))
    edit(adapter / "special_tokens_map.json", eos_token="<eos>", pad_token="<unused3>")


def tuned_config_alone(adapter):
    """No vocabulary: special tokens and template are the adapter's, the vocabulary is the base's."""
    tuned_in_config(adapter)
    (adapter / "tokenizer.json").unlink()


def tuned_vocabulary_alone(adapter):
    """No tokenizer_config.json: the vocabulary is the adapter's, special tokens and template are the base's."""
    tuned_whole(adapter)
    (adapter / "tokenizer_config.json").unlink()
    (adapter / "chat_template.jinja").unlink()


def tuned_template_alone(adapter):
    (adapter / "chat_template.jinja").write_text(template("TUNED"))


def tuned_without_template(adapter):
    tuned_whole(adapter)
    (adapter / "chat_template.jinja").unlink()


def nothing(adapter):
    """No tokenizer files at all."""


def base_jinja(base):
    (base / "chat_template.jinja").write_text(template("BASE"))
    edit(base / "tokenizer_config.json", chat_template=None)


def base_config(base):
    edit(base / "tokenizer_config.json", chat_template=template("BASE"))


def base_templates(base):
    base_jinja(base)
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "old.jinja").write_text(template("OLD"))


def base_slow(base):
    """No tokenizer.json."""
    base_config(base)
    (base / "tokenizer.json").unlink()


def base_fast(base):
    """As transformers 5 saves it."""
    for name in ["tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
        (base / name).unlink()
    saved = tokenizer()
    saved.chat_template = template("BASE")
    saved.save_pretrained(base)


BASES = [base_jinja, base_config, base_templates, base_slow, base_fast]
# an adapter, and the parts of its tokenizer that are its own
ADAPTERS = [
    (nothing, ()),
    (tuned_whole, ("special", "template")),
    (tuned_in_config, ("special", "template")),
    (tuned_templates, ("special", "template")),
    (tuned_slow, ("special", "template")),
    (tuned_config_alone, ("special", "template")),
    (tuned_vocabulary_alone, ()),
    (tuned_template_alone, ("template",)),
    (tuned_without_template, ("special",)),
]


def has_protobuf():
    try:
        return importlib.util.find_spec("google.protobuf") is not None
    except ModuleNotFoundError:
        return False


def loaded(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def special_tokens(of):
    return {kind: getattr(of, f"{kind}_token_id") for kind in SPECIAL}


def templates(of):
    """Templates by name."""
    found = of.chat_template
    return {"default": found} if isinstance(found, str) else found or {}


def gguf_field(reader, key):
    field = reader.get_field(key)
    return None if field is None else field.contents()


def gguf_special(reader):
    names = {"unk": "unknown", "pad": "padding"}
    return {kind: gguf_field(reader, f"tokenizer.ggml.{names.get(kind, kind)}_token_id") for kind in SPECIAL}


def gguf_templates(reader):
    names = gguf_field(reader, "tokenizer.chat_templates") or []
    found = {name: gguf_field(reader, f"tokenizer.chat_template.{name}") for name in names}
    default = gguf_field(reader, "tokenizer.chat_template")
    return found | ({"default": default} if default else {})


def same(what, found, expected):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def compare(base, adapter, own, out):
    """`own` are the parts that the adapter brings, `special` or `template`."""
    inputs = ["--base", base, "--adapter", adapter]
    export("merge", *inputs, "--out", out / "merged")
    export("gguf", *inputs, "--quant", "f32", "--out", out / "m.gguf")
    merged, reader = loaded(out / "merged"), gguf.GGUFReader(out / "m.gguf")
    model = llama_cpp.Llama(str(out / "m.gguf"), vocab_only=True, verbose=False)
    of_base = loaded(base)
    source = of_base
    if own and (adapter / "tokenizer_config.json").exists():
        # transformers loads no tokenizer without a vocabulary
        vocabulary = ["tokenizer.json", "tokenizer.model"]
        if not any((adapter / name).exists() for name in vocabulary):
            shutil.copytree(adapter, out / "completed")
            for name in filter(lambda name: (base / name).exists(), vocabulary):
                shutil.copy(base / name, out / "completed")
            source = loaded(out / "completed")
        else:
            source = loaded(adapter)
    expected = special_tokens(source if "special" in own else of_base)
    same("special tokens of the merged folder", special_tokens(merged), expected)
    same("special tokens of the GGUF file", gguf_special(reader), expected)
    same("end of text in llama.cpp", model.token_eos(), expected["eos"])
    jinja = adapter / "chat_template.jinja"
    texts = templates(of_base)
    if "template" in own:
        texts = {"default": jinja.read_text()} if source is of_base else templates(source)
    same("templates of the merged folder", templates(merged), texts)
    same("templates of the GGUF file", gguf_templates(reader), texts)
    for text in TEXTS:
        ids = merged(text, add_special_tokens=False)["input_ids"]
        same(f"ids of {text!r}", ids, source(text, add_special_tokens=False)["input_ids"])
        same(f"llama.cpp's ids of {text!r}", model.tokenize(text.encode(), add_bos=False, special=True), ids)
    return f"eos {expected['eos']}, pad {expected['pad']}, {len(texts)} templates, {len(TEXTS)} texts"


def main():
    silence()
    results = Results()
    with scratch_folder() as scratch:
        for prepare_base in BASES:
            for prepare_adapter, own in ADAPTERS:
                out = scratch / prepare_base.__name__ / prepare_adapter.__name__
                for part in ["base", "adapter"]:
                    shutil.copytree(CASE / part, out / part)
                prepare_base(out / "base")
                prepare_adapter(out / "adapter")
                name = f"{prepare_base.__name__:15} {prepare_adapter.__name__:23}"
                if {prepare_base, prepare_adapter} & {base_slow, tuned_slow} and not has_protobuf():
                    results.skipped(
                        name, "transformers needs protobuf to read tokenizer.model (tools/requirements.txt)"
                    )
                    continue
                results.check(name, compare, out / "base", out / "adapter", own, out)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
