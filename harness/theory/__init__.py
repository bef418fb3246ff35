"""What can be measured without training: exact calculators and weights that are set by hand.

Each file but ``matrices``, ``automata`` and ``machine`` has one public ``rows``, which yields plain rows (numbers,
words) for a table, the same at every call with the same arguments; ``witness`` is a folder, a construction a file.
"""
