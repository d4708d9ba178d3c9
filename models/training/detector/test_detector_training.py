"""What the training of the detector promises. `PYTHONPATH=models/training python -m detector.test_detector_training`, or with pytest."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import torch
from PIL import Image

import testing
from detector.cascade import Boxes, as_planes, distinct, logit, search
from detector.dataset import (
    DROPPED, NEGATIVE, PART, POSITIVE, Photograph, augmented, collect, cut_cells, cut_squares, enclosing_squares, label, offsets,
    overlaps, photograph,
)  # fmt: skip
from detector.evaluate import Counts
from detector.export import same_counts, write
from detector.networks import NAMES, SIDES, head, load_all, mirrored_landmarks, mirrored_offsets, original, rescale_logit
from detector.reference_mtcnn import Cascade
from detector.train import Candidates, losses, train

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "models"


def portrait(side: int = 200) -> np.ndarray:
    return np.asarray(Image.open(ROOT / "tests/fixtures/portrait.png").convert("RGB").resize((side, side)))


def box(*sides: float) -> np.ndarray:
    return np.array([sides], np.float32)


def test_the_search_finds_what_the_specification_finds() -> None:
    found = search(load_all(None), portrait(), 30, (logit(0.6), logit(0.7), logit(0.7)))
    expected = Cascade(str(MODELS)).detect(portrait(), 30, thresholds=[0.6, 0.7, 0.7])["faces"]
    assert len(found.boxes) == len(expected) > 0
    # O-Net's committed weights are int8.
    assert np.abs(found.boxes - [face["box"] for face in expected]).max() < 1
    assert np.abs(found.landmarks - [face["landmarks"] for face in expected]).max() < 1


def test_labels_follow_the_bounds() -> None:
    photo = Photograph(np.zeros((200, 200, 3), np.uint8), box(50, 50, 90, 100), box(150, 150, 160, 160))
    boxes = np.concatenate([
        box(45, 50, 95, 100), box(40, 40, 110, 110), box(100, 100, 140, 140), box(70, 60, 120, 110), box(145, 145, 165, 165), box(0, 0, 150, 150),
    ])  # fmt: skip
    kind, _ = label(boxes, photo, by_square=False)
    plain = overlaps(boxes, photo.faces)[:, 0]
    assert kind.tolist() == [POSITIVE, PART, NEGATIVE, DROPPED if plain[3] >= 0.3 else NEGATIVE, DROPPED, NEGATIVE]
    narrow = Photograph(photo.picture, box(50, 50, 80, 100), photo.ignored[:0])
    squares = enclosing_squares(narrow.faces)
    assert label(squares, narrow, by_square=False)[0].tolist() == [PART]
    assert label(squares, narrow, by_square=True)[0].tolist() == [POSITIVE]


def test_offsets_lead_back_to_the_face() -> None:
    boxes, faces = box(40, 40, 100, 100), box(50, 44, 90, 99)
    for one in (0, 1):
        heads = torch.cat([torch.zeros(1, 1), torch.from_numpy(offsets(boxes, faces, one))], 1)
        assert np.abs(Boxes(torch.from_numpy(boxes), heads).regressed(one).numpy() - faces).max() < 1e-4


def test_mirroring_moves_offsets_and_landmarks_alike() -> None:
    image = torch.from_numpy(portrait(48).transpose(2, 0, 1).copy()).float()[None]
    answers, mirrored = (head("onet", original("onet"), each).detach() for each in (image, image.flip(3)))
    assert (mirrored_landmarks(answers[:, 5:]) - mirrored[:, 5:]).abs().max() < 0.1
    assert (mirrored_offsets(answers[:, 1:5]) - mirrored[:, 1:5]).abs().max() < 0.15
    assert torch.equal(mirrored_landmarks(mirrored_landmarks(answers[:, 5:])).round(decimals=5), answers[:, 5:].round(decimals=5))


def test_candidates_of_all_networks_are_cut_and_learnt_from() -> None:
    """Also: a run that is stopped and resumed ends with the same weights, and the answers of the old O-Net are the landmarks."""
    networks, found = load_all(None), search(load_all(None), portrait(), 30, (logit(0.6), logit(0.7), logit(0.7)))
    photo = Photograph(portrait(), found.boxes[:1].astype(np.float32), np.zeros((0, 4), np.float32))
    other = augmented(photo, np.random.default_rng(3))
    assert len(other.faces) + len(other.ignored) == 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network in NAMES:
            parts = []
            with torch.no_grad():
                for one in (photo, other):
                    random = np.random.default_rng(13)
                    cut = cut_cells(networks["pnet"], one, True, random) if network == "pnet" else cut_squares(network, networks, one, True, random)
                    parts.append(cut)
            images, kind, wanted = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(3))
            assert images.shape[1:] == (3, SIDES[network], SIDES[network])
            # The portrait alone may have no mistakes of the later networks.
            blank = np.zeros((4, *images.shape[1:]), np.uint8)
            images, kind = np.concatenate([images.astype(np.uint8), blank]), np.concatenate([kind, np.full(4, NEGATIVE)])
            wanted = np.concatenate([wanted, np.zeros((4, 4))]).astype(np.float32)
            np.savez(folder / f"{network}.npz", images=images, kind=kind, offsets=wanted)
            if network == "pnet":
                continue
            ends = []
            for run, steps in (("whole", [4]), ("resumed", [2, 4])):
                (folder / run).mkdir(exist_ok=True)
                for last in steps:
                    candidates = Candidates([folder / f"{network}.npz"])
                    # One schedule, or the rate of the first part would differ.
                    ends.append(train(network, candidates, folder / run, 4, 1e-4, 16, 13, run == "resumed", stop=last))
            for a, b in zip(ends[0].parameters(), ends[-1].parameters()):
                assert torch.equal(a, b)
        candidates.teach()
        rows = candidates.rows[POSITIVE]
        taught = head("onet", original("onet"), candidates.images[rows].float())[:, 5:]
        assert torch.equal(candidates.landmarks[rows], taught.detach()) or (candidates.landmarks[rows] - taught).abs().max() < 1e-4


def test_cutting_that_was_stopped_goes_on() -> None:
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        (data / "images").mkdir()
        rows = []
        for index in range(4):
            Image.fromarray(portrait(80 + 10 * index)).resize((640, 640)).resize((80, 80)).save(data / "images" / f"{index}.png")
            faces = [{"x": 20, "y": 15, "w": 30, "h": 40, "invalid": 0}]
            rows.append({"file": f"{index}.png", "width": 80, "height": 80, "faces": faces})
        (data / "boxes.json").write_text(json.dumps(rows))
        whole = collect("rnet", load_all(None), data, "all", 1, True, 13, data / "one.part")
        with mock.patch("detector.dataset.photograph", side_effect=[photograph(data, row) for row in rows[:3]]):
            try:
                collect("rnet", load_all(None), data, "all", 1, True, 13, data / "two.part", every=2)
            except StopIteration:
                pass
        with mock.patch("detector.dataset.photograph", wraps=photograph) as read:
            again = collect("rnet", load_all(None), data, "all", 1, True, 13, data / "two.part", every=2)
        assert read.call_count == 2
        assert all(np.array_equal(whole[key], again[key]) for key in whole)


def test_parts_teach_the_box_alone_and_negatives_the_class_alone() -> None:
    answers = torch.tensor([[2.0, 1, 1, 1, 1], [2.0, 1, 1, 1, 1], [-2.0, 1, 1, 1, 1]])
    kind = torch.tensor([POSITIVE, PART, NEGATIVE])
    wanted = torch.tensor([[1.0] * 4, [0.0] * 4, [9.0] * 4])
    classes, of_box, points = losses(answers, kind, wanted, torch.zeros(3, 0), hardest=1.0)
    assert abs(classes - np.log1p(np.exp(-2))) < 1e-6 and of_box == 0.5 and points == 0


def test_exported_files_are_the_networks_and_have_the_committed_graphs() -> None:
    networks = load_all(None)
    before = head("rnet", networks["rnet"], torch.full((1, 3, 24, 24), 90.0))[0, 0].item()
    rescale_logit("rnet", networks["rnet"], 2.0, -1.0)
    after = head("rnet", networks["rnet"], torch.full((1, 3, 24, 24), 90.0))[0, 0].item()
    assert abs(after - (2 * before - 1)) < 1e-4
    with tempfile.TemporaryDirectory() as name:
        write(networks, Path(name), "test")
        for network in NAMES:
            ours, committed = (onnx.load(str(folder / f"{network}.onnx")) for folder in (Path(name), MODELS))
            for a, b in ((ours.graph.node, committed.graph.node), (ours.graph.input, committed.graph.input), (ours.graph.output, committed.graph.output)):
                assert [each.SerializeToString() for each in a] == [each.SerializeToString() for each in b]
            assert {each.name: (each.data_type, tuple(each.dims)) for each in ours.graph.initializer} == {
                each.name: (each.data_type, tuple(each.dims)) for each in committed.graph.initializer
            }
        cascade = Cascade(name)
        image = as_planes(portrait(24))
        ours = cascade.run("rnet", image[0].numpy().transpose(1, 2, 0))
        assert np.abs(ours - head("rnet", networks["rnet"], image).detach().numpy()[0]).max() < 1e-4


def test_moved_logits_exceed_the_levels_as_often() -> None:
    random = np.random.default_rng(13)
    old = -np.sort(-random.normal(0, 3, 1000))
    new = -np.sort(-random.normal(1, 5, 1000))
    gain, offset = same_counts(old, new, [1.0, 4.0])
    for level in (1.0, 4.0):
        assert abs(int((gain * new + offset > level).sum()) - int((old > level).sum())) <= 1


def test_curves_and_suppression() -> None:
    counts = Counts(np.array([0, 0, 1]), np.array([0.9, 0.5, 0.7]), np.array([1.0, 1.0, 0.0]), np.array([2, 1]))
    assert counts.at(np.ones(2), 0.6) == (1 / 3, 1 / 2)
    assert counts.at_precision(np.ones(2), 0.66) == (2 / 3, 0.5)
    assert counts.at_precision(np.array([1, 0]), 1.0) == (1.0, 0.5)
    boxes = np.array([[0, 0, 100, 100], [10, 10, 50, 50], [200, 200, 250, 250]], np.float32)
    assert distinct(boxes, np.array([1.0, 3.0, 2.0])) == [1, 2]


if __name__ == "__main__":
    testing.run_all(globals())
