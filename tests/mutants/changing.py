"""Bugs of the change-point filter, of the posterior that is set by hand, and of selections in their modes."""

from __future__ import annotations

from .mutant import Mutant

__all__ = ["CHANGING"]

CHANGING = (
    # ------------------------------------------------------------------ change points
    Mutant(
        "change points: told again with every outcome, and after a restart",
        "actors/model.py",
        "        if change is not None and (known is None or change.detected_ns > known.detected_ns):\n",
        "        if change is not None:\n",
        ("tests/actors/test_drift.py",),
    ),
    Mutant(
        "change points: never told to whoever listens",
        "actors/model.py",
        "            if before is not self._changes() and self._on_change is not None:\n",
        "            if False:\n",
        ("tests/actors/test_drift.py", "tests/protocol/test_server_subscriptions.py"),
    ),
    Mutant(
        "change points: the hazard ignores the time between outcomes",
        "actors/learning/changepoint.py",
        "        ended = segments_end(self._weights, self._lasts(seconds), ",
        "        ended = segments_end(self._weights, self._lasts(3_600.0), ",
        ("tests/learning/test_changepoint.py",),
    ),
    Mutant(
        "change points: what is asked about later ignores the time since the newest outcome",
        "actors/learning/changepoint.py",
        "        seconds = max(as_of_ns - self._as_of_ns, 0) / 1e9\n",
        "        seconds = 0.0\n",
        ("tests/learning/test_changepoint.py",),
    ),
    Mutant(
        "change points: a late outcome counts in runs that began after it",
        "actors/learning/hypotheses.py",
        "        if starts[i] <= at_ns:\n            shares[i] = 1.0\n",
        "        shares[i] = 1.0\n",
        ("tests/learning/test_changepoint.py",),
    ),
    Mutant(
        "change points: what a trend has counted does not age",
        "actors/learning/changepoint.py",
        "        age_trends(sums, _in_half_lives(seconds, half_lives), _kept(seconds, half_lives))\n",
        "",
        ("tests/learning/test_changepoint.py",),
    ),
    Mutant(
        "change points: an outcome that comes late is new to a trend",
        "actors/learning/changepoint.py",
        "        self._count_in_trends(x, _in_half_lives(seconds, half_lives), of_trends)\n",
        "        self._count_in_trends(x, [0.0] * len(half_lives), [1.0] * len(half_lives))\n",
        ("tests/learning/test_changepoint_bits.py",),
    ),
    Mutant(
        "change points: trends hold an alarm back",
        "actors/learning/changepoint.py",
        "        if later < self.rules.alarm * held or not later > 0.0:\n",
        "        if later < self.rules.alarm:\n",
        ("tests/learning/test_changepoint_bits.py",),
    ),
    Mutant(
        "change points: a line is drawn on whatever it rests on",
        "actors/learning/trends.py",
        "        lean = n1 / (_RIDGE * sums[at + 2] + _RIDGE_MIN)\n",
        "        lean = n1 / sums[at + 2] if sums[at + 2] else 0.0\n",
        ("tests/learning/test_trends.py",),
    ),
    Mutant(
        "change points: the packed filter forgets since when it watches",
        "actors/learning/change.py",
        "    return _HEADER.pack(hypotheses, as_of_ns, watched_ns, *told)\n",
        "    return _HEADER.pack(hypotheses, as_of_ns, as_of_ns, *told)\n",
        ("tests/learning/test_changepoint.py", "tests/state/test_changing.py"),
    ),
    Mutant(
        "change points: what teaches nothing is a wrong outcome",
        "actors/state/changing.py",
        "        if x == x:\n            found.add(x, at_ns)\n",
        "        found.add(x if x == x else 0.0, at_ns)\n",
        ("tests/state/test_changing.py",),
    ),
    Mutant(
        "change points: drift is a topic of models",
        "protocol/serving/feed.py",
        '        topic = "drift" if name == "drift" else "models"\n',
        '        topic = "models"\n',
        ("tests/protocol/test_server_subscriptions.py",),
    ),
    # ------------------------------------------------------------------ a posterior set by hand
    Mutant(
        "posterior set: the filter goes on if there was one",
        "actors/state/model_state.py",
        "        self.shared = self.now.changes = None\n",
        "        self.shared = None\n",
        ("tests/state/test_changing.py", "tests/state/test_reversal.py"),
    ),
    Mutant(
        "posterior set: a correction folds the filter of before again",
        "actors/state/model_state.py",
        "        follow_posterior(self.now, self.posterior)\n        self._checkpoint_here()\n\n    def _restart",
        "        follow_posterior(self.now, self.posterior)\n\n    def _restart",
        ("tests/state/test_changing.py", "tests/state/test_reversal.py"),
    ),
    Mutant(
        "posterior set: a snapshot does not keep it",
        "actors/state/model_state.py",
        "        state.posterior_set = record.posterior_set\n",
        "",
        ("tests/state/test_changing.py", "tests/actors/test_drift.py"),
    ),
    Mutant(
        "posterior set: a rebuild does not know of it",
        "actors/records.py",
        "            return PosteriorSet(self.posterior)\n",
        "            return PosteriorSet(None)\n",
        ("tests/actors/test_drift.py",),
    ),
    Mutant(
        "posterior set: other settings take it back",
        "actors/state/model_state.py",
        "        follow_posterior(now, self.posterior)\n        if now",
        "        follow_posterior(now, rules.posterior)\n        if now",
        ("tests/state/test_changing.py",),
    ),
    # ------------------------------------------------------------------ shared changes
    Mutant(
        "shared changes: a filter that was restarted tells of the same change again",
        "actors/learning/changepoint.py",
        "        self._watched_ns = self._as_of_ns\n        return True\n",
        "        return True\n",
        ("tests/learning/test_changepoint_restart.py", "tests/actors/test_sharing.py"),
    ),
    Mutant(
        "shared changes: a row of before one is corrected in place",
        "actors/state/model_state.py",
        "            self.now.changes, self.shared = after, event\n        self._checkpoint_here()\n",
        "            self.now.changes, self.shared = after, event\n",
        ("tests/state/test_sharing.py",),
    ),
    Mutant(
        "shared changes: earlier ones are not kept although the filter goes on from them",
        "actors/state/book.py",
        "            event = ChangeShared(entry.at_ns, entry.model_id, anew)\n",
        "            event = ChangeShared(entry.at_ns, entry.model_id, False)\n",
        ("tests/state/test_sharing.py",),
    ),
    Mutant(
        "shared changes: shared although the rules do not say so",
        "actors/router.py",
        "        if not self.book.sharing or change.at_ns",
        "        if change.at_ns",
        ("tests/actors/test_sharing.py",),
    ),
    # ------------------------------------------------------------------ modes of selection
    Mutant(
        "selection mode: top two is plain Thompson sampling",
        "actors/ranking.py",
        "and len(first) > 1 and not leader_leads(asked.key):",
        "and len(first) < 1:",
        ("tests/actors/test_learner_sampling.py",),
    ),
    Mutant(
        "selection mode: every round of top two is the same",
        "actors/ranking.py",
        "        begun = later_seeds(seeds, drawn)\n",
        "        begun = stream_seeds(key, lineup.words)[:, :count]\n",
        ("tests/actors/test_learner_sampling.py",),
    ),
    Mutant(
        "selection mode: the leader may win its own challenge",
        "actors/learning/top_two.py",
        "    last[leader] = -1.0\n",
        "",
        ("tests/learning/test_top_two.py", "tests/actors/test_learner_sampling.py"),
    ),
    Mutant(
        "selection mode: a directory forgets its own",
        "actors/settings_change.py",
        "            mode=rules.selection_mode,\n",
        "",
        ("tests/actors/test_learner_sampling.py",),
    ),
)
