"""Backups of the database: made while the station sells, encrypted, proved, listed, and put back by hand."""
