"""Command lines to begin with, as ``--help`` of each verb shows them."""

EXAMPLES = {
    "run": """\
examples:
  python -m harness task=pairwise                                   one run: train, evaluate, table, figure
  python -m harness task=pairwise attention=linear scratchpad=full scratchpad.trace=extremes
  python -m harness task=pairwise evaluate.lengths=[4,8,128]        more lengths add rows to the same run
  python -m harness -m task=pairwise attention=softmax,linear scratchpad=none,full seed=0,1
  python -m harness study=pairwise_conjecture study.size=small      a named study: runs, figures, verdicts
  python -m harness task=pairwise --cfg                             print the composed config
""",
    "claims": """\
examples:
  python -m harness claims                                          the ledger
  python -m harness claims --explain C7                             what decided one of them
""",
    "report": """\
examples:
  python -m harness report                                          results/report.html, one page without a server
  python -m harness report --results results/reference
""",
    "findings": """\
examples:
  python -m harness findings                                        write docs/findings.md and the README's table
  python -m harness findings --check                                are they what the committed rows say?
""",
    "plot": """\
examples:
  python -m harness plot
  python -m harness plot --where task=pairwise --where attention=softmax
""",
    "compare": """\
examples:
  python -m harness compare
  python -m harness compare --by attention length
  python -m harness compare --equal state_bits                      pairs of recipes with as much state
""",
    "list": """\
examples:
  python -m harness list
  python -m harness list tasks                                      with what theory knows of each
  python -m harness list bounds                                     when each bound holds, and who proved it
  python -m harness list tasks --page                               docs/tasks.md
  python -m harness list attention --page                           docs/attention.md
""",
    "show": """\
examples:
  python -m harness show task=pairwise length=6                     an instance, its twin, every trace
  python -m harness show pairwise-softmax-none-1a2b3c4d length=6    what that run's model wrote
""",
    "inside": """\
examples:
  python -m harness inside pairwise-softmax-none-1a2b3c4d           at the lengths that the run was evaluated at
  python -m harness inside pairwise-softmax-none-1a2b3c4d --lengths 8,16,32 --split boundary --items 100
""",
    "check": """\
examples:
  python -m harness check task=pairwise task.alpha=5 task.values=16
  python -m harness check attention=linear
  python -m harness check attention=window attention.window=4 mask=prefix
""",
    "theory": """\
examples:
  python -m harness theory task=pairwise task.alpha=5 task.values=16 length=8
  python -m harness theory task=late_rule task.values=5 length=4,6  classes at every cut of both lengths
  python -m harness theory task=pairwise task.norm=hamming task.values=2 task.alpha=2 --curve task.dim=2,3,4,5,6
""",
    "status": """\
examples:
  python -m harness status                                          sweeps, who runs what, what failed and why
  python -m harness status --results /shared/results                from any machine that sees the folder
""",
    "bench": """\
examples:
  python -m harness bench                                           a quarter of an hour; results/bench/bench.csv
  python -m harness bench --only training decoding --out results/bench
  python -m harness bench --page results/bench/bench.csv            docs/performance.md
""",
}
