"""The figures by which the classifier is judged, from probabilities, labels and votes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset.data import DROPPED, EMOTION_OF_KIND, EMOTIONS, KINDS, majority_of_votes, plurality_of_votes


@dataclass(frozen=True)
class Judged:
    """Probabilities [n,13] beside the proxy label, FERPlus's majority and its plurality, each [n] with -1
    where a face has none."""

    probabilities: np.ndarray
    label: np.ndarray
    majority: np.ndarray
    plurality: np.ndarray

    @staticmethod
    def of(probabilities: np.ndarray, label: np.ndarray, votes: np.ndarray) -> Judged:
        return Judged(probabilities, label, majority_of_votes(votes), plurality_of_votes(votes))

    def rows(self, chosen: np.ndarray) -> Judged:
        """The same for some of the faces."""
        parts = (self.probabilities, self.label, self.majority, self.plurality)
        return Judged(*(part[chosen] for part in parts))


def seven(probabilities: np.ndarray) -> np.ndarray:
    """Sum weak and strong: [n,13] to [n,7]."""
    pairs = probabilities[:, 1:].reshape(-1, 6, 2).sum(2)
    return np.concatenate((probabilities[:, :1], pairs), 1)


def recall(guess: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class's faces that were found, [classes]; nan where there is none."""
    found = np.bincount(truth[guess == truth], minlength=classes)
    there = np.bincount(truth, minlength=classes)
    return np.divide(found, there, out=np.full(classes, np.nan), where=there > 0)


def agreement(guess: np.ndarray, truth: np.ndarray) -> tuple[float, int]:
    """Share of the faces with a truth that were guessed right, and their number."""
    there = truth != DROPPED
    return float((guess == truth)[there].mean()), int(there.sum())


def figures(judged: Judged) -> dict[str, tuple[float, int]]:
    """Every figure as (share, n).

    `strength` is weak against strong: among faces that are not neutral and whose emotion of seven is
    right, how often the likelier of that emotion's two kinds is the labelled one. `majority` is
    FERPlus's usual protocol, `plurality` the same without its wish for more than half of the votes.
    """
    labelled = judged.rows(judged.label != DROPPED)
    truth, n = labelled.label, len(labelled.label)
    emotion = EMOTION_OF_KIND[truth]
    guess7 = seven(labelled.probabilities).argmax(1)
    guess13 = labelled.probabilities.argmax(1)
    right = (guess7 == emotion) & (truth > 0)
    pair = 2 * emotion[right] - 1
    rows = labelled.probabilities[right]
    index = np.arange(len(pair))
    strong = rows[index, pair + 1] > rows[index, pair]
    answers = seven(judged.probabilities).argmax(1)
    return {
        "7 classes": (float((guess7 == emotion).mean()), n),
        "balanced 7": (float(np.nanmean(recall(guess7, emotion, len(EMOTIONS)))), n),
        "13 classes": (float((guess13 == truth).mean()), n),
        "balanced 13": (float(np.nanmean(recall(guess13, truth, len(KINDS)))), n),
        "strength": (float((pair + strong == truth[right]).mean()), len(pair)),
        "majority 7": agreement(answers, judged.majority),
        "plurality 7": agreement(answers, judged.plurality),
    }


def shares_of(judged: Judged) -> dict[str, float]:
    """Every figure in percent."""
    return {name: 100 * share for name, (share, _) in figures(judged).items()}


def intervals(judged: Judged, draws: int, seed: int) -> dict[str, tuple[float, float]]:
    """Bootstrap 95 % interval of each figure, over faces drawn with replacement."""
    random = np.random.default_rng(seed)
    n = len(judged.label)
    samples = [figures(judged.rows(random.integers(0, n, n))) for _ in range(draws)]
    return {
        name: tuple(np.percentile([sample[name][0] for sample in samples], (2.5, 97.5)))
        for name in samples[0]
    }


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; equal values share their mean rank."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def confusion(guess: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Counts [truth, guess]."""
    return np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)


def wilson(found: int, there: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted as found of there, also for few (Wilson's score interval)."""
    squared = 1.96**2
    middle = (found + squared / 2) / (there + squared)
    half = 1.96 * np.sqrt(found * (there - found) / there + squared / 4) / (there + squared)
    return middle - half, middle + half


def class_table(names: tuple[str, ...], counts: np.ndarray) -> str:
    """Markdown: n, recall with its interval, precision and F1 of each class, from a confusion matrix [truth, guess]."""
    lines = ["| class | n | recall | 95 % interval | precision | F1 |", "|---|---:|---:|---:|---:|---:|"]
    for row, name in enumerate(names):
        there, guessed, found = counts[row].sum(), counts[:, row].sum(), counts[row, row]
        share = [f"{100 * found / total:.1f}" if total else "–" for total in (there, guessed)]
        interval = " to ".join(f"{100 * each:.0f}" for each in wilson(found, there)) if there else "–"
        f1 = 200 * found / max(there + guessed, 1)
        lines.append(f"| {name} | {there} | {share[0]} | {interval} | {share[1]} | {f1:.1f} |")
    return "\n".join(lines)


def confusion_table(names: tuple[str, ...], counts: np.ndarray) -> str:
    """Markdown: labels in rows, guesses in columns, counts of faces."""
    lines = ["| label \\ guess | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in zip(names, counts)]
    return "\n".join(lines)


def report(judged: Judged, draws: int, seed: int) -> str:
    """Markdown: figures with n and intervals, both tables of classes, both confusion matrices."""
    between = intervals(judged, draws, seed)
    lines = ["| figure | % | 95 % interval | n |", "|---|---:|---:|---:|"]
    for name, (share, n) in figures(judged).items():
        low, high = between[name]
        lines.append(f"| {name} | {100 * share:.2f} | {100 * low:.1f} to {100 * high:.1f} | {n} |")
    labelled = judged.rows(judged.label != DROPPED)
    emotion = EMOTION_OF_KIND[labelled.label]
    counts7 = confusion(seven(labelled.probabilities).argmax(1), emotion, len(EMOTIONS))
    counts13 = confusion(labelled.probabilities.argmax(1), labelled.label, len(KINDS))
    parts = ["\n".join(lines)]
    for names, counts in ((EMOTIONS, counts7), (KINDS, counts13)):
        parts += [class_table(names, counts), confusion_table(names, counts)]
    return "\n\n".join(parts)
