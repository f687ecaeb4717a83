import gzip
import importlib.util
import pathlib

import pytest

from keras_mtl.data import load_universal_dependencies, read_conllu

pytest.importorskip("conllu")

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="the treebanks are not here")
needs_tfds = pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow_datasets"), reason="no tensorflow-datasets"
)

TEXT = """\
# newdoc id = weblog-1
# sent_id = weblog-1-0001
# text = zum Haus gehen _
1-2\tzum\t_\t_\t_\t_\t_\t_\t_\tCSID=DE
1\tzu\tzu\tADP\tAPPR\t_\t3\tcase\t_\tCSID=DE|Lang=de
2\tdem\tder\tDET\tART\tCase=Dat|Number=Sing\t3\tdet\t_\tLang=de
3\tHaus\tHaus\tNOUN\t_\tNumber=Sing|Number[psor]=Plur\t4\tobl\t_\t_
3.1\tsie\tsie\tPRON\t_\t_\t_\t_\t_\t_
4\tgehen\tgehen\tVERB\tVV\t_\t0\troot\t_\tSpaceAfter=No
5\t_\t_\tSYM\t_\t_\t4\tpunct\t_\tCSID=OTHER

1\tJa\tja\tINTJ\t_\t_\t0\troot\t_\t_
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "dev.conllu"
    path.write_text(TEXT, "utf-8")
    return path


def test_only_words_are_words(file):
    assert read_conllu(file) == {
        "form": [["zu", "dem", "Haus", "gehen", "_"], ["Ja"]],
        "upos": [["ADP", "DET", "NOUN", "VERB", "SYM"], ["INTJ"]],
    }


def test_an_underscore_is_no_tag_but_may_be_a_word(file):
    data = read_conllu(file, ["form", "lemma", "xpos", "deprel"])
    assert data["form"][0][4] == data["lemma"][0][4] == "_"
    assert data["xpos"] == [["APPR", "ART", None, "VV", None], [None]]
    assert data["deprel"][0] == ["case", "det", "obl", "root", "punct"]


def test_features_and_miscellany_are_reached_by_name(file):
    data = read_conllu(file, ["feats.Number", "feats.Number[psor]", "misc.CSID"])
    assert data["feats.Number"] == [[None, "Sing", "Sing", None, None], [None]]
    assert data["feats.Number[psor]"][0] == [None, None, "Plur", None, None]
    assert data["misc.CSID"][0] == ["DE", None, None, None, "OTHER"]


def test_sentences_keep_their_names(file):
    data = read_conllu(file, ["sent_id", "text"])
    assert data == {"sent_id": ["weblog-1-0001", None], "text": ["zum Haus gehen _", None]}


def test_gz_is_read_as_it_is(tmp_path):
    with gzip.open(tmp_path / "dev.conllu.gz", "wt", encoding="utf-8") as stream:
        stream.write(TEXT)
    assert read_conllu(str(tmp_path / "dev.conllu.gz"))["form"][1] == ["Ja"]


@pytest.mark.parametrize("field", ["pos", "feats", "feats.", "upos.x", "newdoc id"])
def test_unknown_fields_are_named(file, field):
    with pytest.raises(ValueError, match=f"Unknown field {field!r}. Fields: form, lemma, upos"):
        read_conllu(file, ["form", field])


@needs_data
def test_ewt_is_read_whole_with_its_genres():
    data = read_conllu(SHARED / "ud" / "en_ewt-ud-dev.conllu.gz", ["form", "sent_id"])
    assert (len(data["form"]), sum(map(len, data["form"]))) == (2001, 25149)
    genres = {name.split("-")[0] for name in data["sent_id"]}
    assert genres == {"weblog", "newsgroup", "email", "reviews", "answers"}


@pytest.mark.slow
@needs_data
@needs_tfds
@pytest.mark.parametrize("treebank, split", [("qtd_sagt", "dev"), ("en_ewt", "test")])
def test_tfds_gives_what_the_file_holds(treebank, split):
    fields = ["form", "lemma", "upos", "xpos", "deprel", "feats.Number", "misc.CSID", "text"]
    file = read_conllu(SHARED / "ud" / f"{treebank}-ud-{split}.conllu.gz", [*fields, "sent_id"])
    tfds = load_universal_dependencies(
        treebank, split, [*fields, "sent_id"], data_dir=SHARED / "tfds"
    )
    place = {name: index for index, name in enumerate(tfds["sent_id"])}
    assert len(place) == len(file["sent_id"]) == len(tfds["form"])
    for field in fields:
        assert [tfds[field][place[name]] for name in file["sent_id"]] == file[field], field


@needs_tfds
def test_tfds_is_not_asked_for_unknown_fields():
    with pytest.raises(ValueError, match="Unknown field 'tokens'"):
        load_universal_dependencies("no_such_treebank", "dev", ["tokens"])
