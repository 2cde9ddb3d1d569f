"""Measurements that no table file holds, one file each: ablations, training, kernels, correlations, a library."""
