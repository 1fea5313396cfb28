"""Every native operator: name, parameters with their defaults, version, and the class that computes it.

Names, parameters and defaults are those of py-data-juicer 1.6.1; `design/0006-native-operators.md` tells each
difference in results. Raise an operator's version whenever what it gives changes: `tests/operators/test_versions.py`
minds it.
"""

from __future__ import annotations

import re
import sys
from typing import cast

from forebay.errors import RecipeError
from forebay.pipeline.operator import OperatorKind
from forebay.pipeline.operators.specification import Need, OperatorSpec, Param
from forebay.types import JSON

_HOME = "forebay.pipeline.operators"
_NO_LIMIT = sys.maxsize

TEXT_KEY = Param("text_key", "str", "text")

_EXECUTION_NAMES = """
    accelerator adaptive_batching audio_key auto_op_parallelism batch_mode batch_size cpu_required gpu_required
    history_key image_bytes_key image_key input_columns instruction_key mem_required memory num_cpus num_gpus num_proc
    output_columns prompt_key query_key ray_execution_mode response_key runtime_env skip_op_error system_key turbo
    video_key work_dir
"""

EXECUTION = tuple(Param(name, "any", None, nullable=True, in_key=False) for name in _EXECUTION_NAMES.split())
"""What Data-Juicer takes for any operator and what cannot change a text operator's result: accepted, never in a key."""

REVERSED = Param("reversed_range", "bool", False)
RANGE = (Param("min_closed_interval", "bool", True), Param("max_closed_interval", "bool", True), REVERSED)
"""What every filter over a range takes."""

_UNUSED_RANGE = tuple(Param(param.name, "bool", True, in_key=False) for param in RANGE[:2])


def _patterns(operator: str, params: dict[str, JSON]) -> dict[str, JSON]:
    """Take ``r'…'`` for its inside, as Data-Juicer does, and refuse a pattern or replacement that does not compile."""
    pattern, repl = cast("str | None", params["pattern"]), cast("str", params["repl"])
    if pattern is None:
        try:
            re.sub("(x)", repl, "x")
        except (re.error, IndexError) as error:
            raise RecipeError(
                f"{operator}: parameter repl {repl!r} is not a replacement: {error}",
                subject="repl",
                hint=r"only \1 and \g<0>, the whole match, can be named; write \\ for a backslash",
            ) from None
        return params
    if len(pattern) > 2 and pattern[:2] in ("r'", 'r"') and pattern[-1] == pattern[1]:
        pattern = pattern[2:-1]
    return params | {"pattern": _compiled(operator, "pattern", pattern)}


def _compiled(operator: str, parameter: str, pattern: str) -> str:
    """Return `pattern` unchanged, once the engine that will run it has taken it."""
    Need("regex", parameter).version(operator)
    import regex

    try:
        regex.compile(pattern, flags=regex.DOTALL)
    except regex.error as error:
        what = f"{operator}: parameter {parameter} is not a regular expression: {error}"
        raise RecipeError(what, subject=parameter) from None
    return pattern


def _normal_form(operator: str, params: dict[str, JSON]) -> dict[str, JSON]:
    form = cast("str | None", params["normalization"]) or "NFC"
    if form.upper() not in ("NFC", "NFKC", "NFD", "NFKD"):
        raise RecipeError(
            f"{operator}: parameter normalization must be one of NFC, NFKC, NFD, NFKD, not {form!r}",
            subject="normalization",
        )
    return params | {"normalization": form.upper()}


def _untokenised(operator: str, params: dict[str, JSON]) -> dict[str, JSON]:
    """Refuse what needs a downloaded tokenizer; `lang` only picks that tokenizer, so it leaves the key."""
    if params["tokenization"]:
        raise RecipeError(
            f"{operator}: tokenization by a model is not native",
            subject="tokenization",
            hint="leave it out, to count words between blanks",
        )
    return {name: value for name, value in params.items() if name not in ("tokenization", "lang")}


def _shingles(operator: str, params: dict[str, JSON]) -> dict[str, JSON]:
    if params["tokenizer_model"] is not None:
        raise RecipeError(
            f"{operator}: tokenization by a model is not native",
            subject="tokenizer_model",
            hint="use tokenization: space, punctuation or character",
        )
    bands, rows, count = params["num_bands"], params["num_rows_per_band"], cast("int", params["num_permutations"])
    if isinstance(bands, int) and isinstance(rows, int) and bands * rows > count:
        raise RecipeError(
            f"{operator}: num_bands x num_rows_per_band is {bands * rows}, more than num_permutations ({count})",
            subject="num_bands",
            hint="raise num_permutations, or leave both out to have the best chosen",
        )
    params = params | {"ignore_pattern": params["ignore_pattern"] or None}
    if isinstance(params["ignore_pattern"], str):
        _compiled(operator, "ignore_pattern", params["ignore_pattern"])
    return {name: value for name, value in params.items() if name != "tokenizer_model"}


