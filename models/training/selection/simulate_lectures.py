"""The resting face of a person: form and constants of `crates/vision/src/baseline.rs`, chosen in simulated lectures.

`python -m selection.simulate_lectures --lectern target/debug/lectern --faces FER2013Valid` takes the photographs of
`rated_dev/` below the data folder as the product frames and classifies them, and makes lectures of one performer: the
photographs follow each other in segments of 4 to 12 seconds, two frames a second, a share of them neutral. It prints
Markdown: what the network says of a resting face of the population (the neutral faces of FER2013Valid; `resting` of the
manifest), and how many frames are right among 7 and how wrong the counts of a minute are, without and with the
baseline. Constants are chosen by performers that are not looked at (five folds). Intervals draw performers. `--fixture`
only writes what the test of `baseline.rs` reads.

Of 15 performers 13 have a neutral photograph, three of them only one: such a lecture shows the very photograph again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.data import DROPPED, EMOTIONS, KINDS, Rows, read_labels
from evaluate.rated_photographs import logits_of, rated_photographs

ROOT = Path(__file__).resolve().parents[3]
NETWORK = ROOT / "models/expression.onnx"
FIXTURE = ROOT / "tests/fixtures/baseline.json"

PERIOD_S = 0.5
MINUTE = 120
SHARES = (0.0, 0.5, 0.7, 0.9)
SMILING = -1.0
"""In the place of a share: nothing but happy photographs."""
FOLDS = 5
HAPPY = EMOTIONS.index("happy")


@dataclass(frozen=True)
class Constants:
    """Those of `baseline.rs`, and by how much neutral is lowered in `resting` against the population's mean: a resting face
    lies that much nearer to the emotions once it is known."""

    caution_s: float = 3.0
    lowered: float = 0.8
    half_life_s: float = 300.0
    furthest: float = 3.0


GRID = [Constants(*each) for each in itertools.product((1.0, 3.0), (0.6, 0.8, 1.0), (300.0,), (2.0, 3.0, 4.0))]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def lowered(resting: np.ndarray, by: float) -> np.ndarray:
    """`resting` [13] with neutral lowered, and a mean of 0 again."""
    moved = resting - by * (np.arange(len(resting)) == 0)
    return moved - moved.mean()


def adapt(logits: np.ndarray, resting: np.ndarray, constants: Constants) -> np.ndarray:
    """Logits [lectures, frames, 13] after the baseline, which learns frame by frame; as `NeutralBaseline::adapt`."""
    beyond, seconds = np.zeros_like(logits[:, 0]), np.zeros_like(logits[:, 0, :1])
    lowest = np.full(logits.shape[-1], -constants.furthest)
    lowest[0] = 0
    kept = 2 ** (-PERIOD_S / constants.half_life_s)
    adapted = np.empty_like(logits)
    for frame in range(logits.shape[1]):
        said = logits[:, frame]
        seen = said - said.mean(1, keepdims=True) - resting
        adapted[:, frame] = said - (beyond / (seconds + constants.caution_s)).clip(lowest, constants.furthest)
        weight = softmax(adapted[:, frame])[:, :1] * PERIOD_S
        beyond, seconds = kept * beyond + weight * seen, kept * seconds + weight
    return adapted


@dataclass(frozen=True)
class Photographs:
    """Logits [n,13], emotion [n] (-1 without) and performer [n]."""

    logits: np.ndarray
    emotion: np.ndarray
    performer: np.ndarray


def photographs_of(lectern: Path, data: Path, network: Path) -> Photographs:
    """Those of `rated_dev/` whose emotion raters agree on, as `network` sees them."""
    rows, logits = rated_photographs(lectern, data, lambda row: row["label"], "--classifier", str(network))
    return Photographs(
        logits, np.array([EMOTIONS.index(row["label"]) for row in rows]), np.array([row["performer"] for row in rows])
    )


@dataclass(frozen=True)
class Lectures(Rows):
    """Logits [m, frames, 13], true emotions [m, frames], performer and share of neutral segments [m]."""

    logits: np.ndarray
    truth: np.ndarray
    performer: np.ndarray
    share: np.ndarray


def simulate(photographs: Photographs, shares: tuple[float, ...], each: int, frames: int, seed: int) -> Lectures:
    """`each` lectures of every performer and share; those without a neutral photograph have no share above 0."""
    random = np.random.default_rng(seed)
    rows, performers, of_share = [], [], []
    for share, performer in itertools.product(shares, np.unique(photographs.performer)):
        own = photographs.performer == performer
        resting = np.flatnonzero(own & (photographs.emotion == 0))
        shown = photographs.emotion == HAPPY if share == SMILING else photographs.emotion > 0
        moved = np.flatnonzero(own & shown)
        if share > 0 and not len(resting):
            continue
        for _ in range(each):
            segments: list[int] = []
            while len(segments) < frames:
                pool = resting if random.random() < share else moved
                segments += [random.choice(pool)] * random.integers(8, 25)
            rows.append(segments[:frames])
            performers.append(performer)
            of_share.append(share)
    chosen = np.array(rows)
    return Lectures(
        photographs.logits[chosen], photographs.emotion[chosen], np.array(performers), np.array(of_share)
    )


def judge(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of frames right among 7, and of a minute's frames counted as another emotion than they were, [m,2]."""
    pairs = np.logaddexp(logits[..., 1::2], logits[..., 2::2])
    guess = np.concatenate((logits[..., :1], pairs), -1).argmax(-1)
    minutes = [each.reshape(len(each), -1, MINUTE) for each in (guess, truth)]
    counts = [np.stack([(each == emotion).mean(2) for emotion in range(len(EMOTIONS))]) for each in minutes]
    wrong = np.abs(counts[0] - counts[1]).sum(0).mean(1) / 2
    return np.stack(((guess == truth).mean(1), wrong), 1)


