"""Reads a model with huggingface_hub: read_back.py ENDPOINT REPO FOLDER, the token in HF_TOKEN.

Prints JSON: the Hub's data on the repository and its files, and the SHA-256 of every file of the snapshot.
"""

import hashlib
import json
import pathlib
import sys

from huggingface_hub import HfApi, snapshot_download

endpoint, repo, folder = sys.argv[1:]
api = HfApi(endpoint=endpoint)
info = api.model_info(repo)
tree = {entry.path: entry for entry in api.list_repo_tree(repo, revision=info.sha)}
asked = {entry.path: entry for entry in api.get_paths_info(repo, list(tree), revision=info.sha)}
snapshot = pathlib.Path(snapshot_download(repo, revision=info.sha, local_dir=folder, endpoint=endpoint))
files = {
    name: {
        "size": entry.size,
        "size_asked": asked[name].size,
        "lfs_sha256": entry.lfs and entry.lfs.sha256,
        "sha256": hashlib.sha256((snapshot / name).read_bytes()).hexdigest(),
    }
    for name, entry in tree.items()
}
print(json.dumps({"private": info.private, "siblings": sorted(s.rfilename for s in info.siblings), "files": files}))
