import gzip
import pathlib

import pytest

from keras_mtl.data import read_columns

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="the corpora are not here")


@pytest.fixture
def file(tmp_path):
    """Writes a text byte by byte and returns its path."""

    def write(text, name="train.txt"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def words(path, **kwargs):
    return read_columns(path, ["word", "tag"], **kwargs)["word"]


def test_columns_are_sentences_of_strings(file):
    path = file("He PRP B-NP\nsleeps VBZ B-VP\n\nRain NN B-NP\n\n")
    assert read_columns(path, ["word", "pos", "chunk"]) == {
        "word": [["He", "sleeps"], ["Rain"]],
        "pos": [["PRP", "VBZ"], ["NN"]],
        "chunk": [["B-NP", "B-VP"], ["B-NP"]],
    }


def test_any_white_space_separates(file):
    assert words(file("a \t X\nb  Y\n")) == [["a", "b"]]


def test_a_given_separator_keeps_spaces_and_empty_columns(file):
    path = file("New York\tX\n\tY\n")
    assert words(path, separator="\t") == [["New York", ""]]


def test_blank_lines_may_hold_white_space_and_come_in_numbers(file):
    assert words(file("\n\na X\n\t\n \n\nb Y\n\n\n")) == [["a"], ["b"]]


def test_a_hash_is_a_word(file):
    assert words(file("# X\na Y\n\n#1 Z\n")) == [["#", "a"], ["#1"]]


def test_the_last_line_needs_no_end(file):
    assert words(file("a X\nb Y")) == [["a", "b"]]


def test_windows_line_ends_are_no_part_of_a_tag(file):
    assert read_columns(file("a\tX\r\n\r\nb\tY\r\n"), ["word", "tag"], "\t") == {
        "word": [["a"], ["b"]],
        "tag": [["X"], ["Y"]],
    }


def test_only_line_feeds_end_a_line(file):
    assert words(file("a\u2028b\x0c\tX\n"), separator="\t") == [["a\u2028b\x0c"]]


def test_gz_is_read_as_it_is(tmp_path):
    with gzip.open(tmp_path / "train.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write("Größe NN\n")
    assert words(tmp_path / "train.txt.gz") == [["Größe"]]
    assert words(str(tmp_path / "train.txt.gz")) == [["Größe"]]


def test_an_empty_file_has_no_sentences(file):
    assert read_columns(file(""), ["word", "tag"]) == {"word": [], "tag": []}


def test_a_wrong_number_of_columns_names_file_and_line(file):
    path = file("a X\n\nb Y\nc\n")
    with pytest.raises(ValueError, match=r"train.txt, line 4, has 1 columns where 2 are expected"):
        words(path)
    with pytest.raises(ValueError, match=r"line 1, has 3 .* word, tag. Received: 'a b X'"):
        words(file("a b X\n"))


@needs_data
def test_conll_2000_is_read_whole():
    path = SHARED / "conll2000" / "train.txt.gz"
    data = read_columns(path, ["word", "pos", "chunk"])
    assert len(data["word"]) == 8936
    assert sum(map(len, data["word"])) == 211727
    assert len({tag for tags in data["pos"] for tag in tags}) == 44
    assert len({tag for tags in data["chunk"] for tag in tags}) == 22
    assert any("#" in sentence for sentence in data["word"])


@needs_data
@pytest.mark.parametrize(
    "name, sentences, tokens",
    [("wnut17train.conll.gz", 3394, 62730), ("emerging.dev.conll.gz", 1009, 15733)],
)
def test_wnut_17_is_read_whole(name, sentences, tokens):
    data = read_columns(SHARED / "wnut17" / name, ["word", "entity"], separator="\t")
    assert (len(data["word"]), sum(map(len, data["word"]))) == (sentences, tokens)
    assert {len(tag.split("-")[0]) for tags in data["entity"] for tag in tags} == {1}
