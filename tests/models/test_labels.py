"""The names of classes, in every form that they come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from livecam import Explainer, LivecamError
from livecam.models.labels import Labels, labels_of

ANIMALS = ("tench", "great white shark", "cock")
SYNONYMS = ("tench, Tinca tinca", "great white shark", "cock")
SYNSETS = ("n01440764", "n01484850", "n01514668")

TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "one a line": ("tench\ngreat white shark\ncock\n", ANIMALS),
    "one a line, by Windows": ("tench\r\ngreat white shark\r\ncock\r\n", ANIMALS),
    "empty lines": ("\ntench\n\ngreat white shark\n \ncock\n\n", ANIMALS),
    "names with commas": ("tench, Tinca tinca\ngreat white shark\ncock", SYNONYMS),
    "names with one comma each": ("tench, Tinca tinca\ncock, rooster", ("tench, Tinca tinca", "cock, rooster")),
    "names with commas in quotation marks": ('"tench, Tinca tinca"\ngreat white shark\ncock', SYNONYMS),
    "names that are numbers": ("0\n1\n10\n11\n2", ("0", "1", "10", "11", "2")),
    "names that begin with numbers": ("0 degrees\n90 degrees\n180 degrees", ("0 degrees", "90 degrees", "180 degrees")),
    "names that are ranges": ("0-9\n10-19\n20-29", ("0-9", "10-19", "20-29")),
    "names that end with numbers": ("stage 1\nstage 2", ("stage 1", "stage 2")),
    "names that end with the same numbers": ("left 1\nright 1\nleft 2", ("left 1", "right 1", "left 2")),
    "one quotation mark": ('12" disc\n"left\nright', ('12" disc', '"left', "right")),
    "numbers in front": ("0 tench\n1 great white shark\n2 cock", ANIMALS),
    "numbers and colons": ("0: tench, Tinca tinca\n1: great white shark\n2: cock", SYNONYMS),
    "numbers in another order": ("2 cock\n0 tench\n1 great white shark", ANIMALS),
    "numbers behind": ("cock 2\ntench 0\ngreat white shark 1", ANIMALS),
    "numbers from 1": ("1 tench\n2 great white shark\n3 cock", ANIMALS),
    "synsets": ("n01440764 tench, Tinca tinca\nn01484850 great white shark\nn01514668 cock", SYNONYMS),
    "only synsets": ("n01440764\nn01484850\nn01514668", SYNSETS),
    "CSV": ("0,tench\n1,great white shark\n2,cock", ANIMALS),
    "CSV with commas in names": ('0,"tench, Tinca tinca"\n1,great white shark\n2,cock', SYNONYMS),
    "CSV with commas that lack quotation marks": ("0,tench, Tinca tinca\n1,great white shark\n2,cock", SYNONYMS),
    "CSV with headings": ("index,name\n0,tench\n1,great white shark\n2,cock", ANIMALS),
    "CSV of name and number": ("name,index\ncock,2\ntench,0\ngreat white shark,1", ANIMALS),
    "CSV of synsets": ('n01440764,"tench, Tinca tinca"\nn01484850,great white shark\nn01514668,cock', SYNONYMS),
    "CSV of synsets and numbers": ("n01514668,2,cock\nn01440764,0,tench\nn01484850,1,great white shark", ANIMALS),
    "CSV with other columns": ("index,mid,display_name\n0,/m/a,tench\n1,/m/b,great white shark\n2,/m/c,cock", ANIMALS),
    "CSV of two numberings": ("id,index,name\n1,0,tench\n2,1,great white shark\n3,2,cock", ANIMALS),
    "CSV of groups": ("group,index,name\n0,0,tench\n0,1,great white shark\n1,2,cock", ANIMALS),
    "CSV of names that are numbers": ("name,index\n1,0\n0,1\n2,2", ("1", "0", "2")),
    "CSV of folders": ("number,folder\n0,n01440764\n1,n01484850\n2,n01514668", SYNSETS),
    "CSV with semicolons": ("0;tench, Tinca tinca\n1;great white shark\n2;cock", SYNONYMS),
    "TSV": ("0\ttench, Tinca tinca\n1\tgreat white shark\n2\tcock", SYNONYMS),
    "JSON list": (json.dumps(ANIMALS), ANIMALS),
    "JSON by number": (json.dumps({"0": "tench", "2": "cock", "1": "great white shark"}), ANIMALS),
    "JSON by name": (json.dumps({"tench": 0, "cock": 2, "great white shark": 1}), ANIMALS),
    "JSON by name, of names that are numbers": (json.dumps({"0": 0, "1": 1, "10": 2, "2": 3}), ("0", "1", "10", "2")),
    "JSON of folders": (json.dumps(dict(zip(SYNSETS, range(3), strict=True))), SYNSETS),
    "JSON of synsets": (json.dumps(dict(enumerate(zip(SYNSETS, SYNONYMS, strict=True)))), SYNONYMS),
    "JSON of synonyms": (json.dumps([["tench", "Tinca tinca"], "great white shark", "cock"]), SYNONYMS),
    "a configuration": (
        json.dumps({"model_type": "vit", "id2label": dict(enumerate(ANIMALS)), "label2id": {"tench": 0}}, indent=1),
        ANIMALS,
    ),
    "classes beside other things": (json.dumps({"architecture": "resnet", "classes": ANIMALS}), ANIMALS),
    "a dictionary of Python": ("{0: 'tench, Tinca tinca',\n 1: 'great white shark',\n 2: 'cock'}", SYNONYMS),
}


@pytest.mark.parametrize("form", TEXTS)
def test_a_file_of_every_form(tmp_path: Path, form: str) -> None:
    text, expected = TEXTS[form]
    for name, encoding in (("labels", "utf-8"), ("labels.json", "utf-8-sig"), ("labels.csv", "utf-16")):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert labels_of(tmp_path / name) == expected


WRONG: dict[str, tuple[bytes, str]] = {
    "a gap": (b"0 tench\n1 shark\n3 cock", "have no name for the number 2"),
    "a gap in JSON": (b'{"0": "tench", "2": "cock"}', "have no name for the number 1"),
    "a number twice": (b"0,tench\n1,shark\n1,cock", "give the number 1 twice, to 'shark' and 'cock'"),
    "two names of one number": (b'{"tench": 0, "Tinca": 0}', "give the number 0 twice, to 'tench' and 'Tinca'"),
    "names that are numbers": (b"1,0\n0,1\n2,2", "have two columns of numbers; write headings above them"),
    "no name": (b'["tench", null]', "have None in place of a name"),
    "an empty name": (b'{"0": "tench", "1": ""}', "have '' in place of a name"),
    "JSON cut short": (b'["tench",\n "shark"', "are not complete JSON (Expecting ',' delimiter: line 2"),
    "JSON of something else": (b'{"model_type": "vit"}', "have neither a list of names nor numbers with names"),
    "nothing": (b"\xef\xbb\xbf\n \n", "are empty: one name for each class is needed"),
    "an empty list": (b"[]", "are empty"),
    "an empty mapping": (b"{}", "are empty"),
    "another encoding": ("caf\u00e9".encode("latin-1"), "are not UTF-8 text"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_line(tmp_path: Path, what: str) -> None:
    content, expected = WRONG[what]
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(LivecamError) as caught:
        labels_of(path)
    assert str(caught.value).startswith(f"the labels {path} {expected}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 tench\n2 shark", "the labels count from 1: their number 1, tench, is class 0 of the model"),
        ("n02119789 fox\nn01440764 tench", "the labels are not in the order of their synsets"),
    ],
)
def test_what_may_not_be_the_order_of_the_model_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    (tmp_path / "labels.txt").write_text(text)
    assert len(labels_of(tmp_path / "labels.txt")) == 2
    (message,) = caplog.messages
    assert message.startswith(told)


SHAPES = ("a", "b", "c", "d", "e", "f", "g", "h")


@pytest.mark.parametrize(
    "labels",
    [SHAPES, list(SHAPES), dict(enumerate(SHAPES)), {name: number for number, name in enumerate(SHAPES)}],
    ids=["tuple", "list", "by number", "by name"],
)
def test_names_in_python_are_for_any_model(labels: Labels) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    named = Explainer("shapes", labels=labels, target=3)
    assert named(picture).label == "d"
    assert Explainer(named.classifier.module, labels=labels, target=3)(picture).label == "d"
    with pytest.raises(LivecamError, match="^the labels have 3 in place of a name"):
        labels_of([3])  # type: ignore[list-item]
    with pytest.raises(LivecamError, match="^the labels are a set, which has no order"):
        labels_of({"cat", "dog"})  # type: ignore[arg-type]
