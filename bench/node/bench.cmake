nostril_bench(node/manifest)
