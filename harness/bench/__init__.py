"""Speed side by side with named peers, on one machine in one run, and as a share of what the machine can do at all.

``race`` times subjects that lie in processes of their own; ``cases`` says who meets whom; ``rows`` is what comes out,
``promises`` what was promised of it; ``page`` and ``figure`` are functions of the rows alone.
"""
