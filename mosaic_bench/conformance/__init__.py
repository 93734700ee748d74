"""Tests that every algorithm has to pass, whoever wrote it.

Run them for an algorithm of your own with

    pytest --pyargs mosaic_bench.conformance --algorithm NAME [--plugin FILE.py]

(without ``--algorithm``: for every algorithm that can be found and has code of its own). Each one runs with the
clients' models alike, cut in width (static and rolling) and of different architectures, over three clients and small
images of seven classes that are easy to tell apart. A run should take about a second: give the class
``conformance_params`` with cheap hyper-parameters. Where the algorithm raises ``Unsupported`` only the reason is
checked.
"""
