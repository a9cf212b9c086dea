nostril_bench(relay/store)
