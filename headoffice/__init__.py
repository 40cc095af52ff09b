"""The reference head-office end: ingest, members, rules, alerts and the forecourt-hq command."""
