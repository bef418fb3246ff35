"""All that is a function of rows: intervals, figures, tables. No torch, no hydra, and nothing is written here.

A row is one evaluated (run, length, steps, split); a run without scores is one row: its status, empty measures.
"""
