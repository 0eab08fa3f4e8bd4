"""The questions that are asked of Gold, the alerts, the ledger and Quarantine; all SQL of the API is here."""
