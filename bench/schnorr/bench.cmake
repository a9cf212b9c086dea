nostril_bench(schnorr/verify)
