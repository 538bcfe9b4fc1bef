"""Other ways to run one job after another, each as a small program in its safest setting, for `benchmarks.overhead`.

Their packages are the extra `bench`, and nothing of ours imports them.
"""
