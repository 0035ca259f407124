"""Benchmarking and ablation harness for LLM-based text embedders."""

__version__ = "0.1.0"
