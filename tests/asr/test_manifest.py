"""Manifests: the forms that the field writes, and what is said of one that cannot be read."""

import pytest

from stenopool.asr.manifest import Columns, Reference, read_manifest
from stenopool.errors import InvalidOptionError, NotFoundError


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest, as text or bytes; gives its file."""

    def write(content, name="manifest.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


BOTH = [("a.wav", "so it is"), ("b/c.wav", "and it was")]

FORMS = {
    "comma": "path,transcript\na.wav,so it is\nb/c.wav,and it was\n",
    "no end of line": "path,transcript\na.wav,so it is\nb/c.wav,and it was",
    "Windows": "path,transcript\r\na.wav,so it is\r\nb/c.wav,and it was\r\n",
    "byte-order mark": "\ufeffpath,transcript\na.wav,so it is\nb/c.wav,and it was\n",
    "Excel's": "path\ttranscript\na.wav\tso it is\nb/c.wav\tand it was\n".encode("utf-16"),
    "Excel's separator": "sep=;\npath;transcript\na.wav;so it is\nb/c.wav;and it was\n",
    "tab": "path\ttranscript\na.wav\tso it is\nb/c.wav\tand it was\n",
    "semicolon": "path;transcript\na.wav;so it is\nb/c.wav;and it was\n",
    "pipe": "path|transcript\na.wav|so it is\nb/c.wav|and it was\n",
    "more columns": "seconds,Transcript,Path\n1,so it is,a.wav\n2,and it was,b/c.wav\n",
    "empty lines": "\npath,transcript\n\na.wav,so it is\n\nb/c.wav,and it was\n\n",
    "JSON lines": '{"path": "a.wav", "text": "so it is"}\n\n'
    '{"path": "b/c.wav", "text": "and it was"}\n',
    "NeMo": '{"audio_filepath": "a.wav", "text": "so it is", "duration": 1.5}\n'
    '{"audio_filepath": "b/c.wav", "text": "and it was", "duration": 2}\n',
    "JSON array": '[{"file": "a.wav", "reference": "so it is"},'
    ' {"file": "b/c.wav", "reference": "and it was"}]',
    "Hugging Face": "file_name,transcription\na.wav,so it is\nb/c.wav,and it was\n",
    "the same line twice": "path,text\na.wav,so it is\n./a.wav,so it is\nb/c.wav,and it was\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_manifests_of_every_form_say_the_same(manifest, form):
    assert [(one.path, one.text) for one in read_manifest(manifest(FORMS[form]))] == BOTH


@pytest.mark.parametrize("path", ["path", "file", "filename", "file_name", "audio", "Audio Path"])
@pytest.mark.parametrize("text", ["transcript", "text", "sentence", "reference", "TRANSCRIPTION"])
def test_columns_are_found_by_their_usual_names(manifest, path, text):
    found = read_manifest(manifest(f"{path},id,{text}\na.wav,7,so\n"))
    assert found == [Reference("a.wav", "so", None, 2)]


def test_columns_that_are_named_are_taken(manifest):
    file = manifest("path,clip,text,clean\nx,a.wav,So!,so\n")
    assert read_manifest(file, Columns(path="clip", text="clean"))[0].text == "so"
    assert read_manifest(file, Columns(text="clean"))[0].path == "x"


def test_text_with_the_separator_quotes_and_lines_is_read_whole(manifest):
    [one] = read_manifest(manifest('path,text\na.wav,"so, he said ""it is""\nand was"\n'))
    assert one.text == 'so, he said "it is"\nand was'


def test_tab_separated_text_may_begin_with_a_quote(manifest):
    found = read_manifest(manifest('path\tsentence\na.wav\t"So" it is\nb.wav\t"and\n', "x.tsv"))
    assert [one.text for one in found] == ['"So" it is', '"and']


def test_text_of_an_hour_is_read(manifest):
    [one] = read_manifest(manifest(f"path,text\na.wav,{'so it is ' * 50_000}\n"))
    assert len(one.text.split()) == 150_000


def test_languages_are_read_where_they_are(manifest):
    found = read_manifest(manifest("path,text,locale\na,so,en\nb,ja,de-DE\nc,so,\n"))
    assert [one.language for one in found] == ["en", "de-DE", None]


def test_empty_text_is_silence(manifest):
    assert read_manifest(manifest("path,text\na.wav,\n"))[0].text == ""


WRONG = {
    "empty": ("", "is empty; it needs a header"),
    "blank": (" \n\n", "is empty"),
    "only a header": ("path,text\n", "one line, taken for its header"),
    "no column of paths": ("id,text\n1,so\n", "but 'id', 'text'; rename one, or name it"),
    "no column of texts": ("path,words\na,so\n", "--text-column"),
    "no header": ("a.wav,so it is\nb.wav,and\n", "no column that is called path, file"),
    "latin-1": ("path,text\na,so\nb,schön\n".encode("latin-1"), "not UTF-8 (line 3)"),
    "binary": (b"PAR1\0\0\1\2PAR1", "is no text"),
    "sound": (b"RIFF\xff\0\0\0WAVE", "is no text"),
    "comma in a text": ("path,text\na,so, it is\n", "line 2 has 3 columns and the header has 2"),
    "a column too few": ("path,text\na,so\nb\n", "line 3 has 1 columns"),
    "open quote": ('path,text\na,"so\nb,it\n', "line 3"),
    "empty path": ("path,text\n ,so\n", "line 2: the column 'path' is empty"),
    "a column twice": ("path,text,text\na,so,it\n", "the column 'text' twice; rename one"),
    "the same path in two forms": ("path,text\na,so\n./a,it\n", "with different texts (lines 2"),
    "JSON whose first row has less": (
        '[{"path": "a"}, {"path": "b", "text": "it"}]',
        "line 1: the column 'text' has no value",
    ),
    "Excel's separator alone": ("sep=;\n", "has one line"),
    "JSON with nothing in it": ("[]", "has no recording"),
    "two texts": ("path,text\na,so\nb,x\na,it\n", "'a' twice with different texts (lines 2 and 4)"),
    "broken JSON": ('{"path": "a", "text": "so"}\n{"path": \n', "line 2: no JSON"),
    "JSON without objects": ("[1, 2]", "no JSON object"),
    "JSON without a text": ('{"path": "a", "text": null}', "the column 'text' has no value"),
    "JSON with another kind": ('{"path": "a", "text": ["so"]}', 'no text but ["so"]'),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_manifest_is_one_line_that_says_where_and_what_to_do(manifest, wrong):
    content, said = WRONG[wrong]
    with pytest.raises(InvalidOptionError) as caught:
        read_manifest(manifest(content))
    assert said in str(caught.value)
    assert "manifest.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_column_that_is_not_there_is_named_with_those_that_are(manifest):
    with pytest.raises(InvalidOptionError, match="no column 'clip'; it has 'path', 'text'"):
        read_manifest(manifest("path,text\na,so\n"), Columns(path="clip"))


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"nope\.csv"):
        read_manifest(tmp_path / "nope.csv")
    with pytest.raises(InvalidOptionError, match="is a folder"):
        read_manifest(tmp_path)


def test_reading_leaves_the_csv_module_as_it_was(manifest):
    import csv

    before = csv.field_size_limit()
    read_manifest(manifest("path,text\na,so\n"))
    assert csv.field_size_limit() == before
