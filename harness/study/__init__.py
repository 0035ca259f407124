"""Studies: the question, the factors, and the variants that answer it."""

from harness.study.load import Study, find_study, load_study
from harness.study.recipe import Recipe
from harness.study.variants import Variant

__all__ = ["Recipe", "Study", "Variant", "find_study", "load_study"]
