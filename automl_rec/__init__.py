"""AutoML for recommenders: which models to ship, under which memory and latency budget."""

__version__ = "0.1.0"
