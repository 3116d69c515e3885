"""Python beside the Rust workspace: what makes the engine's fixtures, and what compares its files with peers.

Each module runs from the root of the repository: `.venv-peers/bin/python -m tools.compat.merge_sweep`.
`scripts/test-peers` makes the environment.
"""