def by_performer(lectures: Lectures, judged: np.ndarray, share: float) -> np.ndarray:
    """The means [performers, 2] of the lectures with this share."""
    there = lectures.share == share
    names = np.unique(lectures.performer[there])
    return np.stack([judged[there & (lectures.performer == name)].mean(0) for name in names])


def worth(lectures: Lectures, before: np.ndarray, after: np.ndarray) -> float:
    """What constants are chosen by: frames right with a share that is neutral, less what is lost beyond 4 % in the counts of
    whoever is never neutral, and beyond 5 points where somebody smiles all the time."""
    right = np.mean([by_performer(lectures, after, share)[:, 0].mean() for share in SHARES[1:]])
    wrong = [by_performer(lectures, each, 0.0)[:, 1].mean() for each in (before, after)]
    smiles = [by_performer(lectures, each, SMILING)[:, 0].mean() for each in (before, after)]
    return float(right - 2 * max(0.0, wrong[1] / wrong[0] - 1.04) - 2 * max(0.0, smiles[0] - smiles[1] - 0.05))


def choose(lectures: Lectures, resting: np.ndarray) -> Constants:
    before = judge(lectures.logits, lectures.truth)

    def of(constants: Constants) -> float:
        adapted = adapt(lectures.logits, lowered(resting, constants.lowered), constants)
        return worth(lectures, before, judge(adapted, lectures.truth))

    return max(GRID, key=of)


def row(name: str, judged: list[np.ndarray], draws: int, seed: int) -> str:
    """A line of the table from the performers' figures, each before and after."""
    random = np.random.default_rng(seed)
    before, after = judged
    cells = []
    for column in (0, 1):
        cells.append(f"{100 * before[:, column].mean():.1f}")
        drawn = [after[random.integers(0, len(after), len(after)), column].mean() for _ in range(draws)]
        low, high = np.percentile(drawn, (2.5, 97.5))
        cells.append(f"{100 * after[:, column].mean():.1f} ({100 * low:.0f} to {100 * high:.0f})")
    change = after[:, 1].mean() / before[:, 1].mean() - 1
    cells.append(f"{100 * change:+.0f} %")
    cells += [f"{100 * each[:, 0].min():.0f}" for each in (before, after)]
    return f"| {name} | " + " | ".join(cells) + " |"


