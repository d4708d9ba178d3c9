"""What dataset/data.py and evaluate/figures.py promise. `python -m evaluate.test_figures`, or with pytest; numpy and Pillow
suffice."""

from __future__ import annotations

import numpy as np

import testing
from dataset.data import DROPPED, KINDS, VOTE_COLUMNS, kinds_from_votes, majority_of_votes, plurality_of_votes
from evaluate.confusion import confusion
from evaluate.figures import Judged, figures, seven, spearman, wilson


def votes(**given: int) -> np.ndarray:
    """A face's ten votes by FERPlus's names."""
    return np.array([given.get(name, 0) for name in VOTE_COLUMNS])


def kind(**given: int) -> str | None:
    number = int(kinds_from_votes(votes(**given)))
    return None if number == DROPPED else KINDS[number]


def test_faces_are_counted_by_what_they_were_called() -> None:
    sure, unsure = [0.0] * 13, [0.1] + [0.075] * 12
    sure[8] = 1.0
    answers = {("Valid", "a"): sure, ("Valid", "b"): unsure, ("Valid", "unlabelled"): sure}
    counts = confusion(answers, {("Valid", "a"): 7, ("Valid", "b"): 7})
    assert counts.sum() == 2 and counts[7, 8] == 1 and counts[7, 13] == 1


def test_the_rule_makes_kinds_from_votes() -> None:
    assert kind(neutral=7, happiness=3) == "neutral"
    assert kind(happiness=10) == "happy_strong"
    # 9 of 10, and 9 of 10 among happy and neutral: .81, and happy is strong from .95.
    assert kind(happiness=9, neutral=1) == "happy_weak"
    assert kind(anger=8, neutral=2) == "angry_strong"
    # In a tie the last emotion wins.
    assert kind(fear=5, anger=5) == "angry_weak"
    for dropped in ({"unknown": 4, "happiness": 6}, {"NF": 3, "happiness": 7}, {"contempt": 5, "anger": 5},
                    {"neutral": 5, "sadness": 2, "fear": 2, "anger": 1}):  # fmt: skip
        assert kind(**dropped) is None, dropped


def test_a_majority_leaves_single_votes_out_and_a_plurality_does_not() -> None:
    split = votes(anger=5, sadness=1, neutral=1, fear=1, disgust=1, surprise=1)[None]
    tied = votes(anger=5, sadness=5)[None]
    assert majority_of_votes(split) == plurality_of_votes(split) == 6
    assert majority_of_votes(tied) == plurality_of_votes(tied) == DROPPED
    most = votes(anger=4, sadness=3, fear=3)[None]
    assert majority_of_votes(most) == DROPPED and plurality_of_votes(most) == 6


def test_strength_is_judged_only_where_the_emotion_is_right() -> None:
    label = np.array([KINDS.index(name) for name in ("happy_weak", "happy_strong", "sad_weak", "neutral")])
    guess = np.array([KINDS.index(name) for name in ("happy_weak", "happy_weak", "angry_weak", "neutral")])
    probabilities = np.eye(len(KINDS))[guess]
    none = np.full(len(label), DROPPED)
    none[0] = 4
    found = figures(Judged(probabilities, label, none, none))
    assert found["7 classes"] == (0.75, 4) and found["13 classes"] == (0.5, 4) and found["strength"] == (0.5, 2)
    assert found["majority 7"] == (1.0, 1)
    assert np.allclose(seven(np.full((1, 13), 1 / 13)), [[1 / 13] + [2 / 13] * 6])


def test_a_share_of_few_has_a_wide_interval() -> None:
    # Wilson's interval for 2 of 30, by hand.
    assert np.allclose(wilson(2, 30), (0.01848, 0.21323), atol=1e-4)
    assert wilson(0, 10)[0] < 1e-9 and wilson(10, 10)[1] > 1 - 1e-9


def test_equal_values_share_their_mean_rank() -> None:
    values = np.array([1.0, 2.0, 2.0, 4.0])
    assert np.isclose(spearman(values, values**3), 1) and np.isclose(spearman(values, -values), -1)
    # Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4.
    assert np.isclose(spearman(values, np.array([1.0, 3.0, 2.0, 4.0])), 0.9486833)


if __name__ == "__main__":
    testing.run_all(globals())
