nostril_bench(node/manifest)
nostril_bench(node/receipts)
