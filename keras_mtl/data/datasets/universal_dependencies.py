"""Tagged sentences of Universal Dependencies: CoNLL-U files, or prepared by TFDS."""

import ast
import gzip
from pathlib import Path
from typing import Any

WORD_FIELDS = ("form", "lemma", "upos", "xpos", "deprel")
SENTENCE_FIELDS = ("sent_id", "text")
_TFDS_NAMES = {"form": "tokens", "lemma": "lemmas", "sent_id": "idx"}


def read_conllu(path: Any, fields: Any = ("form", "upos")) -> Any:
    """Reads fields of the words of a CoNLL-U file.

    Multi-word tokens (`8-9`) and empty nodes (`8.1`) are no words and are left out. Needs the
    package `conllu`.

    Args:
        path: The file, UTF-8, plain or `.gz`.
        fields: List of what to read. Of every word: `"form"`, `"lemma"`, `"upos"`, `"xpos"`,
            `"deprel"`, a feature such as `"feats.Number"`, or an entry of the last column such
            as `"misc.CSID"`. Of every sentence: `"sent_id"`, `"text"`. Defaults to
            `("form", "upos")`.

    Returns:
        Dict, field -> list of sentences, each a list of strings with `None` where a word does
        not have the field; for the fields of sentences a list of strings, or `None`.

    Raises:
        ValueError: An unknown field.

    Example:

    ```python
    train = read_conllu("en_ewt-ud-train.conllu", ["form", "upos", "feats.Number", "sent_id"])
    train["form"][0][:3]          # ["Al", "-", "Zaman"]
    train["feats.Number"][0][:3]  # ["Sing", None, "Sing"]
    train["sent_id"][0]           # "weblog-juancole.com_juancole_20051126063000_ENG_..."
    ```
    """
    import conllu

    _check_fields(fields)
    open_text = gzip.open if Path(path).suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as file:
        sentences = [
            ([token for token in tokens if isinstance(token["id"], int)], tokens.metadata)
            for tokens in conllu.parse_incr(file)
        ]
    return _by_field(sentences, fields)


def load_universal_dependencies(
    treebank: Any, split: Any, fields: Any = ("form", "upos"), *, data_dir: Any = None
) -> Any:
    """Loads fields of the words of a treebank through TensorFlow Datasets.

    What `read_conllu` gives, in the order of TFDS, which is not that of the treebank's file. Empty
    nodes and multi-word tokens are left out. Needs the extra `data`; TFDS downloads a
    treebank that is not in `data_dir`.

    Args:
        treebank: Name of the treebank, such as `"en_ewt"`.
        split: `"train"`, `"dev"`, `"test"`, or a part such as `"train[:10%]"`.
        fields: List of what to read, as for `read_conllu`. Defaults to `("form", "upos")`.
        data_dir: Folder of prepared datasets. `None`: that of TFDS. Defaults to `None`.

    Returns:
        Dict, field -> list of sentences, as from `read_conllu`.

    Raises:
        ValueError: An unknown field.

    Example:

    ```python
    train = load_universal_dependencies("en_ewt", "train", ["form", "upos", "sent_id"])
    ```
    """
    import tensorflow_datasets as tfds

    _check_fields(fields)
    examples, info = tfds.load(
        f"universal_dependencies/{treebank}", split=split, data_dir=data_dir, with_info=True
    )
    tag = info.features["upos"].feature.int2str
    sentences = [_tokens(example, tag) for example in examples.as_numpy_iterator()]
    return _by_field(sentences, fields)


def _tokens(example: Any, tag: Any) -> tuple[Any, Any]:
    """Returns the words of a TFDS example, and what is known of the sentence, as conllu does."""
    columns = {
        name: [value.decode() for value in example[_TFDS_NAMES.get(name, name)]]
        for name in ("form", "lemma", "xpos", "deprel", "feats", "misc", "head")
    }
    columns["upos"] = [tag(index) for index in example["upos"]]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    words = [row for row in rows if row["head"] != "None"]  # only words have one
    for word in words:  # TFDS keeps what conllu parsed as Python writes it
        word["feats"], word["misc"] = map(ast.literal_eval, (word["feats"], word["misc"]))
        word["xpos"] = None if word["xpos"] == "None" else word["xpos"]
    return words, {name: example[_TFDS_NAMES.get(name, name)].decode() for name in SENTENCE_FIELDS}


def _check_fields(fields: Any) -> None:
    for field in fields:
        column, _, key = field.partition(".")
        known = column in ("feats", "misc") if key else field in WORD_FIELDS + SENTENCE_FIELDS
        if not known:
            raise ValueError(
                f"Unknown field {field!r}. Fields: {', '.join(WORD_FIELDS + SENTENCE_FIELDS)}, "
                "feats.<feature> such as feats.Number, and misc.<key>."
            )


def _by_field(sentences: Any, fields: Any) -> dict[Any, Any]:
    return {
        field: [
            metadata.get(field)
            if field in SENTENCE_FIELDS
            else [_value(word, field) for word in words]
            for words, metadata in sentences
        ]
        for field in fields
    }


def _value(word: Any, field: Any) -> Any:
    column, _, key = field.partition(".")
    value = (word[column] or {}).get(key) if key else word[column]
    return None if value == "_" and column not in ("form", "lemma") else value
