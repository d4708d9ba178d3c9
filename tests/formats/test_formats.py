"""`lectern compare` computes what scikit-learn and krippendorff compute, and what `lectern export` writes is read by the libraries of
ELAN's and Praat's users and by ffmpeg."""

import csv
import pathlib
import random
import subprocess

import krippendorff
import parselmouth
import pympi
import pytest
import tgt
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

LECTERN = pathlib.Path(__file__).parents[2] / "target/debug/lectern"
KINDS = ["neutral", *(f"{emotion}_{intensity}" for emotion in ("surprise", "fear", "disgust", "happy", "sad", "angry")
                      for intensity in ("weak", "strong"))]
SOURCES = ["monday & co.mp4", "tuesday.mp4"]
NO_KIND = ["uncertain", "no_face"]


def lectern(*arguments):
    return subprocess.run([LECTERN, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Frames of two recordings, faces of the same, and the codings of three people who often agree."""
    folder = tmp_path_factory.mktemp("formats")
    draw = random.Random(7)
    frames, codings = [], []
    with open(folder / "frames.csv", "w", newline="") as out, open(folder / "faces.csv", "w", newline="") as out_faces:
        table, faces = csv.writer(out), csv.writer(out_faces)
        head = ["device", "boot", "label", "source", "seconds", "picture_seconds"]
        table.writerow([*head, "expression"])
        faces.writerow([*head, "face", "x", "y", "width", "height", "score", "expression", *KINDS])
        for source in SOURCES:
            kind = "neutral"
            for tick in range(1500):
                if draw.random() < 0.15:
                    kind = draw.choice(KINDS[:1] * 6 + KINDS + NO_KIND)
                start = [source, source, "L", source, f"{tick / 2:.3f}", f"{tick / 2:.3f}"]
                table.writerow([*start, kind])
                if kind != "no_face":
                    faces.writerow([*start, 0, "10.0", "20.0", "30.0", "40.0", "0.9", kind, *["0.0769"] * 13])
                frames.append((source, tick, kind))
    labels = {}
    for coder, reliability in (("anna", 0.8), ("ben", 0.6), ("cem", 0.5)):
        for source, tick, kind in frames:
            if tick % 240 < 200 and not (coder == "cem" and source == SOURCES[0]):
                named = kind if kind in KINDS and draw.random() < reliability else draw.choice(KINDS)
                labels[coder, source, tick] = named
                codings.append([source, f"{tick / 2}", f"{tick / 2 + 0.5}", named, coder])
    with open(folder / "codings.csv", "w", newline="") as out:
        csv.writer(out).writerows([["source", "start", "end", "expression", "coder"], *codings])
    return folder, frames, labels


def merged(kind, kinds):
    return kind.split("_")[0] if kinds == 7 and kind is not None else kind


@pytest.mark.parametrize("kinds", [7, 13])
@pytest.mark.parametrize("source", ["", *SOURCES])
def test_coefficients_are_those_of_others(tables, kinds, source):
    folder, frames, labels = tables
    lectern("compare", folder / "frames.csv", folder / "codings.csv", "--csv", folder / "values.csv",
            "--confusion", folder / "matrix.csv", "--chart", folder / "matrix.svg")
    with open(folder / "values.csv") as table:
        values = {(row["raters"], row["measure"], row["kind"]): row for row in csv.DictReader(table)
                  if row["kinds"] == str(kinds) and row["source"] == source}
    chosen = [(at, tick, kind) for at, tick, kind in frames if source in ("", at)]
    raters = {"Lectern": [merged(kind if kind in KINDS else None, kinds) for _, _, kind in chosen]}
    for coder in ("anna", "ben", "cem"):
        raters[coder] = [merged(labels.get((coder, at, tick)), kinds) for at, tick, _ in chosen]
    names = list(dict.fromkeys(merged(kind, kinds) for kind in KINDS))
    compared = 0
    for one, other in (("anna", "Lectern"), ("ben", "Lectern"), ("cem", "Lectern"), ("anna", "ben"), ("ben", "cem")):
        pairs = [(a, b) for a, b in zip(raters[one], raters[other]) if a is not None and b is not None]
        if not pairs:
            assert (f"{one} and {other}", "kappa", "") not in values
            continue
        truth, named = zip(*pairs)
        row = values[f"{one} and {other}", "kappa", ""]
        assert float(row["value"]) == pytest.approx(cohen_kappa_score(truth, named, labels=names), abs=2e-6)
        assert int(row["frames"]) == len(pairs) and float(row["low"]) < float(row["value"]) < float(row["high"])
        compared += 1
        if other != "Lectern":
            continue
        precision, recall, _, _ = precision_recall_fscore_support(truth, named, labels=names, zero_division=0)
        for name, each in zip(names, zip(precision, recall)):
            for measure, value in zip(("precision", "recall"), each):
                found = values.get((f"{one} and {other}", measure, name.replace("_", " ")), {"value": "0"})
                assert float(found["value"]) == pytest.approx(value, abs=2e-6)
        with open(folder / "matrix.csv") as table:
            counts = [int(row["frames"]) for row in csv.DictReader(table)
                      if (row["kinds"], row["source"], row["coder"]) == (str(kinds), source, one)]
        assert counts == confusion_matrix(truth, named, labels=names).ravel().tolist()
    assert compared >= 3
    for group, members in (("coders", ["anna", "ben", "cem"]), ("coders and Lectern", list(raters))):
        data = [[float("nan") if kind is None else names.index(kind) for kind in raters[rater]] for rater in members]
        expected = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
        assert float(values[group, "alpha", ""]["value"]) == pytest.approx(expected, abs=2e-6)


def intervals(frames, source):
    """Merged intervals in milliseconds."""
    merged = []
    for at, tick, kind in frames:
        if at == source and merged and merged[-1][2] == kind:
            merged[-1] = (merged[-1][0], tick * 500 + 500, kind)
        elif at == source:
            merged.append((tick * 500, tick * 500 + 500, kind))
    return merged


@pytest.fixture(scope="module")
def exported(tables):
    folder, _, _ = tables
    out = folder / "exported"
    out.mkdir()
    for to in ("elan", "praat", "srt", "tsv"):
        lectern("export", folder / "frames.csv", "--to", to, "--out", out)
    return out


@pytest.mark.parametrize("source", SOURCES)
def test_elan_and_praat_read_the_same_intervals(tables, exported, source):
    _, frames, _ = tables
    expected = intervals(frames, source)
    stem = source.removesuffix(".mp4")
    eaf = pympi.Elan.Eaf(str(exported / f"{stem}.eaf"))
    found = sorted((start, end, value) for start, end, value, *_ in eaf.get_annotation_data_for_tier("expression"))
    assert found == expected
    times = list(eaf.timeslots.values())
    assert times == sorted(times) and len(times) == 2 * len(expected)
    grid = tgt.io.read_textgrid(str(exported / f"{stem}.TextGrid"), encoding="utf-8")
    assert [(round(it.start_time * 1000), round(it.end_time * 1000), it.text) for it in grid.tiers[0]] == expected
    praat = parselmouth.read(str(exported / f"{stem}.TextGrid"))
    count = int(parselmouth.praat.call(praat, "Get number of intervals", 1))
    labels = [parselmouth.praat.call(praat, "Get label of interval", 1, at + 1) for at in range(count)]
    assert labels == [label for _, _, label in expected]
    with open(exported / f"{stem}.tsv") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [(round(float(row["start"]) * 1000), row["expression"]) for row in rows] == [(it[0], it[2]) for it in expected]


def test_subtitles_are_played(tables, exported):
    folder, frames, _ = tables
    lectern("export", folder / "faces.csv", "--to", "srt", "--out", exported)
    path = exported / "tuesday.srt"
    packets = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0", path],
                             check=True, capture_output=True, text=True).stdout.split()
    assert len(packets) == sum(at == "tuesday.mp4" and kind != "no_face" for at, _, kind in frames)
    assert {float(packet.split(",")[1]) for packet in packets} == {0.5}
    subtitles = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "webvtt", "-"], check=True, capture_output=True,
                               text=True).stdout
    assert "[10,20 30x40]" in subtitles


def test_codings_of_the_export_agree(tables, exported):
    folder, _, _ = tables
    text = lectern("compare", folder / "frames.csv", exported / "tuesday.tsv")
    assert "expression and Lectern: kappa 1.000" in text