def _mapper(name: str, target: str, own: tuple[Param, ...], doc: str, **more: object) -> OperatorSpec:
    return OperatorSpec(
        name=name,
        kind=OperatorKind.MAPPER,
        target=f"{_HOME}.{target}",
        version=1,
        params=(*own, TEXT_KEY, *EXECUTION),
        reads=("{text_key}",),
        writes=("{text_key}",),
        doc=doc,
        **more,  # type: ignore[arg-type]
    )


def _text_filter(name: str, target: str, own: tuple[Param, ...], doc: str, **more: object) -> OperatorSpec:
    return OperatorSpec(
        name=name,
        kind=OperatorKind.FILTER,
        target=f"{_HOME}.{target}",
        version=1,
        params=(*own, TEXT_KEY, *RANGE, *EXECUTION),
        reads=("{text_key}",),
        writes=(),
        doc=doc,
        **more,  # type: ignore[arg-type]
    )


def _field_filter(name: str, target: str, own: tuple[Param, ...], reads: str, doc: str) -> OperatorSpec:
    params = (*own, REVERSED, *_UNUSED_RANGE, Param("text_key", "str", "text", in_key=False), *EXECUTION)
    return OperatorSpec(name, OperatorKind.FILTER, f"{_HOME}.{target}", 1, params, (reads,), (), doc)


def _selector(name: str, target: str, own: tuple[Param, ...], reads: tuple[str, ...], doc: str) -> OperatorSpec:
    params = (*own, Param("text_key", "str", "text", in_key=False), *EXECUTION)
    return OperatorSpec(name, OperatorKind.SELECTOR, f"{_HOME}.{target}", 1, params, reads, (), doc)


def _lengths(minimum: int = 10) -> tuple[Param, ...]:
    return (Param("min_len", "int", minimum), Param("max_len", "int", _NO_LIMIT))


def _ratios(minimum: float, maximum: float) -> tuple[Param, ...]:
    return (Param("min_ratio", "float", minimum), Param("max_ratio", "float", maximum))


_PATTERN = (Param("pattern", "str", None, nullable=True), Param("repl", "str", ""))
_TOKENIZATION = (Param("lang", "str", "en"), Param("tokenization", "bool", False))
_REP_LEN = Param("rep_len", "int", 10, minimum=1)
_FIELD_KEY = Param("field_key", "str", "")
_TOP = (
    _FIELD_KEY,
    Param("top_ratio", "float", None, minimum=0, maximum=1, nullable=True),
    Param("topk", "int", None, minimum=1, nullable=True),
    Param("reverse", "bool", True),
)

MAPPERS = (
    _mapper(
        "whitespace_normalization_mapper",
        "whitespace:WhitespaceNormalizationMapper",
        (),
        "Turn every kind of blank into a plain space, and trim both ends.",
    ),
    _mapper(
        "clean_links_mapper",
        "links:CleanLinksMapper",
        _PATTERN,
        "Remove or replace links.",
        needs=(Need("regex", "pattern"),),
        refine=_patterns,
    ),
    _mapper(
        "clean_email_mapper",
        "links:CleanEmailMapper",
        _PATTERN,
        "Remove or replace e-mail addresses.",
        needs=(Need("regex", "pattern"),),
        refine=_patterns,
    ),
    _mapper(
        "fix_unicode_mapper",
        "unicode:FixUnicodeMapper",
        (Param("normalization", "str", None, nullable=True),),
        "Mend mojibake and bring text into one Unicode normal form.",
        needs=(Need("ftfy"),),
        unicode=True,
        refine=_normal_form,
    ),
    _mapper(
        "punctuation_normalization_mapper",
        "whitespace:PunctuationNormalizationMapper",
        (),
        "Turn Unicode punctuation into its ASCII counterpart.",
    ),
    _mapper(
        "clean_copyright_mapper",
        "copyright:CleanCopyrightMapper",
        (),
        "Remove the comment about copyright at the head of source files.",
    ),
    _mapper(
        "remove_long_words_mapper",
        "words:RemoveLongWordsMapper",
        _lengths(1),
        "Remove words shorter or longer than a range of lengths.",
    ),
)