def write_fixture() -> None:
    """A drawn face that rests, smiles, and is somebody else in between; no photograph."""
    random = np.random.default_rng(13)
    resting = lowered(np.linspace(2, -2, len(KINDS)), 0.8)
    logits = random.normal(0, 1, (240, len(KINDS))) + resting
    logits[40:90, 8] += 9
    logits[:, 9] += 3
    logits[160:, 9] -= 5
    adapted = adapt(logits[None], resting, Constants())[0]
    frames = [[list(map(float, side.round(4))) for side in pair] for pair in zip(logits, adapted)]
    FIXTURE.write_text(json.dumps({"resting": resting.tolist(), "seconds": PERIOD_S, "frames": frames}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lectern", type=Path, help="the product")
    parser.add_argument("--faces", type=Path, help="folder FER2013Valid with its pictures")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder with the labels and rated_dev/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--fixture", action="store_true", help="write tests/fixtures/baseline.json, and nothing else")
    parser.add_argument("--each", type=int, default=3, help="lectures of a performer and share")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    if options.fixture:
        write_fixture()
        return
    if options.lectern is None or options.faces is None or options.data is None:
        parser.error("needs --lectern, --faces, and --data or LECTERN_DATA")
    data = Path(options.data)

    labels = read_labels(data / "fer2013plus")
    neutral = [path for path in sorted(options.faces.glob("*.png"))
               if labels.get(("PublicTest", path.name), DROPPED) == 0]  # fmt: skip
    logits = logits_of(options.lectern, neutral, "--classifier", str(NETWORK))
    resting = (logits - logits.mean(1, keepdims=True)).mean(0)
    print(f"{len(neutral)} resting faces; with neutral lowered by {Constants().lowered}:")
    print("resting = [" + ", ".join(f"{each:.3f}" for each in lowered(resting, Constants().lowered)) + "]\n")

    photographs = photographs_of(options.lectern, data, NETWORK)
    lectures = simulate(photographs, (SMILING, *SHARES), options.each, 10 * MINUTE, options.seed)
    before = judge(lectures.logits, lectures.truth)
    performers = np.unique(lectures.performer)
    held_out, shipped = np.empty_like(before), Constants()
    for fold in range(FOLDS):
        looked_at = np.isin(lectures.performer, performers[fold::FOLDS])
        constants = choose(lectures.rows(~looked_at), resting)
        print(f"without {', '.join(performers[fold::FOLDS])}: {constants}", flush=True)
        part = lectures.rows(looked_at)
        held_out[looked_at] = judge(adapt(part.logits, lowered(resting, constants.lowered), constants), part.truth)
    print("\n| neutral | frames right, without | with | wrong in a minute, without | with | change "
          "| worst performer, without | with |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    all_of = judge(adapt(lectures.logits, lowered(resting, shipped.lowered), shipped), lectures.truth)
    for title, after in (("held out", held_out), ("shipped", all_of)):
        for share in (SMILING, *SHARES):
            both = [by_performer(lectures, each, share) for each in (before, after)]
            name = "smiles all the time" if share == SMILING else f"{100 * share:.0f} %"
            print(row(f"{name}, {title}", both, options.draws, options.seed))

    # Two performers in turn, a minute each, as if nothing told them apart.
    some = lectures.rows(lectures.share == 0.7)
    turn = np.arange(some.truth.shape[1]) // MINUTE % 2 == 1
    other = some.rows(np.roll(np.arange(len(some.share)), options.each))
    mixed = replace(some, logits=np.where(turn[None, :, None], other.logits, some.logits),
                    truth=np.where(turn[None], other.truth, some.truth))  # fmt: skip
    adapted = adapt(mixed.logits, lowered(resting, shipped.lowered), shipped)
    both = [by_performer(mixed, judge(each, mixed.truth), 0.7) for each in (mixed.logits, adapted)]
    print(row("70 %, two in turn, shipped", both, options.draws, options.seed))


if __name__ == "__main__":
    main()
