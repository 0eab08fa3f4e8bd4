"""Verdicts on an hour so far, from the ledger's counters and from what a run has just written; no Dagster."""
