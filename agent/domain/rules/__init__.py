"""The loyalty rules: what a rule set may say (model), how it is read (load), and what it gives a sale (engine).

Pure: no clock, no input or output, no float. Points lots and postings live next door in settlement and ledger.
"""
