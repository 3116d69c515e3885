"""Tokens, special tokens and chat templates of an export in transformers and llama.cpp."""

import json

import gguf
import llama_cpp
import transformers

from tools.real.languages import SENTENCES, strings


def same_ids(path, folder):
    """The ids of a thousand strings."""
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts, wrong = strings(), []
    for text in texts:
        ours = model.tokenize(text.encode(), add_bos=False, special=True)
        theirs = tokenizer(text, add_special_tokens=False)["input_ids"]
        if ours != theirs:
            wrong.append((text, ours, theirs))
    assert not wrong, f"{len(wrong)} of {len(texts)} strings differ, first {wrong[0]!r}"
    return f"{len(texts)} strings in {len(SENTENCES)} languages"


def metadata(path):
    """The tokenizer's fields in the metadata of a GGUF file."""
    fields = gguf.GGUFReader(path).fields
    wanted = [name for name in fields if name.startswith("tokenizer.") and name.endswith(("_id", "chat_template"))]
    return {name.removeprefix("tokenizer.").removeprefix("ggml."): fields[name].contents() for name in wanted}


def same_roles(adapter, merged, path):
    """Special ids and template of the adapter's tokenizer are those of the merged folder and of the file."""
    trained, exported = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (adapter, merged))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "chat_template"):
        ours, theirs = getattr(exported, name), getattr(trained, name)
        assert ours == theirs, f"{name} of the merged folder is {ours!r}, of the adapter {theirs!r}"
    found = metadata(path)
    names = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}
    for name, attribute in names.items():
        ours, theirs = found[f"{name}_token_id"], getattr(trained, f"{attribute}_token_id")
        assert ours == theirs, f"{name}_token_id of the GGUF file is {ours}, of the adapter {theirs}"
    assert found["chat_template"] == trained.chat_template, "the GGUF file has another chat template"
    stops = json.loads((merged / "generation_config.json").read_text())["eos_token_id"]
    assert 106 in stops, f"<end_of_turn> is not in eos_token_id of generation_config.json: {stops}"
    return (
        f"bos {trained.bos_token_id}, eos {trained.eos_token_id}, pad {trained.pad_token_id}, template, stops {stops}"
    )