FILTERS = (
    _text_filter(
        "text_length_filter",
        "lengths:TextLengthFilter",
        _lengths(),
        "Keep texts whose number of characters is within a range.",
    ),
    _text_filter(
        "maximum_line_length_filter",
        "lengths:MaximumLineLengthFilter",
        _lengths(),
        "Keep texts whose longest line is within a range of characters.",
    ),
    _text_filter(
        "average_line_length_filter",
        "lengths:AverageLineLengthFilter",
        _lengths(),
        "Keep texts whose characters per line are within a range.",
    ),
    _text_filter(
        "words_num_filter",
        "words:WordsNumFilter",
        (*_TOKENIZATION, Param("min_num", "int", 10), Param("max_num", "int", _NO_LIMIT)),
        "Keep texts whose number of words is within a range.",
        refine=_untokenised,
    ),
    _text_filter(
        "word_repetition_filter",
        "words:WordRepetitionFilter",
        (*_TOKENIZATION, _REP_LEN, *_ratios(0.0, 0.5)),
        "Keep texts whose share of repeated runs of words is within a range.",
        unicode=True,
        refine=_untokenised,
    ),
    _text_filter(
        "alphanumeric_filter",
        "ratios:AlphanumericFilter",
        (_TOKENIZATION[1], *_ratios(0.25, float(_NO_LIMIT))),
        "Keep texts whose share of letters and digits is within a range.",
        unicode=True,
        refine=_untokenised,
    ),
    _text_filter(
        "special_characters_filter",
        "ratios:SpecialCharactersFilter",
        _ratios(0.0, 0.25),
        "Keep texts whose share of punctuation, digits, blanks, symbols and emoji is within a range.",
    ),
    _text_filter(
        "character_repetition_filter",
        "repetition:CharacterRepetitionFilter",
        (_REP_LEN, *_ratios(0.0, 0.5)),
        "Keep texts whose share of repeated runs of characters is within a range.",
    ),
    _field_filter(
        "specified_field_filter",
        "fields:SpecifiedFieldFilter",
        (_FIELD_KEY, Param("target_value", "values", [])),
        "{field_key}.",
        "Keep rows whose field holds only target values.",
    ),
    _field_filter(
        "suffix_filter",
        "fields:SuffixFilter",
        (Param("suffixes", "values", [], nullable=True),),
        "__dj__suffix__",
        "Keep rows that came from files with given suffixes.",
    ),
)

DEDUPLICATORS = (
    OperatorSpec(
        name="document_deduplicator",
        kind=OperatorKind.DEDUPLICATOR,
        target=f"{_HOME}.deduplicate:DocumentDeduplicator",
        version=1,
        params=(
            Param("lowercase", "bool", False),
            Param("ignore_non_character", "bool", False),
            TEXT_KEY,
            *EXECUTION,
        ),
        reads=("{text_key}",),
        writes=(),
        doc="Keep the first of each set of equal texts.",
        unicode=True,
    ),
    OperatorSpec(
        name="document_minhash_deduplicator",
        kind=OperatorKind.DEDUPLICATOR,
        target=f"{_HOME}.minhash:DocumentMinhashDeduplicator",
        version=1,
        params=(
            Param("tokenization", "str", "space", choices=("space", "punctuation", "character")),
            Param("window_size", "int", 5, minimum=1),
            Param("lowercase", "bool", True),
            Param("ignore_pattern", "str", None, nullable=True),
            Param("num_permutations", "int", 256, minimum=1),
            Param("jaccard_threshold", "float", 0.7, minimum=0, maximum=1),
            Param("num_bands", "int", None, minimum=1, nullable=True),
            Param("num_rows_per_band", "int", None, minimum=1, nullable=True),
            Param("tokenizer_model", "str", None, nullable=True),
            TEXT_KEY,
            *EXECUTION,
        ),
        reads=("{text_key}",),
        writes=(),
        doc="Keep the first of each cluster of near-duplicate texts, by MinHash and locality-sensitive hashing.",
        needs=(Need("regex", "ignore_pattern"),),
        unicode=True,
        refine=_shingles,
    ),
)

SELECTORS = (
    _selector(
        "random_selector",
        "selectors:RandomSelector",
        (
            Param("select_ratio", "float", None, minimum=0, maximum=1, nullable=True),
            Param("select_num", "int", None, minimum=1, nullable=True),
        ),
        (),
        "Keep a share or a number of rows, drawn by chance that is the same every time.",
    ),
    _selector(
        "topk_specified_field_selector",
        "selectors:TopkSpecifiedFieldSelector",
        _TOP,
        ("{field_key}.",),
        "Keep the rows with the greatest, or least, values of a field.",
    ),
    _selector(
        "frequency_specified_field_selector",
        "selectors:FrequencySpecifiedFieldSelector",
        _TOP,
        ("{field_key}.",),
        "Keep the rows with the most, or least, frequent values of a field.",
    ),
)

LISTING: dict[str, OperatorSpec] = {spec.name: spec for spec in (*MAPPERS, *FILTERS, *DEDUPLICATORS, *SELECTORS)}
"""Every native operator by name."""
