"""The planted bugs: one exact replacement of text each, and the tests that must find it, each by itself."""

from __future__ import annotations

from .changing import CHANGING
from .mutant import Mutant

__all__ = ["MUTANTS", "Mutant"]

SIMULATION = (
    "tests/simulation/test_simulation.py::test_simulated_learner_loses_nothing_and_counts_nothing_twice"
)

MUTANTS = (
    # ------------------------------------------------------------------ durability
    Mutant(
        "acknowledge before commit",
        "actors/journal.py",
        """            if records:
                self.journal_bytes += self.store.append(records)
""",
        """            for batch in batches:
                for future, value in batch.replies:
                    future.set(value)
            if records:
                self.journal_bytes += self.store.append(records)
""",
        (SIMULATION, "tests/actors/test_snapshots.py"),
    ),
    Mutant(
        "commits are not synced",
        "actors/store.py",
        "sync=True, metasync=True",
        "sync=False, metasync=True",
        (SIMULATION,),
    ),
    Mutant(
        "journal not appended, only numbered",
        "actors/journal.py",
        "            records = [record for batch in (*self._held, *batches) for record in self._chunks(batch)]\n",
        "            records = [record for batch in batches for record in self._chunks(batch)][:1]\n",
        (SIMULATION,),
    ),
    Mutant(
        "router overtakes what it left to the persister",
        "actors/journal.py",
        "            self._handed_over != self._taken_over\n            or sum(",
        "            sum(",
        (SIMULATION,),
    ),
    Mutant(
        "log is not synced",
        "actors/log_file.py",
        "        segment.sync()\n        segment.end += len(frame)\n",
        "        segment.end += len(frame)\n",
        ("tests/faults/test_log_sync.py",),
    ),
    Mutant(
        "log is not read at opening",
        "actors/store.py",
        "        self._add_to_tail([record for record in self._log.found if record[0] > last])\n",
        "",
        (SIMULATION, "tests/actors/test_learner_durability.py"),
    ),
    Mutant(
        "log is let go before all of it is taken over",
        "actors/store.py",
        "                    self._put_all(txn, JOURNAL, tail, append=True)\n",
        "                    self._put_all(txn, JOURNAL, tail[1:], append=True)\n",
        (SIMULATION,),
    ),
    Mutant(
        "CRC not checked",
        "actors/records.py",
        "    if crc != crc32(body, crc32(key)):\n",
        "    if len(body) == 0:\n",
        ("tests/faults/test_damage_records.py",),
    ),
    # ------------------------------------------------------------------ exactly once
    Mutant(
        "no deduplication of outcomes",
        "actors/state/decisions.py",
        "    if ticket.outcome is not None:\n        return same_outcome(",
        "    if ticket.outcome is not None and ticket.prediction is not None:\n        return same_outcome(",
        (SIMULATION,),
    ),
    Mutant(
        "ids forgotten at restart",
        "actors/restore.py",
        "                restored.archive.note(run_fingerprints(body))\n",
        "                run_fingerprints(body)\n",
        (SIMULATION, "tests/actors/test_snapshots.py"),
    ),
    Mutant(
        "ids forgotten as they leave memory",
        "actors/snapshotter.py",
        "            self._archive.note(some)\n",
        "",
        (SIMULATION, "tests/actors/test_snapshots.py"),
    ),
    Mutant(
        "delivery folded a second time",
        "actors/state/model_state.py",
        "        if seq <= self.applied_seq:\n            return False\n",
        "",
        ("tests/actors/test_supervision.py",),
    ),
    Mutant(
        "loose outcome that was joined stays on disk too",
        "actors/snapshot.py",
        "            no_longer_loose=list(cut.merged),\n",
        "            no_longer_loose=[],\n",
        (SIMULATION,),
    ),
    # ------------------------------------------------------------------ snapshots
    Mutant(
        "snapshot without barrier",
        "actors/router.py",
        "            self._expire()\n            self._flush()\n",
        "            self._expire()\n",
        (SIMULATION,),
    ),
    Mutant(
        "snapshot of a moving book",
        "actors/state/memory.py",
        "        self.kept[ordinal] = replace(market, tickets=tickets)\n",
        "",
        (SIMULATION, "tests/state/test_book.py"),
    ),
    Mutant(
        "model left out of a snapshot is not rebuilt",
        "actors/restore.py",
        "        if stale:\n            _rebuild(",
        "        if stale and from_journal:\n            _rebuild(",
        (SIMULATION,),
    ),
    Mutant(
        "loose outcomes of a failed snapshot forgotten",
        "actors/state/loose.py",
        "        self.saving, self.fresh = {}, still\n",
        "        self.saving = {}\n",
        (SIMULATION,),
    ),
    Mutant(
        "loose outcome taken out of the cut that is being saved",
        "actors/state/loose.py",
        "        self.fresh.pop(prediction_id, None)\n",
        "        self.fresh.pop(prediction_id, self.saving.pop(prediction_id, None))\n",
        (SIMULATION,),
    ),
    Mutant(
        "outcome let go before the journal can give it again",
        "actors/router.py",
        "self.book.loose.recent.forget_through(self._journal.durable_seq)",
        "self.book.loose.recent.forget_through(self.book.seq)",
        ("tests/actors/test_loose.py",),
    ),
    Mutant(
        "outcome kept after the journal can give it again",
        "actors/router.py",
        "            self.book.loose.recent.forget_through(self._journal.durable_seq)\n",
        "",
        ("tests/actors/test_loose.py",),
    ),
    Mutant(
        "history without the outcomes that are in the journal only",
        "actors/histories.py",
        "spans_together(each.loose for each in away.values())",
        "[]",
        (SIMULATION, "tests/actors/test_loose.py"),
    ),
    Mutant(
        "history without the outcomes that are not in the journal yet",
        "actors/router.py",
        "for seq in seqs if seq > durable_seq)",
        "for seq in seqs if seq > 2**62)",
        ("tests/actors/test_loose.py",),
    ),
    Mutant(
        "unsaved market leaves memory",
        "actors/state/memory.py",
        "            if market.settled and ordinal not in self.unsaved:\n",
        "            if market.settled:\n",
        (SIMULATION,),
    ),
    # ------------------------------------------------------------------ corrections
    Mutant(
        "checkpoint not renewed when rows are folded again",
        "actors/state/model_state.py",
        "            self.newer = Checkpoint.of(statistics, row)\n",
        "",
        ("tests/state/test_reversal.py",),
    ),
    Mutant(
        "second checkpoint beside a filter stays when it is loaded",
        "actors/state/model_state.py",
        "        if record.older_row < record.newer_row and record.now.changes is None:\n",
        "        if record.older_row < record.newer_row:\n",
        ("tests/state/test_changing.py",),
    ),
    # ------------------------------------------------------------------ restarts
    Mutant(
        "decay applied twice at restart",
        "actors/state/model_state.py",
        "        state.now = record.now.copy()\n",
        """        state.now = record.now.copy()
        again_ns = record.now.evidence_at_ns - record.older.evidence_at_ns
        state.now.successes *= 0.5 ** (again_ns / 1e9 / rules.decay_half_life_seconds)
""",
        (SIMULATION, "tests/actors/test_learner_durability.py"),
    ),
    Mutant(
        "mailbox dropped when a model is restarted",
        "actors/runtime/lifecycle.py",
        "        if actor is not None:\n            self.adopt(actor)\n",
        "        if actor is not None:\n            self.adopt(actor)\n            self._queue.clear()\n",
        (SIMULATION, "tests/runtime/test_failure.py", "tests/actors/test_supervision.py"),
    ),
    Mutant(
        "rules of another time at restart",
        "actors/state/book.py",
        "        rules = self.rules_history[-1][1]\n",
        "        rules = self.rules_history[0][1]\n",
        (SIMULATION,),
    ),
    # ------------------------------------------------------------------ what is learned
    Mutant(
        "revision not reversed",
        "actors/state/book.py",
        "                out.tell(ticket.model_id, Rescored(ticket.position_seq, old, new), seq)\n",
        "                out.tell(ticket.model_id, new, seq)\n",
        (SIMULATION, "tests/acceptance/test_corrections.py"),
    ),
    Mutant(
        "void teaches",
        "actors/state/market.py",
        "    if prediction is None or resolution.void or not counts(prediction, resolution):\n",
        "    if prediction is None or not counts(prediction, resolution):\n",
        (SIMULATION, "tests/state/test_book.py"),
    ),
    Mutant(
        "expired prediction teaches",
        "actors/state/market.py",
        "    return prediction.expires_at is None or resolution.resolved_at <= prediction.expires_at\n",
        "    return True\n",
        (SIMULATION, "tests/state/test_book.py"),
    ),
    Mutant(
        "shadow scoring lost",
        "actors/state/market.py",
        "        return None if ruling is None else _ruled(ticket, ruling.resolution, None)\n",
        """        if ruling is None or (ticket.gate is not None and not ticket.gate.accepted):
            return None
        return _ruled(ticket, ruling.resolution, None)
""",
        (SIMULATION, "tests/actors/test_learner_signals.py"),
    ),
    Mutant(
        "threshold not clipped",
        "actors/state/fold.py",
        "            elif theta > highest:\n                theta = highest\n",
        "",
        ("tests/state/test_reference_fold.py",),
    ),
    Mutant(
        "late outcome enters as if it were new",
        "actors/state/fold.py",
        "            successes, failures = successes + x * factor, failures + (1.0 - x) * factor\n",
        "            successes, failures = successes + x, failures + (1.0 - x)\n",
        (SIMULATION, "tests/state/test_posterior_sum.py"),
    ),
    Mutant(
        "P&L as float",
        "actors/learning/pnl.py",
        "    return _EXACT.add(a, b)\n",
        "    return Decimal(repr(float(a) + float(b)))\n",
        ("tests/learning/test_pnl.py", "tests/state/test_reversal.py"),
    ),
    Mutant(
        "P&L of a revised outcome stays",
        "actors/state/model_state.py",
        "        self.tally.subtract(old)\n",
        "",
        (SIMULATION,),
    ),
    Mutant(
        "paused model is selected",
        "actors/state/views.py",
        "    if state.pause is not None and paused(state, as_of):\n        return None\n    enough",
        "    enough",
        ("tests/actors/test_learner_sampling.py", "tests/state/test_views.py"),
    ),
    Mutant(
        "paused model is called eligible",
        "actors/state/views.py",
        "    return not paused(state, as_of) and state.now.n",
        "    return state.now.n",
        ("tests/state/test_views.py",),
    ),
    # ------------------------------------------------------------------ the pool
    Mutant(
        "revision of a market not told to the pool",
        "actors/state/book.py",
        "        if row is not None and row != told:\n            out.tell(POOL_ID, PoolRescored(",
        "        if row is not None and row != told and not told.payouts:\n            out.tell(POOL_ID, PoolRescored(",
        ("tests/state/test_pool.py", "tests/actors/test_pooling.py"),
    ),
    Mutant(
        "pool learns from forecasts recorded after the resolution",
        "actors/state/pool_row.py",
        "    tickets = forecasts_of(market.tickets.values(), position_seq)\n",
        "    tickets = forecasts_of(market.tickets.values())\n",
        ("tests/state/test_pool.py",),
    ),
    Mutant(
        "pool's checkpoint not renewed when rows are folded again",
        "actors/state/pool_state.py",
        "            if number == self.newer_row:\n                self.newer = statistics.copy()\n",
        "",
        ("tests/state/test_pool.py",),
    ),
    Mutant(
        "pool judged with what the market taught it",
        "actors/learning/pooling/pool.py",
        "    pooled = linear_pool(mixture.evidence, mixture.by_form)\n"
        "    _learn_forms(state, mixture, outcome, rules)\n",
        "    _learn_forms(state, mixture, outcome, rules)\n"
        "    pooled = linear_pool(softmax(state.form_evidence), mixture.by_form)\n",
        ("tests/learning/test_pool.py",),
    ),
    Mutant(
        "model that was absent moves",
        "actors/learning/pooling/share_rule.py",
        "    present = sum([exp(w) for w in log_weights])\n",
        "    present = float(len(log_weights))\n",
        ("tests/learning/test_pool_shares.py",),
    ),
    Mutant(
        "forecasts combined by what the pool learned meanwhile",
        "actors/state/pool_views.py",
        "pooling.excerpt(state.now.pool, model_ids)",
        "state.now.pool",
        ("tests/state/test_pool_combining.py",),
    ),
    Mutant(
        "column of forecasts summed in two parts",
        "actors/learning/pooling/in_pieces.py",
        "lambda column: sum(map(mul, weights, column))",
        "lambda column: sum(map(mul, weights[:9], column)) + sum(map(mul, weights[9:], column[9:]))",
        ("tests/learning/test_pool_pieces.py",),
    ),
    # ------------------------------------------------------------------ what is traded
    Mutant(
        "record shares what recalibration learned",
        "actors/state/statistics.py",
        "            twin.recalibration = self.recalibration.copy()\n",
        "            twin.recalibration = self.recalibration\n",
        ("tests/state/test_reversal.py",),
    ),
    Mutant(
        "threshold learns from the stated confidence while the gate compares the recalibrated one",
        "actors/state/fold.py",
        "    _fold_threshold(s, rows, first, taught, rules, history, errors)\n",
        "    _fold_threshold(s, rows, first, taught, rules, history, None)\n",
        ("tests/state/test_recalibrating.py",),
    ),
    Mutant(
        "gate compares the stated confidence",
        "actors/state/acting.py",
        "    if not passes_gate(worth, now.confidence_threshold):\n",
        "    if not passes_gate(confidence, now.confidence_threshold):\n",
        ("tests/state/test_recalibrating.py",),
    ),
    Mutant(
        "one long shot makes the whole log-wealth",
        "actors/learning/kelly.py",
        "    return min(max(log1p(factor), -most), most)\n",
        "    return log1p(factor)\n",
        ("tests/state/test_edge_and_kelly.py",),
    ),
    *CHANGING,
)
