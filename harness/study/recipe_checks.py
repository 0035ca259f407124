"""A variant's settings against the study that it stands in.

Owns the checks that take a whole recipe: names of bases, sources and pair sets, and settings that need
each other. The rule: a fault names the place in the file that set it, in a level or in the recipe. What
a single field may be is `recipe`'s affair.
"""

from __future__ import annotations

from harness.errors import StudyError
from harness.study.document import StudyDocument
from harness.study.source_checks import check_known, check_revisions
from harness.study.source_text import FieldPath, SourceText
from harness.study.task_prompts import read_prompts
from harness.study.training_sets import known_sources, pair_sets
from harness.study.variants import Variant


def check_recipes(variants: tuple[Variant, ...], document: StudyDocument, source: SourceText) -> None:
    """Check every variant's names against what the study has, and its settings against each other.

    Raises:
        StudyError: With file, line, field, the value seen, what is allowed and the closest name.
    """
    known = known_sources(document.sources)
    checked = set()
    for variant in variants:
        recipe = variant.recipes[0]
        _check_validation(variant, source)
        # Equal sections of a study's variants are one object.
        named = tuple(map(id, (recipe.model, recipe.data, recipe.weak_data, recipe.prompts)))
        if named in checked:
            continue
        checked.add(named)
        check_known(
            recipe.model.base, document.bases, "base", _place(variant, "model.base", source), source
        )
        for name, data in (("data", recipe.data), ("weak_data", recipe.weak_data)):
            if data is not None:
                place = _place(variant, f"{name}.source", source)
                check_known(data.source, known, "source", place, source)
                check_revisions(data.source, known, place, source)
                place = _place(variant, f"{name}.pairs", source)
                check_known(data.pairs, pair_sets(known[data.source]), "pair set", place, source)
        try:
            read_prompts(recipe.prompts.tasks, folder=source.path.parent)
        except StudyError as error:
            where = _place(variant, "prompts.tasks", source)
            raise source.error(where, error.message, cure=error.cure) from None


def _check_validation(variant: Variant, source: SourceText) -> None:
    """Refuse a stage that is to be measured, or chosen from, by pairs that nobody held out."""
    recipe = variant.recipes[0]
    weak = recipe.weak_data or recipe.data
    for name, stage, data, held in (
        ("pretraining", recipe.pretraining, weak, "weak_data" if recipe.weak_data else "data"),
        ("reconstruction", recipe.reconstruction, recipe.data, "data"),
        ("contrastive", recipe.contrastive, recipe.data, "data"),
    ):
        if data.validation is not None:
            continue
        for field_name, value, usual in (
            ("keep", stage.keep, "last"),
            ("validate_every", stage.validate_every, None),
        ):
            if value != usual:
                raise source.error(
                    _place(variant, f"{name}.{field_name}", source),
                    f"{value!r} needs pairs that are held out of training, and there are none",
                    cure=f"set `{held}.validation: {{pairs: 200}}`, or remove this field",
                )


def _place(variant: Variant, field: str, source: SourceText) -> FieldPath:
    """Return where the file sets `field` of this variant: in one of its levels, or in the recipe."""
    for factor, level in variant.levels.items():
        where: FieldPath = ("factors", factor, level, field)
        if where in source.lines:
            return where
        if factor == field:
            return ("factors", factor)
    return ("recipe", *field.split("."))
